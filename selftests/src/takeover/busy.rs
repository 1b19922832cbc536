// SPDX-License-Identifier: GPL-2.0
//! RTNL is busy for longer than the module waits. Nothing breaks, the module reports it, and completes the exchange when
//! RTNL is free.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use nix::errno::Errno;

use super::states;
use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::POD4;
use crate::faults::probe::Probe;
use crate::kmsg::Kmsg;
use crate::module;
use crate::netkit::Spec;
use crate::netkit::NEXT;
use crate::tests::module::built_in_works;
use crate::tests::module::joined;
use crate::tests::tests;
use crate::traffic;

tests![
    no_rtnl_for_loading,
    no_rtnl_for_unloading,
    no_rtnl_for_the_parameter
];

/// Longer than the ten seconds that the module waits for, and what comes before.
const HELD: Duration = Duration::from_secs(13);
const HELD_OVER_A_TRANSITION: Duration = Duration::from_secs(20);
/// So that the thread that holds RTNL has it before others ask for it.
const HEAD_START: Duration = Duration::from_millis(500);

/// Runs `body` while RTNL is held; it must not look at devices by netlink, which would wait, too.
fn without_rtnl(probe: &Probe, time: Duration, body: impl FnOnce() -> Result<()>) -> Result<()> {
    thread::scope(|scope| {
        let holder = scope.spawn(|| probe.hold_rtnl(time));
        thread::sleep(HEAD_START);
        let outcome = body();
        let held = !holder.is_finished();
        joined(holder)?;
        outcome?;
        check::that("RTNL was held all the time", held)
    })
}

/// The module has said that it waited in vain, and the state is what it says.
fn incomplete(kmsg: &mut Kmsg, what: &str) -> Result<()> {
    let mut lines = Vec::new();
    check::soon(&format!("the log tells of devices {what}"), || {
        lines.extend(kmsg.lines());
        let told = |line: &String| {
            line.contains("netkit_rs: RTNL was busy for 10 s") && line.contains(what)
        };
        Ok(lines.iter().any(told))
    })?;
    check::equal("takeover", module::takeover()?, "incomplete")
}

/// Without anybody's help, once RTNL is free.
fn completed(side: &str) -> Result<()> {
    check::soon("the exchange is complete", || {
        Ok(module::takeover()? == side)
    })
}

/// Packets, programs, settings, and new pairs.
fn serves(t: &Ctx, duo: &Duo) -> Result<()> {
    let index = duo.pair.primary;
    let prog = Prog::returning(NEXT)?;
    for hook in [PRIMARY, PEER] {
        let link = Link::create(&prog, index, hook, Place::default())?;
        check::equal("programs", mprog::query(index, hook)?.count, 1)?;
        link.detach()?;
    }
    duo.host.set_mtu(index, 1400)?;
    duo.host.set_mtu(index, 1500)?;
    let pair = Spec::l2().create_as("more0", "more1", &t.host, &t.host)?;
    t.host.del_link(pair.peer)?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)
}

fn no_rtnl_for_loading(t: &Ctx) -> Result<()> {
    let probe = Probe::load(t)?;
    let duo = t.duo(Spec::l3())?;
    let mut kmsg = Kmsg::tail()?;
    without_rtnl(&probe, HELD_OVER_A_TRANSITION, || {
        module::insert(&t.module)?;
        incomplete(&mut kmsg, "taken over")
    })?;
    module::wait_loaded()?;
    completed("on")?;
    states::all_ours(t)?;
    serves(t, &duo)?;
    states::take_over(t)?;
    serves(t, &duo)?;
    module::unload()?;
    probe.unload()?;
    t.host.del_link(duo.pair.primary)?;
    built_in_works(t)
}

fn no_rtnl_for_unloading(t: &Ctx) -> Result<()> {
    let probe = Probe::load(t)?;
    let duo = t.duo(Spec::l3())?;
    module::load(&t.module)?;
    let held = Link::create(
        Prog::returning(NEXT)?,
        duo.pair.primary,
        PRIMARY,
        Place::default(),
    )?;
    let mut kmsg = Kmsg::tail()?;
    without_rtnl(&probe, HELD_OVER_A_TRANSITION, || {
        // Waits for RTNL as long as the module does, and continues without it.
        module::disable()?;
        incomplete(&mut kmsg, "handed back")
    })?;
    // The built-in driver's functions run, so nobody could attach a program to a device that is still the module's.
    completed("off")?;
    states::all_theirs()?;
    let other = Link::create(
        Prog::returning(NEXT)?,
        duo.pair.primary,
        PEER,
        Place::default(),
    )?;
    other.detach()?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    module::unload()?;
    check::equal("the link's device", held.info()?.ifindex, duo.pair.primary)?;
    held.detach()?;
    serves(t, &duo)?;
    probe.unload()?;
    t.host.del_link(duo.pair.primary)?;
    built_in_works(t)
}

fn no_rtnl_for_the_parameter(t: &Ctx) -> Result<()> {
    let probe = Probe::load(t)?;
    let duo = t.duo(Spec::l3())?;
    module::load(&t.module)?;
    let mut kmsg = Kmsg::tail()?;
    without_rtnl(&probe, HELD, || {
        check::errno("handing back", module::set_takeover("0"), Errno::EBUSY)?;
        incomplete(&mut kmsg, "handed back")
    })?;
    completed("off")?;
    states::all_theirs()?;
    serves(t, &duo)?;
    states::take_over(t)?;
    states::hand_back()?;
    serves(t, &duo)?;
    for text in ["2", "yes please", ""] {
        let refused = module::set_takeover(text).is_err();
        // An empty write never gets to the module.
        check::equal(&format!("\"{text}\" is refused"), refused, !text.is_empty())?;
    }
    module::unload()?;
    probe.unload()
}
