// SPDX-License-Identifier: GPL-2.0
//! Which driver netkit devices are made by at this moment.

use std::fmt;

use anyhow::Result;

use super::file::running_release;
use super::is_present;
use super::patch::State;
use super::read_if_there;
use super::references;
use crate::device;
use crate::device::Device;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Driver {
    /// This kernel has no netkit.
    None,
    /// The kernel's own, in C.
    BuiltIn,
    /// The module.
    Rust,
    /// The module, on its way in: some processes cannot manage programs yet.
    Loading,
    /// The module, on its way out: some processes cannot manage programs any more.
    Unloading,
}

impl Driver {
    fn of(present: bool, patch: State, built_in: bool) -> Self {
        match (present, patch) {
            (true, State::Enabled) => Self::Rust,
            (true, State::Enabling) => Self::Loading,
            (true, State::Disabling | State::Absent) => Self::Unloading,
            (false, _) if built_in => Self::BuiltIn,
            (false, _) => Self::None,
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none (this kernel has no netkit)",
            Self::BuiltIn => "built-in (C)",
            Self::Rust => "netkit_rs (Rust)",
            Self::Loading => "netkit_rs (Rust), still being loaded: `netkit-rs load` waits for it",
            Self::Unloading => "netkit_rs (Rust), half unloaded: `netkit-rs unload` ends it",
        })
    }
}

#[derive(Clone, Debug)]
pub struct Status {
    pub driver: Driver,
    /// The module's reference count, if it is in the kernel.
    pub references: Option<i32>,
    /// The devices of this network namespace.
    pub devices: Vec<Device>,
}

pub fn status() -> Result<Status> {
    let present = is_present();
    Ok(Status {
        driver: Driver::of(present, State::now()?, present || has_built_in()?),
        references: present.then(references).transpose()?,
        devices: device::this_namespace()?,
    })
}

/// The kernel's list of what was built into it; where there is no list, its device makes are not known to lack netkit.
fn has_built_in() -> Result<bool> {
    let list = read_if_there(format!(
        "/lib/modules/{}/modules.builtin",
        running_release()?
    ))?;
    Ok(list.is_none_or(|list| list.lines().any(|line| line.ends_with("/netkit.ko"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers() {
        assert_eq!(Driver::of(false, State::Absent, true), Driver::BuiltIn);
        assert_eq!(Driver::of(false, State::Absent, false), Driver::None);
        assert_eq!(Driver::of(true, State::Enabled, true), Driver::Rust);
        assert_eq!(Driver::of(true, State::Enabling, true), Driver::Loading);
        assert_eq!(Driver::of(true, State::Disabling, true), Driver::Unloading);
        assert_eq!(Driver::of(true, State::Absent, true), Driver::Unloading);
    }
}
