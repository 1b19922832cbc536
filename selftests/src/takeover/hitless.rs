// SPDX-License-Identifier: GPL-2.0
//! Traffic and operations continue without a loss or an error through loads and unloads, and through hundreds of
//! exchanges.

use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Error;
use anyhow::Result;
use netkit_rs::failure::Kind;
use nix::errno::Errno;

use super::operations::Operations;
use super::places;
use super::states;
use super::stream::Pace;
use super::streams::Streams;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::module;
use crate::netkit;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::PASS;
use crate::nl::attr::Attrs;
use crate::nl::link::linkinfo;
use crate::tests::tests;

tests![losses_are_seen, one_cycle, ten_cycles, exchanges];

/// Exchanges to and fro by the parameter.
const EXCHANGES: u32 = 150;

/// How often a test may begin a step again that was not over in time. On a slow machine under load RTNL can be busy for 10 s,
/// and a transition can take longer than the command waits. Beginning again goes on with it, as it does for a user.
const AGAIN: u32 = 5;

/// How often that happened.
#[derive(Default)]
struct Again(u32);

impl Again {
    fn until_over(&mut self, mut step: impl FnMut() -> Result<()>) -> Result<()> {
        let not_over = |error: &Error| {
            Kind::of(error) == Kind::Timeout || error.downcast_ref() == Some(&Errno::EBUSY)
        };
        loop {
            match step() {
                Err(error) if not_over(&error) && self.0 < AGAIN => self.0 += 1,
                outcome => return outcome,
            }
        }
    }

    fn note(&self, t: &Ctx) {
        if self.0 > 0 {
            t.note(format!("begun again {} times", self.0));
        }
    }
}

/// Leaves the CPUs idle at times, which a livepatch needs to get to all tasks.
const GENTLE: Pace = Pace {
    burst: 4,
    pause: Duration::from_millis(10),
};
const HARD: Pace = Pace {
    burst: 16,
    pause: Duration::from_millis(1),
};

/// Runs `body` under traffic over places of every kind, and under operations on all of their pairs. `body` is given what ends
/// a phase: everything must have gone on in it.
fn under_load(
    t: &Ctx,
    pace: Pace,
    body: impl FnOnce(&dyn Fn(&str) -> Result<()>) -> Result<()>,
) -> Result<()> {
    let places = places::all(t)?;
    let managed = t.ns()?;
    let idle = Spec::l3().create(&managed, &managed)?;
    let sysfs = managed.mount_sysfs("managed")?;
    let streams = Streams::over(&places)?;
    let (programs, settings) = (Operations::default(), Operations::default());
    let pause = 4 * pace.pause;
    let outcome = thread::scope(|scope| -> Result<()> {
        streams.start(scope, pace);
        let begun = (|| {
            settings.settings(scope, &managed, idle.primary, &sysfs, pause)?;
            let primaries = places.iter().flat_map(|place| &place.primaries);
            for (number, (ns, index)) in primaries.enumerate() {
                let hook = [PRIMARY, PEER][number % 2];
                programs.programs(scope, ns, *index, hook, pause)?;
            }
            Ok(())
        })();
        let outcome = begun.and_then(|()| {
            body(&|phase| {
                streams.progress(phase)?;
                programs.progress(phase)?;
                settings.progress(phase)
            })
        });
        streams.stop();
        programs.stop();
        settings.stop();
        outcome
    });
    // Report lost packets first: they say more than an error of the cycles.
    let told = streams.verdict().and_then(|told| {
        let (programs, settings) = (programs.verdict()?, settings.verdict()?);
        Ok(format!(
            "{told}; programs: {programs}; settings: {settings}"
        ))
    })?;
    t.note(told);
    outcome
}

/// The checks of the other tests notice a device that drops packets for a moment, and a device that was
/// deleted.
fn losses_are_seen(t: &Ctx) -> Result<()> {
    let places = [places::l3(t)?];
    let (ns, index) = &places[0].primaries[0];
    let streams = Streams::over(&places)?;
    let programs = Operations::default();
    thread::scope(|scope| -> Result<()> {
        streams.start(scope, GENTLE);
        let outcome = programs
            .programs(scope, ns, *index, PRIMARY, GENTLE.pause)
            .and_then(|()| streams.progress("at first"))
            .and_then(|()| {
                for policy in [DROP, PASS] {
                    let mut data = Attrs::new();
                    data.u32(netkit::POLICY, policy as u32);
                    ns.set_link(*index, &linkinfo(netkit::KIND, Some(&data)))?;
                    thread::sleep(Duration::from_millis(100));
                }
                ns.del_link(*index)?;
                thread::sleep(Duration::from_millis(100));
                Ok(())
            });
        streams.stop();
        programs.stop();
        outcome
    })?;
    check::that("lost datagrams are seen", streams.verdict().is_err())?;
    check::that("a failed operation is seen", programs.verdict().is_err())
}

/// What `make kernels` has time for on every kernel.
fn one_cycle(t: &Ctx) -> Result<()> {
    cycles(t, 1)
}

fn ten_cycles(t: &Ctx) -> Result<()> {
    cycles(t, 10)
}

/// Loads and unloads the module so many times.
fn cycles(t: &Ctx, count: u32) -> Result<()> {
    let (mut loads, mut unloads) = (Duration::ZERO, Duration::ZERO);
    let mut again = Again::default();
    under_load(t, GENTLE, |phase| {
        for cycle in 1..=count {
            phase(&format!("on the built-in driver, cycle {cycle}"))?;
            let begun = Instant::now();
            again.until_over(|| module::load(&t.module))?;
            loads += begun.elapsed();
            states::all_ours(t)?;
            phase(&format!("during load {cycle}"))?;
            phase(&format!("on the module, cycle {cycle}"))?;
            let begun = Instant::now();
            again.until_over(module::unload)?;
            unloads += begun.elapsed();
            phase(&format!("during unload {cycle}"))?;
        }
        Ok(())
    })?;
    again.note(t);
    t.note(format!(
        "{count} cycles of {} ms to load and {} ms to unload",
        (loads / count).as_millis(),
        (unloads / count).as_millis()
    ));
    Ok(())
}

fn exchanges(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let mut slowest = Duration::ZERO;
    let mut again = Again::default();
    under_load(t, HARD, |phase| {
        for number in 0..EXCHANGES {
            let begun = Instant::now();
            again.until_over(module::hand_back)?;
            again.until_over(module::take_over)?;
            slowest = slowest.max(begun.elapsed());
            if number % 50 == 0 {
                states::all_ours(t)?;
                phase("on the module")?;
                again.until_over(states::hand_back)?;
                phase("on the built-in driver")?;
                again.until_over(module::take_over)?;
            }
        }
        phase("after the last exchange")
    })?;
    again.note(t);
    t.note(format!(
        "{EXCHANGES} exchanges to and fro, the slowest {} ms",
        slowest.as_millis()
    ));
    module::unload()
}
