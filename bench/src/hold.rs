// SPDX-License-Identifier: GPL-2.0
//! How long RTNL is held, measured from outside of the module by tracefs probes on the functions that take and release
//! RTNL.
//!
//! A hold lasts from the return of `rtnl_trylock()` (with success) or `rtnl_lock()` to the return of `__rtnl_unlock()`,
//! with which `rtnl_unlock()` releases the mutex. The cost of the probes themselves is not subtracted.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

const TRACING: &str = "/sys/kernel/tracing";
const PROBES: &str = "r:rtnl/tried rtnl_trylock ok=$retval:s32\n\
                      r:rtnl/locked rtnl_lock\n\
                      r:rtnl/released __rtnl_unlock\n";
/// The only clock that tracefs shows in full. The CPU of `vm --icount` counts a tick per nanosecond.
const CLOCK: &str = "x86-tsc";

/// The probes, until the value is dropped.
pub struct Probes;

fn put(file: &str, text: &str) -> Result<()> {
    let path = format!("{TRACING}/{file}");
    fs::write(&path, text).with_context(|| format!("writing {text:?} to {path}"))
}

impl Drop for Probes {
    fn drop(&mut self) {
        let _not_there = put("events/rtnl/enable", "0");
        let _not_there = put("kprobe_events", "");
    }
}

impl Probes {
    pub fn new() -> Result<Self> {
        let probes = Self;
        put("trace_clock", CLOCK)?;
        put("kprobe_events", PROBES)?;
        Ok(probes)
    }

    /// Runs `f`, and returns the holds during that time, in the order in which they ended.
    pub fn during<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<(T, Vec<Hold>)> {
        put("trace", "")?;
        put("events/rtnl/enable", "1")?;
        let value = f();
        put("events/rtnl/enable", "0")?;
        let path = format!("{TRACING}/trace");
        let trace = fs::read_to_string(&path).context(path)?;
        Ok((value?, holds(&trace)?))
    }
}

/// RTNL was held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hold {
    pub thread: u32,
    time: Duration,
}

/// The longest of the holds, in milliseconds.
pub fn longest(holds: &[Hold]) -> f64 {
    let longest = holds.iter().map(|hold| hold.time).max();
    longest.unwrap_or_default().as_secs_f64() * 1000.0
}

/// The sum of the holds, in milliseconds.
pub fn total(holds: &[Hold]) -> f64 {
    holds
        .iter()
        .map(|hold| hold.time)
        .sum::<Duration>()
        .as_secs_f64()
        * 1000.0
}

/// The holds of the task that held RTNL for the longest time altogether.
pub fn of_one_task(holds: &[Hold]) -> Vec<Hold> {
    let by = |thread: u32| -> Vec<Hold> {
        let own = holds.iter().filter(|hold| hold.thread == thread);
        own.copied().collect()
    };
    let tasks = holds.iter().map(|hold| by(hold.thread));
    tasks
        .max_by(|a, b| total(a).total_cmp(&total(b)))
        .unwrap_or_default()
}

/// An event as `trace` shows it: `NAME-PID [CPU] FLAGS TICKS: EVENT: (…) ok=1`.
struct Event<'a> {
    thread: u32,
    ticks: u64,
    name: &'a str,
    rest: &'a str,
}

impl<'a> Event<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (task, rest) = line.split_once(" [")?;
        let mut parts = rest.splitn(3, ": ");
        Some(Self {
            thread: task.trim().rsplit('-').next()?.parse().ok()?,
            ticks: parts.next()?.split_whitespace().last()?.parse().ok()?,
            name: parts.next()?,
            rest: parts.next()?,
        })
    }
}

fn holds(trace: &str) -> Result<Vec<Hold>> {
    let mut begun = BTreeMap::new();
    let mut holds = Vec::new();
    for line in trace.lines().filter(|line| !line.starts_with('#')) {
        let Some(event) = Event::parse(line) else {
            bail!("not understood in {TRACING}/trace: {line:?}");
        };
        match event.name {
            "tried" if !event.rest.ends_with("ok=1") => {}
            "tried" | "locked" => {
                begun.insert(event.thread, event.ticks);
            }
            // Without a beginning, RTNL was taken before the probes were there, or by another function.
            _ => holds.extend(begun.remove(&event.thread).map(|begin| Hold {
                thread: event.thread,
                time: Duration::from_nanos(event.ticks.saturating_sub(begin)),
            })),
        }
    }
    Ok(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_of_one_task() -> Result<()> {
        let trace = "\
# tracer: nop
    netkit-bench-87      [000] .....   1000: tried: (a+0x1/0x2 <- rtnl_trylock) ok=0
    netkit-bench-87      [000] .....   2000: tried: (a+0x1/0x2 <- rtnl_trylock) ok=1
 kworker/0:1-ev-9      [000] d..1.   2500: locked: (b+0x1/0x2 <- rtnl_lock)
    netkit-bench-87      [000] .....   5000: released: (c+0x1/0x2 <- __rtnl_unlock)
 kworker/0:1-ev-9      [000] .....   7500: released: (c+0x1/0x2 <- __rtnl_unlock)
    netkit-bench-87      [000] .....   9000: released: (c+0x1/0x2 <- __rtnl_unlock)
";
        let expected = [(87, 3000), (9, 5000)].map(|(thread, time)| Hold {
            thread,
            time: Duration::from_nanos(time),
        });
        assert_eq!(holds(trace)?, expected);
        assert_eq!(longest(&expected), 0.005);
        assert_eq!(of_one_task(&expected), expected[1..]);
        Ok(())
    }
}
