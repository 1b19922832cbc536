// SPDX-License-Identifier: GPL-2.0
//! Loading: everything that can be known before is checked before, with a hint; the rest is read from the errno and
//! from what the module wrote to the kernel log.

use std::fs::File;
use std::path::Path;

use anyhow::anyhow;
use anyhow::bail;
use anyhow::Context;
use anyhow::Error;
use anyhow::Result;
use nix::errno::Errno;
use nix::kmod::finit_module;
use nix::kmod::ModuleInitFlags;

use super::check_allowed;
use super::file;
use super::is_present;
use super::patch;
use super::patch::State;
use super::read_if_there;
use crate::kernel_log::KernelLog;

/// Loads the module and waits until every process uses it.
///
/// A load that was begun already (by insmod, or by a command that was interrupted) is only waited for; a module that is
/// in and done is an error.
pub fn load(path: &Path) -> Result<()> {
    check_allowed("loading")?;
    match (is_present(), State::now()?) {
        (true, State::Enabling) => return wait(),
        (true, State::Enabled) => {
            bail!("the module is loaded already (netkit-rs status tells more)")
        }
        (true, State::Disabling | State::Absent) => {
            bail!("the module is on its way out: end that with `netkit-rs unload`, then load it")
        }
        (false, _) => {}
    }
    if !Path::new(patch::PATCHES).exists() {
        bail!("this kernel has no livepatching (CONFIG_LIVEPATCH), which the module needs: Debian's own kernels have it");
    }
    file::check(path)?;
    if let Some(other) = patch::other_in_transition()? {
        bail!("the livepatch {other} is in transition, and the kernel allows one at a time: try again when it is over");
    }
    let module = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut log = KernelLog::from_now().context("cannot read the kernel log (/dev/kmsg)")?;
    if let Err(errno) = finit_module(&module, c"", ModuleInitFlags::empty()) {
        return Err(refusal(errno, log.newest()));
    }
    wait()
}

fn wait() -> Result<()> {
    patch::wait(
        "the module is loaded, but not every process uses it yet",
        || match State::now()? {
            State::Enabling => Ok(false),
            State::Enabled => Ok(true),
            State::Disabling | State::Absent => bail!("the module was unloaded meanwhile"),
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

/// What the kernel's no means, with the module's own words where it has said something.
fn refusal(errno: Errno, said: Option<String>) -> Error {
    let why = match errno {
        Errno::EBUSY => match said {
            Some(line) => return anyhow!("the module was not loaded: {line}"),
            None => "a device of the built-in driver exists, or another livepatch is in transition".to_owned(),
        },
        Errno::EEXIST => "it is loaded already".to_owned(),
        Errno::ENOEXEC => "the kernel takes it for built for another kernel or damaged: build it anew (make clean; make)".to_owned(),
        Errno::EPERM | Errno::EACCES => format!(
            "the kernel does not allow it{}",
            lockdown().map_or(String::new(), |mode| format!(
                ": it is locked down ({mode}), as with Secure Boot, and takes signed modules only. Sign the module with a \
                 key of yours (Machine Owner Key, see README.md), or turn Secure Boot off"
            ))
        ),
        Errno::ENOKEY | Errno::EKEYREJECTED | Errno::EBADMSG => {
            "the kernel takes modules with a signature it trusts only: sign it with a key that is enrolled (Machine Owner \
             Key, see README.md)"
                .to_owned()
        }
        Errno::ENODEV | Errno::EINVAL | Errno::ENOENT => {
            "this kernel's netkit is not the one the module was built for".to_owned()
        }
        Errno::ENOMEM => "the kernel has no memory for it".to_owned(),
        other => other.desc().to_owned(),
    };
    match said {
        Some(line) => anyhow!("the module was not loaded: {why} ({errno:?}); it says: {line}"),
        None => anyhow!(
            "the module was not loaded: {why} ({errno:?}; the kernel log, `dmesg`, may tell more)"
        ),
    }
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
    fn refusals_quote_the_module() {
        let line = "device nk0 (index 3) belongs to the built-in driver";
        let text = refusal(Errno::EBUSY, Some(line.to_owned())).to_string();
        assert!(text.contains(line), "{text}");
        let text = refusal(Errno::EKEYREJECTED, None).to_string();
        assert!(text.contains("sign"), "{text}");
    }
}
