// SPDX-License-Identifier: GPL-2.0
//! Each step of loading is made to fail. After that, the built-in driver must serve as before, and the next load must
//! work.
//!
//! A probe (faults/probe.rs) makes a step fail. To test a kernel that lacks a symbol, a copy of the module asks for a
//! symbol that no kernel has.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;

use crate::check;
use crate::ctx::Ctx;
use crate::ctx::POD4;
use crate::faults::probe::Probe;
use crate::kmsg::Kmsg;
use crate::module;
use crate::netkit::Spec;
use crate::tests::module::built_in_works;
use crate::tests::tests;
use crate::traffic;

tests![step_fails, function_missing, symbol_missing];

/// The one step of loading that the kernel may refuse, once it is known to be the right kernel.
const STEPS: &[(&str, Errno)] = &[
    ("klp_enable_patch", Errno::ENOMEM),
    ("klp_enable_patch", Errno::EINVAL),
];

fn step_fails(t: &Ctx) -> Result<()> {
    let probe = Probe::load(t)?;
    let duo = t.duo(Spec::l3())?;
    for (function, errno) in STEPS {
        probe.arm(function, 0, -(*errno as i64))?;
        check::errno(function, module::insert(&t.module), *errno)?;
        check::that(&format!("{function} was made to fail"), probe.fired()?)?;
        traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    }
    probe.unload()?;
    module::load(&t.module)?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    module::unload()?;
    duo.host.del_link(duo.pair.primary)?;
    built_in_works(t)
}

/// A copy of the module in which the last letter of each `name`, as a whole word, is changed.
fn spoilt(t: &Ctx, name: &str) -> Result<PathBuf> {
    let mut bytes = fs::read(&t.module).with_context(|| t.module.display().to_string())?;
    let word = [name.as_bytes(), b"\0"].concat();
    let mut found = 0;
    for at in 1..bytes.len().saturating_sub(word.len()) {
        let whole = !bytes[at - 1].is_ascii_graphic();
        if whole && bytes[at..].starts_with(&word) {
            bytes[at + name.len() - 1 - usize::from(name.ends_with(",0")) * 2] = b'X';
            found += 1;
        }
    }
    ensure!(found > 0, "the module does not hold {name}");
    let path = Path::new("/tmp").join("spoilt.ko");
    fs::write(&path, bytes).context("a copy of the module")?;
    Ok(path)
}

fn refused_for(t: &Ctx, name: &str, word: &str) -> Result<()> {
    let path = spoilt(t, name)?;
    let mut kmsg = Kmsg::tail()?;
    check::errno("loading", module::insert(&path), Errno::EINVAL)?;
    let lines = kmsg.lines();
    check::that(
        &format!("{word} in {lines:?}"),
        lines.iter().any(|line| line.contains(word)),
    )?;
    check::that("the module is out", !module::is_loaded())?;
    built_in_works(t)?;
    fs::remove_file(path)?;
    module::load(&t.module)?;
    module::unload()
}

/// One of the functions to replace: the livepatch core does not find it, as the last step of loading.
fn function_missing(t: &Ctx) -> Result<()> {
    refused_for(t, "netkit_link_attach", "netkit_link_attacX")
}

/// A symbol that the module uses: the loader does not find it, before the module's first instruction.
fn symbol_missing(t: &Ctx) -> Result<()> {
    refused_for(t, ".klp.sym.vmlinux.netkit_link_ops,0", "netkit_link_opX")
}
