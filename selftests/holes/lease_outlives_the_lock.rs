// SPDX-License-Identifier: GPL-2.0

//! The physical queue of a lease is used after the lock that keeps the lease was released.
//!
//! expect: E0597 `lock` does not live long enough

use crate::net::{
    device::NetDevice,
    rx_queue::Locked, //
};

fn leased(dev: &NetDevice) -> u32 {
    let queue = {
        let lock = dev.lock();
        Locked::from(&lock).leased_rx_queue(0)
    };
    queue.map_or(0, |queue| queue.index())
}
