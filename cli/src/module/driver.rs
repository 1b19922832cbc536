// SPDX-License-Identifier: GPL-2.0
//! Which driver serves netkit devices at this moment, and what is known about the module.

use std::fmt;
use std::fs;

use anyhow::Result;
use serde::Serialize;

use super::file::hexadecimal;
use super::file::running_release;
use super::is_present;
use super::patch::State;
use super::read_if_there;
use super::references;
use super::takeover::Takeover;
use super::MODULE;

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// This kernel has no netkit.
    None,
    /// The driver that is built into the kernel, in C.
    #[serde(rename = "c")]
    BuiltIn,
    /// The module.
    Rust,
    /// The module is being loaded. The built-in driver serves the devices until every task has switched.
    Loading,
    /// The module is half unloaded. The built-in driver serves the devices again.
    Unloading,
    /// The module is in the kernel, but its livepatch is off. The built-in driver serves the devices.
    Disabled,
}

impl Driver {
    fn of(patch: Option<State>, takeover: Option<Takeover>, built_in: bool) -> Self {
        match (patch, takeover) {
            (Some(State::Enabled), Some(Takeover::Off)) => Self::BuiltIn,
            (Some(State::Enabled), _) => Self::Rust,
            (Some(State::Enabling), _) => Self::Loading,
            (Some(State::Disabling), _) => Self::Unloading,
            (Some(State::Absent), _) => Self::Disabled,
            (None, _) if built_in => Self::BuiltIn,
            (None, _) => Self::None,
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none (this kernel has no netkit)",
            Self::BuiltIn => "built-in (C)",
            Self::Rust => "netkit_rs (Rust)",
            Self::Loading => "built-in (C), while netkit_rs (Rust) is being loaded: `netkit-rs load` waits for it",
            Self::Unloading => "built-in (C), netkit_rs (Rust) is half unloaded: `netkit-rs unload` finishes the unload",
            Self::Disabled => {
                "built-in (C), the livepatch of netkit_rs (Rust) is off: a cumulative livepatch replaced it, or an unload was \
                 interrupted. Use `netkit-rs unload`, then `netkit-rs load`"
            }
        })
    }
}

/// Which driver serves netkit devices.
pub fn driver() -> Result<Driver> {
    if !is_present() {
        return Ok(Driver::of(None, None, has_built_in()?));
    }
    Ok(Driver::of(Some(State::now()?), Takeover::now()?, true))
}

/// The module in the kernel.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Loaded {
    /// `MODULE_VERSION`, if the module has one.
    pub version: Option<String>,
    /// The hash of the source, if the build made one.
    pub srcversion: Option<String>,
    /// The linker's hash of the build: each build has another one.
    pub build_id: Option<String>,
    /// An enabled livepatch holds one reference; devices and links hold none.
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
    Some(hexadecimal(value))
}

/// Whether the kernel's list of built-in modules has netkit. Without a list, it is assumed to be built in.
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
        let absent = |built_in| Driver::of(None, None, built_in);
        assert_eq!(absent(true), Driver::BuiltIn);
        assert_eq!(absent(false), Driver::None);
        let present = |patch, takeover| Driver::of(Some(patch), Some(takeover), true);
        assert_eq!(present(State::Enabled, Takeover::On), Driver::Rust);
        assert_eq!(present(State::Enabled, Takeover::Incomplete), Driver::Rust);
        // Somebody wrote 0 to the parameter.
        assert_eq!(present(State::Enabled, Takeover::Off), Driver::BuiltIn);
        assert_eq!(present(State::Enabling, Takeover::Off), Driver::Loading);
        assert_eq!(present(State::Disabling, Takeover::Off), Driver::Unloading);
        assert_eq!(present(State::Absent, Takeover::Off), Driver::Disabled);
        // A build without the parameter.
        assert_eq!(Driver::of(Some(State::Enabled), None, true), Driver::Rust);
    }

    #[test]
    fn build_ids() {
        let note = [&[4, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0], &b"GNU\0\xab\x01"[..]].concat();
        assert_eq!(build_id(&note).as_deref(), Some("ab01"));
        assert_eq!(build_id(&[]), None);
    }
}
