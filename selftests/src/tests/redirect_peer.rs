// SPDX-License-Identifier: GPL-2.0
//! `bpf_redirect_peer()` with `BPF_F_EGRESS`: the peer of a device sends the packet, as if it came from the pod.
//!
//! A kernel without the flag drops the packet instead. Whether the kernel knows it is asked once, by a test run.

use anyhow::Result;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::UdpGsoSegment;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Probes;
use crate::bpf::probe::Rule;
use crate::bpf::steer::Order;
use crate::bpf::steer::Steer;
use crate::bpf::steer::EGRESS;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::bpf::TCX_EGRESS;
use crate::bpf::TCX_INGRESS;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::inject::Frames;
use crate::inject::Offload;
use crate::netkit::Pair;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::NEXT;
use crate::netkit::REDIRECT;
use crate::netns::Ns;
use crate::nl::link::Stats;
use crate::traffic;

use super::Test;

tests![
    from_the_peers_program,
    from_the_primarys_program,
    from_tcx,
    to_itself,
    to_where_it_cannot,
    to_a_device_that_is_down,
    unknown_flags,
    segments,
    vlan,
];

/// What a program returns that asks for the redirect.
fn answer_to(flags: u32) -> Result<u32> {
    let mut steer = Steer::load()?;
    steer.order(Order::PeerFlags(1, flags))?;
    Ok(steer.test_run(&[0; 64])?)
}

pub fn no_egress_flag() -> Option<String> {
    match answer_to(EGRESS) {
        Ok(answer) if answer == REDIRECT as u32 => None,
        Ok(answer) if answer == DROP as u32 => {
            Some("the kernel's bpf_redirect_peer() has no BPF_F_EGRESS".into())
        }
        // The test itself will say more.
        _ => None,
    }
}

/// Those that are about the flag need a kernel that has it.
pub fn all() -> Vec<Test> {
    let mut tests = tests();
    for test in &mut tests {
        if !test.name.ends_with("unknown_flags") {
            test.lacks = no_egress_flag;
        }
    }
    tests
}

/// A pair to send through, and another pair whose peer is to send what a program of the first one gets.
struct Rig {
    duo: Duo,
    steer: Steer,
    /// Where the primary of the other pair is: where the program looks for it.
    near: Ns,
    far: Ns,
    other: Pair,
}

impl Rig {
    fn new(t: &Ctx, spec: Spec, hook: u32) -> Result<Self> {
        let duo = t.duo(spec.clone())?;
        let near = if hook == PRIMARY {
            duo.pod.clone()
        } else {
            duo.host.clone()
        };
        let far = t.ns()?;
        let other = spec.create_as("s0", "s1", &near, &far)?;
        near.up(other.primary)?;
        far.up(other.peer)?;
        near.running(other.primary)?;
        far.running(other.peer)?;
        let mut steer = Steer::load()?;
        steer.order(Order::PeerFlags(other.primary, EGRESS))?;
        mprog::attach(steer.fd()?, duo.pair.primary, hook, Place::default())?;
        Ok(Self {
            duo,
            steer,
            near,
            far,
            other,
        })
    }

    /// Moves the program to another hook of the first pair's primary.
    fn move_program(&self, from: u32, to: u32) -> Result<()> {
        let primary = self.duo.pair.primary;
        mprog::detach(None, primary, from, Place::default())?;
        Ok(mprog::attach(
            self.steer.fd()?,
            primary,
            to,
            Place::default(),
        )?)
    }

    /// (sent by the far end, received by the near one) of the other pair.
    fn counts(&self) -> Result<(u64, u64)> {
        let sent = self.far.stats(self.other.peer)?.tx_packets;
        Ok((sent, self.near.stats(self.other.primary)?.rx_packets))
    }

    /// What the pod's end has counted for one datagram to the host.
    fn send_from_the_pod(&self) -> Result<Stats> {
        let before = self.duo.pod.stats(self.duo.pair.peer)?;
        traffic::udp_send(&self.duo.pod, HOST4.into(), 64)?;
        Ok(self.duo.pod.stats(self.duo.pair.peer)?.since(&before))
    }
}

/// What the pod sends enters the host by the other pair, whose programs see it.
fn from_the_peers_program(t: &Ctx) -> Result<()> {
    let rig = Rig::new(t, Spec::l3(), PEER)?;
    let mut probes = Probes::load(1)?;
    mprog::attach(probes.fd(0)?, rig.other.primary, PEER, Place::default())?;
    let (pod, host) = (&rig.duo.pod, &rig.duo.host);
    check::that(
        "arrives",
        traffic::udp_arrives(pod, host, HOST4.into(), true)?,
    )?;
    check::equal("the program ran", rig.steer.count()?, 1)?;
    check::equal("sent, received", rig.counts()?, (1, 1))?;
    let seen = probes.seen(0)?;
    let expected = (1, rig.other.primary, 106);
    check::equal(
        "seen on the way",
        (seen.count, seen.ifindex, seen.len),
        expected,
    )?;
    let primary = host.stats(rig.duo.pair.primary)?;
    check::equal("received by the own primary", primary.rx_packets, 0)?;
    t.same(
        "other's primary",
        format!("{:?}", host.stats(rig.other.primary)?),
    );
    t.same(
        "other's peer",
        format!("{:?}", rig.far.stats(rig.other.peer)?),
    );
    Ok(())
}

/// The packet is at the peer already: the other pair is looked for in the pod.
fn from_the_primarys_program(t: &Ctx) -> Result<()> {
    let rig = Rig::new(t, Spec::l3(), PRIMARY)?;
    let (host, pod) = (&rig.duo.host, &rig.duo.pod);
    check::that(
        "arrives",
        traffic::udp_arrives(host, pod, POD4.into(), true)?,
    )?;
    check::equal("the program ran", rig.steer.count()?, 1)?;
    check::equal("sent, received", rig.counts()?, (1, 1))?;
    let own = pod.stats(rig.duo.pair.peer)?;
    check::equal("received by the own peer", own.rx_packets, 0)
}

/// The flag needs no ingress.
fn from_tcx(t: &Ctx) -> Result<()> {
    let rig = Rig::new(t, Spec::l3(), PEER)?;
    rig.move_program(PEER, TCX_INGRESS)?;
    traffic::udp_send(&rig.duo.pod, HOST4.into(), 64)?;
    check::soon("ingress", || Ok(rig.counts()? == (1, 1)))?;
    rig.move_program(TCX_INGRESS, TCX_EGRESS)?;
    traffic::udp_send(&rig.duo.host, POD4.into(), 64)?;
    check::soon("egress", || Ok(rig.counts()? == (2, 2)))
}

/// Around and around, until the stack's limit of recursion ends it: the driver is called at each second level.
fn to_itself(t: &Ctx) -> Result<()> {
    /// `XMIT_RECURSION_LIMIT` is 8: levels 1, 3, 5, 7 and 9.
    const TIMES: u32 = 5;
    let mut rig = Rig::new(t, Spec::l3(), PEER)?;
    let primary = rig.duo.pair.primary;
    rig.steer.order(Order::PeerFlags(primary, EGRESS))?;
    let counted = rig.send_from_the_pod()?;
    check::equal("the program ran", rig.steer.count()?, TIMES)?;
    check::equal("sent", counted.tx_packets, u64::from(TIMES))?;
    check::equal("dropped", counted.tx_dropped, 0)?;
    check::equal("received", rig.duo.host.stats(primary)?.rx_packets, 0)
}

/// No device, no peer, and a peer in the namespace of the packet. A redirect that fails counts as sent.
fn to_where_it_cannot(t: &Ctx) -> Result<()> {
    let mut rig = Rig::new(t, Spec::l3(), PEER)?;
    let dummy = t.host.add_device("dummy0", "dummy")?;
    let single = Spec::l3().create_single("single", &t.host)?;
    let home = Spec::l3().create_as("h0", "h1", &t.host, &t.host)?;
    for index in [dummy, single, home.primary, home.peer] {
        t.host.up(index)?;
    }
    t.host.running(home.primary)?;
    let cases = [
        ("nothing", 9999),
        ("index 0", 0),
        ("loopback", 1),
        ("dummy", dummy),
        ("single", single),
        ("same namespace", home.primary),
        ("same namespace, from the peer", home.peer),
    ];
    for (what, index) in cases {
        rig.steer.order(Order::PeerFlags(index, EGRESS))?;
        let counted = rig.send_from_the_pod()?;
        check::equal(what, rig.steer.count()?, 1)?;
        check::equal(what, (counted.tx_packets, counted.tx_dropped), (1, 0))?;
    }
    for index in [dummy, single, home.primary, home.peer] {
        let stats = t.host.stats(index)?;
        check::equal("moved", (stats.tx_packets, stats.rx_packets), (0, 0))?;
    }
    Ok(())
}

fn to_a_device_that_is_down(t: &Ctx) -> Result<()> {
    let rig = Rig::new(t, Spec::l3(), PEER)?;
    rig.far.down(rig.other.peer)?;
    let counted = rig.send_from_the_pod()?;
    check::equal(
        "peer down",
        (counted.tx_packets, counted.tx_dropped),
        (1, 0),
    )?;
    check::equal("sent, received", rig.counts()?, (0, 0))?;
    // The peer is up, but nobody is at its other end.
    rig.far.up(rig.other.peer)?;
    rig.near.down(rig.other.primary)?;
    let counted = rig.send_from_the_pod()?;
    check::equal(
        "device down",
        (counted.tx_packets, counted.tx_dropped),
        (1, 0),
    )?;
    check::equal("sent, received", rig.counts()?, (0, 0))?;
    rig.near.up(rig.other.primary)?;
    rig.near.running(rig.other.primary)?;
    rig.far.running(rig.other.peer)?;
    rig.send_from_the_pod()?;
    check::equal("sent, received", rig.counts()?, (1, 1))
}

/// The helper refuses them, so the program drops the packet. A kernel without `BPF_F_EGRESS` refuses that as well.
fn unknown_flags(t: &Ctx) -> Result<()> {
    let mut rig = Rig::new(t, Spec::l3(), PEER)?;
    let mut flags = vec![1, EGRESS | 1, 1 << 2, 1 << 3, 1 << 16, 1 << 17, 1 << 31];
    if no_egress_flag().is_some() {
        flags.push(EGRESS);
    }
    for flags in flags {
        let what = format!("flags {flags:#x}");
        check::equal(&what, answer_to(flags)?, DROP as u32)?;
        rig.steer
            .order(Order::PeerFlags(rig.other.primary, flags))?;
        let counted = rig.send_from_the_pod()?;
        check::equal(&what, (counted.tx_packets, counted.tx_dropped), (0, 1))?;
    }
    // Without flags, the helper is for tc's ingress only. netkit's hooks are at the egress.
    rig.steer.order(Order::Peer(rig.other.primary))?;
    let counted = rig.send_from_the_pod()?;
    check::equal("no flags", (counted.tx_packets, counted.tx_dropped), (1, 0))?;
    check::equal("sent, received", rig.counts()?, (0, 0))
}

/// A packet of several segments stays one until it is received.
fn segments(t: &Ctx) -> Result<()> {
    const SIZE: usize = 500;
    const COUNT: usize = 7;
    let rig = Rig::new(t, Spec::l3(), PEER)?;
    let mut probes = Probes::load(1)?;
    mprog::attach(probes.fd(0)?, rig.other.primary, PEER, Place::default())?;
    let receiver = traffic::udp_receiver(&rig.duo.host, HOST4.into())?;
    receiver.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    let sender = traffic::udp_sender(&rig.duo.pod, HOST4.into())?;
    setsockopt(&sender, UdpGsoSegment, &(SIZE as i32))?;
    let payload: Vec<u8> = (0..SIZE * COUNT).map(|n| (n / 3) as u8).collect();
    check::equal("sent", sender.send(&payload)?, payload.len())?;
    let mut buffer = [0; 2 * SIZE];
    for part in payload.chunks(SIZE) {
        let len = receiver.recv(&mut buffer)?;
        check::equal("a segment", &buffer[..len], part)?;
    }
    let seen = probes.seen(0)?;
    check::equal("packets", (rig.steer.count()?, seen.count), (1, 1))?;
    let expected = (SIZE as u32, COUNT as u32);
    check::equal("segments", (seen.gso_size, seen.gso_segs), expected)
}

/// The tag is in the frame when netkit's programs run, and beside it at tcx ingress. It is there at the other end in both cases.
fn vlan(t: &Ctx) -> Result<()> {
    const TAG: u16 = (3 << 13) | 100;
    const ETH_P_8021Q: u16 = 0x8100;
    let rig = Rig::new(t, Spec::l2(), PEER)?;
    let mut probes = Probes::load(2)?;
    for (slot, hook) in [(0, PEER), (1, TCX_INGRESS)] {
        let rule = Rule {
            verdict: NEXT,
            ..Rule::default()
        };
        probes.rule(slot, rule)?;
        let prog = probes.fd(slot)?;
        mprog::attach(prog, rig.other.primary, hook, Place::default())?;
    }
    let mut frame = traffic::udp_frame(&t.host.link("s0")?.mac(), POD4, HOST4, b"netkit")?;
    let tag = [ETH_P_8021Q.to_be_bytes(), TAG.to_be_bytes()].concat();
    frame.splice(12..12, tag);
    let len = frame.len() as u32;
    let frames = Frames::open(&rig.duo.pod)?;
    let mut crosses = |len_on_the_way: u32, beside: u32| -> Result<()> {
        probes.reset()?;
        let peer = rig.duo.pair.peer;
        frames.send(peer, ETH_P_8021Q, Offload::default(), &frame)?;
        check::soon("arrived", || Ok(probes.seen(1)?.count == 1))?;
        let (crossing, arrived) = (probes.seen(0)?, probes.seen(1)?);
        let on_the_way = (crossing.len, crossing.vlan_present);
        check::equal("on the way", on_the_way, (len_on_the_way, beside))?;
        let at_the_end = (arrived.len, arrived.vlan_present, arrived.vlan_tci);
        check::equal("at the end", at_the_end, (len - 4, 1, TAG.into()))
    };
    crosses(len, 0)?;
    rig.move_program(PEER, TCX_INGRESS)?;
    crosses(len - 4, 1)
}
