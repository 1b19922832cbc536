// SPDX-License-Identifier: GPL-2.0

//! Networking abstractions that the `kernel` crate of 7.3 lacks.
//!
//! Each file wraps one C concept and is written as if for `rust/kernel/net/`: opaque types that borrow what the
//! C side owns, a trait per operations table, an `Adapter` that holds the C callbacks.

pub(crate) mod builtin;
pub(crate) mod device;
pub(crate) mod ethtool;
pub(crate) mod extack;
pub(crate) mod link;
pub(crate) mod namespace;
pub(crate) mod netlink;
pub(crate) mod new_device;
pub(crate) mod notifier;
pub(crate) mod once;
pub(crate) mod ops;
pub(crate) mod queue;
pub(crate) mod rcu;
pub(crate) mod rtnl;
pub(crate) mod setup;
pub(crate) mod skb;
pub(crate) mod takeover;
pub(crate) mod xdp;

use crate::bindings;
use kernel::{
    ffi::c_int,
    prelude::*, //
};

/// `kernel::error::to_result()`, for where calls are counted: a success is none.
#[inline(always)]
pub(crate) fn to_result(err: c_int) -> Result {
    match err {
        0 => Ok(()),
        err => kernel::error::to_result(err),
    }
}

/// `is_valid_ether_addr()`: neither a multicast address nor all zeroes.
pub(crate) fn is_valid_ether_addr(address: &[u8; bindings::ETH_ALEN as usize]) -> bool {
    // SAFETY: `is_valid_ether_addr()` reads ETH_ALEN bytes, which the array has; x86 loads from any address.
    unsafe { bindings::netkit_rs_is_valid_ether_addr(address.as_ptr()) }
}

/// `WARN_ON_ONCE()`.
pub(crate) fn warn_on_once(condition: bool) {
    // SAFETY: WARN_ON_ONCE() takes a plain value, in any context.
    unsafe { bindings::netkit_rs_warn_on_once(condition) };
}
