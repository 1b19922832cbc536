// SPDX-License-Identifier: GPL-2.0

//! Warnings in the kernel log about events that must not happen.
//!
//! C header: [`include/asm-generic/bug.h`](srctree/include/asm-generic/bug.h)

use crate::bindings;

/// `WARN_ON_ONCE()`.
pub(crate) fn warn_on_once(condition: bool) {
    // SAFETY: WARN_ON_ONCE() takes a plain value, in any context.
    unsafe { bindings::netkit_rs_warn_on_once(condition) };
}
