// SPDX-License-Identifier: GPL-2.0
//! Nothing that user space can read changes with the driver, and no netlink notification is sent.

use anyhow::Result;

use super::picture::Camera;
use super::picture::Picture;
use super::states::in_each;
use super::states::State;
use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::POD4;
use crate::module;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::NEXT;
use crate::netkit::SCRUB_NONE;
use crate::nl::Monitor;
use crate::tests::tests;
use crate::traffic;

tests![shown_the_same, made_by_ours_shown_the_same];

/// Pairs and single devices of several kinds in several namespaces, some with programs and links on them.
fn devices(t: &Ctx) -> Result<Vec<Link>> {
    let duo = t.duo(Spec::l3())?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    Spec::l2()
        .policy(DROP)
        .headroom(100)
        .tailroom(20)
        .create_as("a", "b", &t.host, &t.host)?;
    Spec::l3()
        .peer_policy(DROP)
        .peer_scrub(SCRUB_NONE)
        .create_as("c", "d", &duo.pod, &t.host)?;
    let single = Spec::l2().rx_queues(3).create_single("e", &t.host)?;
    t.host.up(single)?;
    let index = duo.pair.primary;
    let mut links = Vec::new();
    for hook in [PRIMARY, PEER] {
        mprog::attach(Prog::returning(NEXT)?, index, hook, Place::default())?;
        let prog = Prog::returning(NEXT)?;
        links.push(Link::create(&prog, index, hook, Place::default())?);
        // A revision beyond the first.
        links[0]
            .update(&prog, None)
            .or_else(|_| links[0].update(Prog::returning(NEXT)?, None))?;
    }
    Ok(links)
}

fn shown_the_same(t: &Ctx) -> Result<()> {
    let links = devices(t)?;
    let monitors: Vec<_> = t
        .spaces()
        .iter()
        .map(|ns| ns.run(|| Ok(Monitor::links()?)))
        .collect::<Result<_>>()?;
    let camera = Camera::new(t, &links)?;
    let mut before = Picture::default();
    in_each(t, |state| {
        let now = camera.take()?;
        if state == State::BuiltIn {
            t.note(format!("{} things compared", now.len()));
            before = now.clone();
        }
        for monitor in &monitors {
            check::equal("messages to listeners", monitor.drain()?.len(), 0)?;
        }
        before.same_as(&now)
    })?;
    // The listeners do hear what there is to hear.
    t.host.set_mtu(t.host.link("a")?.index, 1400)?;
    check::that("a message", !monitors[0].drain()?.is_empty())
}

/// The other way round: what the module has made looks the same when it is the built-in driver's.
fn made_by_ours_shown_the_same(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let links = devices(t)?;
    let camera = Camera::new(t, &links)?;
    let before = camera.take()?;
    module::hand_back()?;
    before.same_as(&camera.take()?)?;
    module::unload()?;
    before.same_as(&camera.take()?)
}
