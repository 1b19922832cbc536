// SPDX-License-Identifier: GPL-2.0
//! Which driver netkit devices are made by at this moment, and what is known about the module.

use std::fmt;
use std::fs;

use anyhow::Result;
use serde::Serialize;

use super::file::running_release;
use super::is_present;
use super::patch::State;
use super::read_if_there;
use super::references;
use super::MODULE;

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// This kernel has no netkit.
    None,
    /// The kernel's own, in C.
    #[serde(rename = "c")]
    BuiltIn,
    /// The module.
    Rust,
    /// The module, on its way in: some processes cannot manage programs yet.
    Loading,
    /// The module, on its way out: some processes cannot manage programs any more.
    Unloading,
    /// The module without its livepatch: packets pass, and nobody can manage programs.
    Disabled,
}

impl Driver {
    fn of(present: bool, patch: State, built_in: bool) -> Self {
        match (present, patch) {
            (true, State::Enabled) => Self::Rust,
            (true, State::Enabling) => Self::Loading,
            (true, State::Disabling) => Self::Unloading,
            (true, State::Absent) => Self::Disabled,
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
            Self::Disabled => {
                "netkit_rs (Rust), its livepatch off, so that programs cannot be managed: a cumulative livepatch switched it off, or \
                 an unloading was interrupted; `netkit-rs unload`, then `netkit-rs load`"
            }
        })
    }
}

/// Which driver is live.
pub fn driver() -> Result<Driver> {
    let present = is_present();
    Ok(Driver::of(
        present,
        State::now()?,
        present || has_built_in()?,
    ))
}

/// The module in the kernel.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Loaded {
    /// What `MODULE_VERSION` says; `None` if it says nothing.
    pub version: Option<String>,
    /// The hash of its source, where the build makes one.
    pub srcversion: Option<String>,
    /// The linker's hash of the build: tells one build from another.
    pub build_id: Option<String>,
    /// An enabled livepatch holds one; devices and links hold none.
    pub references: i32,
}

/// `None` if it is not loaded.
pub fn loaded() -> Result<Option<Loaded>> {
    if !is_present() {
        return Ok(None);
    }
    let file = |name| read_if_there(format!("{MODULE}/{name}"));
    let note = fs::read(format!("{MODULE}/notes/.note.gnu.build-id")).unwrap_or_default();
    Ok(Some(Loaded {
        version: file("version")?,
        srcversion: file("srcversion")?,
        build_id: build_id(&note),
        references: references()?,
    }))
}

/// A note: three words (length of the name, length of the value, type), the name "GNU\0", the value.
fn build_id(note: &[u8]) -> Option<String> {
    let value = note.get(16..).filter(|value| !value.is_empty())?;
    let digits = value.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from_digit(digit.into(), 16))
        .collect()
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
        assert_eq!(Driver::of(true, State::Absent, true), Driver::Disabled);
    }

    #[test]
    fn build_ids() {
        let note = [&[4, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0], &b"GNU\0\xab\x01"[..]].concat();
        assert_eq!(build_id(&note).as_deref(), Some("ab01"));
        assert_eq!(build_id(&[]), None);
    }
}
