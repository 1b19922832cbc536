// SPDX-License-Identifier: GPL-2.0
//! Loading: everything that can be known before is checked before, with a hint; the rest is read from the errno and
//! from what the module wrote to the kernel log.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use anyhow::Error;
use anyhow::Result;
use nix::errno::Errno;

use super::check_allowed;
use super::file;
use super::is_present;
use super::patch;
use super::patch::State;
use super::read_if_there;
use crate::device;
use crate::failure::Kind;
use crate::kernel_log::KernelLog;

/// Loads the module and waits until every process uses it.
///
/// A load that was begun already (by insmod, or by a command that was interrupted) is only waited for; a module that is
/// in and done is an error.
pub fn load(path: &Path) -> Result<()> {
    load_within(path, patch::PATIENCE)
}

/// [`load`], waiting no longer than `patience`.
pub fn load_within(path: &Path, patience: Duration) -> Result<()> {
    check_allowed("loading")?;
    match (is_present(), State::now()?) {
        (true, State::Enabling) => return wait(patience),
        (true, State::Enabled) => {
            return Err(Kind::Conflict
                .error("the module is loaded already (`netkit-rs status` tells more)"))
        }
        (true, State::Disabling) => {
            return Err(Kind::Conflict.error(
                "the module is on its way out: end that with `netkit-rs unload`, then load it",
            ))
        }
        (true, State::Absent) => {
            return Err(Kind::Conflict.error(
                "the module is in the kernel, but its livepatch is off, and it cannot be switched on again: `netkit-rs unload`, \
                 then load it",
            ))
        }
        (false, _) => {}
    }
    if !Path::new(patch::PATCHES).exists() {
        return Err(Kind::Absent.error(
            "this kernel has no livepatching (CONFIG_LIVEPATCH), which the module needs: Debian's own kernels have it",
        ));
    }
    let module = file::open(path)?;
    patch::check_others()?;
    let mut log = KernelLog::from_now().context("cannot read the kernel log (/dev/kmsg)")?;
    if let Err(errno) = module.insert() {
        return Err(refusal(errno, log.newest(), in_the_way(errno)));
    }
    wait(patience)
}

fn wait(patience: Duration) -> Result<()> {
    patch::wait(
        patience,
        "the module is loaded, but not every process uses it yet",
        || match State::now()? {
            State::Enabling => Ok(false),
            State::Enabled => Ok(true),
            State::Disabling | State::Absent => {
                Err(Kind::Conflict.error("the module was unloaded meanwhile"))
            }
        },
        || {
            format!(
                "Until then these cannot manage BPF programs on netkit devices; {}. Wait for it with `netkit-rs load`, or \
                 go back with `netkit-rs unload`.",
                patch::laggards("0")
            )
        },
    )
}

/// The built-in driver's devices, by namespace, in words; empty if they are not the reason.
fn in_the_way(errno: Errno) -> String {
    if errno != Errno::EBUSY {
        return String::new();
    }
    // What cannot be listed is told by the module's own words.
    let found = device::all_namespaces().unwrap_or_default();
    let lines = found.iter().map(|(namespace, devices)| {
        let names: Vec<_> = devices.iter().map(|device| device.name.as_str()).collect();
        format!("\n  {namespace}: {}", names.join(", "))
    });
    lines.collect()
}

/// What the kernel's no means, with the module's own words where it has said something.
fn refusal(errno: Errno, said: Option<String>, devices: String) -> Error {
    let about_devices = said
        .as_ref()
        .is_none_or(|line| line.contains("built-in driver"));
    if about_devices && !devices.is_empty() {
        return Kind::Conflict.error(format!(
            "the module was not loaded: devices of the built-in driver are in the way. Move what uses them elsewhere and delete \
             them (`ip link del`), then load it:{devices}"
        ));
    }
    let (kind, why) = match errno {
        Errno::EBUSY => match said {
            Some(line) => {
                return Kind::Conflict.error(format!("the module was not loaded: {line}"))
            }
            None => (
                Kind::Conflict,
                "a device of the built-in driver exists, or another livepatch is in transition".to_owned(),
            ),
        },
        Errno::EEXIST => (Kind::Conflict, "it is loaded already".to_owned()),
        Errno::ENOEXEC => (
            Kind::Conflict,
            "the kernel takes it for built for another kernel or damaged: build it anew (make clean; make)".to_owned(),
        ),
        Errno::EPERM | Errno::EACCES => (
            Kind::Permission,
            format!(
                "the kernel does not allow it{}",
                lockdown().map_or(String::new(), |mode| format!(
                    ": it is locked down ({mode}), as with Secure Boot, and takes signed modules only. Sign the module with a \
                     key of yours (Machine Owner Key, see README.md), or turn Secure Boot off"
                ))
            ),
        ),
        Errno::ENOKEY | Errno::EKEYREJECTED | Errno::EBADMSG => (
            Kind::Permission,
            "the kernel takes modules with a signature it trusts only: sign it with a key that is enrolled (Machine Owner \
             Key, see README.md)"
                .to_owned(),
        ),
        Errno::ENODEV | Errno::EINVAL | Errno::ENOENT => (
            Kind::Conflict,
            "this kernel's netkit is not the one the module was built for".to_owned(),
        ),
        Errno::ENOMEM => (Kind::Failed, "the kernel has no memory for it".to_owned()),
        other => (Kind::Failed, other.desc().to_owned()),
    };
    kind.error(match said {
        Some(line) => format!("the module was not loaded: {why} ({errno:?}); it says: {line}"),
        None => format!(
            "the module was not loaded: {why} ({errno:?}; the kernel log, `dmesg`, may tell more)"
        ),
    })
}

/// The mode the kernel is locked down in, if it is.
fn lockdown() -> Option<String> {
    let modes = read_if_there("/sys/kernel/security/lockdown").ok()??;
    locked_mode(&modes).map(str::to_owned)
}

/// "none [integrity] confidentiality": the chosen one is in brackets.
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
    fn devices_in_the_way_are_listed() {
        let error = refusal(Errno::EBUSY, None, "\n  pod: eth0, eth1".to_owned());
        assert!(
            error.to_string().ends_with("\n  pod: eth0, eth1"),
            "{error}"
        );
        assert_eq!(Kind::of(&error), Kind::Conflict);
    }

    #[test]
    fn refusals_quote_the_module() {
        let line = "device nk0 (index 3) belongs to the built-in driver";
        let error = refusal(Errno::EBUSY, Some(line.to_owned()), String::new());
        assert!(error.to_string().contains(line), "{error}");
        let error = refusal(Errno::EKEYREJECTED, None, String::new());
        assert!(error.to_string().contains("sign"), "{error}");
        assert_eq!(Kind::of(&error), Kind::Permission);
    }
}
