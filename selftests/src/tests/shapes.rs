// SPDX-License-Identifier: GPL-2.0
//! Packets of every shape: tagged, in pages, in segments, cloned, shared, of any protocol, each
//! through every verdict.
//!
//! A packet socket sends packets that no network stack sends. Every packet that arrives, byte for byte, and the
//! counters of each side must be the same as in C.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use etherparse::PacketBuilder;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::UdpGsoSegment;

use super::lengths::orders;
use super::lengths::text;
use super::lengths::Rig;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Probes;
use crate::bpf::steer::Order;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::inject;
use crate::inject::tc;
use crate::inject::Frames;
use crate::inject::Offload;
use crate::inject::Tap;
use crate::inject::Tun;
use crate::netkit::Spec;
use crate::netkit::NEXT;
use crate::netkit::PASS;
use crate::traffic;

tests![
    every_shape_in_l2,
    every_shape_in_l3,
    every_shape_from_the_peer,
    cloned_by_a_tap,
    tag_beside_the_packet,
    segments_of_datagrams,
    borrowed_pages,
    shared_by_pktgen,
];

/// Marks the end of a round, and is of no protocol that anybody knows.
const MARKER: [u8; 60] = [0x4d; 60];
const IPV4: u16 = libc::ETH_P_IP as u16;
const VLAN: u16 = 0x8100;
const QINQ: u16 = 0x88a8;

struct Shape {
    name: &'static str,
    protocol: u16,
    offload: Offload,
    frame: Vec<u8>,
}

fn shape(name: &'static str, protocol: u16, frame: Vec<u8>) -> Shape {
    Shape {
        name,
        protocol,
        offload: Offload::default(),
        frame,
    }
}

fn udp(to: [u8; 6], len: usize) -> Result<Vec<u8>> {
    let payload: Vec<u8> = (0..len).map(|n| (n / 3) as u8).collect();
    traffic::udp_frame(&to, HOST4, POD4, &payload)
}

fn tcp(to: [u8; 6], len: usize) -> Result<Vec<u8>> {
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], to)
        .ipv4(HOST4.octets(), POD4.octets(), 64)
        .tcp(1000, 2000, 1, 5000)
        .ack(1);
    let payload: Vec<u8> = (0..len).map(|n| (n / 5) as u8).collect();
    let mut frame = Vec::with_capacity(builder.size(len));
    builder.write(&mut frame, &payload)?;
    Ok(frame)
}

/// An Ethernet frame with tags before its type.
fn tagged(frame: &[u8], tags: &[(u16, u16)]) -> Vec<u8> {
    let mut tagged = frame[..12].to_vec();
    for (kind, id) in tags {
        tagged.extend_from_slice(&kind.to_be_bytes());
        tagged.extend_from_slice(&id.to_be_bytes());
    }
    tagged.extend_from_slice(&frame[12..]);
    tagged
}

fn of_type(to: [u8; 6], kind: u16) -> Vec<u8> {
    let mut frame = to.to_vec();
    frame.extend_from_slice(&[2, 0, 0, 0, 0, 9]);
    frame.extend_from_slice(&kind.to_be_bytes());
    frame.resize(70, 0x33);
    frame
}

fn shapes(to: [u8; 6]) -> Result<Vec<Shape>> {
    const TCP_START: u16 = 34;
    let segments = |kind, gso_size, hdr_len, csum_offset| Offload {
        flags: 1,
        gso_type: kind,
        hdr_len,
        gso_size,
        csum_start: TCP_START,
        csum_offset,
    };
    let with = |name, offload, frame| Shape {
        offload,
        ..shape(name, IPV4, frame)
    };
    let small = udp(to, 300)?;
    let pages = |hdr_len| Offload {
        hdr_len,
        ..Offload::default()
    };
    Ok(vec![
        shape("udp", IPV4, small.clone()),
        shape("to another", IPV4, udp([2, 9, 9, 9, 9, 9], 300)?),
        shape("to all", IPV4, udp([0xff; 6], 300)?),
        shape("tag", VLAN, tagged(&small, &[(VLAN, 7)])),
        shape("two tags", QINQ, tagged(&small, &[(QINQ, 7), (VLAN, 8)])),
        shape(
            "tag and no more",
            VLAN,
            tagged(&small, &[(VLAN, 7)])[..16].to_vec(),
        ),
        shape("tag at the end", VLAN, [&small[..12], &[0x81, 0]].concat()),
        shape(
            "tag unknown to the socket",
            IPV4,
            tagged(&small, &[(VLAN, 7)]),
        ),
        shape("arp", 0x0806, of_type(to, 0x0806)),
        shape("ipv6 that is none", 0x86dd, of_type(to, 0x86dd)),
        shape("mpls", 0x8847, of_type(to, 0x8847)),
        shape("lldp", 0x88cc, of_type(to, 0x88cc)),
        shape("length in the place of a type", 4, of_type(to, 50)),
        shape("no protocol", 0, of_type(to, 0x1234)),
        with("pages behind the header", pages(14), udp(to, 7000)?),
        with("pages, one byte asked for", pages(1), udp(to, 7000)?),
        with("pages behind all headers", pages(42), udp(to, 7000)?),
        with(
            "checksum to do",
            Offload {
                flags: 1,
                csum_start: TCP_START,
                csum_offset: 6,
                ..Offload::default()
            },
            small,
        ),
        with(
            "tcp segments",
            segments(Offload::TCP4, 1000, 54, 16),
            tcp(to, 5500)?,
        ),
        with(
            "tcp segments of a byte",
            segments(Offload::TCP4, 1, 54, 16),
            tcp(to, 90)?,
        ),
        with(
            "tcp segment larger than the packet",
            segments(Offload::TCP4, 9000, 54, 16),
            tcp(to, 500)?,
        ),
        with(
            "udp segments",
            segments(Offload::UDP4, 1000, 42, 6),
            udp(to, 5500)?,
        ),
        with(
            "segments of a header without data",
            segments(Offload::TCP4, 1000, 54, 16),
            tcp(to, 0)?,
        ),
        with(
            "segments of another protocol",
            segments(Offload::TCP4, 1000, 54, 16),
            udp(to, 3000)?,
        ),
        with(
            "segments without a size",
            segments(Offload::TCP4, 0, 54, 16),
            tcp(to, 3000)?,
        ),
        with(
            "checksum behind the end",
            Offload {
                flags: 1,
                csum_start: 60_000,
                csum_offset: 6,
                ..Offload::default()
            },
            udp(to, 40)?,
        ),
    ])
}

/// The rig with room for pages, and the MAC address that frames go to.
fn rig(t: &Ctx, spec: Spec) -> Result<(Rig, [u8; 6])> {
    with_pages(Rig::new(t, spec)?)
}

fn with_pages(rig: Rig) -> Result<(Rig, [u8; 6])> {
    rig.duo.host.set_mtu(rig.duo.pair.primary, 9000)?;
    rig.duo.pod.set_mtu(rig.sink, 9000)?;
    rig.duo.pod.set_mtu(rig.duo.pair.peer, 9000)?;
    rig.duo.host.running(rig.duo.pair.primary)?;
    let mac = rig.duo.pod.link("nk1")?.mac();
    rig.pod.drain()?;
    Ok((rig, mac.as_slice().try_into().unwrap_or([0; 6])))
}

/// Checksums and segments over random MAC addresses do not matter, and addresses as such not either.
fn without_macs(frames: Vec<Vec<u8>>) -> String {
    let cut = |frame: Vec<u8>| frame.get(12..).unwrap_or_default().to_vec();
    let frames: Vec<_> = frames.into_iter().map(cut).collect();
    text(&frames)
}

fn every_shape(t: &Ctx, (mut rig, mac): (Rig, [u8; 6]), tapped: bool) -> Result<()> {
    let frames = Frames::open(&t.host)?;
    let own = tapped.then(|| Tap::on(&t.host, rig.duo.pair.primary));
    let own = own.transpose()?;
    for (name, order) in orders(&rig) {
        rig.steer.order(order)?;
        let mut answers = String::new();
        let before = rig.stats()?;
        let shapes = shapes(mac)?;
        for shape in &shapes {
            let sent = frames.send(
                rig.duo.pair.primary,
                shape.protocol,
                shape.offload,
                &shape.frame,
            );
            answers += &format!("{}: {sent:?}\n", shape.name);
            if let Some(own) = &own {
                let seen = own.drain()?;
                // Several frames: a packet in segments, or one that is sent again. It is the tap that shows that there
                // was a clone.
                let again = matches!(order, Order::Egress(index) if index == rig.duo.pair.peer);
                // For a neighbour the header is written anew, in the bytes that both have.
                let header = if matches!(order, Order::Neigh(_)) {
                    14
                } else {
                    0
                };
                let same = match &seen[..] {
                    [] => sent.is_err(),
                    [frame] => frame.get(header..) == shape.frame.get(header..),
                    [first, ..] => {
                        again || shape.offload.gso_type != 0 && first.len() < shape.frame.len()
                    }
                };
                check::that(
                    &format!(
                        "{name}: of {}, {sent:?}, the tap has {} frames, as they were sent",
                        shape.name,
                        seen.len()
                    ),
                    same,
                )?;
            }
        }
        let after = rig.stats()?;
        rig.steer.order(Order::Verdict(PASS))?;
        let offload = Offload::default();
        frames.send(rig.duo.pair.primary, IPV4, offload, &MARKER)?;
        if let Some(own) = &own {
            own.until(&MARKER)?;
        }
        let (pod, beyond) = (rig.pod.until(&MARKER)?, rig.beyond.drain()?);
        let counted = [after[0].since(&before[0]), after[1].since(&before[1])];
        t.same(&format!("{name}: answers"), &answers);
        t.same(&format!("{name}: counted"), format!("{counted:?}"));
        t.same(&format!("{name}: pod"), without_macs(pod.clone()));
        t.same(&format!("{name}: beyond"), without_macs(beyond.clone()));
        let accepted = answers.matches("Ok(())").count() as u64;
        match order {
            Order::Verdict(PASS) => {
                check::that("most are accepted", accepted > 18)?;
                check::equal("received", counted[1].rx_packets, accepted)?;
                // A tag without the type behind it is dropped by the stack, after netkit and before taps.
                check::equal("frames that arrive", pod.len() as u64, accepted - 2)?;
            }
            Order::Egress(index) if index == rig.sink => {
                check::equal("frames that are redirected", beyond.len() as u64, accepted)?;
            }
            Order::Verdict(verdict) if verdict != NEXT => {
                check::that("dropped", counted[0].tx_dropped >= 18)?;
                check::equal("sent", counted[0].tx_packets, 0)?;
                check::that("nothing comes", pod.is_empty())?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn every_shape_in_l2(t: &Ctx) -> Result<()> {
    every_shape(t, rig(t, Spec::l2())?, false)
}

fn every_shape_in_l3(t: &Ctx) -> Result<()> {
    every_shape(t, rig(t, Spec::l3())?, false)
}

/// Packets that the pod sends, which is not trusted.
fn every_shape_from_the_peer(t: &Ctx) -> Result<()> {
    every_shape(t, with_pages(Rig::turned(t, Spec::l2())?)?, false)
}

/// A tap on the sending device holds a clone of each packet while netkit has the other.
fn cloned_by_a_tap(t: &Ctx) -> Result<()> {
    every_shape(t, rig(t, Spec::l2())?, true)
}

/// tc puts the tag into the packet's metadata; netkit has no offload for it.
fn tag_beside_the_packet(t: &Ctx) -> Result<()> {
    let (mut rig, _) = rig(t, Spec::l2())?;
    let mut tun = Tun::open()?;
    t.host.up(t.host.link("tun0")?.index)?;
    tc("qdisc add dev tun0 clsact")?;
    tc("filter add dev tun0 ingress matchall action vlan push id 7 pipe action vlan push id 8 protocol 802.1ad pipe action mirred egress redirect dev nk0")?;
    for (name, order) in orders(&rig) {
        rig.steer.order(order)?;
        let before = rig.stats()?;
        for len in [1, 5, 6, 9, 10, 13, 14, 20, 60, 100] {
            tun.write(IPV4, &vec![0x45; len])?;
        }
        let after = rig.stats()?;
        rig.steer.order(Order::Verdict(PASS))?;
        traffic::send_frame(&t.host, rig.duo.pair.primary, &MARKER)?;
        let counted = [after[0].since(&before[0]), after[1].since(&before[1])];
        t.same(&format!("{name}: counted"), format!("{counted:?}"));
        t.same(
            &format!("{name}: pod"),
            format!("{:?}", rig.pod.until(&MARKER)?),
        );
        t.same(
            &format!("{name}: beyond"),
            format!("{:?}", rig.beyond.drain()?),
        );
    }
    Ok(())
}

/// UDP_SEGMENT: one large packet crosses, and comes out as the datagrams that it is made of.
fn segments_of_datagrams(t: &Ctx) -> Result<()> {
    for spec in [Spec::l2(), Spec::l3()] {
        let duo = t.duo(spec)?;
        traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 10)?;
        let mut probes = Probes::load(1)?;
        mprog::attach(probes.fd(0)?, duo.pair.primary, PRIMARY, Place::default())?;
        let receiver = traffic::udp_receiver(&duo.pod, POD4.into())?;
        receiver.set_read_timeout(Some(Duration::from_secs(5)))?;
        let sender = traffic::udp_sender(&duo.host, POD4.into())?;
        setsockopt(&sender, UdpGsoSegment, &500)?;
        let payload: Vec<u8> = (0..4200).map(|n| (n / 7) as u8).collect();
        check::equal("sent", sender.send(&payload)?, payload.len())?;
        let mut got = Vec::new();
        let mut buffer = [0; 2000];
        for len in [500, 500, 500, 500, 500, 500, 500, 500, 200] {
            check::equal("datagram", receiver.recv(&mut buffer)?, len)?;
            got.extend_from_slice(&buffer[..len]);
        }
        check::that("as it was sent", got == payload)?;
        let seen = probes.seen(0)?;
        check::equal("packets", seen.count, 1)?;
        check::equal("segments", (seen.gso_size, seen.gso_segs), (500, 9))?;
        duo.host.del_link(duo.pair.primary)?;
    }
    Ok(())
}

/// MSG_ZEROCOPY: the pages belong to the sender, which is notified when they are free, whatever the verdict
/// is.
fn borrowed_pages(t: &Ctx) -> Result<()> {
    let (mut rig, _) = rig(t, Spec::l3())?;
    rig.duo.addresses(HOST4.into(), POD4.into(), 24)?;
    let receiver = traffic::udp_receiver(&rig.duo.pod, POD4.into())?;
    receiver.set_read_timeout(Some(Duration::from_millis(200)))?;
    let payload = vec![0x77; 8000];
    for (name, order) in orders(&rig) {
        rig.steer.order(order)?;
        let sender = traffic::udp_sender(&rig.duo.host, POD4.into())?;
        inject::allow_zerocopy(&sender)?;
        let before = rig.stats()?;
        inject::send_zerocopy(&sender, &payload)?;
        let after = rig.stats()?;
        let told = inject::zerocopy_done(&sender)?;
        t.same(&format!("{name}: told"), told);
        let mut buffer = vec![0; 9000];
        let came = match receiver.recv(&mut buffer) {
            Ok(len) => buffer[..len] == payload,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => return Err(error).context("receiving"),
        };
        let passes = matches!(order, Order::Verdict(PASS | -1));
        check::equal(&format!("{name}: arrives"), came, passes)?;
        let counted = [after[0].since(&before[0]), after[1].since(&before[1])];
        t.same(&format!("{name}: counted"), format!("{counted:?}"));
    }
    Ok(())
}

/// pktgen would send one packet many times; a device that changes packets does not let it.
fn shared_by_pktgen(t: &Ctx) -> Result<()> {
    const THREAD: &str = "/proc/thread-self/net/pktgen/kpktgend_0";
    const CONTROL: &str = "/proc/thread-self/net/pktgen/pgctrl";
    const DEVICE: &str = "/proc/thread-self/net/pktgen/nk0";
    inject::modprobe("pktgen")?;
    let (rig, _) = rig(t, Spec::l2())?;
    let say = |file: &str, words: &str| {
        let answer = fs::write(file, words);
        answer.map_err(|error| error.raw_os_error().unwrap_or_default())
    };
    let done = |file: &str, words: &str| {
        say(file, words).map_err(|errno| anyhow::anyhow!("{words}: errno {errno}"))
    };
    done(THREAD, "add_device nk0")?;
    for words in [
        "count 20",
        "pkt_size 60",
        "delay 0",
        "dst_mac 02:00:00:00:00:01",
    ] {
        done(DEVICE, words)?;
    }
    let mut answers = String::new();
    for words in [
        "clone_skb 8",
        "burst 4",
        "xmit_mode queue_xmit",
        "burst 4",
        "xmit_mode start_xmit",
        "flag !SHARED",
        "flag SHARED",
        "clone_skb 0",
        "burst 1",
    ] {
        answers += &format!("{words}: {:?}\n", say(DEVICE, words));
    }
    t.same("answers", &answers);
    check::that("no clones", answers.starts_with("clone_skb 8: Err("))?;
    let before = rig.stats()?;
    done(CONTROL, "start")?;
    let after = rig.stats()?;
    let counted = [after[0].since(&before[0]), after[1].since(&before[1])];
    done(THREAD, "rem_device_all")?;
    t.same("counted", format!("{counted:?}"));
    check::equal("sent", counted[0].tx_packets, 20)
}
