// SPDX-License-Identifier: GPL-2.0
//! Memory of a dmabuf that sockets send through netkit (`NETDEV_CMD_BIND_TX`): bound to the card behind a leased queue, and
//! refused where there is none.

use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;

use super::zcrx::Bench;
use super::zcrx::WORLD4;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Redirect;
use crate::bpf::probe::Way;
use crate::bpf::PEER;
use crate::check;
use crate::ctx::Ctx;
use crate::dmabuf;
use crate::dmabuf::Dmabuf;
use crate::inject;
use crate::lessor;
use crate::netkit;
use crate::netkit::Spec;
use crate::nl::attr::Attrs;
use crate::nl::Answer;
use crate::tests::Test;

tests![
    refused_without_a_lease,
    refused_for_a_card_that_cannot,
    wrong_requests,
    bound_to_the_card,
    netkit_deleted_first,
    sends,
];

/// All tests of the file.
pub fn all() -> Vec<Test> {
    let mut all = tests();
    for test in &mut all {
        test.lacks = dmabuf::lacks;
    }
    all
}

const PAGE: u64 = 4096;
const NO_CARD: &str = "No DMA-capable device found for netmem TX";

fn refused_without_a_lease(t: &Ctx) -> Result<()> {
    let memory = Dmabuf::new(PAGE)?;
    let netdev = t.host.netdev()?;
    let pair = Spec::l3().peer_rx_queues(3).create(&t.host, &t.host)?;
    let single = Spec::l2().rx_queues(3).create_single("single", &t.host)?;
    for (what, index) in [
        ("primary", pair.primary),
        ("peer", pair.peer),
        ("single", single),
    ] {
        let answer = netdev.bind_tx(index, &memory);
        check::refused(what, answer, Errno::EOPNOTSUPP, Some(NO_CARD), None)?;
    }
    // Another device does not send what the kernel cannot read at all.
    let dummy = t.host.add_device("dummy0", "dummy")?;
    let text = "Driver does not support netmem TX";
    let answer = netdev.bind_tx(dummy, &memory);
    check::refused("dummy", answer, Errno::EOPNOTSUPP, Some(text), None)
}

fn refused_for_a_card_that_cannot(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let memory = Dmabuf::new(PAGE)?;
        let cable = lessor::cable(t, 4, lessor::LACKS_NETMEM_TX)?;
        let pair = Spec::l3().peer_rx_queues(3).create(&t.host, &t.host)?;
        let netdev = t.host.netdev()?;
        netdev.lease(pair.peer, cable.phys.offer(2, None))?;
        for index in [pair.primary, pair.peer] {
            let answer = netdev.bind_tx(index, &memory);
            check::refused("netkit", answer, Errno::EOPNOTSUPP, Some(NO_CARD), None)?;
        }
        Ok(())
    })
}

fn wrong_requests(t: &Ctx) -> Result<()> {
    const IFINDEX: u16 = 1;
    const FD: u16 = 3;
    lessor::with(t, || {
        let bench = Bench::new(t, Spec::l3())?;
        let (pod, peer) = (&bench.duo.pod, bench.duo.pair.peer);
        let netdev = pod.netdev()?;
        let memory = Dmabuf::new(PAGE)?;
        let errno = |answer: Answer<u32>| answer.err().map(|refusal| refusal.errno);
        check::equal(
            "no such device",
            errno(netdev.bind_tx(peer + 1000, &memory)),
            Some(Errno::ENODEV),
        )?;
        let file = File::open("/dev/null")?;
        check::equal(
            "no dmabuf",
            errno(netdev.bind_tx(peer, &file)),
            Some(Errno::EINVAL),
        )?;
        let closed = netdev.bind_tx_with(Attrs::new().u32(IFINDEX, peer).u32(FD, 4000));
        check::equal("no descriptor", errno(closed), Some(Errno::EBADF))?;
        for (what, attrs) in [
            ("no device", Attrs::new().u32(FD, 4000).clone()),
            ("no memory", Attrs::new().u32(IFINDEX, peer).clone()),
        ] {
            let answer = netdev.bind_tx_with(&attrs);
            check::equal(what, errno(answer), Some(Errno::EINVAL))?;
        }
        Ok(())
    })
}

/// By any socket, as often as it likes, through the pod's end. It goes with the socket.
fn bound_to_the_card(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, Spec::l3())?;
        let memory = Dmabuf::new(16 * PAGE)?;
        let (pod, peer) = (&bench.duo.pod, bench.duo.pair.peer);
        for _ in 0..3 {
            let netdev = [pod.netdev()?, pod.netdev()?];
            let one = netdev[0].bind_tx(peer, &memory)?;
            let two = netdev[0].bind_tx(peer, &memory)?;
            let three = netdev[1].bind_tx(peer, &memory)?;
            check::that("numbers differ", one != two && two != three && one != three)?;
        }
        let netdev = t.host.netdev()?;
        netdev.bind_tx(bench.cable.phys.index, &memory)?;
        let answer = netdev.bind_tx(bench.duo.pair.primary, &memory);
        check::refused("primary", answer, Errno::EOPNOTSUPP, Some(NO_CARD), None)
    })
}

fn netkit_deleted_first(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, Spec::l3())?;
        let memory = Dmabuf::new(PAGE)?;
        let netdev = bench.duo.pod.netdev()?;
        netdev.bind_tx(bench.duo.pair.peer, &memory)?;
        t.host.del_link(bench.duo.pair.primary)?;
        check::equal("devices", netkit::devices(&bench.duo.pod)?.len(), 0)?;
        drop(netdev);
        Ok(())
    })
}

/// Bytes that the kernel does not read get from the pod's memory to the world. A program sends them from the pair to the card: the
/// host's stack would drop them.
fn sends(t: &Ctx) -> Result<()> {
    const PORT: u16 = 4245;
    const LEN: usize = 1000;
    lessor::with(t, || {
        let bench = Bench::new(t, Spec::l3())?;
        let (pod, world) = (&bench.duo.pod, &bench.cable.far.ns);
        let way = Redirect::load(Way::Neigh, bench.cable.phys.index, WORLD4, None)?;
        mprog::attach(way.fd()?, bench.duo.pair.primary, PEER, Place::default())?;
        let memory = Dmabuf::new(16 * PAGE)?;
        let netdev = pod.netdev()?;
        let number = netdev.bind_tx(bench.duo.pair.peer, &memory)?;

        let listener = world.run(|| Ok(TcpListener::bind((WORLD4, PORT))?))?;
        let to = (WORLD4, PORT).into();
        let near = pod.run(|| Ok(TcpStream::connect_timeout(&to, Duration::from_secs(10))?))?;
        let mut far = listener.accept()?.0;
        far.set_read_timeout(Some(Duration::from_secs(10)))?;
        inject::allow_zerocopy(&near)?;
        for round in 0..8 {
            let pattern: Vec<u8> = (0..LEN).map(|n| (n / 3 + round) as u8).collect();
            // Also across the end of a page.
            let offset = round * 4000;
            memory.write(&pattern, offset as u64)?;
            let sent = dmabuf::send(&near, number, offset, LEN).context("sendmsg")?;
            check::equal("sent", sent, LEN)?;
            let mut got = vec![0; LEN];
            far.read_exact(&mut got)
                .with_context(|| format!("round {round}"))?;
            check::that("the same bytes", got == pattern)?;
        }
        check::equal("dropped", pod.stats(bench.duo.pair.peer)?.tx_dropped, 0)?;

        // A connection through another device, and a number that is no binding's.
        let listener = pod.run(|| Ok(TcpListener::bind(("127.0.0.1", PORT))?))?;
        let local = pod.run(|| Ok(TcpStream::connect(listener.local_addr()?)?))?;
        inject::allow_zerocopy(&local)?;
        let answer = dmabuf::send(&local, number, 0, LEN);
        check::errno("another device", answer, Errno::ENODEV)?;
        let answer = dmabuf::send(&near, number + 1000, 0, LEN);
        check::errno("no binding", answer, Errno::EINVAL)
    })
}
