// SPDX-License-Identifier: GPL-2.0
//! Another livepatch: one in transition keeps ours from coming and going, a cumulative one takes ours off.

use std::path::Path;

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
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::NEXT;
use crate::tests::module::built_in_works;
use crate::tests::module::come_and_go;
use crate::tests::module::defunct;
use crate::tests::module::meanwhile;
use crate::tests::tests;
use crate::traffic;

tests![
    load_during_a_transition,
    unload_during_a_transition,
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
    // Devices that come between the change of the link type and the patch, which is refused, go with the former.
    let mut given_up = 0;
    meanwhile(come_and_go, |_| {
        for _ in 0..40 {
            check::errno("loading", module::insert(&t.module), Errno::EBUSY)?;
            given_up += kmsg.lines().iter().filter(|line| told(line)).count();
            if given_up >= 3 {
                break;
            }
        }
        Ok(())
    })?;
    check::that("some loads got as far as the patch", given_up > 0)?;
    built_in_works(t)?;
    check::that("it is still in transition", other.in_transition()?)?;
    drop(sleeper);
    other.settle()?;
    module::load(&t.module)?;
    serves(&t.duo(Spec::l3())?)?;
    module::unload()?;
    other.unload()?;
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
    built_in_works(t)?;
    other.unload()
}

/// Ours is off, and the module is in: packets go on, management is refused, links can be closed, unloading works.
fn cumulative_patch(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let duo = t.duo(Spec::l3())?;
    let index = duo.pair.primary;
    let (next, drops) = (Prog::returning(NEXT)?, Prog::returning(DROP)?);
    let held = Link::create(&next, index, PEER, Place::default())?;
    let blocks = Link::create(&drops, index, PRIMARY, Place::default())?;
    mprog::attach(&next, index, PRIMARY, Place::default())?;
    let other = Other::load(t, true)?;
    other.settle()?;
    check::soon(
        "ours is replaced",
        || Ok(!Path::new(module::PATCH).exists()),
    )?;
    check::soon(
        "nothing holds the module",
        || Ok(module::references()? == 0),
    )?;

    check::equal(
        "arrives",
        traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), false)?,
        false,
    )?;
    check::equal("detaching a link", blocks.detach(), Ok(()))?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    traffic::tcp_exchange(&duo.host, &duo.pod, POD4.into(), 100_000)?;

    let refused = Errno::ENXIO;
    let place = Place::default();
    check::errno("query", mprog::query(index, PRIMARY), refused)?;
    check::errno(
        "attach",
        mprog::attach(&drops, index, PRIMARY, place),
        refused,
    )?;
    check::errno(
        "detach",
        mprog::detach(Some(&next), index, PRIMARY, place),
        refused,
    )?;
    check::errno(
        "link",
        Link::create(&drops, index, PEER, place).map(drop),
        refused,
    )?;
    // C's functions see to a link on our device: what it is on, what it runs.
    check::equal("the link's device", held.info()?.ifindex, duo.pair.peer)?;
    let line = format!("ifindex:\t{}\n", duo.pair.peer);
    check::that("fdinfo", held.fdinfo()?.contains(&line))?;
    for (prog, passes) in [(&drops, false), (&next, true)] {
        check::equal("update", held.update(prog, None), Ok(()))?;
        check::equal("program", held.info()?.prog_id, prog.id)?;
        let arrives = traffic::udp_arrives(&duo.pod, &duo.host, HOST4.into(), passes)?;
        check::equal("arrives", arrives, passes)?;
    }

    // Devices still are ours to make, and to change.
    let pair = Spec::l2().create_as("more0", "more1", &t.host, &t.host)?;
    t.host.set_mtu(pair.primary, 1400)?;
    t.host.del_link(pair.peer)?;

    module::unload()?;
    defunct(&held, &next)?;
    built_in_works(t)?;
    other.unload()
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
    built_in_works(t)
}
