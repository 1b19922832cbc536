// SPDX-License-Identifier: GPL-2.0

//! Ethernet: lengths and addresses.
//!
//! C header: [`include/linux/etherdevice.h`](srctree/include/linux/etherdevice.h)

use crate::bindings;

/// The length of an address, in bytes.
pub(crate) const ETH_ALEN: usize = bindings::ETH_ALEN as usize;

/// The largest MTU of a device, in bytes.
pub(crate) const ETH_MAX_MTU: u32 = bindings::ETH_MAX_MTU;

/// `is_valid_ether_addr()`: neither a multicast address nor all zeroes.
pub(crate) fn is_valid_ether_addr(address: &[u8; ETH_ALEN]) -> bool {
    // SAFETY: `is_valid_ether_addr()` reads ETH_ALEN bytes, which the array has; x86 loads from any address.
    unsafe { bindings::netkit_rs_is_valid_ether_addr(address.as_ptr()) }
}
