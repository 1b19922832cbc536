// SPDX-License-Identifier: GPL-2.0
//! Unloading while links are being released; and that nothing is left of an unloaded module.

use std::fs;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use nix::unistd::gettid;

use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::POD4;
use crate::faults::probe::Probe;
use crate::module;
use crate::module::PATCH;
use crate::netkit::Spec;
use crate::netkit::NEXT;
use crate::runner::BPFFS;
use crate::tests::module::built_in_works;
use crate::tests::module::in_force;
use crate::tests::module::joined;
use crate::tests::tests;
use crate::traffic;

tests![
    unload_while_links_are_freed,
    unload_waits_for_who_sleeps_in_a_link,
    nothing_of_it_is_reachable,
];

/// A link whose last holder is a file is freed by a worker, after an RCU grace period.
fn unload_while_links_are_freed(t: &Ctx) -> Result<()> {
    let mut on_their_way = 0;
    for round in 0..t.rounds.clamp(2, 5) {
        module::load(&t.module)?;
        let index = Spec::l3().create(&t.host, &t.host)?.primary;
        let mut pins = Vec::new();
        for number in 0..20 {
            let prog = Prog::returning(NEXT)?;
            let hook = [PRIMARY, PEER][number % 2];
            let path = Path::new(BPFFS).join(format!("link{number}"));
            Link::create(&prog, index, hook, Place::default())?.pin(&path)?;
            pins.push(path);
        }
        for pin in &pins {
            fs::remove_file(pin)?;
        }
        for hook in [PRIMARY, PEER] {
            on_their_way += mprog::query(index, hook)?.count;
        }
        if round == 1 {
            t.host.del_link(index)?;
        }
        module::unload()?;
        if round != 1 {
            t.host.del_link(index)?;
        }
    }
    t.note(format!("{on_their_way} links still on"));
    check::that("links still on their way", on_their_way > 0)?;
    built_in_works(t)
}

/// Who closes or detaches a link sleeps until it gets RTNL, inside a function of the module: the livepatch core has to see
/// him there, and to wait, before it lets go of the module.
fn unload_waits_for_who_sleeps_in_a_link(t: &Ctx) -> Result<()> {
    const HELD: Duration = Duration::from_secs(20);
    const WATCHED: Duration = Duration::from_secs(4);
    let probe = Probe::load(t)?;
    module::load(&t.module)?;
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let prog = Prog::returning(NEXT)?;
    let [closed, detached] =
        [PRIMARY, PEER].map(|hook| Link::create(&prog, pair.primary, hook, Place::default()));
    let (closed, detached) = (closed?, detached?);
    thread::scope(|scope| {
        let holder = scope.spawn(|| probe.hold_rtnl(HELD));
        let begun = Instant::now();
        // Whoever looks at a device asks for RTNL, and would wait for it: so much time that the other one has it.
        thread::sleep(HELD / 10);
        let (say, hear) = channel();
        let say_it = say.clone();
        let leavers = [
            scope.spawn(move || {
                say_it.send(gettid())?;
                drop(closed);
                Ok(())
            }),
            scope.spawn(move || {
                say.send(gettid())?;
                Ok(detached.detach()?)
            }),
        ];
        let stacks = [hear.recv()?, hear.recv()?].map(|id| format!("/proc/self/task/{id}/stack"));
        let inside = || -> Result<bool> {
            let stacks: Vec<_> = stacks.iter().map(fs::read_to_string).collect();
            let inside = |stack: &std::io::Result<String>| {
                stack
                    .as_ref()
                    .is_ok_and(|stack| stack.contains("[netkit_rs]"))
            };
            Ok(stacks.iter().all(inside))
        };
        check::soon("both sleep in the module", inside)?;
        // The module waits ten seconds for RTNL to hand the devices back, then leaves that to its end.
        fs::write(format!("{PATCH}/enabled"), "0").context(PATCH)?;
        let watched = Instant::now();
        while watched.elapsed() < WATCHED {
            check::that("both still sleep there", inside()?)?;
            check::that(
                "the livepatch core waits for them",
                Path::new(PATCH).exists(),
            )?;
            thread::sleep(Duration::from_millis(50));
        }
        check::that("RTNL was held meanwhile", begun.elapsed() < HELD)?;
        joined(holder)?;
        leavers.into_iter().try_for_each(joined)
    })?;
    module::unload()?;
    t.host.del_link(pair.primary)?;
    probe.unload()?;
    built_in_works(t)
}

/// Lines of a file of the kernel's that name the module.
fn traces(path: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(path)?;
    let lines = text.lines().filter(|line| line.contains("netkit_rs"));
    Ok(lines.map(str::to_owned).collect())
}

fn nothing_of_it_is_reachable(t: &Ctx) -> Result<()> {
    const LISTS: [&str; 3] = [
        "/proc/kallsyms",
        "/proc/modules",
        "/sys/kernel/tracing/enabled_functions",
    ];
    let patched = || -> Result<Vec<String>> {
        let text = fs::read_to_string(LISTS[2])?;
        let lines = text.lines().filter(|line| line.starts_with("netkit_"));
        Ok(lines.map(str::to_owned).collect())
    };
    module::load(&t.module)?;
    let duo = t.duo(Spec::l3())?;
    let prog = Prog::returning(NEXT)?;
    let link = Link::create(&prog, duo.pair.primary, PRIMARY, Place::default())?;
    mprog::attach(&prog, duo.pair.primary, PEER, Place::default())?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    // The lists do name it while it is there.
    for list in &LISTS[..2] {
        check::that(list, !traces(list)?.is_empty())?;
    }
    check::equal(
        "functions of the kernel's netkit that go elsewhere",
        patched()?.len(),
        12,
    )?;
    module::unload()?;
    for list in LISTS {
        check::equal(list, traces(list)?, Vec::<String>::new())?;
    }
    check::equal(
        "functions that go elsewhere",
        patched()?,
        Vec::<String>::new(),
    )?;
    for path in ["/sys/module/netkit_rs", PATCH] {
        check::that(path, !Path::new(path).exists())?;
    }
    // All that might call it: notifiers of every kind of event, the link types, the stack, the BPF link.
    let dummy = t.host.add_device("dummy0", "dummy")?;
    t.host.up(dummy)?;
    t.host.set_mtu(dummy, 1400)?;
    t.host.down(dummy)?;
    let other = t.ns()?;
    t.host.move_to(dummy, &other)?;
    other.del_link(other.link("dummy0")?.index)?;
    in_force(&link, &prog, duo.pair.primary)?;
    duo.host.del_link(duo.pair.primary)?;
    drop(link);
    built_in_works(t)
}
