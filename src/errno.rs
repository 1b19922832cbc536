// SPDX-License-Identifier: GPL-2.0

//! Error codes that the `kernel` crate of 7.2 lacks, and C's return values.
//!
//! A `use` by name takes precedence over the prelude of 7.3.
//!
//! C header: [`include/uapi/asm-generic/errno.h`](srctree/include/uapi/asm-generic/errno.h)

use kernel::{
    error::{Error, Result},
    ffi::c_int, //
};

macro_rules! errno {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {$(
        $(#[$doc])*
        // SAFETY: `Error` holds a `NonZeroI32` and nothing else (`rust/kernel/error.rs`; the compiler compares the sizes), and
        // its type invariant asks for a number from -MAX_ERRNO to -1, which this is.
        pub(crate) const $name: Error = unsafe { core::mem::transmute::<i32, Error>(-$value) };
    )*};
}

errno! {
    /// Link has been severed.
    ENOLINK = 67;
    /// Operation not supported on transport endpoint.
    EOPNOTSUPP = 95;
    /// Cannot assign requested address.
    EADDRNOTAVAIL = 99;
    /// Transport endpoint is not connected.
    ENOTCONN = 107;
}

/// `kernel::error::to_result()`, which is a function of vmlinux, without the call for a success.
#[inline(always)]
pub(crate) fn to_result(err: c_int) -> Result {
    match err {
        0 => Ok(()),
        err => kernel::error::to_result(err),
    }
}
