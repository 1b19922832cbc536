// SPDX-License-Identifier: GPL-2.0
//! The devices change drivers, as fast as possible, while other threads make, delete, move and use devices.
//!
//! The module's parameter `takeover` does to the devices what a load and an unload do. No operation may be refused.

use std::collections::VecDeque;

use anyhow::bail;
use anyhow::Result;
use nix::errno::Errno;

use super::arena::race;
use super::arena::Actor;
use super::devices::set_up;
use super::flood::Flood;
use crate::bpf::link::Link;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::check;
use crate::ctx::Ctx;
use crate::module;
use crate::netkit;
use crate::netkit::Spec;
use crate::netkit::NEXT;
use crate::netns::Ns;
use crate::tests::module::built_in_works;
use crate::tests::tests;

tests![
    takeover_against_creators,
    takeover_against_moves,
    takeover_against_namespaces,
];

/// Hands all devices back and takes them again, over and over. Where others have RTNL all the time, that may be left incomplete.
pub fn exchanges() -> Actor<'static> {
    Actor::new("exchanges", move |turn| {
        turn.repeat(|| {
            exchange("0")?;
            exchange("1").map(drop)
        })
    })
}

/// Whether it was complete.
fn exchange(side: &str) -> Result<bool> {
    match module::set_takeover(side) {
        Ok(()) => Ok(true),
        Err(Errno::EBUSY) => Ok(false),
        Err(errno) => bail!("takeover={side}: {errno}"),
    }
}

/// The same, where no device comes or goes: one that is complete has left out none.
fn complete_exchanges(devices: usize) -> Actor<'static> {
    Actor::new("complete exchanges", move |turn| {
        turn.repeat(|| {
            for (side, ours) in [("0", 0), ("1", devices)] {
                if exchange(side)? {
                    let what = format!("devices that are the module's after {side}");
                    check::equal(&what, module::devices()?, ours)?;
                }
            }
            Ok(())
        })
    })
}

/// Runs the actors against the exchanges, and unloads the module; nothing may be left then.
pub fn against(t: &Ctx, mut actors: Vec<Actor<'_>>) -> Result<()> {
    actors.push(exchanges());
    race_and_take_over(t, actors)
}

fn race_and_take_over(t: &Ctx, actors: Vec<Actor<'_>>) -> Result<()> {
    t.note(race(t.race, actors)?);
    module::take_over()?;
    check::equal(
        "devices that are the module's",
        module::devices()?,
        t.devices()?,
    )
}

fn takeover_against_creators(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let mut actors = Vec::new();
    for (name, spec) in [("L3", Spec::l3()), ("L2", Spec::l2())] {
        let (host, pod) = (t.host.ticket()?, t.ns()?.ticket()?);
        actors.push(Actor::new(name, move |turn| {
            let (pod, host) = (pod.enter()?, host.enter()?);
            let mut round = 0;
            turn.repeat(|| {
                round += 1;
                let pair = spec.clone().create_as(name, "eth0", &host, &pod)?;
                host.up(pair.primary)?;
                pod.up(pair.peer)?;
                let prog = Prog::returning(NEXT)?;
                let link = Link::create(&prog, pair.primary, PEER, Place::default())?;
                match round % 2 {
                    0 => host.del_link(pair.primary)?,
                    _ => pod.del_link(pair.peer)?,
                }
                check::equal("the link's device", link.info()?.ifindex, 0)
            })
        }));
    }
    let host = t.host.ticket()?;
    actors.push(Actor::new("single devices", move |turn| {
        let host = host.enter()?;
        turn.repeat(|| {
            let index = Spec::l2().rx_queues(2).create_single("single", &host)?;
            Ok(host.del_link(index)?)
        })
    }));
    against(t, actors)?;
    module::unload()?;
    built_in_works(t)
}

/// A device that moves is on no list for a moment, or on one that was walked already.
fn takeover_against_moves(t: &Ctx) -> Result<()> {
    /// So many that RTNL is released on the way from the first namespace to the last one.
    const BETWEEN: usize = 60;
    module::load(&t.module)?;
    let first = t.ns()?;
    let _between = (0..BETWEEN).map(|_| t.ns()).collect::<Result<Vec<_>>>()?;
    let spaces = [first, t.ns()?, t.ns()?];
    for n in 0..8 {
        let (name, peer) = (format!("m{n}"), format!("p{n}"));
        Spec::l3().create_as(&name, &peer, &spaces[n % 3], &spaces[n % 3])?;
    }
    let mut actors = Vec::new();
    for (who, first) in [("movers of primaries", 'm'), ("movers of peers", 'p')] {
        let tickets = [
            spaces[0].ticket()?,
            spaces[1].ticket()?,
            spaces[2].ticket()?,
        ];
        actors.push(Actor::new(who, move |turn| {
            let spaces: Vec<Ns> = tickets
                .into_iter()
                .map(|ticket| ticket.enter())
                .collect::<Result<_>>()?;
            turn.repeat(|| {
                for (n, from) in spaces.iter().enumerate() {
                    for link in netkit::devices(from)? {
                        if link.name().starts_with(first) {
                            from.move_to(link.index, &spaces[(n + 1) % 3])?;
                        }
                    }
                }
                Ok(())
            })
        }));
    }
    actors.push(complete_exchanges(t.devices()?));
    race_and_take_over(t, actors)?;
    for side in ["0", "1"] {
        module::set_takeover(side)?;
        let ours = if side == "1" { t.devices()? } else { 0 };
        check::equal("devices that are the module's", module::devices()?, ours)?;
    }
    check::equal("devices", t.devices()?, 16)?;
    module::unload()?;
    built_in_works(t)
}

fn takeover_against_namespaces(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let pod = t.ns()?;
    let flood = Flood::default();
    let mut actors = flood.datagrams(&t.host, &pod)?;
    let host = t.host.ticket()?;
    actors.push(Actor::new("namespaces", move |turn| {
        let host = host.enter()?;
        let prog = Prog::returning(NEXT)?;
        let mut links = VecDeque::new();
        turn.repeat(|| {
            let dies = Ns::new()?;
            let pair = set_up(Spec::l3(), &host, &dies)?;
            Spec::l2().create_as("a", "b", &dies, &dies)?;
            links.push_back(Link::create(&prog, pair.primary, PEER, Place::default())?);
            drop(dies);
            // Sooner or later, and often while the devices change hands.
            check::soon("the pair goes with the namespace", || {
                Ok(host.link_by_index(pair.primary).is_err())
            })?;
            if links.len() > 3 {
                let oldest: Option<Link> = links.pop_front();
                let ifindex = oldest.map_or(Ok(0), |link| link.info().map(|info| info.ifindex));
                check::equal("the link's device", ifindex, Ok(0))?;
            }
            Ok(())
        })
    }));
    actors.push(exchanges());
    t.note(race(t.race, actors)?);
    t.note(format!("{} datagrams got away", flood.total()));
    module::unload()?;
    built_in_works(t)
}
