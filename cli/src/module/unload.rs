// SPDX-License-Identifier: GPL-2.0
//! Unloading. It cannot be undone half way: a disabled livepatch cannot be enabled again. So everything that could prevent the
//! unload is checked first.
//!
//! The steps: disable the livepatch, which hands the devices back to the built-in driver; wait until no task runs the module's
//! functions; wait for the reference count; remove the module. An interrupted unload is continued where it stopped.

use std::fs;
use std::io;
use std::time::Duration;

use anyhow::anyhow;
use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;
use nix::kmod::delete_module;
use nix::kmod::DeleteModuleFlags;

use super::check_allowed;
use super::is_present;
use super::patch;
use super::patch::State;
use super::patch::PATCH;
use super::references;
use super::takeover;
use super::MODULE;
use crate::failure::Kind;

/// What unloading did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unloaded {
    /// The number of devices that the Rust driver served when the unload began. `None` for an old build of the module, which
    /// does not count.
    pub devices: Option<usize>,
}

/// Takes the module out of the kernel. The built-in driver serves all devices again.
pub fn unload() -> Result<()> {
    unload_within(patch::PATIENCE).map(drop)
}

/// [`unload`], waiting no longer than `patience` for each of its steps.
pub fn unload_within(patience: Duration) -> Result<Unloaded> {
    check_allowed("unloading")?;
    if !is_present() {
        return Err(
            Kind::Absent.error("the module is not loaded: the built-in driver serves all devices")
        );
    }
    let state = State::now()?;
    if matches!(state, State::Enabled | State::Enabling) {
        check_possible(state, patience)?;
    }
    let devices = takeover::devices()?;
    if matches!(state, State::Enabled | State::Enabling) {
        disable()?;
    }
    patch::wait(
        patience,
        "the module is disabled, but some tasks still use it",
        || Ok(State::now()? == State::Absent),
        || {
            format!(
                "All devices work; {}. Run `netkit-rs unload` again to finish.",
                patch::laggards("1")
            )
        },
    )?;
    patch::wait(
        patience,
        "the module is disabled, but something still holds it",
        || match references() {
            // Another process has removed the module.
            Err(_) if !is_present() => Ok(true),
            count => Ok(count? == 0),
        },
        || {
            format!(
                "Its reference count is {}. If a transition was forced (the file `force`), the module stays until the next boot. \
                 Otherwise run `netkit-rs unload` again to finish.",
                references().map_or("unknown".to_owned(), |count| count.to_string())
            )
        },
    )?;
    remove(patience)?;
    Ok(Unloaded { devices })
}

fn remove(patience: Duration) -> Result<()> {
    match delete_module(c"netkit_rs", DeleteModuleFlags::O_NONBLOCK) {
        // Removed, or another process has removed the module.
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(Errno::EBUSY) => patch::wait(
            patience,
            "the module is being removed, but is still in the kernel",
            || Ok(!is_present()),
            || "`netkit-rs status` shows when it is removed.".to_owned(),
        ),
        Err(errno) => Err(Kind::Conflict.error(format!(
            "the module is disabled, but the kernel does not remove it: {} ({errno:?}). Run `netkit-rs unload` again to finish.",
            errno.desc()
        ))),
    }
}

/// Checks what would prevent the unload later: disabling cannot be undone without unloading.
fn check_possible(state: State, patience: Duration) -> Result<()> {
    patch::check_others()?;
    let holders = holders()?;
    if !holders.is_empty() {
        return Err(Kind::Conflict.error(format!(
            "other modules use this one: unload them first ({})",
            holders.join(", ")
        )));
    }
    // The patch holds one reference. Other references are short, such as that of a reader of the devices: wait for them.
    let patch_only = || Ok(references()? <= 1);
    if state == State::Enabled {
        patch::wait(patience, "the module is in use", patch_only, || {
            "Nothing was changed. If a transition was forced once (the file `force`), it stays until the next boot.".to_owned()
        })?;
    }
    Ok(())
}

fn holders() -> Result<Vec<String>> {
    let path = format!("{MODULE}/holders");
    let entries = fs::read_dir(&path).map_err(|error| anyhow!("cannot read {path}: {error}"))?;
    Ok(entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect())
}

/// Disables the patch. If another process has done so already, the kernel refuses, which is no error.
fn disable() -> Result<()> {
    let path = format!("{PATCH}/enabled");
    let Err(error) = fs::write(&path, "0") else {
        return Ok(());
    };
    match State::now()? {
        State::Disabling | State::Absent => Ok(()),
        State::Enabled | State::Enabling => Err(not_disabled(error))
            .with_context(|| format!("cannot disable the livepatch ({path}); nothing was changed")),
    }
}

fn not_disabled(error: io::Error) -> anyhow::Error {
    match error.raw_os_error() {
        Some(libc::EBUSY) => {
            Kind::Conflict.error("another livepatch is in transition: try again when it is over")
        }
        _ => error.into(),
    }
}
