// SPDX-License-Identifier: GPL-2.0

//! What a lock protects, with the lock of another device.
//!
//! expect: E0599 no method named `has_xsk_features` found

use crate::net::device::NetDevice;

fn features(one: &NetDevice, two: &NetDevice) -> bool {
    let _lock = one.lock();
    two.has_xsk_features()
}
