// SPDX-License-Identifier: GPL-2.0
//! The livepatch's folder in sysfs, and the wait for its transition.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

use super::read_if_there;

pub const PATCHES: &str = "/sys/kernel/livepatch";
pub const PATCH: &str = "/sys/kernel/livepatch/netkit_rs";

/// A transition takes a second or two; the kernel nudges the last processes every 15 seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(20);

/// Where a patch stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// There is none, or no more.
    Absent,
    /// Some processes still run the kernel's own functions.
    Enabling,
    Enabled,
    /// Some processes still run the patch's functions.
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

/// Another patch in transition, of which the kernel allows one at a time.
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

/// Waits until `over` says so; on a time-out `what` and `hint` make the error.
pub fn wait(
    what: &str,
    mut over: impl FnMut() -> Result<bool>,
    hint: impl FnOnce() -> String,
) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !over()? {
        if Instant::now() > deadline {
            bail!("{what} after {} seconds.\n{}", PATIENCE.as_secs(), hint());
        }
        sleep(STEP);
    }
    Ok(())
}

/// The threads that hold up a transition: those whose patch state is `state`, in words.
pub fn laggards(state: &str) -> String {
    let mut text = String::new();
    let mut more = 0;
    for (count, (tid, name)) in threads_in(state).into_iter().enumerate() {
        if count >= 5 {
            more += 1;
        } else {
            // Writing to a String does not fail.
            let _infallible = write!(text, "{}{name} ({tid})", if count > 0 { ", " } else { "" });
        }
    }
    match (text.is_empty(), more) {
        (true, _) => "no process holds it up any more".to_owned(),
        (_, 0) => format!("it waits for: {text}"),
        (_, more) => format!("it waits for: {text} and {more} more"),
    }
}

/// A thread that ends while we look is no laggard: what cannot be read is passed over.
fn threads_in(state: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let tasks = fs::read_dir(process.path().join("task"));
        for task in tasks.into_iter().flatten().flatten() {
            let read = |name| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            if read("patch_state").trim() == state {
                let tid = task.file_name().to_string_lossy().into_owned();
                found.push((tid, read("comm").trim().to_owned()));
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
