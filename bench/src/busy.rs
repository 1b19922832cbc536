// SPDX-License-Identifier: GPL-2.0
//! Counts instructions of the control path, which waits for much of the time.
//!
//! /proc/schedstat shows how long the CPU ran tasks, including kernel threads and without idle time. With a clock that
//! counts instructions, this is the number of instructions.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;

/// The instructions spent on tasks since boot.
fn now() -> Result<f64> {
    // The kernel adds a task's time when it leaves the CPU: let ours do so.
    thread::sleep(Duration::from_millis(1));
    let text = fs::read_to_string("/proc/schedstat").context("/proc/schedstat")?;
    let line = text.lines().find(|line| line.starts_with("cpu0 "));
    let number = line.and_then(|line| line.split_whitespace().nth(7)?.parse().ok());
    number.context("/proc/schedstat has no run time of cpu0")
}

/// Instructions per operation of `count` calls.
pub fn per_operation(count: u32, mut operation: impl FnMut() -> Result<()>) -> Result<f64> {
    let start = now()?;
    for _ in 0..count {
        operation()?;
    }
    Ok((now()? - start) / f64::from(count))
}
