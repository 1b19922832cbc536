// SPDX-License-Identifier: GPL-2.0
//! The livepatch's folder in sysfs, and the wait for its transition.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use serde::Serialize;

use super::read_if_there;
use crate::failure::Kind;

pub const PATCHES: &str = "/sys/kernel/livepatch";
pub const PATCH: &str = "/sys/kernel/livepatch/netkit_rs";

/// A transition takes one or two seconds; the kernel wakes the last tasks every 15 seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(20);

/// Where a patch stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// The patch does not exist, or no longer.
    Absent,
    /// Some tasks still run the kernel's own functions.
    Enabling,
    Enabled,
    /// Some tasks still run the patch's functions.
    Disabling,
}

impl State {
    /// Reads the two files of the patch's folder.
    pub fn now() -> Result<Self> {
        let enabled = read_if_there(format!("{PATCH}/enabled"))?;
        let transition = read_if_there(format!("{PATCH}/transition"))?;
        Ok(Self::of(enabled.as_deref(), transition.as_deref()))
    }

    fn of(enabled: Option<&str>, transition: Option<&str>) -> Self {
        match (enabled, transition) {
            (Some("0"), Some(_)) => Self::Disabling,
            (Some(_), Some("0")) => Self::Enabled,
            (Some(_), Some(_)) => Self::Enabling,
            _ => Self::Absent,
        }
    }
}

/// The name of another patch that is in transition. The kernel allows one transition at a time.
pub fn other_in_transition() -> Result<Option<String>> {
    let entries = match fs::read_dir(PATCHES) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context(PATCHES),
    };
    for entry in entries {
        let path = entry.context(PATCHES)?.path();
        if path != Path::new(PATCH)
            && read_if_there(path.join("transition"))?.as_deref() == Some("1")
        {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            return Ok(Some(name.into_owned()));
        }
    }
    Ok(None)
}

/// Fails if another patch is in transition.
pub fn check_others() -> Result<()> {
    match other_in_transition()? {
        Some(other) => Err(Kind::Conflict.error(format!(
            "the livepatch {other} is in transition, and the kernel allows one at a time: try again when it is over"
        ))),
        None => Ok(()),
    }
}

/// Waits until `over` returns true, no longer than `patience`. After that, `what` and `hint` make the error.
pub fn wait(
    patience: Duration,
    what: &str,
    mut over: impl FnMut() -> Result<bool>,
    hint: impl FnOnce() -> String,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    while !over()? {
        if Instant::now() >= deadline {
            return Err(Kind::Timeout.error(format!(
                "{what} after {} seconds.\n{}",
                patience.as_secs(),
                hint()
            )));
        }
        sleep(STEP);
    }
    Ok(())
}

/// A thread that delays a transition.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Task {
    pub tid: u32,
    pub name: String,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.tid)
    }
}

/// The threads that delay a transition (those whose patch state is `state`), in words.
pub fn laggards(state: &str) -> String {
    const SHOWN: usize = 5;
    let tasks = tasks_in(state);
    let shown: Vec<_> = tasks.iter().take(SHOWN).map(Task::to_string).collect();
    match (tasks.len(), tasks.len().saturating_sub(SHOWN)) {
        (0, _) => "no task delays it any more".to_owned(),
        (_, 0) => format!("it waits for: {}", shown.join(", ")),
        (_, more) => format!("it waits for: {} and {more} more", shown.join(", ")),
    }
}

/// The threads whose patch state is `state`: "0" for those that still run the kernel's own functions, "1" for those that run
/// ours. A thread whose files cannot be read has ended, and does not delay anything.
pub fn tasks_in(state: &str) -> Vec<Task> {
    let mut found = Vec::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let tasks = fs::read_dir(process.path().join("task"));
        for task in tasks.into_iter().flatten().flatten() {
            let read = |name| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let tid = task.file_name().to_string_lossy().parse();
            if let (Ok(tid), true) = (tid, read("patch_state").trim() == state) {
                let name = read("comm").trim().to_owned();
                found.push(Task { tid, name });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn states() {
        assert_eq!(State::of(None, None), State::Absent);
        assert_eq!(State::of(Some("1"), Some("1")), State::Enabling);
        assert_eq!(State::of(Some("1"), Some("0")), State::Enabled);
        assert_eq!(State::of(Some("0"), Some("1")), State::Disabling);
        // The folder goes away between the two reads.
        assert_eq!(State::of(Some("0"), None), State::Absent);
    }
}
