// SPDX-License-Identifier: GPL-2.0
//! The long run: only netkit_rs, one sequence after the other. The run fails if a sequence leaves something behind.
//!
//! After each sequence, the runner checks for programs and links that still exist, and for defects in the kernel log.
//! This file shows the progress and watches the memory of the machine. At the end it checks the module's references,
//! devices that are left and, if the kernel has it, kmemleak.

use std::fs;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use indicatif::HumanCount;
use indicatif::HumanDuration;
use indicatif::ProgressBar;
use indicatif::ProgressStyle;

use super::run;
use super::world;
use super::Plan;
use crate::check;
use crate::module;
use crate::netkit;
use crate::nl::Netlink;
use crate::runner;
use crate::runner::Settings;

/// How often progress is printed if the output is not a terminal.
const SILENCE: Duration = Duration::from_secs(30);
const KMEMLEAK: &str = "/sys/kernel/debug/kmemleak";

/// Runs the plan's sequences from `first` on.
pub fn endure(plan: Plan, first: u64, settings: &Settings) -> Result<()> {
    println!(
        "# {} operations in {} sequences, seed {}",
        HumanCount(plan.operations),
        plan.sequences(),
        plan.seed
    );
    module::load(&settings.module)?;
    let references = module::references()?;
    let before = slab()?;
    let outcome = sequences(plan, first, settings);
    check::soon("the module's references are back", || {
        Ok(module::references()? == references)
    })?;
    let strays: Vec<_> = netkit::devices(&Netlink::open()?)?
        .iter()
        .map(|link| link.name())
        .collect();
    module::unload()?;
    outcome?;
    ensure!(strays.is_empty(), "devices of no test: {strays:?}");
    leaked(Path::new(KMEMLEAK))?;
    println!(
        "# kernel memory: {before} KiB before, {} KiB after",
        slab()?
    );
    Ok(())
}

fn sequences(plan: Plan, first: u64, settings: &Settings) -> Result<()> {
    let start = Instant::now();
    let bar = ProgressBar::new(plan.operations);
    bar.set_style(ProgressStyle::with_template(
        "{bar:40} {human_pos}/{human_len} operations, {per_sec}, {eta} left",
    )?);
    bar.set_position(first * u64::from(plan.steps));
    let mut told = Instant::now();
    for number in first..plan.sequences() {
        let name = format!("{}seed_{}_{number}", super::PREFIX, plan.seed);
        let test = run(name, move |ctx| world::endure(ctx, &plan.sequence(number)?));
        if let Some(why) = runner::run(&test, settings)?.failure {
            bar.abandon();
            bail!(
                "sequence {number}: {why}\nto run it again: make fuzz-long FUZZ_SEED={} FUZZ_FROM={number}",
                plan.seed
            );
        }
        bar.inc(plan.steps.into());
        if told.elapsed() > SILENCE && !std::io::stderr().is_terminal() {
            told = Instant::now();
            let done = (number - first + 1) * u64::from(plan.steps);
            println!(
                "# {} operations in {}, {} a second",
                HumanCount(done),
                HumanDuration(start.elapsed()),
                done / start.elapsed().as_secs().max(1)
            );
        }
    }
    bar.finish();
    println!("# done in {}", HumanDuration(start.elapsed()));
    Ok(())
}

/// Memory of the kernel's own that cannot be reclaimed, in KiB.
fn slab() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("SUnreclaim:"));
    let line = line.context("no SUnreclaim in /proc/meminfo")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Asks kmemleak, as often as the end of a run in the VM does (scripts/guest/init).
fn leaked(kmemleak: &Path) -> Result<()> {
    if !kmemleak.exists() {
        return Ok(());
    }
    for _ in 0..4 {
        fs::write(kmemleak, "scan").context("scanning for leaks")?;
        std::thread::sleep(Duration::from_secs(6));
    }
    let found = fs::read_to_string(kmemleak).context("reading kmemleak's report")?;
    ensure!(found.is_empty(), "kmemleak: {found}");
    Ok(())
}
