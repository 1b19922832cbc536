// SPDX-License-Identifier: GPL-2.0
//! Each allocation of an operation fails in turn (Documentation/fault-injection, `fail-nth`).

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;

use super::operation::Operation;
use super::operation::OPERATIONS;
use crate::check;
use crate::ctx::Ctx;
use crate::module;
use crate::tests::module::built_in_works;
use crate::tests::Needs;
use crate::tests::Test;

const FAIL_NTH: &str = "/proc/thread-self/fail-nth";
const FAILSLAB: &str = "/sys/kernel/debug/failslab";
const FAIL_PAGE_ALLOC: &str = "/sys/kernel/debug/fail_page_alloc";
/// More allocations than any operation makes; a count beyond it is an endless loop.
const MOST: u32 = 20_000;

pub fn tests() -> Vec<Test> {
    let test = |name: &str, needs, run| Test {
        name: format!("faults::nth_{name}"),
        needs,
        lacks: no_fault_injection,
        // Hundreds of times the operation, on a slow kernel.
        patience: 30,
        run,
    };
    let mut all: Vec<_> = OPERATIONS
        .iter()
        .map(|operation| {
            let run = Rc::new(|t: &Ctx| allocations_fail(t, operation));
            test(operation.name, Needs::AnyDriver, run)
        })
        .collect();
    let module = Needs::Module("there is no module to load with the built-in driver");
    let mut load = test("load", module, Rc::new(load_fails));
    load.lacks = no_stack_filter;
    all.push(load);
    all
}

fn no_fault_injection() -> Option<String> {
    let there = Path::new(FAIL_NTH).exists() && Path::new(FAILSLAB).exists();
    (!there).then(|| "the kernel cannot make allocations fail (CONFIG_FAILSLAB)".into())
}

fn no_stack_filter() -> Option<String> {
    let filter = Path::new(FAILSLAB).join("require-start").exists();
    no_fault_injection().or_else(|| {
        (!filter).then(|| {
            "the kernel cannot tell whose allocations (CONFIG_FAULT_INJECTION_STACKTRACE_FILTER)"
                .into()
        })
    })
}

/// The kernel's switches: allocations fail also where they could wait, and without a word in the log; what else the
/// kernel can make fail (copies from and to user space) does not take part.
fn set_up() -> Result<()> {
    const DEBUGFS: &str = "/sys/kernel/debug";
    for folder in fs::read_dir(DEBUGFS).context(DEBUGFS)? {
        let folder = folder.context(DEBUGFS)?.path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let switches: &[_] = match name.as_ref() {
            "failslab" | "fail_page_alloc" => &[
                ("ignore-gfp-wait", "N"),
                ("min-order", "0"),
                ("verbose", "0"),
            ],
            // Only allocations below a caller between the first two addresses would fail: no allocation does.
            name if name.starts_with("fail_") => &[("require-end", "2"), ("require-start", "1")],
            _ => &[],
        };
        for (switch, value) in switches {
            let file = folder.join(switch);
            if file.exists() {
                fs::write(&file, value).with_context(|| file.display().to_string())?;
            }
        }
    }
    Ok(())
}

/// The calling thread's countdown.
struct Countdown(File);

impl Countdown {
    fn open() -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(FAIL_NTH);
        Ok(Self(file.context(FAIL_NTH)?))
    }

    /// Runs `f` with its nth allocation failing; returns whether `f` made so many allocations.
    fn run<T>(&self, nth: u32, f: impl FnOnce() -> T) -> Result<(bool, T)> {
        let text = nth.to_string();
        self.0.write_at(text.as_bytes(), 0).context("arming")?;
        let value = f();
        let mut left = [0; 16];
        let len = self.0.read_at(&mut left, 0).context(FAIL_NTH)?;
        self.0.write_at(b"0", 0).context("disarming")?;
        let left = String::from_utf8_lossy(&left[..len]).trim().to_owned();
        Ok((left == "0", value))
    }
}

/// The results, each with its number.
#[derive(Default)]
struct Answers(BTreeMap<String, u32>);

impl Answers {
    /// `ENOBUFS` is the result if the kernel had no memory for the answer.
    fn add(&mut self, outcome: Result<(), Errno>, misnomers: &[Errno]) -> Result<()> {
        let word = outcome.map_or_else(|errno| format!("{errno:?}"), |()| "ok".into());
        let known = match outcome {
            Ok(()) | Err(Errno::ENOMEM | Errno::ENOBUFS) => true,
            Err(errno) => misnomers.contains(&errno),
        };
        check::that(&format!("without memory: {word}"), known)?;
        *self.0.entry(word).or_default() += 1;
        Ok(())
    }

    fn note(&self, t: &Ctx) {
        let words: Vec<_> = self
            .0
            .iter()
            .map(|(word, n)| format!("{word} {n}"))
            .collect();
        let all: u32 = self.0.values().sum();
        t.note(format!("{all} allocations failed: {}", words.join(", ")));
    }

    /// How often differs between the drivers; what may come does not. A misnomer is one allocation's: what is cached decides whether that
    /// one is made.
    fn same(&self, t: &Ctx, misnomers: &[Errno]) {
        let misnomers: Vec<_> = misnomers.iter().map(|errno| format!("{errno:?}")).collect();
        let words = self.0.keys().filter(|word| !misnomers.contains(word));
        let words: Vec<_> = words.map(String::as_str).collect();
        t.same("answers", words.join(", "));
    }
}

fn allocations_fail(t: &Ctx, operation: &Operation) -> Result<()> {
    set_up()?;
    let scene = (operation.scene)(t)?;
    let before = scene.state()?;
    let countdown = Countdown::open()?;
    let mut answers = Answers::default();
    for nth in 1.. {
        ensure!(nth < MOST, "no end of allocations");
        let (failed, outcome) = countdown.run(nth, || (operation.run)(&scene))?;
        // ENOBUFS: the operation succeeded, but there was no memory for the answer. Nothing more is known
        // then.
        let state = scene.state()?;
        let done = outcome.is_ok() || outcome == Err(Errno::ENOBUFS) && state != before;
        if done {
            (operation.undo)(&scene)?;
        }
        check::equal(
            &format!("after failure {nth} ({outcome:?})"),
            scene.state()?,
            before.as_str(),
        )?;
        if !failed {
            outcome.context("with all the memory that it needs")?;
            break;
        }
        answers.add(outcome, operation.misnomers)?;
    }
    answers.note(t);
    answers.same(t, operation.misnomers);
    check::equal(
        "it needs memory",
        !answers.0.is_empty(),
        operation.allocates,
    )?;
    scene.end()
}

/// The first and the last address of a function of the kernel.
fn addresses(function: &str) -> Result<(u64, u64)> {
    let text = fs::read_to_string("/proc/kallsyms").context("/proc/kallsyms")?;
    let address = |line: &str| u64::from_str_radix(line.split(' ').next()?, 16).ok();
    let named = |line: &&str| line.split_whitespace().nth(2) == Some(function);
    let start = text
        .lines()
        .find(named)
        .and_then(address)
        .context("the function's address")?;
    let after = text
        .lines()
        .filter_map(address)
        .filter(|address| *address > start);
    Ok((start, after.min().context("the next function's address")?))
}

/// All allocations of the module's own initialisation, which do_one_initcall() calls, without those of the
/// loader.
fn load_fails(t: &Ctx) -> Result<()> {
    set_up()?;
    let (start, end) = addresses("do_one_initcall")?;
    let set = |file: &str, value: String| -> Result<()> {
        for folder in [FAILSLAB, FAIL_PAGE_ALLOC] {
            fs::write(Path::new(folder).join(file), &value).with_context(|| file.to_owned())?;
        }
        Ok(())
    };
    set("require-start", format!("{start:#x}"))?;
    set("require-end", format!("{end:#x}"))?;
    set("stacktrace-depth", "32".into())?;
    let outcome = each_load_fails(t);
    set("require-start", "0".into())?;
    set("require-end", format!("{:#x}", u64::MAX))?;
    outcome
}

fn each_load_fails(t: &Ctx) -> Result<()> {
    let countdown = Countdown::open()?;
    let mut answers = Answers::default();
    for nth in 1.. {
        ensure!(nth < MOST, "no end of allocations");
        let (failed, outcome) = countdown.run(nth, || module::insert(&t.module))?;
        if outcome.is_ok() {
            module::wait_loaded()?;
            module::unload()?;
        } else {
            check::that("the module is out", !module::is_loaded())?;
        }
        built_in_works(t)?;
        if !failed {
            outcome.context("with all the memory that it needs")?;
            break;
        }
        answers.add(outcome, &[])?;
    }
    answers.note(t);
    ensure!(!answers.0.is_empty(), "no allocation was made to fail");
    Ok(())
}
