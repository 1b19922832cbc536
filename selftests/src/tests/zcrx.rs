// SPDX-License-Identifier: GPL-2.0
//! Zero-copy receive with io_uring on leased queues: memory that is provided through a netkit device and filled by the
//! physical card; and packets through netkit whose payload the kernel cannot read.

use std::io::Write;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use anyhow::anyhow;
use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBuf;

use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::POD4;
use crate::lessor;
use crate::lessor::Cable;
use crate::netkit;
use crate::netkit::Spec;
use crate::uring::Zcrx;

tests![
    memory_goes_to_the_card,
    single_device,
    refused,
    receives,
    receives_in_l2_mode,
    netkit_deleted_first,
    card_deleted_first,
    card_down_and_up,
];

const PHYS4: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
pub const WORLD4: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 2);
const PORT: u16 = 4243;
/// Less than the memory that is provided: out of order, what is in flight may take all buffers but the one that is
/// waited for.
const WINDOW: usize = 256 << 10;
const COMES: Duration = Duration::from_secs(10);

/// A pair whose end in the pod has the card's queue 2 on lease as its queue 1, and a way from the world to the pod.
pub struct Bench {
    pub cable: Cable,
    pub duo: Duo,
}

impl Bench {
    pub fn new(t: &Ctx, spec: Spec) -> Result<Self> {
        let cable = lessor::cable(t, 4, 0)?;
        let duo = t.duo(spec.peer_rx_queues(3))?;
        let host = Some(duo.pod.number_of(&t.host)?);
        let netdev = duo.pod.netdev()?;
        netdev.lease(duo.pair.peer, cable.phys.offer(2, host))?;

        let (phys, far) = (&cable.phys, &cable.far);
        phys.ns.add_address(phys.index, PHYS4.into(), 24)?;
        far.ns.add_address(far.index, WORLD4.into(), 24)?;
        far.ns
            .add_route(POD4.into(), 32, far.index, Some(PHYS4.into()))?;
        let gateway = crate::ctx::HOST4;
        duo.pod
            .add_route(WORLD4.into(), 32, duo.pair.peer, Some(gateway.into()))?;
        phys.ns.sysctl("net/ipv4/ip_forward", "1")?;
        phys.steer(2)?;
        Ok(Self { cable, duo })
    }

    pub fn register(&self) -> Result<Zcrx> {
        let answer = Zcrx::register(&self.duo.pod, self.duo.pair.peer, 1)?;
        answer.context("IORING_REGISTER_ZCRX_IFQ")
    }

    fn provider(&self) -> Result<u32> {
        Ok(self.cable.phys.seen(2)?.has_provider)
    }

    pub fn memory_goes(&self) -> Result<()> {
        check::soon("the memory is taken away", || Ok(self.provider()? == 0))
    }

    /// A connection from the world to the pod.
    fn connect(&self) -> Result<(TcpStream, TcpStream)> {
        let (pod, world) = (&self.duo.pod, &self.cable.far.ns);
        let listener = pod.run(|| Ok(TcpListener::bind((POD4, PORT))?))?;
        setsockopt(&listener, RcvBuf, &WINDOW)?;
        let near = world
            .run(|| Ok(TcpStream::connect_timeout(&(POD4, PORT).into(), COMES)?))
            .context("connecting from the world")?;
        Ok((near, listener.accept()?.0))
    }

    /// Bytes from the world get into the memory that the pod has provided.
    pub fn carries(&self, memory: &mut Zcrx, bytes: usize) -> Result<()> {
        let (mut near, far) = self.connect()?;
        let pattern: Vec<u8> = (0..bytes).map(|n| (n / 7) as u8).collect();
        let sent = pattern.clone();
        let sender = thread::spawn(move || near.write_all(&sent).map(|()| near));
        let got = memory.receive(&far, bytes)?;
        let sender = sender.join().map_err(|_| anyhow!("the sender panicked"))?;
        let _near = sender.context("sending")?;
        check::that("the bytes are the same", got == pattern)
    }
}

fn memory_goes_to_the_card(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, Spec::l3())?;
        let (host, pod) = (t.host.netdev()?, bench.duo.pod.netdev()?);
        let (phys, peer) = (bench.cable.phys.index, bench.duo.pair.peer);
        check::equal("at first", bench.provider()?, 0)?;
        let memory = bench.register()?;
        check::equal("provider", bench.provider()?, 1)?;
        check::that("card", host.queue(phys, 2)?.io_uring)?;
        check::that("netkit", pod.queue(peer, 1)?.io_uring)?;
        check::that("another queue", !host.queue(phys, 1)?.io_uring)?;
        let twice = Zcrx::register(&bench.duo.pod, peer, 1)?.map(drop);
        check::errno("twice", twice, Errno::EEXIST)?;
        drop(memory);
        bench.memory_goes()?;
        check::that("netkit", !pod.queue(peer, 1)?.io_uring)?;
        let _again = bench.register()?;
        check::equal("again", bench.provider()?, 1)
    })
}

fn single_device(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let cable = lessor::cable(t, 4, 0)?;
        let index = Spec::l2().rx_queues(3).create_single("single", &t.host)?;
        t.host.netdev()?.lease(index, cable.phys.offer(3, None))?;
        let provider = || -> Result<_> { Ok(cable.phys.seen(3)?.has_provider) };
        let memory = Zcrx::register(&t.host, index, 1)?.context("registering")?;
        check::equal("provider", provider()?, 1)?;
        drop(memory);
        check::soon("the memory is taken away", || Ok(provider()? == 0))
    })
}

fn refused(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, Spec::l3())?;
        let (host, pod, pair) = (&t.host, &bench.duo.pod, &bench.duo.pair);
        for (what, ns, index, queue) in [
            ("primary", host, pair.primary, 0),
            ("own queue", pod, pair.peer, 0),
            ("a queue too far", pod, pair.peer, 2),
            ("from the card's side", host, bench.cable.phys.index, 2),
        ] {
            let answer = Zcrx::register(ns, index, queue)?.map(drop);
            check::that(what, answer.is_err())?;
            t.same(what, format!("{answer:?}"));
        }
        check::equal("provider", bench.provider()?, 0)
    })
}

fn receives(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, Spec::l3())?;
        let mut memory = bench.register()?;
        // More than there is memory: buffers are given back and used again.
        bench.carries(&mut memory, 3 << 20)?;
        bench.carries(&mut memory, 1000)?;
        let seen = bench.cable.phys.seen(2)?;
        check::that("into the memory", seen.provider_received > 2000)?;
        let counted = bench.duo.pod.stats(bench.duo.pair.peer)?;
        check::that(
            "through netkit",
            counted.rx_packets >= u64::from(seen.provider_received),
        )?;
        check::equal(
            "dropped",
            t.host.stats(bench.duo.pair.primary)?.tx_dropped,
            0,
        )
    })
}

fn receives_in_l2_mode(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, Spec::l2())?;
        let mut memory = bench.register()?;
        bench.carries(&mut memory, 100_000)?;
        check::that(
            "into the memory",
            bench.cable.phys.seen(2)?.provider_received > 60,
        )
    })
}

fn netkit_deleted_first(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, Spec::l3())?;
        let mut memory = bench.register()?;
        bench.carries(&mut memory, 10_000)?;
        t.host.del_link(bench.duo.pair.primary)?;
        check::equal("devices", netkit::devices(&bench.duo.pod)?.len(), 0)?;
        check::equal("provider", bench.provider()?, 0)?;
        let shown = t.host.netdev()?.queue(bench.cable.phys.index, 2)?;
        check::equal("shown", (shown.io_uring, shown.lease), (false, None))?;
        drop(memory);
        Ok(())
    })
}

fn card_deleted_first(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, Spec::l3())?;
        let mut memory = bench.register()?;
        bench.carries(&mut memory, 10_000)?;
        t.host.del_link(bench.cable.phys.index)?;
        check::equal("pod", netkit::devices(&bench.duo.pod)?.len(), 0)?;
        check::equal("host", netkit::devices(&t.host)?.len(), 0)?;
        drop(memory);
        Ok(())
    })
}

/// What was provided to a card that is down is there when it comes up.
fn card_down_and_up(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, Spec::l3())?;
        let phys = &bench.cable.phys;
        phys.ns.down(phys.index)?;
        let mut memory = bench.register()?;
        check::equal("down", bench.provider()?, 0)?;
        phys.ns.up(phys.index)?;
        check::equal("up", bench.provider()?, 1)?;
        bench.carries(&mut memory, 10_000)
    })
}
