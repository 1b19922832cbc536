// SPDX-License-Identifier: GPL-2.0
//! The module in the running kernel: load, unload, reload, status.
//!
//! netkit_rs.ko is a livepatch. When the module is loaded, the kernel switches one task after the other to the module's
//! functions: the *transition*. At its end the module takes over all netkit devices. *Loaded* means that this is done.
//! Unloading begins with handing the devices back; *unloaded* means that all tasks have switched back and the module is gone.
//! Both directions can be interrupted and continued.

mod compressed;
mod driver;
mod file;
mod load;
mod patch;
mod reload;
mod takeover;
mod unload;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;

use crate::failure::Kind;

pub use driver::driver;
pub use driver::loaded;
pub use driver::Driver;
pub use driver::Loaded;
pub use load::load;
pub use load::load_within;
pub use load::Loading;
pub use patch::tasks_in;
pub use patch::Task;
pub use patch::PATCH;
pub use patch::PATIENCE;
pub use reload::reload_within;
pub use reload::Reloaded;
pub use takeover::devices;
pub use takeover::Count;
pub use takeover::Takeover;
pub use unload::unload;
pub use unload::unload_within;
pub use unload::Unloaded;

const MODULE: &str = "/sys/module/netkit_rs";

/// Whether the module is in the kernel, also while it is being loaded or unloaded.
pub fn is_present() -> bool {
    Path::new(MODULE).exists()
}

/// The loaded module. Another number is another load of it.
pub fn instance() -> Option<u64> {
    fs::metadata(MODULE).ok().map(|folder| folder.ino())
}

/// The module's reference count. An enabled livepatch holds one reference; devices and links hold none.
pub fn references() -> Result<i32> {
    let path = format!("{MODULE}/refcnt");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    text.trim()
        .parse()
        .with_context(|| format!("{path} holds no number: {text:?}"))
}

/// Reads a file of procfs or sysfs. `None` if the file does not exist.
fn read_if_there(path: impl Into<PathBuf>) -> Result<Option<String>> {
    let path = path.into();
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        // A sysfs file whose object goes away while it is open.
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Checks what loading, unloading and reloading need.
fn check_allowed(what: &str) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Kind::Permission.error(format!(
            "{what} the module needs root: run the same command with sudo"
        )));
    }
    if read_if_there("/proc/sys/kernel/modules_disabled")?.as_deref() == Some("1") {
        return Err(Kind::Permission.error(
            "this kernel does not load or unload modules until the next boot (sysctl kernel.modules_disabled is 1)",
        ));
    }
    Ok(())
}
