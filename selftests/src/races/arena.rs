// SPDX-License-Identifier: GPL-2.0
//! Running a race: several threads, each repeating its own step, for a bounded time.
//!
//! The threads are spread over the CPUs. The race ends when its time is over and every thread has done its step a few
//! times, so that the race means something on a slow machine, too. If a step fails, the race ends at once.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::thread::ScopedJoinHandle;
use std::time::Duration;
use std::time::Instant;

use anyhow::anyhow;
use anyhow::Context;
use anyhow::Result;
use nix::sched::sched_setaffinity;
use nix::sched::CpuSet;
use nix::unistd::Pid;

/// What every thread does at least.
const STEPS: u64 = 3;

type Body<'a> = Box<dyn FnOnce(&Turn<'_>) -> Result<()> + Send + 'a>;

/// A thread to be: its name and what it does.
pub struct Actor<'a>(&'static str, Body<'a>);

impl<'a> Actor<'a> {
    pub fn new(name: &'static str, body: impl FnOnce(&Turn<'_>) -> Result<()> + Send + 'a) -> Self {
        Self(name, Box::new(body))
    }
}

/// A thread's place in the race.
pub struct Turn<'a> {
    race: &'a Race,
    number: usize,
}

struct Race {
    until: Instant,
    failed: AtomicBool,
    steps: Vec<AtomicU64>,
}

/// Dropped by a thread that fails or panics, for whose steps the others would wait.
struct EndsTheRace<'a>(&'a Race);

impl Drop for EndsTheRace<'_> {
    fn drop(&mut self) {
        self.0.failed.store(true, Relaxed);
    }
}

impl Turn<'_> {
    /// Whether to go on.
    pub fn goes_on(&self) -> bool {
        let race = self.race;
        let enough = || race.steps.iter().all(|steps| steps.load(Relaxed) >= STEPS);
        !race.failed.load(Relaxed) && (Instant::now() < race.until || !enough())
    }

    /// Counts a step.
    pub fn step(&self) {
        self.race.steps[self.number].fetch_add(1, Relaxed);
    }

    /// Repeats `step` until the race is over.
    pub fn repeat(&self, mut step: impl FnMut() -> Result<()>) -> Result<()> {
        while self.goes_on() {
            step()?;
            self.step();
        }
        Ok(())
    }
}

/// How often each thread did its step.
pub struct Score(Vec<(&'static str, u64)>);

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self
            .0
            .iter()
            .map(|(name, n)| format!("{name} {n}"))
            .collect();
        f.write_str(&words.join(", "))
    }
}

/// Keeps the calling thread on one CPU.
pub fn onto_cpu(number: usize) -> Result<()> {
    let cpus = thread::available_parallelism().context("the number of CPUs")?;
    let mut set = CpuSet::new();
    set.set(number % cpus)?;
    sched_setaffinity(Pid::from_raw(0), &set).context("sched_setaffinity")
}

pub fn race(time: Duration, actors: Vec<Actor<'_>>) -> Result<Score> {
    let race = Race {
        until: Instant::now() + time,
        failed: AtomicBool::new(false),
        steps: actors.iter().map(|_| AtomicU64::new(0)).collect(),
    };
    let mut names = Vec::new();
    let outcomes: Vec<Result<()>> = thread::scope(|scope| {
        let mut threads: Vec<ScopedJoinHandle<'_, Result<()>>> = Vec::new();
        for (number, Actor(name, body)) in actors.into_iter().enumerate() {
            names.push(name);
            let turn = Turn {
                race: &race,
                number,
            };
            threads.push(scope.spawn(move || {
                let end = EndsTheRace(turn.race);
                onto_cpu(number).and_then(|()| body(&turn))?;
                std::mem::forget(end);
                Ok(())
            }));
        }
        let ended = threads.into_iter().zip(&names);
        ended
            .map(|(thread, name)| match thread.join() {
                Ok(outcome) => outcome.context(*name),
                Err(_) => Err(anyhow!("{name} panicked")),
            })
            .collect()
    });
    let steps = race.steps.iter().map(|steps| steps.load(Relaxed));
    let score = Score(names.iter().copied().zip(steps).collect());
    outcomes.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(score)
}
