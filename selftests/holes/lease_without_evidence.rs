// SPDX-License-Identifier: GPL-2.0

//! The device behind a leased queue, with nothing that keeps it.
//!
//! expect: E0061 this method takes 2 arguments but 1 argument was supplied

use crate::net::device::NetDevice;

fn leased(dev: &NetDevice) -> bool {
    dev.leased_rx_queue(0).is_some()
}
