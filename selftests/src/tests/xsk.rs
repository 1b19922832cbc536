// SPDX-License-Identifier: GPL-2.0
//! AF_XDP sockets in zero-copy mode on leased queues: bound to a netkit device, served by the physical card.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;

use crate::afxdp::Mode;
use crate::afxdp::ToSocket;
use crate::afxdp::Xsk;
use crate::bpf::link::Link;
use crate::bpf::mprog::Place;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::lessor;
use crate::lessor::Cable;
use crate::lessor::Seen;
use crate::netkit::Spec;
use crate::netns::Ns;
use crate::traffic;
use crate::uring::Zcrx;

tests![
    binds_to_the_card,
    refused_by_netkit,
    refused_for_a_card_that_cannot,
    cards_answer_is_passed_on,
    copies_if_it_must,
    busy_beside_provided_memory,
    wakeups,
    sends,
    receives,
    many_frames,
    in_a_pod,
];

const BPF_XDP: u32 = 37;
const XDP_FLAGS_DRV_MODE: u32 = 4;
const COMES: Duration = Duration::from_secs(5);
const COMES_NOT: Duration = Duration::from_millis(60);

/// A single device, up, whose queue 1 is the card's queue 2, and whose queue 2 the card's queue 1.
pub struct Bench {
    pub cable: Cable,
    pub ns: Ns,
    pub index: u32,
}

impl Bench {
    pub fn new(t: &Ctx, ns: &Ns, lacks: u32) -> Result<Self> {
        let cable = lessor::cable(t, 4, lacks)?;
        let index = Spec::l2().rx_queues(4).create_single("single", ns)?;
        // A number for the host, which it needs in its own namespace, too.
        let host = Some(ns.number_of(&t.host)?);
        let netdev = ns.netdev()?;
        netdev.lease(index, cable.phys.offer(2, host))?;
        netdev.lease(index, cable.phys.offer(1, host))?;
        ns.up(index)?;
        Ok(Self {
            cable,
            ns: ns.clone(),
            index,
        })
    }

    pub fn seen(&self, queue: u32) -> Result<Seen> {
        self.cable.phys.seen(queue)
    }

    pub fn bind(&self, queue: u32) -> Result<Xsk> {
        Xsk::zero_copy(&self.ns, self.index, queue)
    }

    /// The result of bind(2) in zero-copy mode.
    fn refusal(&self, queue: u32) -> Result<Option<Errno>> {
        Ok(Xsk::bind(&self.ns, self.index, queue, Mode::ZeroCopy)?.err())
    }

    /// The last user of a pool takes it away in the background.
    pub fn pool_goes(&self, queue: u32) -> Result<()> {
        check::soon("the pool is taken away", || {
            Ok(self.seen(queue)?.has_pool == 0)
        })
    }

    /// The socket sends a datagram that arrives in the world.
    pub fn reaches_the_world(&self, socket: &mut Xsk, number: u8) -> Result<()> {
        let far = &self.cable.far;
        let receiver = traffic::udp_receiver(&far.ns, POD4.into())?;
        receiver.set_read_timeout(Some(COMES))?;
        let payload = [number; 100];
        let frame = traffic::udp_frame(&far.mac()?, HOST4, POD4, &payload)?;
        socket.send(&frame)?.context("sendto(AF_XDP)")?;
        let mut buffer = [0; 200];
        let len = receiver.recv(&mut buffer).context("nothing arrived")?;
        check::equal("payload", &buffer[..len], payload.as_slice())?;
        check::equal("completed", socket.completed(), 1)
    }

    /// A datagram from the world comes out of the socket.
    pub fn hears_the_world(&self, socket: &mut Xsk, number: u8) -> Result<()> {
        let payload = [number; 100];
        let frame = traffic::udp_frame(&self.cable.phys.mac()?, POD4, HOST4, &payload)?;
        traffic::send_frame(&self.cable.far.ns, self.cable.far.index, &frame)?;
        let got = socket.receive(COMES)?;
        check::equal("received", got, Some(frame))
    }

    /// The world's address, and the program on the card.
    pub fn address(&self, sockets: &[(u32, &Xsk)]) -> Result<(ToSocket, Link)> {
        let (phys, far) = (&self.cable.phys, &self.cable.far);
        far.ns.add_address(far.index, POD4.into(), 24)?;
        let mut program = ToSocket::load()?;
        for (queue, socket) in sockets {
            program.set(*queue, socket)?;
        }
        let place = Place::flags(XDP_FLAGS_DRV_MODE);
        let link = phys
            .ns
            .run(|| Ok(Link::create(program.fd()?, phys.index, BPF_XDP, place)?))?;
        Ok((program, link))
    }
}

impl Drop for Bench {
    /// The pool of a socket that was closed goes in the background, through the netkit device. If that is deleted
    /// in between, the kernel warns, and on C the card keeps the pool.
    fn drop(&mut self) {
        for queue in [1, 2] {
            let _the_card_may_be_deleted = self.pool_goes(queue);
        }
    }
}

fn binds_to_the_card(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, &t.host, 0)?;
        let netdev = t.host.netdev()?;
        check::equal("at first", bench.seen(2)?, Seen::default())?;
        let socket = bench.bind(1)?;
        check::that("zero copy", socket.is_zero_copy()?)?;
        let bound = Seen {
            has_pool: 1,
            pools_set: 1,
            ..Seen::default()
        };
        check::equal("its queue", bench.seen(2)?, bound)?;
        check::equal("another queue", bench.seen(1)?, Seen::default())?;
        check::that("card", netdev.queue(bench.cable.phys.index, 2)?.xsk)?;
        t.same("netkit", format!("{:?}", netdev.queue(bench.index, 1)?));
        t.same("other", format!("{:?}", netdev.queue(bench.index, 2)?));

        check::equal("twice", bench.refusal(1)?, Some(Errno::EBUSY))?;
        let other = bench.bind(2)?;
        check::equal("its queue", bench.seen(1)?, bound)?;
        drop(socket);
        bench.pool_goes(2)?;
        check::equal("cleared", bench.seen(2)?.pools_cleared, 1)?;
        check::equal("the other stays", bench.seen(1)?, bound)?;
        drop(other);
        bench.pool_goes(1)?;
        check::that("card", !netdev.queue(bench.cable.phys.index, 2)?.xsk)
    })
}

fn refused_by_netkit(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, &t.host, 0)?;
        check::equal("own queue", bench.refusal(0)?, Some(Errno::EOPNOTSUPP))?;
        check::equal("too far", bench.refusal(3)?, Some(Errno::EINVAL))?;

        let pair = Spec::l2().peer_rx_queues(3).create(&t.host, &t.host)?;
        t.host
            .netdev()?
            .lease(pair.peer, bench.cable.phys.offer(3, None))?;
        for (index, queue) in [(pair.peer, 1), (pair.peer, 0), (pair.primary, 0)] {
            let answer = Xsk::bind(&t.host, index, queue, Mode::ZeroCopy)?;
            check::errno("pair", answer, Errno::EOPNOTSUPP)?;
        }
        for queue in 0..4 {
            check::equal("card", bench.seen(queue)?, Seen::default())?;
        }
        Ok(())
    })
}

fn refused_for_a_card_that_cannot(t: &Ctx) -> Result<()> {
    for lacks in [
        lessor::LACKS_NDO_BPF,
        lessor::LACKS_NDO_XDP_XMIT,
        lessor::LACKS_NDO_XSK_WAKEUP,
        lessor::LACKS_ZC_FEATURE,
    ] {
        lessor::with(t, || {
            let bench = Bench::new(t, &t.host, lacks)?;
            check::equal("refusal", bench.refusal(1)?, Some(Errno::EOPNOTSUPP))?;
            check::equal("card", bench.seen(2)?, Seen::default())
        })
        .with_context(|| format!("lacks {lacks}"))?;
    }
    Ok(())
}

fn cards_answer_is_passed_on(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, &t.host, 0)?;
        let phys = &bench.cable.phys;
        for errno in [Errno::ENOSPC, Errno::EXFULL] {
            phys.fail_with(errno as i32)?;
            check::equal("refusal", bench.refusal(1)?, Some(errno))?;
        }
        phys.fail_with(0)?;
        let mut socket = bench.bind(1)?;
        phys.fail_with(Errno::EXFULL as i32)?;
        check::errno("sendto", socket.send(&[0; 60])?, Errno::EXFULL)?;
        check::errno("recvfrom", socket.offer(1), Errno::EXFULL)?;
        phys.fail_with(0)?;
        check::equal("recvfrom", socket.offer(1), Ok(()))
    })
}

/// Who does not insist on zero copy gets a socket whose packets the stack copies.
fn copies_if_it_must(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, &t.host, lessor::LACKS_NDO_XDP_XMIT)?;
        for (queue, mode) in [(0, Mode::Any), (1, Mode::Any), (2, Mode::Copy)] {
            let mut socket = Xsk::bind(&t.host, bench.index, queue, mode)?.context("bind")?;
            check::that("copies", !socket.is_zero_copy()?)?;
            // The device has nobody to send to.
            let before = t.host.stats(bench.index)?;
            let answer = socket.send(&[0; 60])?;
            t.same(&format!("queue {queue}: answer"), format!("{answer:?}"));
            let counted = t.host.stats(bench.index)?.since(&before);
            t.same(&format!("queue {queue}: counted"), format!("{counted:?}"));
        }
        check::equal("card", bench.seen(2)?, Seen::default())
    })
}

/// A card with provided memory on one queue takes no socket on another one, and a queue has either.
fn busy_beside_provided_memory(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, &t.host, 0)?;
        let memory = Zcrx::register(&t.host, bench.index, 1)?.context("registering")?;
        check::equal("provider", bench.seen(2)?.has_provider, 1)?;
        check::equal("beside it", bench.refusal(2)?, Some(Errno::EBUSY))?;
        check::equal("on it", bench.refusal(1)?, Some(Errno::EBUSY))?;
        drop(memory);
        check::soon("the memory is taken away", || {
            Ok(bench.seen(2)?.has_provider == 0)
        })?;
        let socket = bench.bind(1)?;
        let answer = Zcrx::register(&t.host, bench.index, 1)?.map(drop);
        check::errno("on a socket's queue", answer, Errno::EBUSY)?;
        drop(socket);
        bench.pool_goes(2)
    })
}

fn wakeups(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, &t.host, 0)?;
        let phys = &bench.cable.phys;
        let mut socket = bench.bind(1)?;
        let counted = || -> Result<_> {
            let seen = bench.seen(2)?;
            Ok((seen.wakeups_rx, seen.wakeups_tx))
        };
        check::equal("at first", counted()?, (0, 0))?;
        socket.send(&[0; 60])?.context("sendto")?;
        check::equal("sendto", counted()?, (0, 1))?;
        socket.offer(1).context("recvfrom")?;
        check::equal("recvfrom", counted()?, (1, 1))?;
        socket.poll(COMES_NOT)?;
        let (rx, tx) = counted()?;
        check::that("poll wakes up for both", rx > 1 && tx > 1)?;
        check::equal("another queue", bench.seen(1)?, Seen::default())?;

        phys.ns.down(phys.index)?;
        check::errno("card down", socket.send(&[0; 60])?, Errno::ENETDOWN)?;
        check::equal("card down", counted()?, (rx, tx + 1))?;
        phys.ns.up(phys.index)?;
        check::equal("card up", socket.send(&[0; 60])?, Ok(()))?;
        let before = counted()?;
        t.host.down(bench.index)?;
        check::errno("netkit down", socket.send(&[0; 60])?, Errno::ENETDOWN)?;
        check::equal("netkit down", counted()?, before)?;
        t.host.up(bench.index)?;
        check::equal("netkit up", socket.send(&[0; 60])?, Ok(()))
    })
}

fn sends(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, &t.host, 0)?;
        let (mut one, mut two) = (bench.bind(1)?, bench.bind(2)?);
        let _program = bench.address(&[])?;
        for number in 0..5 {
            bench.reaches_the_world(&mut one, number)?;
            bench.reaches_the_world(&mut two, 100 + number)?;
        }
        check::equal("sent by one", bench.seen(2)?.pool_sent, 5)?;
        check::equal("sent by two", bench.seen(1)?.pool_sent, 5)?;
        t.same("netkit", format!("{:?}", t.host.stats(bench.index)?));
        Ok(())
    })
}

fn receives(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, &t.host, 0)?;
        let phys = &bench.cable.phys;
        let (mut one, mut two) = (bench.bind(1)?, bench.bind(2)?);
        let (_program, link) = bench.address(&[(2, &one), (1, &two)])?;
        for socket in [&mut one, &mut two] {
            socket.offer(8).context("recvfrom")?;
        }
        for number in 0..5 {
            phys.steer(2)?;
            bench.hears_the_world(&mut one, number)?;
            phys.steer(1)?;
            bench.hears_the_world(&mut two, 100 + number)?;
        }
        check::equal("one", one.receive(COMES_NOT)?, None)?;
        check::equal("two", two.receive(COMES_NOT)?, None)?;
        check::equal("for one", bench.seen(2)?.pool_received, 5)?;
        check::equal("for two", bench.seen(1)?.pool_received, 5)?;

        // Without the program the card's own stack gets everything.
        drop(link);
        let before = bench.seen(1)?;
        let frame = traffic::udp_frame(&phys.mac()?, POD4, HOST4, &[0; 100])?;
        traffic::send_frame(&bench.cable.far.ns, bench.cable.far.index, &frame)?;
        let after = bench.seen(1)?;
        check::equal("socket", after.pool_received, before.pool_received)?;
        check::equal("stack", after.stack_received, before.stack_received + 1)?;
        t.same("netkit", format!("{:?}", t.host.stats(bench.index)?));
        Ok(())
    })
}

/// More frames than the socket has memory for: they come back, and go again.
fn many_frames(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, &t.host, 0)?;
        let mut socket = bench.bind(1)?;
        let _program = bench.address(&[(2, &socket)])?;
        bench.cable.phys.steer(2)?;
        for number in 0..80 {
            bench.reaches_the_world(&mut socket, number)?;
            socket.offer(1).context("recvfrom")?;
            bench.hears_the_world(&mut socket, number)?;
        }
        let seen = bench.seen(2)?;
        check::equal("counted", (seen.pool_sent, seen.pool_received), (80, 80))
    })
}

/// The card is the host's, the socket and its device are a pod's.
fn in_a_pod(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let pod = t.ns()?;
        let bench = Bench::new(t, &pod, 0)?;
        let mut socket = bench.bind(1)?;
        check::that("zero copy", socket.is_zero_copy()?)?;
        let _program = bench.address(&[(2, &socket)])?;
        bench.cable.phys.steer(2)?;
        socket.offer(8).context("recvfrom")?;
        for number in 0..5 {
            bench.reaches_the_world(&mut socket, number)?;
            bench.hears_the_world(&mut socket, number)?;
        }
        let netdev = t.host.netdev()?;
        check::that("card", netdev.queue(bench.cable.phys.index, 2)?.xsk)?;
        check::that("netkit", pod.netdev()?.queue(bench.index, 1)?.xsk)?;
        drop(socket);
        bench.pool_goes(2)
    })
}
