// SPDX-License-Identifier: GPL-2.0

//! Networking abstractions that the `kernel` crate of 7.3 lacks.
//!
//! Each file wraps one C concept and is written as if for `rust/kernel/net/`: opaque types that borrow what the
//! C side owns, a trait per operations table, an adapter that holds the C callbacks.
//!
//! The files stand in the order of their dependencies: each uses only those above it. `make check` holds the order.

pub(crate) mod ether;
pub(crate) mod rtnl;

pub(crate) mod extack;
pub(crate) mod netlink;

pub(crate) mod namespace;

pub(crate) mod device;

pub(crate) mod builtin;
pub(crate) mod namespace_walk;
pub(crate) mod rcu;
pub(crate) mod setup;

pub(crate) mod ethtool;
pub(crate) mod rx_queue;
pub(crate) mod skb;
pub(crate) mod unregister;

pub(crate) mod new_device;
pub(crate) mod notifier;
pub(crate) mod ops;

pub(crate) mod xsk;

pub(crate) mod rtnl_link;

pub(crate) mod lease;

pub(crate) mod identity;
mod takeover_job;

pub(crate) mod takeover;

pub(crate) mod tables;
