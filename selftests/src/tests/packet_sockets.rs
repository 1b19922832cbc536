// SPDX-License-Identifier: GPL-2.0
//! Packet sockets (AF_PACKET) at both ends of a pair, for each verdict: which end sees the packet, and as what.
//!
//! The stack shows a packet to the sockets of the sending device before the driver gets it, and to those of the
//! receiving device when it takes the packet from the backlog. So tcpdump on the sending end also sees what netkit drops.

use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;

use super::lengths::orders;
use super::lengths::Rig;
use crate::afxdp::Mode;
use crate::afxdp::Xsk;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::inject::stay_on_one_cpu;
use crate::inject::Tap;
use crate::inject::Tapped;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::NEXT;
use crate::netkit::PASS;
use crate::traffic;

tests![
    each_verdict_in_l2,
    each_verdict_in_l3,
    each_verdict_from_the_peer,
    blackhole,
    without_peer,
    of_one_protocol,
    frames_of_af_xdp,
    program_sees_what_sockets_have_seen,
];

const HOST: u8 = libc::PACKET_HOST;
const OTHERHOST: u8 = libc::PACKET_OTHERHOST;
const OUTGOING: u8 = libc::PACKET_OUTGOING;
const IPV4: u16 = libc::ETH_P_IP as u16;

/// As what the sockets of a device see the one packet.
fn kinds(tapped: &[Tapped]) -> Vec<u8> {
    tapped.iter().map(|tapped| tapped.kind).collect()
}

/// As what the sending end, the receiving end, and the device behind a redirect see a packet. It comes `back` as this.
fn expected(order: &str, back: u8) -> Option<[Vec<u8>; 3]> {
    let beyond = |kind| [vec![OUTGOING], vec![], vec![kind]];
    Some(match order {
        "next" | "pass" => [vec![OUTGOING], vec![HOST], vec![]],
        "redirect" => beyond(OUTGOING),
        // It is for the address of another device.
        "redirect in" => beyond(OTHERHOST),
        // The receiving end sends it, and it comes back.
        "redirect back" => [vec![OUTGOING, back], vec![OUTGOING], vec![]],
        // It has no neighbour. What becomes of it is not the driver's business.
        "redirect neigh" => return None,
        // "redirect peer" too: packets can be redirected to a peer at tcx ingress alone.
        _ => [vec![OUTGOING], vec![], vec![]],
    })
}

fn each_verdict(t: &Ctx, mut rig: Rig) -> Result<()> {
    let near = Tap::on(&rig.duo.host, rig.duo.pair.primary)?;
    let mac = rig.duo.pod.link_by_index(rig.duo.pair.peer)?.mac();
    // The two ends of a pair in L3 mode have the same address.
    let same = rig.duo.host.link_by_index(rig.duo.pair.primary)?.mac() == mac;
    let back = if same { HOST } else { OTHERHOST };
    let frame = traffic::udp_frame(&mac, HOST4, POD4, b"netkit")?;
    for (name, order) in orders(&rig) {
        let Some(expected) = expected(name, back) else {
            continue;
        };
        rig.steer.order(order)?;
        let answer = traffic::send_frame(&rig.duo.host, rig.duo.pair.primary, &frame);
        check::equal("packets", rig.steer.count()?, 1)?;
        let taps = [("near", &near), ("far", &rig.pod), ("beyond", &rig.beyond)];
        for ((place, tap), expected) in taps.into_iter().zip(expected) {
            let seen = tap.tapped()?;
            let what = format!("{name}: {place}");
            check::equal(&what, kinds(&seen), expected)?;
            let whole = seen.iter().all(|tapped| tapped.frame == frame);
            check::that(&format!("{what}: whole frames"), whole)?;
        }
        t.same(name, format!("{answer:?}"));
    }
    Ok(())
}

fn each_verdict_in_l2(t: &Ctx) -> Result<()> {
    each_verdict(t, Rig::new(t, Spec::l2())?)
}

fn each_verdict_in_l3(t: &Ctx) -> Result<()> {
    each_verdict(t, Rig::new(t, Spec::l3())?)
}

fn each_verdict_from_the_peer(t: &Ctx) -> Result<()> {
    each_verdict(t, Rig::turned(t, Spec::l2())?)
}

/// One frame from the primary, and as what both ends see it.
fn one(t: &Ctx, spec: Spec, prog: Option<Prog>) -> Result<[Vec<u8>; 2]> {
    stay_on_one_cpu()?;
    let duo = t.duo(spec)?;
    if let Some(prog) = prog {
        mprog::attach(&prog, duo.pair.primary, PRIMARY, Place::default())?;
    }
    let taps = [
        Tap::on(&duo.host, duo.pair.primary)?,
        Tap::on(&duo.pod, duo.pair.peer)?,
    ];
    // Nobody answers.
    let _receiver = traffic::udp_receiver(&duo.pod, POD4.into())?;
    let mac = duo.pod.link_by_index(duo.pair.peer)?.mac();
    let frame = traffic::udp_frame(&mac, HOST4, POD4, b"netkit")?;
    // The sender is told of a drop.
    let _told = traffic::send_frame(&duo.host, duo.pair.primary, &frame);
    let seen = [kinds(&taps[0].tapped()?), kinds(&taps[1].tapped()?)];
    duo.host.del_link(duo.pair.primary)?;
    Ok(seen)
}

/// In copy mode, AF_XDP gives a frame to the driver without saying where its Ethernet header is.
fn frames_of_af_xdp(t: &Ctx) -> Result<()> {
    for spec in [Spec::l2(), Spec::l3()] {
        let duo = t.duo(spec)?;
        let far = Tap::on(&duo.pod, duo.pair.peer)?;
        let socket = Xsk::bind(&duo.host, duo.pair.primary, 0, Mode::Copy)?;
        let mac = duo.pod.link_by_index(duo.pair.peer)?.mac();
        let frame = traffic::udp_frame(&mac, HOST4, POD4, b"netkit")?;
        let mut socket = socket.context("bind(AF_XDP)")?;
        socket.send(&frame)?.context("sendto(AF_XDP)")?;
        let mut seen = Vec::new();
        check::soon("it arrives", || {
            seen.extend(far.tapped()?);
            Ok(seen.iter().any(|tapped| tapped.frame == frame))
        })?;
        let ours = seen.iter().find(|tapped| tapped.frame == frame);
        check::equal("kind", ours.map(|tapped| tapped.kind), Some(HOST))?;
        duo.host.del_link(duo.pair.primary)?;
    }
    Ok(())
}

/// The policy, which counts if there is no program.
fn blackhole(t: &Ctx) -> Result<()> {
    let (dropped, passed) = ([vec![OUTGOING], vec![]], [vec![OUTGOING], vec![HOST]]);
    for (policy, verdict, expected) in [
        (PASS, None, &passed),
        (DROP, None, &dropped),
        (DROP, Some(PASS), &passed),
        (PASS, Some(DROP), &dropped),
        (PASS, Some(100), &dropped),
        (DROP, Some(NEXT), &passed),
    ] {
        let what = format!("policy {policy}, verdict {verdict:?}");
        let prog = verdict.map(Prog::returning).transpose()?;
        let seen = one(t, Spec::l3().policy(policy), prog)?;
        check::equal(&what, &seen, expected)?;
    }
    Ok(())
}

/// A single device has nobody to send to. Its sockets see the packet all the same.
fn without_peer(t: &Ctx) -> Result<()> {
    let index = Spec::l2().create_single("single", &t.host)?;
    t.host.up(index)?;
    let tap = Tap::on(&t.host, index)?;
    let frame = traffic::udp_frame(&[0xff; 6], HOST4, POD4, b"netkit")?;
    let answer = traffic::send_frame(&t.host, index, &frame);
    check::errno("sending", answer, Errno::ENOBUFS)?;
    check::equal("seen", kinds(&tap.tapped()?), vec![OUTGOING])
}

/// A socket of one protocol sees what its device receives, and not what it sends.
fn of_one_protocol(t: &Ctx) -> Result<()> {
    stay_on_one_cpu()?;
    let duo = t.duo(Spec::l3())?;
    let (near, far) = (
        Tap::of(&duo.host, duo.pair.primary, IPV4)?,
        Tap::of(&duo.pod, duo.pair.peer, IPV4)?,
    );
    let other = Tap::of(&duo.pod, duo.pair.peer, libc::ETH_P_IPV6 as u16)?;
    traffic::udp_send(&duo.host, POD4.into(), 10)?;
    check::equal("the sender's", kinds(&near.tapped()?), vec![HOST])?;
    let seen = far.tapped()?;
    check::equal("the receiver's", kinds(&seen), vec![HOST])?;
    check::equal("length", seen[0].frame.len(), 14 + 20 + 8 + 10)?;
    check::that("of another protocol", other.tapped()?.is_empty())
}

/// Sockets share the packet's data with the driver, which does not write to it.
fn program_sees_what_sockets_have_seen(t: &Ctx) -> Result<()> {
    stay_on_one_cpu()?;
    for spec in [Spec::l2(), Spec::l3()] {
        let duo = t.duo(spec)?;
        let taps: Result<Vec<_>> = (0..3)
            .map(|_| Tap::on(&duo.host, duo.pair.primary))
            .collect();
        let far = Tap::on(&duo.pod, duo.pair.peer)?;
        let mac = duo.pod.link_by_index(duo.pair.peer)?.mac();
        let frame = traffic::udp_frame(&mac, HOST4, POD4, &[7; 1000])?;
        traffic::send_frame(&duo.host, duo.pair.primary, &frame)?;
        for tap in taps?.iter().chain([&far]) {
            let seen = tap.tapped()?;
            check::that("the frame", seen.first().is_some_and(|s| s.frame == frame))?;
        }
        duo.host.del_link(duo.pair.primary)?;
    }
    Ok(())
}
