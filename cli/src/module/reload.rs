// SPDX-License-Identifier: GPL-2.0
//! Reloading: another build of the module replaces the loaded one. The built-in driver serves all devices in between.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Error;
use anyhow::Result;

use super::check_allowed;
use super::driver::loaded;
use super::file;
use super::is_present;
use super::load;
use super::takeover;
use super::unload::unload_within;
use crate::failure::Kind;

/// What reloading did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reloaded {
    /// The file that was loaded.
    pub file: PathBuf,
    /// The linker's hash of the old build, and of the new one.
    pub old_build_id: Option<String>,
    pub new_build_id: Option<String>,
    /// The number of devices that went back to the built-in driver.
    pub handed_back: Option<usize>,
    /// The number of devices that the new build took over.
    pub taken_over: Option<usize>,
}

/// Unloads the module and loads a file, waiting no longer than `patience` for each step. Without a path, the file is
/// [`file::default_path`].
///
/// Nothing is changed if the file is wrong.
pub fn reload_within(path: Option<&Path>, patience: Duration) -> Result<Reloaded> {
    check_allowed("reloading")?;
    let Some(old) = loaded()? else {
        return Err(Kind::Absent.error(
            "the module is not loaded, so there is nothing to replace: use `netkit-rs load`",
        ));
    };
    if takeover::devices()?.is_none() {
        return Err(Kind::Conflict.error(
            "the loaded module is an old build that deletes its devices when it is unloaded: use `netkit-rs unload`, then \
             `netkit-rs load`, when no device is in use",
        ));
    }
    let path = path.map_or_else(file::default_path, |path| Ok(path.to_owned()))?;
    let new = load::open(&path)?;
    let new_build_id = file::build_id(&new);
    let unloaded = unload_within(patience).map_err(|error| {
        error.context("the loaded module was not replaced, because unloading failed")
    })?;
    let taken_over = load::load_open(&new, patience)
        .map_err(|error| not_loaded(error, is_present(), old.build_id.as_deref(), &path))?;
    Ok(Reloaded {
        file: path,
        old_build_id: old.build_id,
        new_build_id,
        handed_back: unloaded.devices,
        taken_over,
    })
}

/// The old module is unloaded, and loading the new one failed.
fn not_loaded(error: Error, present: bool, old: Option<&str>, path: &Path) -> Error {
    let old = old.map_or(String::new(), |build| format!(" (build {build})"));
    if present {
        // The message of the load says how to go on.
        return error.context(format!(
            "the old module{old} is unloaded, and the new one is not completely loaded"
        ));
    }
    error.context(format!(
        "the old module{old} is unloaded, and the new one was refused. The built-in driver serves all devices. Once the reason \
         is corrected, run `netkit-rs load {}`; `netkit-rs load FILE` loads another build. The reason",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_load_says_who_serves() {
        let path = Path::new("/tmp/new.ko");
        let error = Kind::Permission.error("no key");
        let error = not_loaded(error, false, Some("ab01"), path);
        assert_eq!(Kind::of(&error), Kind::Permission);
        let text = format!("{error:#}");
        for part in [
            "(build ab01)",
            "The built-in driver serves all devices",
            "`netkit-rs load /tmp/new.ko`",
            "The reason: no key",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_load_that_takes_longer() {
        let error = Kind::Timeout.error("run `netkit-rs load` again");
        let error = not_loaded(error, true, None, Path::new("/tmp/new.ko"));
        assert_eq!(Kind::of(&error), Kind::Timeout);
        let text = format!("{error:#}");
        assert!(!text.contains("built-in driver serves"), "{text}");
    }
}
