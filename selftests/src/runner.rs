// SPDX-License-Identifier: GPL-2.0
//! Runs a test in a process of its own, and checks what it leaves behind.
//!
//! The child gets new namespaces, and reports over a pipe what it observed and why it failed. The parent waits with a
//! deadline. Then it checks that the test's programs and links are gone, and that the kernel log has no defects. A test
//! that panics, hangs or is killed does no harm to the next test. A process that hangs in the kernel does not even end
//! when it is killed: the failure says where it hangs, and the next test is run.

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::panic;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use nix::mount::mount;
use nix::mount::MsFlags;
use nix::poll::poll;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::sched::unshare;
use nix::sched::CloneFlags;
use nix::sys::signal::killpg;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::sys::wait::WaitPidFlag;
use nix::sys::wait::WaitStatus;
use nix::unistd::fork;
use nix::unistd::pipe;
use nix::unistd::setpgid;
use nix::unistd::ForkResult;
use nix::unistd::Pid;
use serde_json::json;
use serde_json::Value;

use crate::bpf::ids::Ids;
use crate::ctx::Ctx;
use crate::kmsg::Kmsg;
use crate::module;
use crate::tests::Test;

/// Label and text of everything that must be the same on both drivers.
pub type Sightings = BTreeMap<String, String>;

pub struct Outcome {
    pub failure: Option<String>,
    pub same: Sightings,
    /// Other results of the test, mostly counts.
    pub notes: Vec<String>,
    pub took: Duration,
}

pub struct Settings {
    pub module: PathBuf,
    /// The folder of the modules that the tests bring along.
    pub helpers: PathBuf,
    pub rounds: u32,
    /// How long a race goes on.
    pub race: Duration,
    pub timeout: Duration,
}

pub fn run(test: &Test, settings: &Settings) -> Result<Outcome> {
    let before = Before::now();
    let mut kmsg = Kmsg::tail()?;
    let start = Instant::now();
    let (reader, writer) = pipe().context("pipe")?;
    // SAFETY: this process has one thread, so the child may do all that the parent may.
    match unsafe { fork() }.context("fork")? {
        ForkResult::Child => {
            drop(reader);
            child(test, settings, writer.into())
        }
        ForkResult::Parent { child } => {
            drop(writer);
            // Parent and child both set it, so that the group exists before a kill.
            let _already_set_by_child = setpgid(child, child);
            let mut outcome = collect(child, reader, settings.timeout * test.patience)?;
            outcome.took = start.elapsed();
            if outcome.failure.is_none() {
                outcome.failure = leaks(&before);
            }
            let defects = kmsg.defects();
            if !defects.is_empty() {
                let log = format!("kernel log: {}", defects.join(" | "));
                let failure = outcome.failure.take();
                outcome.failure = Some(failure.map_or(log.clone(), |why| format!("{why}; {log}")));
            }
            Ok(outcome)
        }
    }
}

/// Runs the test and exits.
fn child(test: &Test, settings: &Settings, mut out: File) -> ! {
    let mut report = |key: &str, value: Value| {
        // If the parent has ended, nobody reads the report.
        let _parent_is_gone = writeln!(out, "{}", json!({ key: value }));
    };
    panic::set_hook(Box::new(|_| {}));
    let result = panic::catch_unwind(AssertUnwindSafe(|| -> Result<Vec<(String, String)>> {
        setpgid(Pid::from_raw(0), Pid::from_raw(0)).context("setpgid")?;
        private_mounts()?;
        let ctx = Ctx::new(settings)?;
        (test.run)(&ctx)?;
        ctx.finish()?;
        ctx.check_labels()?;
        for note in ctx.take_notes() {
            report("note", json!(note));
        }
        Ok(ctx.take_same())
    }));
    match result {
        Ok(Ok(same)) => {
            for (label, text) in same {
                report("same", json!([label, text]));
            }
            report("done", Value::Null);
        }
        Ok(Err(error)) => report("failed", json!(format!("{error:#}"))),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            report(
                "failed",
                json!(format!("panicked: {}", text.unwrap_or("?"))),
            );
        }
    }
    process::exit(0)
}

/// A mount namespace of its own, with a BPF file system for pins that go with the test.
fn private_mounts() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("unshare(CLONE_NEWNS)")?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("private /")?;
    mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), none)
        .with_context(|| format!("mounting a BPF file system at {BPFFS}"))
}

/// How long a process that was killed may take to end. Under emulation, namespaces that go with it take seconds.
const DIES_WITHIN: Duration = Duration::from_secs(60);

/// Where every test finds an empty BPF file system.
pub const BPFFS: &str = "/sys/fs/bpf";

/// Reads the child's report until it ends or the time is over.
fn collect(child: Pid, reader: OwnedFd, timeout: Duration) -> Result<Outcome> {
    let deadline = Instant::now() + timeout;
    let mut reader = File::from(reader);
    let mut text = Vec::new();
    let mut late = false;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, left).context("poll")? == 0 {
            late = true;
            break;
        }
        let mut chunk = [0; 4096];
        match reader.read(&mut chunk).context("reading from the test")? {
            0 => break,
            len => text.extend_from_slice(&chunk[..len]),
        }
    }
    // Also what the test itself has started must not live on.
    let _group_may_be_gone = killpg(child, Signal::SIGKILL).is_err() && !late;
    let status = reap(child, DIES_WITHIN)?;
    let mut outcome = Outcome {
        failure: None,
        same: Sightings::new(),
        notes: Vec::new(),
        took: Duration::ZERO,
    };
    let mut done = false;
    for line in String::from_utf8_lossy(&text).lines() {
        let message: Value = serde_json::from_str(line).context("report of the test")?;
        if let Some(why) = message["failed"].as_str() {
            outcome.failure = Some(why.replace('\n', " / "));
            done = true;
        } else if let (Some(label), Some(text)) =
            (message["same"][0].as_str(), message["same"][1].as_str())
        {
            outcome.same.insert(label.into(), text.into());
        } else if let Some(note) = message["note"].as_str() {
            outcome.notes.push(note.into());
        } else {
            done = true;
        }
    }
    if late {
        outcome.failure = Some(format!("no end after {} s", timeout.as_secs()));
    } else if !done {
        let how = match status {
            Some(WaitStatus::Signaled(_, signal, _)) => format!("killed by {signal}"),
            Some(status) => format!("{status:?}"),
            None => "the report ends".into(),
        };
        outcome.failure = Some(format!("ended without a result: {how}"));
    }
    if status.is_none() {
        let hangs = format!(
            "the process did not end within {} s of SIGKILL: {}",
            DIES_WITHIN.as_secs(),
            whereabouts(child)
        );
        let failure = outcome.failure.take();
        outcome.failure = Some(failure.map_or(hangs.clone(), |why| format!("{why}; {hangs}")));
    }
    Ok(outcome)
}

/// Waits for the end of a process that was killed. None if it does not end in time.
fn reap(child: Pid, limit: Duration) -> Result<Option<WaitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)).context("waitpid")? {
            WaitStatus::StillAlive if Instant::now() > deadline => return Ok(None),
            WaitStatus::StillAlive => std::thread::sleep(Duration::from_millis(1)),
            status => return Ok(Some(status)),
        }
    }
}

/// What the kernel tells about each thread of a process: its state, and the function in which it sleeps.
fn whereabouts(process: Pid) -> String {
    let folder = format!("/proc/{process}/task");
    let threads = fs::read_dir(&folder).into_iter().flatten().flatten();
    let threads = threads.map(|thread| {
        let facts = ["stat", "wchan", "stack"].map(|fact| {
            let text = fs::read_to_string(thread.path().join(fact));
            let text = text.unwrap_or_else(|error| format!("({error})"));
            format!("{fact}: {}", text.trim().replace('\n', " / "))
        });
        facts.join(", ")
    });
    let threads: Vec<_> = threads.collect();
    if threads.is_empty() {
        return format!("{folder} cannot be read");
    }
    threads.join("; ")
}

/// What must be the same after a test.
struct Before {
    ids: Ids,
    references: Option<i32>,
}

impl Before {
    fn now() -> Self {
        Self {
            ids: Ids::now(),
            references: references(),
        }
    }
}

/// The reference count of the module. If the module is loaded or unloaded during the test, there is nothing
/// to compare.
fn references() -> Option<i32> {
    module::is_loaded().then(module::references)?.ok()
}

/// Programs and links go in the background after their last user: wait, then complain.
fn leaks(before: &Before) -> Option<String> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let left = Ids::now().beyond(&before.ids);
        let references = references();
        let held = before.references.is_some() && before.references != references;
        if left.is_empty() && !held {
            return None;
        }
        if Instant::now() > deadline {
            let before = before.references;
            return Some(format!(
                "left behind: {left} (module references {references:?}, before {before:?})"
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    #[expect(clippy::zombie_processes, reason = "reap() waits for it")]
    fn a_process_that_lives_on_is_told_of() {
        let mut sleeper = Command::new("sleep").arg("600").spawn().expect("sleep");
        let pid = Pid::from_raw(sleeper.id() as i32);
        let waited = reap(pid, Duration::from_millis(50)).expect("waitpid");
        let told = whereabouts(pid);
        sleeper.kill().expect("kill");
        assert_eq!(waited, None);
        assert!(
            told.starts_with(&format!("stat: {pid} (sleep) S ")),
            "{told}"
        );
        assert!(told.contains("wchan: "), "{told}");
        let status = reap(pid, DIES_WITHIN).expect("waitpid");
        let killed = WaitStatus::Signaled(pid, Signal::SIGKILL, false);
        assert_eq!(status, Some(killed));
    }
}
