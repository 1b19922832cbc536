// SPDX-License-Identifier: GPL-2.0
//! Loading. Whatever can be checked beforehand is checked, and its message has a hint. Other refusals are explained by the errno,
//! and by what the module wrote to the kernel log.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use anyhow::Error;
use anyhow::Result;
use nix::errno::Errno;

use super::check_allowed;
use super::compressed::ModuleFile;
use super::file;
use super::is_present;
use super::patch;
use super::patch::State;
use super::read_if_there;
use super::takeover;
use super::takeover::Takeover;
use crate::failure::Kind;
use crate::kernel_log::KernelLog;

/// What loading did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Loading {
    /// The file that was given to the kernel. `None` if the module was in the kernel already, and its load was not complete.
    pub file: Option<PathBuf>,
    /// The number of devices that the Rust driver serves now. `None` for an old build of the module, which does not count.
    pub devices: Option<usize>,
}

/// Loads the module, and waits until every task uses it and it has taken over all devices.
///
/// A load that was begun by insmod or by an interrupted command is completed. It is an error if nothing is left to do.
pub fn load(path: &Path) -> Result<()> {
    load_within(Some(path), patch::PATIENCE).map(drop)
}

/// [`load`], waiting no longer than `patience`. Without a path, the file is [`file::default_path`].
pub fn load_within(path: Option<&Path>, patience: Duration) -> Result<Loading> {
    check_allowed("loading")?;
    let file = match (is_present(), State::now()?) {
        (true, State::Enabling) => None,
        (true, State::Enabled) => {
            if matches!(Takeover::now()?, Some(Takeover::On) | None) {
                return Err(Kind::Conflict
                    .error("the module is loaded already (`netkit-rs status` shows its state)"));
            }
            takeover::take_over()?;
            None
        }
        (true, State::Disabling) => {
            return Err(Kind::Conflict.error(
                "the module is half unloaded: finish with `netkit-rs unload`, then load it again",
            ))
        }
        (true, State::Absent) => {
            return Err(Kind::Conflict.error(
                "the module is in the kernel, but its livepatch is off and cannot be enabled again: use `netkit-rs unload`, \
                 then `netkit-rs load`",
            ))
        }
        (false, _) => {
            let path = path.map_or_else(file::default_path, |path| Ok(path.to_owned()))?;
            insert(&open(&path)?)?;
            Some(path)
        }
    };
    Ok(Loading {
        file,
        devices: finish(patience)?,
    })
}

/// Loads a file that is open already. Returns the number of devices that the Rust driver serves now.
pub fn load_open(module: &ModuleFile, patience: Duration) -> Result<Option<usize>> {
    insert(module)?;
    finish(patience)
}

/// Opens a module's file, after checking that this kernel can take a module like it at all.
pub fn open(path: &Path) -> Result<ModuleFile> {
    if !Path::new(patch::PATCHES).exists() {
        return Err(Kind::Absent.error(
            "this kernel has no livepatching (CONFIG_LIVEPATCH), which the module needs: Debian's kernels for amd64 have it",
        ));
    }
    file::open(path)
}

/// Gives a module's file to the kernel. When this returns, the transition of the livepatch has only begun.
fn insert(module: &ModuleFile) -> Result<()> {
    patch::check_others()?;
    let mut log = KernelLog::from_now().context("cannot read the kernel log (/dev/kmsg)")?;
    module
        .insert()
        .map_err(|errno| refusal(errno, log.newest()))
}

fn finish(patience: Duration) -> Result<Option<usize>> {
    wait(patience)?;
    takeover::check_complete()
}

fn wait(patience: Duration) -> Result<()> {
    patch::wait(
        patience,
        "the module is loaded, but some tasks have not switched to it yet",
        || match State::now()? {
            State::Enabling => Ok(false),
            State::Enabled => Ok(true),
            State::Disabling | State::Absent => {
                Err(Kind::Conflict.error("the module was unloaded in the meantime"))
            }
        },
        || {
            format!(
                "Until then the built-in driver serves all devices; {}. Run `netkit-rs load` again to wait, or `netkit-rs unload` \
                 to go back.",
                patch::laggards("0")
            )
        },
    )
}

/// Why the kernel refused the module. If the module wrote a line to the kernel log, the message quotes it.
fn refusal(errno: Errno, said: Option<String>) -> Error {
    let (kind, why) = match errno {
        Errno::EBUSY => (
            Kind::Conflict,
            "another livepatch is in transition: try again when it is over".to_owned(),
        ),
        Errno::EEXIST => (Kind::Conflict, "it is loaded already".to_owned()),
        Errno::ENOEXEC => (
            Kind::Conflict,
            "the kernel says that it is damaged or built for another kernel: build it again (make clean; make)".to_owned(),
        ),
        Errno::EPERM | Errno::EACCES => (
            Kind::Permission,
            format!(
                "the kernel does not allow it{}",
                lockdown().map_or(String::new(), |mode| format!(
                    ": it is locked down ({mode}), as with Secure Boot, and takes signed modules only. Sign the module with your \
                     Machine Owner Key (see SECURE BOOT in netkit-rs(8)), or turn Secure Boot off"
                ))
            ),
        ),
        Errno::ENOKEY | Errno::EKEYREJECTED | Errno::EBADMSG => (
            Kind::Permission,
            "the kernel takes only modules with a signature that it trusts: sign the module with an enrolled Machine Owner Key \
             (see SECURE BOOT in netkit-rs(8))"
                .to_owned(),
        ),
        // Debian sometimes builds a kernel again under the same release name.
        Errno::ENODEV => (
            Kind::Conflict,
            "it was made for another build of this kernel release. Build the module for the running kernel (make distclean; make: \
             the cache folder keeps the old kernel), or boot the kernel that the module was made for"
                .to_owned(),
        ),
        Errno::EINVAL | Errno::ENOENT => (
            Kind::Conflict,
            "this kernel's netkit is not the one that the module was built for".to_owned(),
        ),
        Errno::ENOMEM => (Kind::Failed, "the kernel is out of memory".to_owned()),
        other => (Kind::Failed, other.desc().to_owned()),
    };
    kind.error(match said {
        Some(line) => format!("the module was not loaded: {why} ({errno:?}); it says: {line}"),
        None => format!(
            "the module was not loaded: {why} ({errno:?}; the kernel log, `dmesg`, may say more)"
        ),
    })
}

/// The lockdown mode of the kernel, if it is locked down.
fn lockdown() -> Option<String> {
    let modes = read_if_there("/sys/kernel/security/lockdown").ok()??;
    locked_mode(&modes).map(str::to_owned)
}

/// "none [integrity] confidentiality": the mode in force is in brackets.
fn locked_mode(modes: &str) -> Option<&str> {
    let mode = modes.split_once('[')?.1.split_once(']')?.0;
    Some(mode).filter(|mode| *mode != "none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lockdown_modes() {
        assert_eq!(locked_mode("[none] integrity confidentiality"), None);
        assert_eq!(
            locked_mode("none [integrity] confidentiality"),
            Some("integrity")
        );
        assert_eq!(locked_mode(""), None);
    }

    #[test]
    fn refusals_quote_the_module() {
        let line = "the running kernel is another build than this module was made for (build ID ab01, not cd02)";
        let error = refusal(Errno::ENODEV, Some(line.to_owned()));
        assert!(error.to_string().contains(line), "{error}");
        assert_eq!(Kind::of(&error), Kind::Conflict);
        let error = refusal(Errno::EKEYREJECTED, None);
        assert!(error.to_string().contains("sign"), "{error}");
        assert_eq!(Kind::of(&error), Kind::Permission);
    }
}
