// SPDX-License-Identifier: GPL-2.0
//! The devices change drivers while they are used: packets, programs, leased queues.

use anyhow::ensure;
use anyhow::Result;

use super::arena::Actor;
use super::flood;
use super::flood::Flood;
use super::got_through;
use super::settled;
use super::takeover::against;
use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::lessor;
use crate::lessor::Card;
use crate::module;
use crate::netkit::Spec;
use crate::netkit::NEXT;
use crate::tests::tests;

tests![
    takeover_against_toggles,
    takeover_against_programs,
    takeover_against_leases,
];

fn takeover_against_toggles(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let duo = t.duo(Spec::l3())?;
    let flood = Flood::default();
    let mut actors = flood.datagrams(&duo.host, &duo.pod)?;
    actors.push(flood::stream(&duo.host, &duo.pod)?);
    for (name, ns, index) in [
        ("primary's toggles", duo.host.ticket()?, duo.pair.primary),
        ("peer's toggles", duo.pod.ticket()?, duo.pair.peer),
    ] {
        actors.push(Actor::new(name, move |turn| {
            let ns = ns.enter()?;
            turn.repeat(|| {
                ns.down(index)?;
                Ok(ns.up(index)?)
            })
        }));
    }
    against(t, actors)?;
    got_through(&flood)?;
    duo.up()?;
    settled(t, &duo)?;
    module::unload()?;
    settled(t, &duo)
}

fn takeover_against_programs(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let duo = t.duo(Spec::l2())?;
    let flood = Flood::default();
    let index = duo.pair.primary;
    let mut actors = flood.datagrams(&duo.host, &duo.pod)?;
    for (name, hook) in [("primary's programs", PRIMARY), ("peer's programs", PEER)] {
        actors.push(Actor::new(name, move |turn| {
            let [first, second] = [Prog::returning(NEXT)?, Prog::returning(NEXT)?];
            turn.repeat(|| {
                mprog::attach(&first, index, hook, Place::default())?;
                mprog::attach(&second, index, hook, Place::replace(&first))?;
                let link = Link::create(&first, index, hook, Place::default())?;
                let query = mprog::query(index, hook)?;
                ensure!(query.progs == [second.id, first.id], "programs: {query:?}");
                mprog::detach(Some(&second), index, hook, Place::default())?;
                link.update(&second, Some(&first))?;
                Ok(link.detach()?)
            })
        }));
    }
    against(t, actors)?;
    got_through(&flood)?;
    settled(t, &duo)?;
    module::unload()?;
    settled(t, &duo)
}

fn takeover_against_leases(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    lessor::with(t, || {
        let mut actors = Vec::new();
        for (name, with_card) in [("lessees", false), ("cards", true)] {
            let host = t.host.ticket()?;
            actors.push(Actor::new(name, move |turn| {
                let host = host.enter()?;
                let netdev = host.netdev()?;
                turn.repeat(|| {
                    let card = Card::create(&host, &format!("{name}0"), 2, 0, None)?;
                    host.up(card.index)?;
                    let index = Spec::l2().rx_queues(2).create_single(name, &host)?;
                    netdev.lease(index, card.offer(1, None))?;
                    if !with_card {
                        host.del_link(index)?;
                    }
                    host.del_link(card.index)?;
                    let left = host.link_by_index(index).is_ok();
                    check::equal("the lessee is left", left, false)
                })
            }));
        }
        against(t, actors)
    })?;
    module::unload()
}
