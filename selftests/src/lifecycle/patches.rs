// SPDX-License-Identifier: GPL-2.0
//! Other livepatches. While one is in transition, ours can be neither loaded nor unloaded. An ordinary livepatch that
//! is loaded after ours changes nothing. A cumulative livepatch replaces ours, and the devices go back to the built-in
//! driver.

use std::cell::RefCell;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use anyhow::anyhow;
use anyhow::Result;
use nix::errno::Errno;

use super::other;
use super::other::Other;
use super::other::Sleeper;
use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::kmsg::Kmsg;
use crate::module;
use crate::module::PATCH;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::NEXT;
use crate::takeover::states;
use crate::tests::module::built_in_works;
use crate::tests::module::come_and_go;
use crate::tests::module::in_force;
use crate::tests::module::meanwhile;
use crate::tests::tests;
use crate::traffic;

tests![
    load_during_a_transition,
    unload_during_a_transition,
    ordinary_patch,
    cumulative_patch,
    load_after_a_cumulative_patch,
];

/// The error of the command names the other patch.
fn names_the_other(answer: Result<()>) -> Result<()> {
    let said = answer
        .err()
        .map(|error| format!("{error:#}"))
        .unwrap_or_default();
    check::that(
        &format!("{} named in \"{said}\"", other::NAME),
        said.contains(other::NAME),
    )
}

fn load_during_a_transition(t: &Ctx) -> Result<()> {
    let sleeper = Sleeper::new()?;
    let other = Other::load(t, false)?;
    check::that("the other one is in transition", other.in_transition()?)?;
    let mut kmsg = Kmsg::tail()?;
    for _ in 0..2 {
        check::errno("loading", module::insert(&t.module), Errno::EBUSY)?;
    }
    let lines = kmsg.lines();
    let told = |line: &String| line.contains("netkit_rs: cannot livepatch the kernel");
    check::that(&format!("a reason in {lines:?}"), lines.iter().any(told))?;
    names_the_other(module::load(&t.module))?;
    built_in_works(t)?;
    // Devices that are made in the meantime belong to the built-in driver.
    meanwhile(come_and_go, |_| {
        for _ in 0..10 {
            check::errno("loading", module::insert(&t.module), Errno::EBUSY)?;
        }
        Ok(())
    })?;
    built_in_works(t)?;
    check::that("it is still in transition", other.in_transition()?)?;
    drop(sleeper);
    other.settle()?;
    module::load(&t.module)?;
    let duo = t.duo(Spec::l3())?;
    serves(&duo)?;
    module::unload()?;
    serves(&duo)?;
    other.unload()?;
    duo.host.del_link(duo.pair.primary)?;
    built_in_works(t)
}

/// Packets and management, both.
fn serves(duo: &Duo) -> Result<()> {
    let prog = Prog::returning(NEXT)?;
    let link = Link::create(&prog, duo.pair.primary, PEER, Place::default())?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    Ok(link.detach()?)
}

fn unload_during_a_transition(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let duo = t.duo(Spec::l3())?;
    let sleeper = Sleeper::new()?;
    let other = Other::load(t, false)?;
    names_the_other(module::unload())?;
    check::that("it is still in transition", other.in_transition()?)?;
    serves(&duo)?;
    drop(sleeper);
    other.settle()?;
    module::unload()?;
    serves(&duo)?;
    duo.host.del_link(duo.pair.primary)?;
    built_in_works(t)?;
    other.unload()
}

/// Manages programs and links on a pair continuously while `body` runs. No operation may fail. Returns their
/// number.
fn while_it_serves(duo: &Duo, body: impl FnOnce() -> Result<()>) -> Result<u32> {
    let ticket = duo.host.ticket()?;
    let index = duo.pair.primary;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let manager = scope.spawn(|| -> Result<u32> {
            let _ns = ticket.enter()?;
            let [prog, other] = [Prog::returning(NEXT)?, Prog::returning(NEXT)?];
            let mut rounds = 0;
            while !over.load(Relaxed) {
                let before = mprog::query(index, PEER)?.count;
                mprog::attach(&prog, index, PEER, Place::default())?;
                check::equal("programs", mprog::query(index, PEER)?.count, before + 1)?;
                mprog::detach(Some(&prog), index, PEER, Place::default())?;
                let link = Link::create(&prog, index, PEER, Place::default())?;
                link.update(&other, Some(&prog))?;
                link.detach()?;
                rounds += 1;
            }
            Ok(rounds)
        });
        let outcome = body();
        over.store(true, Relaxed);
        let rounds = manager
            .join()
            .map_err(|_| anyhow!("the manager panicked"))??;
        outcome.map(|()| rounds)
    })
}

/// Our livepatch stays in force, or is in force again at once.
fn ordinary_patch(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let duo = t.duo(Spec::l3())?;
    let served = while_it_serves(&duo, || {
        let other = Other::load(t, false)?;
        other.settle()?;
        states::all_ours(t)?;
        other.unload()?;
        states::all_ours(t)
    })?;
    t.note(format!("{served} rounds of management meanwhile"));
    check::that("managed meanwhile", served > 0)?;
    module::unload()
}

/// The devices are the built-in driver's before ours is replaced: packets and management go on all the time.
fn cumulative_patch(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let duo = t.duo(Spec::l3())?;
    let index = duo.pair.primary;
    let (next, drops) = (Prog::returning(NEXT)?, Prog::returning(DROP)?);
    let held = Link::create(&next, index, PEER, Place::default())?;
    let blocks = Link::create(&drops, index, PRIMARY, Place::default())?;
    let other = RefCell::new(None);
    let served = while_it_serves(&duo, || {
        let cumulative = Other::load(t, true)?;
        check::equal("devices that are the module's", module::devices()?, 0)?;
        cumulative.settle()?;
        other.replace(Some(cumulative));
        check::soon("ours is replaced", || Ok(!Path::new(PATCH).exists()))
    })?;
    t.note(format!("{served} rounds of management meanwhile"));
    check::that("managed meanwhile", served > 0)?;
    check::soon(
        "nothing holds the module",
        || Ok(module::references()? == 0),
    )?;
    states::all_theirs()?;

    let arrives = traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), false)?;
    check::equal("arrives", arrives, false)?;
    check::equal("detaching a link", blocks.detach(), Ok(()))?;
    serves(&duo)?;
    traffic::tcp_exchange(&duo.host, &duo.pod, POD4.into(), 100_000)?;
    in_force(&held, &next, duo.pair.peer)?;
    for (prog, passes) in [(&drops, false), (&next, true)] {
        check::equal("update", held.update(prog, None), Ok(()))?;
        let arrives = traffic::udp_arrives(&duo.pod, &duo.host, HOST4.into(), passes)?;
        check::equal("arrives", arrives, passes)?;
    }
    let pair = Spec::l2().create_as("more0", "more1", &t.host, &t.host)?;
    t.host.set_mtu(pair.primary, 1400)?;
    t.host.del_link(pair.peer)?;
    // Without its livepatch, the module takes nothing over.
    check::that("no takeover", module::set_takeover("1").is_err())?;
    states::all_theirs()?;

    module::unload()?;
    in_force(&held, &next, duo.pair.peer)?;
    // And the next load has them again, beside the other one.
    module::load(&t.module)?;
    states::all_ours(t)?;
    serves(&duo)?;
    module::unload()?;
    held.detach()?;
    t.host.del_link(index)?;
    built_in_works(t)?;
    other.take().map_or(Ok(()), Other::unload)
}

fn load_after_a_cumulative_patch(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let other = Other::load(t, true)?;
    other.settle()?;
    module::unload()?;
    module::load(&t.module)?;
    let duo = t.duo(Spec::l3())?;
    serves(&duo)?;
    // The older patch may go first.
    other.unload()?;
    serves(&duo)?;
    module::unload()?;
    serves(&duo)?;
    duo.host.del_link(duo.pair.primary)?;
    built_in_works(t)
}
