// SPDX-License-Identifier: GPL-2.0

//! A packet is handed to the stack under `rcu_read_lock()` alone.
//!
//! expect: E0308 expected `&BhDisabled`, found `&Guard`

use crate::net::skb::Arrival;
use kernel::sync::rcu;

fn receive(packet: Arrival) -> bool {
    packet.receive(&rcu::read_lock())
}
