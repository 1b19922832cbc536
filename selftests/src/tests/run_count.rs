// SPDX-License-Identifier: GPL-2.0
//! How often each program has run (`kernel.bpf_stats_enabled`, `bpftool prog show`): once for each packet that its
//! device sends.

use std::net::IpAddr;
use std::os::fd::AsFd;

use anyhow::Context;
use anyhow::Result;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::UdpGsoSegment;

use crate::bpf;
use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::NEXT;
use crate::netkit::PASS;
use crate::netns::Ns;
use crate::traffic;

tests![
    each_end,
    each_of_several,
    dropped_packets,
    segments_of_one_packet,
    replaced,
    while_counted_only,
];

const SENT: u64 = 25;

/// Sends datagrams one way, to a receiver, so that nothing is answered.
fn send(from: &Ns, to: &Ns, ip: IpAddr) -> Result<()> {
    let _receiver = traffic::udp_receiver(to, ip)?;
    for _ in 0..SENT {
        traffic::udp_send(from, ip, 100)?;
    }
    Ok(())
}

fn to_pod(duo: &Duo) -> Result<()> {
    send(&duo.host, &duo.pod, POD4.into())
}

fn counts<'a>(progs: impl IntoIterator<Item = &'a Prog>) -> Result<Vec<u64>> {
    let counts = progs
        .into_iter()
        .map(|prog| Ok(prog::run_count(prog.as_fd())?));
    counts.collect()
}

fn attach(duo: &Duo, hook: u32, verdict: i32) -> Result<Prog> {
    let prog = Prog::returning(verdict)?;
    mprog::attach(&prog, duo.pair.primary, hook, Place::default())?;
    Ok(prog)
}

fn each_end(t: &Ctx) -> Result<()> {
    let _counted = bpf::count_runs()?;
    let duo = t.duo(Spec::l3())?;
    let progs = [attach(&duo, PRIMARY, NEXT)?, attach(&duo, PEER, NEXT)?];
    to_pod(&duo)?;
    check::equal("runs", counts(&progs)?, [SENT, 0])?;
    send(&duo.pod, &duo.host, HOST4.into())?;
    check::equal("runs", counts(&progs)?, [SENT, SENT])?;
    let sent = [
        duo.host.stats(duo.pair.primary)?.tx_packets,
        duo.pod.stats(duo.pair.peer)?.tx_packets,
    ];
    check::equal("packets", sent, [SENT, SENT])
}

/// Until one decides.
fn each_of_several(t: &Ctx) -> Result<()> {
    let _counted = bpf::count_runs()?;
    let duo = t.duo(Spec::l3())?;
    let verdicts = [NEXT, NEXT, PASS, NEXT];
    let progs: Result<Vec<_>> = verdicts
        .iter()
        .map(|&verdict| attach(&duo, PRIMARY, verdict))
        .collect();
    to_pod(&duo)?;
    check::equal("runs", counts(&progs?)?, [SENT, SENT, SENT, 0])
}

fn dropped_packets(t: &Ctx) -> Result<()> {
    let _counted = bpf::count_runs()?;
    let duo = t.duo(Spec::l3())?;
    let progs = [attach(&duo, PRIMARY, NEXT)?, attach(&duo, PRIMARY, DROP)?];
    to_pod(&duo)?;
    check::equal("runs", counts(&progs)?, [SENT, SENT])?;
    let stats = duo.host.stats(duo.pair.primary)?;
    check::equal("packets", (stats.tx_packets, stats.tx_dropped), (0, SENT))?;
    // What the driver drops itself meets no program.
    duo.pod.down(duo.pair.peer)?;
    let _told = traffic::send_frame(&duo.host, duo.pair.primary, &[0xff; 60]);
    check::equal("runs", counts(&progs)?, [SENT, SENT])
}

/// A large packet is one.
fn segments_of_one_packet(t: &Ctx) -> Result<()> {
    let _counted = bpf::count_runs()?;
    let duo = t.duo(Spec::l3())?;
    let prog = attach(&duo, PRIMARY, NEXT)?;
    let _receiver = traffic::udp_receiver(&duo.pod, POD4.into())?;
    let socket = traffic::udp_sender(&duo.host, POD4.into())?;
    setsockopt(&socket, UdpGsoSegment, &1000).context("UDP_SEGMENT")?;
    for _ in 0..SENT {
        socket.send(&[0; 10_000])?;
    }
    check::equal("runs", counts([&prog])?, [SENT])?;
    let sent = duo.host.stats(duo.pair.primary)?.tx_packets;
    check::equal("packets", sent, SENT)
}

/// Each program has its own count, whoever was in its place.
fn replaced(t: &Ctx) -> Result<()> {
    let _counted = bpf::count_runs()?;
    let duo = t.duo(Spec::l3())?;
    let progs = [Prog::returning(NEXT)?, Prog::returning(NEXT)?];
    let link = Link::create(&progs[0], duo.pair.primary, PRIMARY, Place::default())?;
    to_pod(&duo)?;
    link.update(&progs[1], None)?;
    to_pod(&duo)?;
    to_pod(&duo)?;
    check::equal("runs", counts(&progs)?, [SENT, 2 * SENT])?;
    link.detach()?;
    to_pod(&duo)?;
    check::equal("runs", counts(&progs)?, [SENT, 2 * SENT])
}

fn while_counted_only(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let prog = attach(&duo, PRIMARY, NEXT)?;
    to_pod(&duo)?;
    check::equal("not counted", counts([&prog])?, [0])?;
    let counted = bpf::count_runs()?;
    to_pod(&duo)?;
    drop(counted);
    to_pod(&duo)?;
    check::equal("counted", counts([&prog])?, [SENT])
}
