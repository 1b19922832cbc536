// SPDX-License-Identifier: GPL-2.0

//! The driver that is built into the kernel, and that a driver of this module stands in for.
//!
//! Both drivers serve the same devices. So both have the same private area, and a device is told from its
//! operations table: the built-in driver's or the module's.
//!
//! C header: [`include/linux/buildid.h`](srctree/include/linux/buildid.h)

use super::{
    link::LinkDriver,
    queue::QueueDriver,
    takeover::Takeover, //
};
use crate::bindings;
use core::ffi::CStr;
use kernel::prelude::*;

/// A driver that stands in for one that is built into the kernel.
///
/// # Safety
///
/// The four tables must be those of one driver of vmlinux. Each of its devices must have a private area that is a
/// valid `Self::Private`, peer included, and `tstats` from registration on. The built-in driver must treat devices that
/// `Self` has created as its own. `takeover()` must always return the same static. `validate`, `iflink`, `set_rx_headroom` and
/// `stats` must not sleep: C calls them with no lock that a takeover could wait for.
pub(crate) unsafe trait BuiltIn: LinkDriver + QueueDriver {
    /// The link type (`struct rtnl_link_ops`), which stays registered. Writable.
    fn link_ops() -> *mut bindings::rtnl_link_ops;

    /// The operations of the built-in driver's devices.
    fn netdev_ops() -> *const bindings::net_device_ops;

    /// What the built-in driver tells ethtool.
    fn ethtool_ops() -> *const bindings::ethtool_ops;

    /// The operations on queues of the built-in driver's devices.
    fn queue_mgmt_ops() -> *const bindings::netdev_queue_mgmt_ops;

    /// Which of the two drivers has the devices.
    fn takeover() -> &'static Takeover<Self>;
}

/// Whether the running kernel is the one that the module was built for, and its driver the expected one.
///
/// `ENODEV`, with a line in the log, if not. A kernel's release name says too little: Debian rebuilds a kernel under
/// the same name, and the kernel compares nothing else (no `CONFIG_MODVERSIONS`).
pub(crate) fn check<T: BuiltIn>() -> Result {
    // SAFETY: `vmlinux_build_id` is an array of vmlinux, written once at boot (`init_vmlinux_build_id()`).
    let running = unsafe { (&raw const bindings::vmlinux_build_id).read() };
    let wanted = bindings::layout::BUILD_ID;
    if running != wanted {
        pr_err!(
            "the running kernel is another build than this module was made for (build ID {}, not {})\n",
            Hex(&running),
            Hex(&wanted)
        );
        return Err(ENODEV);
    }
    let table = T::link_ops();
    // SAFETY: By the trait's safety requirement the table is static data of vmlinux; its initialiser sets `kind`,
    // `priv_size` and `maxtype`, and nobody writes them.
    let (kind, size, max) = unsafe { ((*table).kind, (*table).priv_size, (*table).maxtype) };
    // SAFETY: The name of a link type ends in NUL.
    let kind = unsafe { CStr::from_char_ptr(kind) };
    if kind != T::KIND || size != size_of::<T::Private>() || max as usize != T::MAX_ATTR {
        pr_err!(
            "the kernel's driver is another one than this module was made for (kind {:?}, {} bytes, {} attributes)\n",
            kind,
            size,
            max
        );
        return Err(ENODEV);
    }
    Ok(())
}

/// Bytes as hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl kernel::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
