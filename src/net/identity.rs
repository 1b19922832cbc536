// SPDX-License-Identifier: GPL-2.0

//! The check that the running kernel is the one that the module was built for.
//!
//! C header: [`include/linux/buildid.h`](srctree/include/linux/buildid.h)

use super::{
    builtin::BuiltIn,
    netlink::AttrType,
    rtnl_link::RtnlLinkDriver, //
};
use crate::bindings;
use core::ffi::CStr;
use kernel::prelude::*;

/// Checks that the module was built for the running kernel, and that the built-in driver is the expected one.
///
/// Otherwise `ENODEV`, with a line in the log. The release name of a kernel is not enough: Debian sometimes rebuilds a
/// kernel under the same name, and the kernel compares nothing else (no `CONFIG_MODVERSIONS`).
pub(super) fn check<T: BuiltIn + RtnlLinkDriver>() -> Result {
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
    // `priv_size` and `maxtype`, and no code writes them.
    let (kind, size, max) = unsafe { ((*table).kind, (*table).priv_size, (*table).maxtype) };
    // SAFETY: The name of a link type ends in NUL.
    let kind = unsafe { CStr::from_char_ptr(kind) };
    if kind != T::NAME || size != size_of::<T::Private>() || max as usize + 1 != T::Attr::COUNT {
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
