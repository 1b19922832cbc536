// SPDX-License-Identifier: GPL-2.0
//! What programs and receivers see of a packet: its length, its Ethernet header, its type, its segments; and malformed
//! frames.

use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::ReceiveTimestampns;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Probes;
use crate::bpf::probe::Rule;
use crate::bpf::steer::Order;
use crate::bpf::steer::Steer;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::bpf::TCX_EGRESS;
use crate::bpf::TCX_INGRESS;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::inject::tc;
use crate::inject::Frames;
use crate::inject::Offload;
use crate::inject::Tun;
use crate::netkit::Spec;
use crate::netkit::PASS;
use crate::traffic;

tests![
    length_and_header_in_l2,
    length_and_header_in_l3,
    hooks_around,
    type_by_destination,
    type_set_by_program,
    segments,
    paged_data,
    short_frames,
    least_frame,
    larger_than_the_mtu,
    timestamps,
    stamps_of_receivers,
    frame_to_each_mac,
    straight_to_the_driver,
    routes_for_a_frame,
];

pub(super) const PACKET_HOST: u32 = 0;
const PACKET_BROADCAST: u32 = 1;
const PACKET_MULTICAST: u32 = 2;
pub(super) const PACKET_OTHERHOST: u32 = 3;

fn with_probes(t: &Ctx, spec: Spec, hooks: &[u32]) -> Result<(Duo, Probes)> {
    let duo = t.duo(spec)?;
    let probes = Probes::load(hooks.len() as u32)?;
    for (slot, &hook) in hooks.iter().enumerate() {
        let prog = probes.fd(slot as u32)?;
        mprog::attach(prog, duo.pair.primary, hook, Place::default())?;
    }
    Ok((duo, probes))
}

fn length_and_header_in_l2(t: &Ctx) -> Result<()> {
    let (duo, mut probes) = with_probes(t, Spec::l2(), &[PRIMARY, PEER])?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    let host = duo.host.link("nk0")?.mac();
    let pod = duo.pod.link("nk1")?.mac();
    for (slot, to, from) in [(0, &pod, &host), (1, &host, &pod)] {
        let seen = probes.seen(slot)?;
        check::equal("len", seen.len, 14 + 20 + 8 + 100)?;
        check::equal("destination", &seen.head[..6], to.as_slice())?;
        check::equal("source", &seen.head[6..12], from.as_slice())?;
        check::equal(
            "protocol in the header",
            &seen.head[12..14],
            [8, 0].as_slice(),
        )?;
        check::equal("protocol", seen.protocol, libc::ETH_P_IP as u32)?;
    }
    Ok(())
}

/// L3 devices carry an Ethernet header of zeroes.
fn length_and_header_in_l3(t: &Ctx) -> Result<()> {
    let (duo, mut probes) = with_probes(t, Spec::l3(), &[PRIMARY, PEER])?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    for slot in [0, 1] {
        let seen = probes.seen(slot)?;
        check::equal("len", seen.len, 14 + 20 + 8 + 100)?;
        check::equal("addresses", &seen.head[..12], [0; 12].as_slice())?;
        check::equal(
            "protocol in the header",
            &seen.head[12..14],
            [8, 0].as_slice(),
        )?;
        check::equal("type", seen.pkt_type, PACKET_HOST)?;
    }
    Ok(())
}

/// tcx on either device is independent of netkit's own hook.
fn hooks_around(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let mut probes = Probes::load(3)?;
    mprog::attach(
        probes.fd(0)?,
        duo.pair.primary,
        TCX_EGRESS,
        Place::default(),
    )?;
    mprog::attach(probes.fd(1)?, duo.pair.primary, PRIMARY, Place::default())?;
    duo.attach_in_pod(probes.fd(2)?, TCX_INGRESS)?;
    traffic::udp_send(&duo.host, POD4.into(), 100)?;
    check::equal("order", probes.order()?, [0, 1, 2])?;
    let mut ifindexes = Vec::new();
    for slot in 0..3 {
        ifindexes.push(probes.seen(slot)?.ifindex);
    }
    let pair = duo.pair;
    check::equal("devices", ifindexes, [pair.primary, pair.peer, pair.peer])
}

/// A frame to `mac` as its type comes out in the program.
fn type_of(duo: &Duo, probes: &mut Probes, mac: &[u8]) -> Result<u32> {
    probes.reset()?;
    let frame = [mac, &[2, 0, 0, 0, 0, 9], &[8, 0], &[0; 46]].concat();
    traffic::send_frame(&duo.host, duo.pair.primary, &frame)?;
    let seen = probes.seen(0)?;
    check::equal("packets", seen.count, 1)?;
    Ok(seen.pkt_type)
}

fn type_by_destination(t: &Ctx) -> Result<()> {
    for spec in [Spec::l2(), Spec::l3()] {
        let (duo, mut probes) = with_probes(t, spec, &[PRIMARY])?;
        let own = duo.pod.link("nk1")?.mac();
        let cases: [(&[u8], u32); 4] = [
            (&own, PACKET_HOST),
            (&[0xff; 6], PACKET_BROADCAST),
            (&[1, 0, 0x5e, 0, 0, 1], PACKET_MULTICAST),
            (&[2, 9, 9, 9, 9, 9], PACKET_OTHERHOST),
        ];
        for (mac, expected) in cases {
            let got = type_of(&duo, &mut probes, mac)?;
            check::equal(&format!("type of {mac:02x?}"), got, expected)?;
        }
        duo.host.del_link(duo.pair.primary)?;
    }
    Ok(())
}

/// A program's word on the type is kept, whatever the address says.
fn type_set_by_program(t: &Ctx) -> Result<()> {
    for spec in [Spec::l2(), Spec::l3()] {
        let duo = t.duo(spec)?;
        // ARP first, while nothing meddles.
        traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), true)?;
        let mut probes = Probes::load(2)?;
        let rule = Rule {
            verdict: PASS,
            protocol: libc::ETH_P_IP as u32,
            set_type: PACKET_MULTICAST,
            ..Rule::default()
        };
        probes.rule(0, rule)?;
        mprog::attach(probes.fd(0)?, duo.pair.primary, PRIMARY, Place::default())?;
        duo.attach_in_pod(probes.fd(1)?, TCX_INGRESS)?;
        traffic::udp_send(&duo.host, POD4.into(), 10)?;
        check::equal("type", probes.seen(1)?.pkt_type, PACKET_MULTICAST)?;
        duo.host.del_link(duo.pair.primary)?;
    }
    Ok(())
}

/// TCP's large segments cross as they are.
fn segments(t: &Ctx) -> Result<()> {
    for spec in [Spec::l2(), Spec::l3()] {
        let (duo, mut probes) = with_probes(t, spec, &[PRIMARY])?;
        traffic::large_segments(&duo.host)?;
        traffic::tcp_exchange(&duo.host, &duo.pod, POD4.into(), 1_000_000)?;
        let seen = probes.seen(0)?;
        check::that("larger than the MTU", seen.max_len > 10_000)?;
        check::that("not beyond 64 KiB", seen.max_len <= 65_536 + 14)?;
        check::that("few packets", seen.count < 600)?;
        duo.host.del_link(duo.pair.primary)?;
    }
    Ok(())
}

/// Data in pages: a program sees the headers that the driver has pulled.
fn paged_data(t: &Ctx) -> Result<()> {
    let (duo, mut probes) = with_probes(t, Spec::l3(), &[PRIMARY])?;
    duo.host.set_mtu(duo.pair.primary, 65535)?;
    let file = tempfile()?;
    file.set_len(40_000)?;
    let socket = traffic::udp_sender(&duo.host, POD4.into())?;
    let _receiver = traffic::udp_receiver(&duo.pod, POD4.into())?;
    // sendfile on a datagram socket hands over pages instead of copying.
    let sent = nix::sys::sendfile::sendfile64(&socket, &file, None, 40_000);
    check::equal("sent", sent.context("sendfile")?, 40_000)?;
    let seen = probes.seen(0)?;
    check::that("a packet came", seen.count >= 1)?;
    check::that("linear part holds the header", seen.linear >= 14)?;
    check::that("not all is linear", u64::from(seen.linear) < seen.max_len)?;
    check::equal("protocol", &seen.head[12..14], [8, 0].as_slice())
}

fn tempfile() -> Result<std::fs::File> {
    let name = c"netkit-selftests";
    let flags = nix::sys::memfd::MFdFlags::empty();
    Ok(nix::sys::memfd::memfd_create(name, flags)?.into())
}

/// Frame sockets refuse what has no whole Ethernet header.
fn short_frames(t: &Ctx) -> Result<()> {
    let (duo, mut probes) = with_probes(t, Spec::l2(), &[PRIMARY])?;
    for len in [1, 6, 13] {
        let answer = traffic::send_frame(&duo.host, duo.pair.primary, &vec![0; len]);
        check::errno("short frame", answer, Errno::EINVAL)?;
    }
    check::equal("packets", probes.seen(0)?.count, 0)
}

/// A frame that is all header.
fn least_frame(t: &Ctx) -> Result<()> {
    for (mode, spec) in [("l2", Spec::l2()), ("l3", Spec::l3())] {
        let (duo, mut probes) = with_probes(t, spec, &[PRIMARY])?;
        let before = duo.pod.stats(duo.pair.peer)?;
        let frame = [[0; 6].as_slice(), &[2, 0, 0, 0, 0, 9], &[8, 0]].concat();
        let answer = traffic::send_frame(&duo.host, duo.pair.primary, &frame);
        t.same(&format!("{mode} answer"), format!("{answer:?}"));
        let seen = probes.seen(0)?;
        let counted = duo.pod.stats(duo.pair.peer)?.since(&before);
        t.same(
            &format!("{mode} seen"),
            format!("{} of {}", seen.count, seen.len),
        );
        t.same(&format!("{mode} counted"), format!("{counted:?}"));
        duo.host.del_link(duo.pair.primary)?;
    }
    Ok(())
}

/// A frame socket may send no more than the MTU, VLAN tag aside.
fn larger_than_the_mtu(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l2())?;
    for (len, expected) in [(1514, None), (1515, Some(Errno::EMSGSIZE))] {
        let mut frame = vec![0xff; len];
        frame[12..14].copy_from_slice(&[8, 0]);
        let answer = traffic::send_frame(&duo.host, duo.pair.primary, &frame);
        check::equal(&format!("{len} bytes"), answer.err(), expected)?;
    }
    // The peer may have a smaller MTU and still takes what comes.
    duo.pod.set_mtu(duo.pair.peer, 576)?;
    let before = duo.pod.stats(duo.pair.peer)?;
    let mut frame = vec![0xff; 1514];
    frame[12..14].copy_from_slice(&[8, 0]);
    traffic::send_frame(&duo.host, duo.pair.primary, &frame)?;
    let counted = duo.pod.stats(duo.pair.peer)?.since(&before);
    t.same("counted", format!("{counted:?}"));
    Ok(())
}

/// Across namespaces only TCP's time of departure is kept: it is of the monotonic clock.
fn timestamps(t: &Ctx) -> Result<()> {
    let (duo, mut probes) = with_probes(t, Spec::l3(), &[PRIMARY])?;
    traffic::udp_send(&duo.host, POD4.into(), 10)?;
    check::equal("timestamp of UDP", probes.seen(0)?.tstamp, 0)?;
    traffic::tcp_exchange(&duo.host, &duo.pod, POD4.into(), 10_000)?;
    check::that("TCP keeps its time", probes.seen(0)?.tstamp != 0)
}

/// When another device has received a packet, the peer's namespace is not told (`skb_clear_tstamp()`).
fn stamps_of_receivers(t: &Ctx) -> Result<()> {
    let mut tun = Tun::open()?;
    let index = t.host.link("tun0")?.index;
    t.host.up(index)?;
    // As long as somebody wants the time, the kernel stamps what it receives.
    let wants_time = traffic::udp_receiver(&t.host, HOST4.into())?;
    setsockopt(&wants_time, ReceiveTimestampns, &true)?;
    tc("qdisc add dev tun0 clsact")?;
    for (to, pod) in [("itself", t.host.clone()), ("another", t.ns()?)] {
        let pair = Spec::l3().create(&t.host, &pod)?;
        t.host.up(pair.primary)?;
        pod.up(pair.peer)?;
        t.host.running(pair.primary)?;
        // A copy: redirect would take the stamp away by itself.
        tc("filter add dev tun0 ingress matchall action mirred egress mirror dev nk0")?;
        let mut probes = Probes::load(2)?;
        mprog::attach(probes.fd(0)?, index, TCX_INGRESS, Place::default())?;
        mprog::attach(probes.fd(1)?, pair.primary, PRIMARY, Place::default())?;
        // The stamps come into use in the background.
        check::soon("tun0 stamps packets", || {
            probes.reset()?;
            tun.write(libc::ETH_P_IP as u16, &[0x45; 60])?;
            check::equal("packets", probes.seen(1)?.count, 1)?;
            Ok(probes.seen(0)?.tstamp != 0)
        })?;
        let (received, sent) = (probes.seen(0)?.tstamp, probes.seen(1)?.tstamp);
        let expected = if to == "itself" { received } else { 0 };
        check::equal(&format!("stamp in a pair to {to}"), sent, expected)?;
        tc("filter del dev tun0 ingress")?;
        t.host.del_link(pair.primary)?;
    }
    Ok(())
}

/// A program looks at routes for a frame whose sender has bottom halves disabled and has not taken `rcu_read_lock()`. A kernel
/// that checks RCU complains if the driver has not taken it either.
fn routes_for_a_frame(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l2())?;
    let mut steer = Steer::load()?;
    steer.order(Order::Fib(POD4))?;
    mprog::attach(steer.fd()?, duo.pair.primary, PRIMARY, Place::default())?;
    let receiver = traffic::udp_receiver(&duo.pod, POD4.into())?;
    receiver.set_nonblocking(true)?;
    let frame = traffic::udp_frame(&duo.pod.link("nk1")?.mac(), HOST4, POD4, b"netkit")?;
    traffic::send_frame(&duo.host, duo.pair.primary, &frame)?;
    let mut buffer = [0; 16];
    check::equal("received", receiver.recv(&mut buffer)?, 6)?;
    check::equal("packets", steer.count()?, 1)?;
    check::that("bpf_fib_lookup() has an answer", steer.route()?.0 >= 0)
}

/// A packet that no queue has seen has no Ethernet header yet that somebody has found (`skb_reset_mac_header()`).
fn straight_to_the_driver(t: &Ctx) -> Result<()> {
    for spec in [Spec::l2(), Spec::l3()] {
        let duo = t.duo(spec)?;
        let receiver = traffic::udp_receiver(&duo.pod, POD4.into())?;
        receiver.set_nonblocking(true)?;
        let frames = Frames::open_direct(&t.host)?;
        let frame = traffic::udp_frame(&duo.pod.link("nk1")?.mac(), HOST4, POD4, b"netkit")?;
        let offload = Offload::default();
        frames.send(duo.pair.primary, libc::ETH_P_IP as u16, offload, &frame)?;
        let mut buffer = [0; 16];
        check::soon("the datagram comes", || {
            Ok(receiver.recv(&mut buffer).is_ok())
        })?;
        check::equal("payload", &buffer[..6], b"netkit".as_slice())?;
        duo.host.del_link(duo.pair.primary)?;
    }
    Ok(())
}

/// Only what is for the peer gets to its sockets in L2 mode.
fn frame_to_each_mac(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l2())?;
    let receiver = traffic::udp_receiver(&duo.pod, POD4.into())?;
    receiver.set_nonblocking(true)?;
    let own = duo.pod.link("nk1")?.mac();
    let cases: [(&[u8], bool); 3] = [
        (&own, true),
        (&[0xff; 6], true),
        (&[2, 9, 9, 9, 9, 9], false),
    ];
    for (mac, expected) in cases {
        let frame = traffic::udp_frame(mac, HOST4, POD4, b"netkit")?;
        traffic::send_frame(&duo.host, duo.pair.primary, &frame)?;
        let mut buffer = [0; 16];
        let got = receiver
            .recv(&mut buffer)
            .is_ok_and(|len| &buffer[..len] == b"netkit");
        check::equal(&format!("to {mac:02x?}"), got, expected)?;
    }
    Ok(())
}
