// SPDX-License-Identifier: GPL-2.0
//! Loading and unloading netkit_rs.ko.
//!
//! Loaded means that the livepatch transition has ended; unloaded means that the
//! patch is disabled, its sysfs folder gone and the module out of the kernel.

use std::fs;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;

const PATCH: &str = "/sys/kernel/livepatch/netkit_rs";
const MODULE: &str = "/sys/module/netkit_rs";
const PATIENCE: Duration = Duration::from_secs(60);

pub fn is_loaded() -> bool {
    Path::new(MODULE).exists()
}

/// The module's reference count.
pub fn references() -> Result<i32> {
    let path = format!("{MODULE}/refcnt");
    let text = fs::read_to_string(&path).context(path)?;
    text.trim().parse().context("reference count")
}

/// Hands the file to the kernel and waits for nothing.
pub fn insert(path: &Path) -> Result<(), Errno> {
    let file = File::open(path)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    // SAFETY: a valid descriptor, an empty C string for the parameters, no flags.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_finit_module,
            file.as_raw_fd(),
            c"".as_ptr(),
            0 as libc::c_int,
        )
    };
    Errno::result(ret).map(drop)
}

pub fn load(path: &Path) -> Result<()> {
    insert(path).with_context(|| format!("loading {}", path.display()))?;
    wait_loaded()
}

/// Waits for the end of the transition that a load has begun.
pub fn wait_loaded() -> Result<()> {
    let transition = format!("{PATCH}/transition");
    wait("the livepatch transition after loading", || {
        Ok(fs::read_to_string(&transition)
            .context(transition.clone())?
            .trim()
            == "0")
    })
}

pub fn unload() -> Result<()> {
    let enabled = format!("{PATCH}/enabled");
    fs::write(&enabled, "0").context(enabled)?;
    wait("the livepatch transition before unloading", || {
        Ok(!Path::new(PATCH).exists())
    })?;
    wait("the module's reference count", || Ok(references()? == 0))?;
    // SAFETY: a C string and flags.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_delete_module,
            c"netkit_rs".as_ptr(),
            libc::O_NONBLOCK,
        )
    };
    Errno::result(ret).map(drop).context("delete_module")
}

fn wait(what: &str, mut over: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !over()? {
        if Instant::now() > deadline {
            bail!("{what} did not end within {} s", PATIENCE.as_secs());
        }
        sleep(Duration::from_millis(20));
    }
    Ok(())
}
