// SPDX-License-Identifier: GPL-2.0

//! The queue behind a leased one is used after the lock was released that keeps the lease.
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
