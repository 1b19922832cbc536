// SPDX-License-Identifier: GPL-2.0

//! The physical device of a leased queue is used without evidence that keeps the lease.
//!
//! expect: E0061 this method takes 2 arguments but 1 argument was supplied

use crate::net::device::NetDevice;

fn leased(dev: &NetDevice) -> bool {
    dev.leased_rx_queue(0).is_some()
}
