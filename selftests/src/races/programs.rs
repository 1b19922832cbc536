// SPDX-License-Identifier: GPL-2.0
//! Programs and links that are attached, changed and detached while packets run through them.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::all_counted;
use super::arena::race;
use super::arena::Actor;
use super::flood;
use super::flood::Flood;
use super::got_through;
use super::settled;
use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::mprog::BEFORE;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::netkit;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::NEXT;
use crate::netkit::PASS;
use crate::nl::attr::Attrs;
use crate::nl::link::linkinfo;
use crate::tests::tests;

tests![
    programs_under_traffic,
    links_under_traffic,
    verdicts_under_traffic,
    blackhole_under_traffic,
];

/// Attaches, replaces and detaches on one hook; nothing of it may be refused, as nobody else is there.
fn change_programs(index: u32, hook: u32) -> Result<()> {
    let [first, second, third] = [
        Prog::returning(NEXT)?,
        Prog::returning(PASS)?,
        Prog::returning(NEXT)?,
    ];
    mprog::attach(&first, index, hook, Place::default())?;
    mprog::attach(&second, index, hook, Place::fd(BEFORE, &first))?;
    mprog::attach(&third, index, hook, Place::replace(&first))?;
    let ids = mprog::query(index, hook)?.progs;
    check::equal("programs", ids, [second.id, third.id])?;
    mprog::detach(Some(&second), index, hook, Place::default())?;
    mprog::detach(Some(&third), index, hook, Place::default())?;
    check::equal("programs", mprog::query(index, hook)?.count, 0)
}

fn programs_under_traffic(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let flood = Flood::default();
    let index = duo.pair.primary;
    let mut actors = flood.datagrams(&duo.host, &duo.pod)?;
    actors.push(flood::stream(&duo.host, &duo.pod)?);
    for (name, hook) in [("primary's programs", PRIMARY), ("peer's programs", PEER)] {
        actors.push(Actor::new(name, move |turn| {
            turn.repeat(|| change_programs(index, hook))
        }));
    }
    t.note(race(t.race, actors)?);
    got_through(&flood)?;
    settled(t, &duo)
}

/// A link that is made, gets other programs, and ends in one of the two ways.
fn change_link(index: u32, hook: u32, round: u32) -> Result<()> {
    let [first, second] = [Prog::returning(NEXT)?, Prog::returning(PASS)?];
    let link = Link::create(&first, index, hook, Place::default())?;
    link.update(&second, None)?;
    link.update(&first, Some(&second))?;
    check::equal("program", link.info()?.prog_id, first.id)?;
    if round % 2 == 0 {
        link.detach()?;
    }
    drop(link);
    check::equal("links", mprog::query(index, hook)?.count, 0)
}

fn links_under_traffic(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l2())?;
    let flood = Flood::default();
    let index = duo.pair.primary;
    let mut actors = flood.datagrams(&duo.host, &duo.pod)?;
    actors.push(flood::stream(&duo.host, &duo.pod)?);
    for (name, hook) in [("primary's links", PRIMARY), ("peer's links", PEER)] {
        actors.push(Actor::new(name, move |turn| {
            let mut round = 0;
            turn.repeat(|| {
                round += 1;
                change_link(index, hook, round)
            })
        }));
    }
    t.note(race(t.race, actors)?);
    got_through(&flood)?;
    settled(t, &duo)
}

/// Whatever the verdict at the moment, each packet is counted once.
fn verdicts_under_traffic(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let flood = Flood::default();
    let index = duo.pair.primary;
    let mut actors = flood.datagrams(&duo.host, &duo.pod)?;
    for (name, hook) in [("primary's verdicts", PRIMARY), ("peer's verdicts", PEER)] {
        actors.push(Actor::new(name, move |turn| {
            let mut progs = Vec::new();
            for verdict in [PASS, DROP, NEXT, 77] {
                progs.push(Prog::returning(verdict)?);
            }
            let link = Link::create(&progs[0], index, hook, Place::default())?;
            let mut round = 0;
            turn.repeat(|| {
                round += 1;
                Ok(link.update(&progs[round % progs.len()], None)?)
            })
        }));
    }
    t.note(race(t.race, actors)?);
    all_counted(&duo, &flood)?;
    settled(t, &duo)
}

fn set_policy(duo: &Duo, policy: i32) -> Result<()> {
    let mut data = Attrs::new();
    data.u32(netkit::POLICY, policy as u32);
    let attrs = linkinfo(netkit::KIND, Some(&data));
    Ok(duo.host.set_link(duo.pair.primary, &attrs)?)
}

/// Waits for an RCU grace period: after it, all earlier calls of the transmit routine have returned.
fn grace_period() -> Result<()> {
    const MEMBARRIER_CMD_GLOBAL: i32 = 1;
    // SAFETY: a system call without pointers.
    let ret = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    check::equal("membarrier", ret, 0)
}

/// After a request for "blackhole" was answered, and a grace period, no packet gets through, while a program
/// that drops everything is attached and detached: without a program, the policy decides.
fn blackhole_under_traffic(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let flood = Flood::default();
    let index = duo.pair.primary;
    let mut actors = flood.datagrams(&duo.host, &duo.pod)?;
    actors.push(Actor::new("programs", move |turn| {
        let drops = Prog::returning(DROP)?;
        turn.repeat(|| {
            let link = Link::create(&drops, index, PRIMARY, Place::default())?;
            sleep(Duration::from_millis(1));
            link.detach()?;
            sleep(Duration::from_millis(5));
            Ok(())
        })
    }));
    let (host, pod) = (duo.host.ticket()?, duo.pod.ticket()?);
    let pair = duo.pair;
    actors.push(Actor::new("policies", move |turn| {
        let (pod, host) = (pod.enter()?, host.enter()?);
        let duo = Duo { host, pod, pair };
        turn.repeat(|| {
            set_policy(&duo, DROP)?;
            grace_period()?;
            let before = duo.pod.stats(pair.peer)?.rx_packets;
            let dropped = duo.host.stats(pair.primary)?.tx_dropped;
            // The senders may have ended in the meantime: then there is nothing to wait for.
            check::soon("packets dropped", || {
                let now = duo.host.stats(pair.primary)?.tx_dropped;
                Ok(now > dropped || !turn.goes_on())
            })?;
            let received = duo.pod.stats(pair.peer)?.rx_packets;
            check::equal("received in a blackhole", received, before)?;
            set_policy(&duo, PASS)?;
            check::soon("packets again", || {
                let now = duo.pod.stats(pair.peer)?.rx_packets;
                Ok(now > before || !turn.goes_on())
            })?;
            // Let the others have the CPU.
            sleep(Duration::from_millis(1));
            Ok(())
        })
    }));
    t.note(race(t.race, actors)?);
    all_counted(&duo, &flood)?;
    settled(t, &duo)
}
