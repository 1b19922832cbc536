// SPDX-License-Identifier: GPL-2.0
//! Packets of every length up to a hundred bytes, through every verdict, in either mode.
//!
//! tc passes the packets of a tun device to the primary without a change. So packets that are shorter than an Ethernet
//! header reach it, too. The counters of each verdict, and every frame that comes out on any side, must be as in C.
//! What must hold independently of C is asserted as well.

use std::fmt::Write;

use anyhow::Result;
use nix::errno::Errno;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::steer::Order;
use crate::bpf::steer::Steer;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::inject;
use crate::inject::tc;
use crate::inject::Offload;
use crate::inject::Tap;
use crate::inject::Tun;
use crate::netkit::Pair;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::NEXT;
use crate::netkit::PASS;
use crate::netns::Ns;
use crate::nl::link::Stats;

tests![
    every_length_in_l2,
    every_length_in_l3,
    every_length_from_the_peer,
    mirrored,
    cloned_by_a_program,
    refused_by_packet_sockets,
];

const HEADER: usize = 14;
const LAST: usize = 100;
const IPV4: u16 = libc::ETH_P_IP as u16;
/// Longer than any other packet: what comes last.
const MARKER: [u8; 150] = [0x4d; 150];

/// A pair with the steering program, a device to redirect to, taps, and tun0 before it all.
pub struct Rig {
    /// The device in the host's namespace sends: `pair.primary` here, whichever of the two it is.
    pub duo: Duo,
    pub steer: Steer,
    pub sink: u32,
    /// The primary, beside the sink, of a pair whose peer is in a third namespace.
    pub other: u32,
    pub pod: Tap,
    pub beyond: Tap,
}

/// What a packet can meet, and how its counters must come out: dropped, sent, or C knows.
pub fn orders(rig: &Rig) -> Vec<(&'static str, Order)> {
    vec![
        ("next", Order::Verdict(NEXT)),
        ("pass", Order::Verdict(PASS)),
        ("drop", Order::Verdict(DROP)),
        ("8", Order::Verdict(8)),
        ("-2", Order::Verdict(-2)),
        ("-100", Order::Verdict(-100)),
        ("least", Order::Verdict(i32::MIN)),
        ("most", Order::Verdict(i32::MAX)),
        ("redirect", Order::Egress(rig.sink)),
        ("redirect in", Order::Ingress(rig.sink)),
        ("redirect peer", Order::Peer(rig.other)),
        ("redirect neigh", Order::Neigh(rig.sink)),
        ("redirect back", Order::Egress(rig.duo.pair.peer)),
    ]
}

impl Rig {
    /// Packets go from the primary to the peer.
    pub fn new(t: &Ctx, spec: Spec) -> Result<Self> {
        let (pod, steer) = (t.ns()?, Steer::load()?);
        let pair = spec.create(&t.host, &pod)?;
        mprog::attach(steer.fd()?, pair.primary, PRIMARY, Place::default())?;
        Self::around(t, pod, pair, steer)
    }

    /// Packets go from the peer to the primary, which is in another namespace.
    pub fn turned(t: &Ctx, spec: Spec) -> Result<Self> {
        let (pod, steer) = (t.ns()?, Steer::load()?);
        let pair = spec.create_as("nk1", "nk0", &pod, &t.host)?;
        pod.run(|| {
            let fd = steer.fd()?;
            Ok(mprog::attach(fd, pair.primary, PEER, Place::default())?)
        })?;
        let near_first = Pair {
            primary: pair.peer,
            peer: pair.primary,
        };
        Self::around(t, pod, near_first, steer)
    }

    fn around(t: &Ctx, pod: Ns, pair: Pair, steer: Steer) -> Result<Self> {
        inject::stay_on_one_cpu()?;
        // Without addresses, no packet is answered: all counted packets were sent here.
        let host = t.host.clone();
        let duo = Duo { host, pod, pair };
        duo.up()?;
        // A packet is at the receiving device when the programs run, so the targets of redirects are looked for in that
        // device's namespace. In another one, another device may have the same index, or none, as it happens.
        let sink = duo.pod.add_device("sink", "dummy")?;
        duo.pod.up(sink)?;
        let third = t.ns()?;
        let pair = Spec::l3().create_as("s0", "s1", &duo.pod, &third)?;
        duo.pod.up(pair.primary)?;
        third.up(pair.peer)?;
        duo.pod.running(pair.primary)?;
        Ok(Self {
            pod: Tap::on(&duo.pod, duo.pair.peer)?,
            beyond: Tap::on(&duo.pod, sink)?,
            duo,
            steer,
            sink,
            other: pair.primary,
        })
    }

    /// Deletes its devices, for another rig in the same namespace.
    fn delete(&self) -> Result<()> {
        self.duo.host.del_link(self.duo.pair.primary)?;
        for device in [self.other, self.sink] {
            self.duo.pod.del_link(device)?;
        }
        Ok(())
    }

    pub fn stats(&self) -> Result<[Stats; 2]> {
        let Duo { host, pod, pair } = &self.duo;
        Ok([host.stats(pair.primary)?, pod.stats(pair.peer)?])
    }
}

fn packet(len: usize) -> Vec<u8> {
    // An IPv4 header's first byte behind fourteen bytes that no MAC address begins with.
    let byte = |n: usize| if n == HEADER { 0x45 } else { 0x20 + n as u8 };
    (0..len).map(byte).collect()
}

/// tun0, whose packets are redirected to nk0, or mirrored: then the original continues.
pub fn tun_before(duo: &Duo, action: &str) -> Result<Tun> {
    let tun = Tun::open()?;
    duo.host.up(duo.host.link("tun0")?.index)?;
    tc("qdisc add dev tun0 clsact")?;
    tc(&format!(
        "filter add dev tun0 ingress matchall action mirred egress {action} dev nk0"
    ))?;
    Ok(tun)
}

/// Frames as text; many equal frames as their lengths.
pub fn text(frames: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for frame in frames {
        let sum = frame.iter().fold(0u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u32::from(*byte))
        });
        // Writing to a string does not fail.
        let _never = write!(text, "{} {sum:08x}, ", frame.len());
    }
    text
}

fn every_length(t: &Ctx, mut rig: Rig) -> Result<()> {
    let mut tun = tun_before(&rig.duo, "redirect")?;
    rig.pod.drain()?;
    for (name, order) in orders(&rig) {
        rig.steer.order(order)?;
        let before = rig.stats()?;
        for len in 1..=LAST {
            tun.write(IPV4, &packet(len))?;
        }
        let seen = rig.steer.count()?;
        let after = rig.stats()?;
        rig.steer.order(Order::Verdict(PASS))?;
        tun.write(IPV4, &MARKER)?;
        let (pod, beyond) = (rig.pod.until(&MARKER)?, rig.beyond.drain()?);

        let counted = [after[0].since(&before[0]), after[1].since(&before[1])];
        t.same(&format!("{name}: counted"), format!("{counted:?}"));
        t.same(&format!("{name}: program"), seen);
        t.same(&format!("{name}: pod"), text(&pod));
        t.same(&format!("{name}: beyond"), text(&beyond));
        let whole: Vec<Vec<u8>> = (HEADER..=LAST).map(packet).collect();
        let dropped = counted[0].tx_dropped as usize;
        check::equal("programs see whole headers", seen as usize, whole.len())?;
        match order {
            Order::Verdict(PASS | NEXT) => {
                check::equal("too short", dropped, HEADER - 1)?;
                check::equal("received", counted[1].rx_packets as usize, whole.len())?;
                check::that("as they were sent", pod == whole)?;
            }
            Order::Verdict(_) => {
                check::equal("all dropped", dropped, LAST)?;
                check::equal("sent", counted[0].tx_packets, 0)?;
                check::that("nothing comes", pod.is_empty() && beyond.is_empty())?;
            }
            _ => check::equal("too short", dropped, HEADER - 1)?,
        }
    }
    Ok(())
}

fn every_length_in_l2(t: &Ctx) -> Result<()> {
    every_length(t, Rig::new(t, Spec::l2())?)
}

fn every_length_in_l3(t: &Ctx) -> Result<()> {
    every_length(t, Rig::new(t, Spec::l3())?)
}

/// Packets that the pod sends, which is not trusted.
fn every_length_from_the_peer(t: &Ctx) -> Result<()> {
    every_length(t, Rig::turned(t, Spec::l2())?)
}

/// The packet is a clone: the stack has the original, with the same data.
fn mirrored(t: &Ctx) -> Result<()> {
    for (mode, spec) in [("l2", Spec::l2()), ("l3", Spec::l3())] {
        let mut rig = Rig::new(t, spec)?;
        let mut tun = tun_before(&rig.duo, "mirror")?;
        let original = Tap::on(&t.host, t.host.link("tun0")?.index)?;
        rig.pod.drain()?;
        for (name, order) in orders(&rig) {
            rig.steer.order(order)?;
            let sent: Vec<_> = [1, 13, 14, 15, 34, 60, 100].map(packet).into();
            for packet in &sent {
                tun.write(IPV4, packet)?;
            }
            rig.steer.order(Order::Verdict(PASS))?;
            tun.write(IPV4, &MARKER)?;
            let pod = rig.pod.until(&MARKER)?;
            t.same(&format!("{mode} {name}: pod"), text(&pod));
            t.same(
                &format!("{mode} {name}: beyond"),
                text(&rig.beyond.drain()?),
            );
            let kept = original.until(&MARKER)?;
            check::that("the original is untouched", kept == sent)?;
        }
        drop(tun);
        rig.delete()?;
    }
    Ok(())
}

/// bpf_clone_redirect from a program that is run by hand.
fn cloned_by_a_program(t: &Ctx) -> Result<()> {
    for (mode, spec) in [("l2", Spec::l2()), ("l3", Spec::l3())] {
        let mut rig = Rig::new(t, spec)?;
        let mut cloner = Steer::load()?;
        cloner.order(Order::Clone(rig.duo.pair.primary))?;
        rig.steer.order(Order::Verdict(PASS))?;
        rig.pod.drain()?;
        let before = rig.stats()?;
        let mut answers = String::new();
        for len in 0..=LAST {
            let answer = cloner.test_run(&packet(len));
            // Writing to a string does not fail.
            let _never = write!(answers, "{len} {answer:?}, ");
            if len < HEADER {
                check::errno("no whole header", answer, Errno::EINVAL)?;
            }
        }
        cloner.test_run(&MARKER)?;
        let pod = rig.pod.until(&MARKER)?;
        let after = rig.stats()?;
        t.same(&format!("{mode}: answers"), answers);
        t.same(&format!("{mode}: pod"), text(&pod));
        let counted = [after[0].since(&before[0]), after[1].since(&before[1])];
        t.same(&format!("{mode}: counted"), format!("{counted:?}"));
        check::that("most come", pod.len() > LAST - HEADER - 3)?;
        rig.delete()?;
    }
    Ok(())
}

/// Packet sockets refuse what is shorter than a header, an empty frame too.
fn refused_by_packet_sockets(t: &Ctx) -> Result<()> {
    for spec in [Spec::l2(), Spec::l3()] {
        let duo = t.duo(spec)?;
        let frames = inject::Frames::open(&t.host)?;
        let before = t.host.stats(duo.pair.primary)?;
        for len in 0..HEADER {
            let plain = crate::traffic::send_frame(&t.host, duo.pair.primary, &packet(len));
            check::errno("short frame", plain, Errno::EINVAL)?;
            let offload = Offload::default();
            let vnet = frames.send(duo.pair.primary, IPV4, offload, &packet(len));
            check::errno("short frame with a virtio header", vnet, Errno::EINVAL)?;
        }
        check::equal("counted", t.host.stats(duo.pair.primary)?, before)?;
        t.host.del_link(duo.pair.primary)?;
    }
    Ok(())
}
