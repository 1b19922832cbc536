// SPDX-License-Identifier: GPL-2.0
//! Ends of a pair with different MTUs. The MTU of a device limits what it sends. netkit does not look at it when a
//! packet arrives: the receiving end takes packets of any length, where veth drops what is beyond its MTU.

use std::io::Write;
use std::net::IpAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::UdpGsoSegment;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Probes;
use crate::bpf::probe::Seen;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::inject;
use crate::netkit::Pair;
use crate::netkit::Spec;
use crate::traffic;

tests![
    datagrams_to_a_smaller_end,
    datagrams_from_a_smaller_end,
    datagrams_to_a_larger_end,
    stream_to_a_smaller_end,
    stream_between_large_ends,
    segments_beyond_the_receivers_mtu,
    veth_drops_what_netkit_takes,
    changed_under_traffic,
];

const SMALL: u32 = 576;
const USUAL: u32 = 1500;
const LARGE: u32 = 9000;
const ETHERNET: u32 = 14;
const HEADERS: usize = 20 + 8;

/// A pair with these MTUs, and a probe at what each end sends.
struct Rig {
    duo: Duo,
    probes: Probes,
}

impl Rig {
    fn new(t: &Ctx, spec: Spec, primary: u32, peer: u32) -> Result<Self> {
        let duo = t.duo(spec)?;
        duo.host.set_mtu(duo.pair.primary, primary)?;
        duo.pod.set_mtu(duo.pair.peer, peer)?;
        check::equal("MTU", mtus(&duo)?, (Some(primary), Some(peer)))?;
        let probes = Probes::load(2)?;
        for (slot, hook) in [(0, PRIMARY), (1, PEER)] {
            mprog::attach(probes.fd(slot)?, duo.pair.primary, hook, Place::default())?;
        }
        Ok(Self { duo, probes })
    }

    /// What the primary and the peer have sent since the last look.
    fn seen(&mut self) -> Result<[Seen; 2]> {
        let seen = [self.probes.seen(0)?, self.probes.seen(1)?];
        self.probes.reset()?;
        Ok(seen)
    }

    /// Nothing was dropped anywhere.
    fn clean(&self) -> Result<()> {
        let Duo { host, pod, pair } = &self.duo;
        for stats in [host.stats(pair.primary)?, pod.stats(pair.peer)?] {
            let bad = (stats.tx_dropped, stats.rx_dropped, stats.rx_errors);
            check::equal("dropped", bad, (0, 0, 0))?;
        }
        Ok(())
    }
}

fn mtus(duo: &Duo) -> Result<(Option<u32>, Option<u32>)> {
    let Duo { host, pod, pair } = duo;
    let mtu = libc::IFLA_MTU;
    Ok((
        host.link_by_index(pair.primary)?.u32(mtu),
        pod.link_by_index(pair.peer)?.u32(mtu),
    ))
}

/// What is the largest datagram that goes without fragments out of a device of this MTU.
const fn whole(mtu: u32) -> usize {
    mtu as usize - HEADERS
}

/// The largest datagram of the host arrives in one piece. The answer comes in fragments.
fn datagrams_to_a_smaller_end(t: &Ctx) -> Result<()> {
    for spec in [Spec::l2(), Spec::l3()] {
        let mut rig = Rig::new(t, spec, USUAL, SMALL)?;
        let duo = &rig.duo;
        traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), whole(USUAL))?;
        let [sent, answer] = rig.seen()?;
        check::equal("sent", (sent.count, sent.len), (1, USUAL + ETHERNET))?;
        check::that("answered in fragments", answer.count > 1)?;
        check::that(
            "of its own MTU",
            answer.max_len <= u64::from(SMALL + ETHERNET),
        )?;
        rig.clean()?;
        t.host.del_link(rig.duo.pair.primary)?;
    }
    Ok(())
}

/// What may not be fragmented is refused by the sender's own device alone.
fn datagrams_from_a_smaller_end(t: &Ctx) -> Result<()> {
    let mut rig = Rig::new(t, Spec::l3(), USUAL, SMALL)?;
    let duo = &rig.duo;
    let send = |ns, to: IpAddr, len: usize| -> Result<_> {
        let socket = traffic::udp_sender(ns, to)?;
        inject::never_fragment(&socket)?;
        let errno = |error: std::io::Error| error.raw_os_error().map(Errno::from_raw);
        Ok(socket.send(&vec![0; len]).map_err(errno))
    };
    let _receivers = [
        traffic::udp_receiver(&duo.pod, POD4.into())?,
        traffic::udp_receiver(&duo.host, HOST4.into())?,
    ];
    let (to_pod, to_host) = (POD4.into(), HOST4.into());
    let too_long = Err(Some(Errno::EMSGSIZE));
    check::equal(
        "there",
        send(&duo.host, to_pod, whole(USUAL))?,
        Ok(whole(USUAL)),
    )?;
    check::equal(
        "there",
        send(&duo.host, to_pod, whole(USUAL) + 1)?,
        too_long,
    )?;
    check::equal(
        "back",
        send(&duo.pod, to_host, whole(SMALL))?,
        Ok(whole(SMALL)),
    )?;
    check::equal("back", send(&duo.pod, to_host, whole(SMALL) + 1)?, too_long)?;
    let [there, back] = rig.seen()?;
    check::equal("packets", (there.count, back.count), (1, 1))?;
    rig.clean()
}

fn datagrams_to_a_larger_end(t: &Ctx) -> Result<()> {
    let mut rig = Rig::new(t, Spec::l3(), USUAL, LARGE)?;
    let duo = &rig.duo;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), whole(LARGE))?;
    let [sent, answer] = rig.seen()?;
    check::that("sent in fragments", sent.count > 5)?;
    check::that(
        "of its own MTU",
        sent.max_len <= u64::from(USUAL + ETHERNET),
    )?;
    check::equal(
        "answered",
        (answer.count, answer.len),
        (1, LARGE + ETHERNET),
    )?;
    rig.clean()
}

/// The receiver announces its MTU (MSS), so segments fit it. They travel together in large packets.
fn stream_to_a_smaller_end(t: &Ctx) -> Result<()> {
    let mut rig = Rig::new(t, Spec::l3(), USUAL, SMALL)?;
    let duo = &rig.duo;
    traffic::large_segments(&duo.host)?;
    traffic::tcp_exchange(&duo.host, &duo.pod, POD4.into(), 1_000_000)?;
    let [sent, _] = rig.seen()?;
    check::that("larger than any MTU", sent.max_len > u64::from(LARGE))?;
    // What TCP's headers leave of the receiver's MTU, with a timestamp.
    let segment = SMALL - 20 - 20 - 12;
    check::equal("a segment", segment_size(&mut rig, segment)?, segment)?;
    rig.clean()
}

/// The size of the segments that a large packet of the host is made of, if it holds so many bytes of each.
fn segment_size(rig: &mut Rig, expected: u32) -> Result<u32> {
    let duo = &rig.duo;
    let listener = duo.pod.run(|| Ok(TcpListener::bind((POD4, 4244))?))?;
    let mut near = duo.host.run(|| Ok(TcpStream::connect((POD4, 4244))?))?;
    let _far = listener.accept()?;
    // One write, one packet: the window of a new connection takes so much at once.
    near.write_all(&vec![0; 4 * expected as usize])?;
    let mut size = 0;
    check::soon("a packet of segments", || {
        size = size.max(rig.probes.seen(0)?.gso_size);
        Ok(size > 0)
    })?;
    Ok(size)
}

fn stream_between_large_ends(t: &Ctx) -> Result<()> {
    for (primary, peer) in [
        (USUAL, LARGE),
        (LARGE, USUAL),
        (LARGE, 65_535),
        (SMALL, LARGE),
    ] {
        let mut rig = Rig::new(t, Spec::l2(), primary, peer)?;
        let duo = &rig.duo;
        traffic::tcp_exchange(&duo.host, &duo.pod, POD4.into(), 200_000)
            .with_context(|| format!("{primary} to {peer}"))?;
        traffic::udp_exchange(&duo.pod, &duo.host, HOST4.into(), 8000)
            .with_context(|| format!("{primary} to {peer}"))?;
        let [sent, _] = rig.seen()?;
        check::that("sent", sent.count > 0)?;
        rig.clean()?;
        t.host.del_link(rig.duo.pair.primary)?;
    }
    Ok(())
}

/// Datagrams that are sent as segments of one packet (UDP_SEGMENT) are longer than the receiver's MTU, and so is the packet.
fn segments_beyond_the_receivers_mtu(t: &Ctx) -> Result<()> {
    const SEGMENT: i32 = 1200;
    const COUNT: usize = 20;
    for spec in [Spec::l2(), Spec::l3()] {
        let mut rig = Rig::new(t, spec, USUAL, SMALL)?;
        let duo = &rig.duo;
        let receiver = traffic::udp_receiver(&duo.pod, POD4.into())?;
        receiver.set_read_timeout(Some(Duration::from_secs(5)))?;
        let socket = traffic::udp_sender(&duo.host, POD4.into())?;
        setsockopt(&socket, UdpGsoSegment, &SEGMENT).context("UDP_SEGMENT")?;
        socket.send(&vec![9; COUNT * SEGMENT as usize])?;
        let mut buffer = [0; 2000];
        for number in 0..COUNT {
            let len = receiver.recv(&mut buffer);
            let len = len.with_context(|| format!("datagram {number}"))?;
            check::equal("length", len, SEGMENT as usize)?;
        }
        let [sent, _] = rig.seen()?;
        check::equal("packets", (sent.count, sent.gso_size), (1, SEGMENT as u32))?;
        rig.clean()?;
        t.host.del_link(rig.duo.pair.primary)?;
    }
    Ok(())
}

/// The same datagram through either kind of device.
fn veth_drops_what_netkit_takes(t: &Ctx) -> Result<()> {
    for (kind, expected) in [("netkit", true), ("veth", false)] {
        let pod = t.ns()?;
        let pair = if kind == "netkit" {
            Spec::l2().create(&t.host, &pod)?
        } else {
            t.host.add_veth("nk0", "nk1")?;
            t.host.move_to(t.host.link("nk1")?.index, &pod)?;
            Pair {
                primary: t.host.link("nk0")?.index,
                peer: pod.link("nk1")?.index,
            }
        };
        let host = t.host.clone();
        let duo = Duo { host, pod, pair };
        duo.addresses(HOST4.into(), POD4.into(), 24)?;
        duo.up()?;
        duo.pod.set_mtu(pair.peer, SMALL)?;
        let fits = traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), true)?;
        check::that(&format!("{kind}: what fits"), fits)?;
        let before = duo.pod.stats(pair.peer)?.rx_packets;
        let receiver = traffic::udp_receiver(&duo.pod, POD4.into())?;
        receiver.set_nonblocking(true)?;
        traffic::udp_send(&duo.host, POD4.into(), whole(USUAL))?;
        let arrived = || -> Result<_> { Ok(duo.pod.stats(pair.peer)?.rx_packets - before) };
        if expected {
            check::soon("arrives", || Ok(arrived()? == 1))?;
        } else {
            thread::sleep(Duration::from_millis(60));
            check::equal("arrived", arrived()?, 0)?;
        }
        let came = receiver.recv(&mut [0; 2000]).is_ok();
        check::equal(&format!("{kind}: what is longer"), came, expected)?;
        t.host.del_link(pair.primary)?;
    }
    Ok(())
}

fn changed_under_traffic(t: &Ctx) -> Result<()> {
    let rig = Rig::new(t, Spec::l3(), USUAL, USUAL)?;
    let Duo { host, pod, pair } = &rig.duo;
    for (primary, peer) in [
        (SMALL, USUAL),
        (USUAL, SMALL),
        (LARGE, LARGE),
        (SMALL, SMALL),
    ] {
        let receiver = traffic::udp_receiver(pod, POD4.into())?;
        receiver.set_read_timeout(Some(Duration::from_secs(5)))?;
        let sender = traffic::udp_sender(host, POD4.into())?;
        for number in 0..20 {
            if number == 10 {
                host.set_mtu(pair.primary, primary)?;
                pod.set_mtu(pair.peer, peer)?;
            }
            sender.send(&[number; 1400])?;
            let mut buffer = [0; 2000];
            let len = receiver.recv(&mut buffer)?;
            check::equal("datagram", &buffer[..len], [number; 1400].as_slice())?;
        }
        check::equal("MTU", mtus(&rig.duo)?, (Some(primary), Some(peer)))?;
    }
    rig.clean()
}
