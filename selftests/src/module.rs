// SPDX-License-Identifier: GPL-2.0
//! Loading and unloading netkit_rs.ko, as the command `netkit-rs` does it; and the
//! bare system call, for tests that want the kernel's own answer at once.

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
