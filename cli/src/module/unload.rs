// SPDX-License-Identifier: GPL-2.0
//! Unloading, which a disabled patch cannot be called back from: so it is checked first whether it can work at all.
//!
//! Patch off, wait until no process runs its functions, wait for the reference count, module out. An interrupted
//! unloading is taken up where it stopped.

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
use super::MODULE;
use crate::device;
use crate::failure::Kind;

/// What went with the module.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unloaded {
    /// Devices in all namespaces, counted when the unloading began.
    pub devices: usize,
}

/// Takes the module out of the kernel; its devices go with it, and the built-in driver is back.
///
/// `announce` is called with the number of devices before anything happens.
pub fn unload(announce: impl FnOnce(usize)) -> Result<Unloaded> {
    unload_within(patch::PATIENCE, announce)
}

/// [`unload`], waiting no longer than `patience` for each of its steps.
pub fn unload_within(patience: Duration, announce: impl FnOnce(usize)) -> Result<Unloaded> {
    check_allowed("unloading")?;
    if !is_present() {
        return Err(Kind::Absent
            .error("the module is not loaded: the kernel's own driver is the one that runs"));
    }
    let state = State::now()?;
    if matches!(state, State::Enabled | State::Enabling) {
        check_possible(state, patience)?;
    }
    let found = device::all_namespaces()?;
    let devices = found.iter().map(|(_, devices)| devices.len()).sum();
    announce(devices);
    if matches!(state, State::Enabled | State::Enabling) {
        disable()?;
    }
    patch::wait(
        patience,
        "the module is disabled, but some processes still use it",
        || Ok(State::now()? == State::Absent),
        || {
            format!(
                "Meanwhile {}. The devices carry traffic on. Take it up again with `netkit-rs unload`.",
                patch::laggards("1")
            )
        },
    )?;
    patch::wait(
        patience,
        "the module is disabled, but something still holds it",
        || match references() {
            // Somebody else was quicker.
            Err(_) if !is_present() => Ok(true),
            count => Ok(count? == 0),
        },
        || {
            format!(
                "Its reference count is {}. If a transition was forced (the file `force`), it stays until the next boot; else \
                 take it up again with `netkit-rs unload`.",
                references().map_or("unknown".to_owned(), |count| count.to_string())
            )
        },
    )?;
    remove(patience)?;
    Ok(Unloaded { devices })
}

fn remove(patience: Duration) -> Result<()> {
    match delete_module(c"netkit_rs", DeleteModuleFlags::O_NONBLOCK) {
        // Somebody else was quicker, or is at it.
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(Errno::EBUSY) => patch::wait(
            patience,
            "the module is on its way out, but is not gone",
            || Ok(!is_present()),
            || "Look again with `netkit-rs status`.".to_owned(),
        ),
        Err(errno) => Err(Kind::Conflict.error(format!(
            "the module is disabled, but the kernel keeps it: {} ({errno:?}). Take it up again with `netkit-rs unload`.",
            errno.desc()
        ))),
    }
}

/// Disabling cannot be undone without unloading: whatever would stop us later has to be known now.
fn check_possible(state: State, patience: Duration) -> Result<()> {
    patch::check_others()?;
    let holders = holders()?;
    if !holders.is_empty() {
        return Err(Kind::Conflict.error(format!(
            "other modules use this one: unload them first ({})",
            holders.join(", ")
        )));
    }
    // The patch holds one reference. Others come and go, with a reader of the devices, say; they are waited for.
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

/// Switches the patch off. Somebody else may do the same at this moment, or have done it: then the kernel refuses, and all is
/// well.
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
