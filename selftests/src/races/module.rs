// SPDX-License-Identifier: GPL-2.0
//! The module is loaded and unloaded, again and again, while other threads send, manage and query.
//!
//! These threads continue on both drivers, and during the transitions. No operation is refused, except on a device that
//! was deleted, and attached links keep working.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::Duration;

use anyhow::bail;
use anyhow::ensure;
use anyhow::Result;
use nix::errno::Errno;

use super::arena::race;
use super::arena::Actor;
use super::devices::set_up;
use super::flood;
use super::flood::Flood;
use super::got_through;
use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::module;
use crate::netkit;
use crate::netkit::Spec;
use crate::netkit::NEXT;
use crate::netns::Ns;
use crate::netns::Ticket;
use crate::tests::module::built_in_works;
use crate::tests::tests;

tests![module_cycles_under_traffic, module_cycles_under_management];

/// In, and out. The pair lives on; each driver deletes those of the other one in its turn.
fn cycle(path: &Path, host: &Ns, pod: &Ns, round: u32) -> Result<()> {
    let anew = |when: bool| -> Result<()> {
        if when {
            host.del_link(host.link("nk0")?.index)?;
            set_up(Spec::l3(), host, pod)?;
        }
        Ok(())
    };
    module::load(path)?;
    anew(round % 2 == 0)?;
    sleep(Duration::from_millis(100));
    module::unload()?;
    anew(round % 2 == 1)?;
    sleep(Duration::from_millis(30));
    Ok(())
}

fn cycles<'a>(t: &'a Ctx, pod: &Ns) -> Result<Actor<'a>> {
    let path = &t.module;
    let (host, pod) = (t.host.ticket()?, pod.ticket()?);
    Ok(Actor::new("module", move |turn| {
        let (pod, host) = (pod.enter()?, host.enter()?);
        set_up(Spec::l3(), &host, &pod)?;
        let mut round = 0;
        turn.repeat(|| {
            round += 1;
            cycle(path, &host, &pod, round)
        })?;
        Ok(host.del_link(host.link("nk0")?.index)?)
    }))
}

fn module_cycles_under_traffic(t: &Ctx) -> Result<()> {
    let pod = t.ns()?;
    let flood = Flood::default();
    let mut actors = vec![cycles(t, &pod)?];
    actors.extend(flood.datagrams(&t.host, &pod)?);
    actors.push(flood::stream(&t.host, &pod)?);
    t.note(race(t.race, actors)?);
    t.note(format!("{} datagrams got away", flood.total()));
    got_through(&flood)?;
    built_in_works(t)
}

/// What bpf(2) says where the device is not there at the moment.
fn known(errno: Errno) -> Result<()> {
    match errno {
        Errno::ENODEV | Errno::ENOENT | Errno::ENOLINK => Ok(()),
        other => bail!("bpf(2) answers {other}"),
    }
}

/// How many links came to be while the module was in, and while it was not.
#[derive(Default)]
struct Made {
    ours: AtomicU64,
    built_in: AtomicU64,
}

/// Opens a link, and holds the last few open, over loads and unloads.
fn links(host: Ticket, hook: u32, made: &Made) -> Actor<'_> {
    Actor::new("links", move |turn| {
        let host = host.enter()?;
        let [prog, other] = [Prog::returning(NEXT)?, Prog::returning(NEXT)?];
        let mut held = VecDeque::new();
        turn.repeat(|| {
            let Ok(device) = host.link("nk0") else {
                return Ok(());
            };
            match Link::create(&prog, device.index, hook, Place::default()) {
                Ok(link) => {
                    held.push_back(link);
                    let side = if module::is_loaded() {
                        &made.ours
                    } else {
                        &made.built_in
                    };
                    side.fetch_add(1, Relaxed);
                }
                // This program is on already.
                Err(Errno::EEXIST) => held.truncate(0),
                Err(errno) => known(errno)?,
            }
            if held.len() > 4 {
                let oldest: Option<Link> = held.pop_front();
                oldest.map_or(Ok(()), |link| link.detach()).or_else(known)?;
            }
            if let Some(newest) = held.back() {
                let tried = newest
                    .update(&other, None)
                    .and_then(|()| newest.update(&prog, None));
                tried.or_else(|errno| {
                    if errno == Errno::EEXIST {
                        Ok(())
                    } else {
                        known(errno)
                    }
                })?;
            }
            Ok(())
        })
    })
}

fn queries(host: Ticket) -> Actor<'static> {
    Actor::new("queries", move |turn| {
        let host = host.enter()?;
        turn.repeat(|| {
            for device in netkit::devices(&host)? {
                for hook in [PRIMARY, PEER] {
                    match mprog::query(device.index, hook) {
                        Ok(query) => ensure!(query.count <= 2, "programs: {query:?}"),
                        // The peer's own index manages nothing.
                        Err(Errno::EACCES) => {}
                        Err(errno) => known(errno)?,
                    }
                }
            }
            Ok(())
        })
    })
}

fn module_cycles_under_management(t: &Ctx) -> Result<()> {
    let pod = t.ns()?;
    let made = Made::default();
    let actors = vec![
        cycles(t, &pod)?,
        links(t.host.ticket()?, PRIMARY, &made),
        links(t.host.ticket()?, PEER, &made),
        queries(t.host.ticket()?),
    ];
    t.note(race(t.race, actors)?);
    let made = (made.ours.load(Relaxed), made.built_in.load(Relaxed));
    check::that(
        &format!("links on ours, and on the built-in driver: {made:?}"),
        made.0 > 0 && made.1 > 0,
    )?;
    built_in_works(t)
}
