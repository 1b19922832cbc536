// SPDX-License-Identifier: GPL-2.0

//! Programs run under `rcu_read_lock()` alone, which does not disable bottom halves.
//!
//! expect: E0308 expected `&BhDisabled`, found `&Guard`

use crate::{
    bpf::mprog::Active,
    net::skb::Arrival, //
};
use kernel::sync::rcu;

fn run(active: &Active, packet: &mut Arrival) -> i32 {
    let guard = rcu::read_lock();
    active
        .programs(&guard)
        .map_or(0, |programs| programs.run(packet, 0, -1, &guard))
}
