// SPDX-License-Identifier: GPL-2.0
//! Unloading, which a disabled patch cannot be called back from: so it is checked first whether it can work at all.
//!
//! Patch off, wait until no process runs its functions, wait for the reference count, module out. An interrupted
//! unloading is taken up where it stopped.

use std::fs;

use anyhow::anyhow;
use anyhow::bail;
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
    check_allowed("unloading")?;
    if !is_present() {
        bail!("the module is not loaded: the kernel's own driver is the one that runs");
    }
    let state = State::now()?;
    if matches!(state, State::Enabled | State::Enabling) {
        check_possible(state)?;
    }
    let devices = device::all_namespaces()?.len();
    announce(devices);
    if matches!(state, State::Enabled | State::Enabling) {
        disable()?;
    }
    patch::wait(
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
        "the module is disabled, but something still holds it",
        || Ok(references()? == 0),
        || {
            format!(
                "Its reference count is {}. If a transition was forced (the file `force`), it stays until the next boot; else \
                 take it up again with `netkit-rs unload`.",
                references().map_or("unknown".to_owned(), |count| count.to_string())
            )
        },
    )?;
    match delete_module(c"netkit_rs", DeleteModuleFlags::O_NONBLOCK) {
        Ok(()) => Ok(Unloaded { devices }),
        // Somebody else was quicker.
        Err(Errno::ENOENT) => Ok(Unloaded { devices }),
        Err(errno) => Err(anyhow!(
            "the module is disabled, but the kernel keeps it: {} ({errno:?}). Take it up again with `netkit-rs unload`.",
            errno.desc()
        )),
    }
}

/// Disabling cannot be undone without unloading: whatever would stop us later has to be known now.
fn check_possible(state: State) -> Result<()> {
    if let Some(other) = patch::other_in_transition()? {
        bail!("the livepatch {other} is in transition, and the kernel allows one at a time: try again when it is over");
    }
    let holders = holders()?;
    if !holders.is_empty() {
        bail!(
            "other modules use this one: unload them first ({})",
            holders.join(", ")
        );
    }
    // The patch holds one reference. Others come and go, with a reader of the devices, say; they are waited for.
    let patch_only = || Ok(references()? <= 1);
    if state == State::Enabled {
        patch::wait("the module is in use", patch_only, || {
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

fn disable() -> Result<()> {
    let path = format!("{PATCH}/enabled");
    fs::write(&path, "0").map_err(|error| match error.raw_os_error() {
        Some(libc::EBUSY) => anyhow!(
            "another livepatch is in transition: nothing was changed, try again when it is over"
        ),
        _ => anyhow!("cannot disable the livepatch ({path}): {error}; nothing was changed"),
    })
}
