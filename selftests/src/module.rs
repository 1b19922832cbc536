// SPDX-License-Identifier: GPL-2.0
//! Loading and unloading netkit_rs.ko as the command `netkit-rs` does it; the plain system calls, for tests that need
//! the errno of the kernel; and the module's parameters.

use std::fs;
use std::fs::File;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;
use nix::kmod::finit_module;
use nix::kmod::ModuleInitFlags;

pub use netkit_rs::module::is_present as is_loaded;
pub use netkit_rs::module::load;
pub use netkit_rs::module::references;
pub use netkit_rs::module::unload;
pub use netkit_rs::module::PATCH;

use crate::check;

/// Hands the file to the kernel and waits for nothing.
pub fn insert(path: &Path) -> Result<(), Errno> {
    let file = File::open(path)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    finit_module(&file, c"", ModuleInitFlags::empty())
}

/// Waits for the end of the transition that `insert` has begun.
pub fn wait_loaded() -> Result<()> {
    let transition = format!("{PATCH}/transition");
    check::soon("the livepatch transition ends", || {
        let text = fs::read_to_string(&transition).context(transition.clone())?;
        Ok(text.trim() == "0")
    })
}

const PARAMETERS: &str = "/sys/module/netkit_rs/parameters";

fn parameter(name: &str) -> Result<String> {
    let path = format!("{PARAMETERS}/{name}");
    let text = fs::read_to_string(&path).context(path)?;
    Ok(text.trim().to_owned())
}

/// How many netkit devices of all namespaces have the module's operations at this moment.
pub fn devices() -> Result<usize> {
    parameter("devices")?.parse().context("not a number")
}

/// Whose the devices are: `on`, `off` or `incomplete`.
pub fn takeover() -> Result<String> {
    parameter("takeover")
}

/// Writes to `takeover`: 1 takes all devices over, 0 hands all of them back.
pub fn set_takeover(text: &str) -> Result<(), Errno> {
    fs::write(format!("{PARAMETERS}/takeover"), text)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
}

pub fn take_over() -> Result<()> {
    set_takeover("1").context("taking the devices over")
}

pub fn hand_back() -> Result<()> {
    set_takeover("0").context("handing the devices back")
}

/// Switches the livepatch off and waits for the end of its transition; the module stays in.
pub fn disable() -> Result<()> {
    let enabled = format!("{PATCH}/enabled");
    fs::write(&enabled, "0").context(enabled)?;
    check::soon("the livepatch is off", || Ok(!Path::new(PATCH).exists()))
}
