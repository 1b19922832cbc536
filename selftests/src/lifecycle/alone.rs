// SPDX-License-Identifier: GPL-2.0
//! Unloading while links are on their way out, and what an unloaded module has left: nothing.

use std::fs;
use std::path::Path;

use anyhow::ensure;
use anyhow::Result;

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
use crate::netkit::NEXT;
use crate::runner::BPFFS;
use crate::tests::module::built_in_works;
use crate::tests::tests;
use crate::traffic;

tests![unload_while_links_are_freed, nothing_of_it_is_reachable];

/// A link whose last holder is a file is freed by a worker, after an RCU grace period.
fn unload_while_links_are_freed(t: &Ctx) -> Result<()> {
    for round in 0..t.rounds.min(3) {
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
        if round == 1 {
            t.host.del_link(index)?;
        }
        module::unload()?;
    }
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
        10,
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
    for path in ["/sys/module/netkit_rs", "/sys/kernel/livepatch/netkit_rs"] {
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
    ensure!(link.info()?.ifindex == 0, "the link is on a device");
    drop((link, duo));
    built_in_works(t)
}
