// SPDX-License-Identifier: GPL-2.0
//! The contract of netkit, as tests that run on the built-in C driver and on netkit_rs.
//!
//! Run this as root on the kernel to be tested, in a machine that may be destroyed (`make test` boots a VM). A test
//! that passes on C and fails on ours shows a defect of ours. A test that fails on C is wrong.

mod adopted;
mod afxdp;
mod bpf;
mod check;
mod command;
mod ctx;
mod differential;
mod dmabuf;
mod driver;
mod ending;
mod faults;
mod fuzz;
mod inject;
mod kmsg;
mod lessor;
mod lifecycle;
mod module;
mod netkit;
mod netns;
mod nl;
mod quick;
mod races;
mod runner;
mod suite;
mod takeover;
mod tests;
mod tracefs;
mod traffic;
mod uring;
mod vhost;

use std::fmt::Debug;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use anyhow::Result;
use clap::Parser;
use clap::ValueEnum;

use crate::differential::Plan;
use crate::ending::Ending;
use crate::runner::Settings;
use crate::suite::Suite;
use crate::tests::Test;

#[derive(Clone, Copy, Eq, PartialEq, ValueEnum)]
enum Drivers {
    C,
    Rust,
    Both,
}

#[derive(Parser)]
#[command(about = "Runs netkit's tests on the built-in driver and on netkit_rs.ko")]
struct Options {
    /// Instead of the tests
    #[command(subcommand)]
    ending: Option<Ending>,
    /// Which driver to test
    #[arg(long, value_enum, default_value = "both")]
    driver: Drivers,
    /// Run only the tests whose name contains this text (repeat for more)
    #[arg(long, value_name = "TEXT")]
    filter: Vec<String>,
    /// Leave out the tests whose name contains this text (repeat for more)
    #[arg(long, value_name = "TEXT")]
    skip: Vec<String>,
    /// The quick subset: a fifth of the suite, the tests of what could differ between kernels
    #[arg(long)]
    quick: bool,
    /// On ours, have each device made by the built-in driver and taken over; otherwise a part of the suite is run in this way,
    /// after all of it was run on both drivers
    #[arg(long)]
    adopted: bool,
    /// Name the tests and stop
    #[arg(long)]
    list: bool,
    /// The module to test
    #[arg(
        long,
        value_name = "PATH",
        default_value = "target/module/netkit_rs.ko"
    )]
    module: PathBuf,
    /// How often the repetition tests repeat
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u32,
    /// The folder of the modules that the tests bring along; ../test-modules of the module's if not given
    #[arg(long, value_name = "FOLDER")]
    helpers: Option<PathBuf>,
    /// How long each race goes on
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    seconds: u64,
    /// What the random sequences are made from
    #[arg(long, value_name = "N", default_value_t = 2026)]
    seed: u64,
    /// How many random sequences
    #[arg(long, value_name = "N", default_value_t = 60)]
    sequences: u32,
    /// How many operations a random sequence has
    #[arg(long, value_name = "N", default_value_t = 40)]
    steps: u32,
    /// How many operations with bad input
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1000,
        overrides_with = "fuzz"
    )]
    fuzz: u64,
    /// How many of them are a sequence
    #[arg(long, value_name = "N", default_value_t = 100)]
    fuzz_steps: u32,
    /// Nothing but bad input, on netkit_rs alone, judged by leaks and the kernel log
    #[arg(long)]
    fuzz_long: bool,
    /// The sequence that the long run begins with
    #[arg(long, value_name = "N", default_value_t = 0)]
    fuzz_from: u64,
    /// Seconds after which a test has failed
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// End at the first test that fails
    #[arg(long)]
    stop: bool,
    /// Write what the C driver showed to a file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Compare with what the C driver showed in an earlier run
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
}

fn main() -> ExitCode {
    netkit_rs::uname::for_aya();
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("netkit-selftests: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Shortens the first random sequence that tells the drivers apart, and shows it.
fn show_shortest(plan: &Plan, fuzz: &fuzz::Plan, suite: &Suite, settings: &Settings) -> Result<()> {
    for name in &suite.differing {
        if name.starts_with(differential::PREFIX) {
            let ops = plan.operations_of(name).unwrap_or_default();
            return show(name, ops, differential::test, settings);
        }
        if name.starts_with(fuzz::PREFIX) {
            let ops = fuzz.operations_of(name).unwrap_or_default();
            return show(name, ops, fuzz::test, settings);
        }
    }
    Ok(())
}

fn show<O: Clone + Debug>(
    name: &str,
    ops: Vec<O>,
    test: fn(String, Vec<O>) -> Test,
    settings: &Settings,
) -> Result<()> {
    println!("# shortening {name}");
    for op in differential::shortest(ops, test, settings)? {
        println!("#   {op:?}");
    }
    Ok(())
}

/// Answers whether all tests passed.
fn run(options: &Options) -> Result<bool> {
    if let Some(ending) = &options.ending {
        return ending::end(ending, &options.module).map(|()| true);
    }
    let plan = Plan {
        seed: options.seed,
        sequences: options.sequences,
        steps: options.steps,
    };
    let fuzz = fuzz::Plan {
        seed: options.seed,
        operations: options.fuzz,
        steps: options.fuzz_steps,
    };
    let mut tests = tests::all();
    tests.extend(faults::tests());
    tests.extend(races::tests());
    tests.extend(lifecycle::tests());
    tests.extend(takeover::tests());
    tests.extend(plan.tests()?);
    if !options.fuzz_long {
        tests.extend(fuzz.tests());
    }
    if !options.filter.is_empty() {
        tests.retain(|test| options.filter.iter().any(|text| test.name.contains(text)));
    }
    if options.quick {
        tests.retain(|test| quick::has(&test.name));
    }
    tests.retain(|test| !options.skip.iter().any(|text| test.name.contains(text)));
    if options.list {
        for test in &tests {
            println!("{}", test.name);
        }
        return Ok(true);
    }
    ensure!(nix::unistd::geteuid().is_root(), "must run as root");
    ensure!(!tests.is_empty(), "no test has such a name (see --list)");
    ensure!(
        !module::is_loaded(),
        "netkit_rs is loaded; unload it first: the suite loads it by itself"
    );
    let settings = Settings {
        module: options.module.clone(),
        helpers: options.helpers.clone().unwrap_or_else(|| {
            let folder = options.module.parent().and_then(Path::parent);
            folder.unwrap_or(Path::new(".")).join("test-modules")
        }),
        rounds: options.rounds,
        race: Duration::from_secs(options.seconds),
        timeout: Duration::from_secs(options.timeout + options.seconds),
    };
    if options.fuzz_long {
        return fuzz::long::endure(fuzz, options.fuzz_from, &settings).map(|()| true);
    }
    let mut suite = Suite::new(options.stop);
    if let Some(path) = &options.compare {
        suite.load_golden(path)?;
    }
    if options.driver != Drivers::Rust {
        suite.on_c(&tests, &settings)?;
        if let Some(path) = &options.record {
            suite.save_golden(path)?;
        }
    }
    if options.driver != Drivers::C && options.adopted {
        suite.on_adopted(&tests, &settings)?;
    } else if options.driver != Drivers::C {
        suite.on_rust(&tests, &settings)?;
        if options.driver == Drivers::Both && !options.quick {
            tests.retain(adopted::in_brief);
            suite.on_adopted(&tests, &settings)?;
        }
    }
    show_shortest(&plan, &fuzz, &suite, &settings)?;
    if suite.not_run > 0 {
        println!(
            "# {} not run, see the lines that begin with skip",
            suite.not_run
        );
    }
    println!("{} passed, {} failed", suite.passed, suite.failed);
    Ok(suite.failed == 0)
}
