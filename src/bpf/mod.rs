// SPDX-License-Identifier: GPL-2.0

//! BPF abstractions that the `kernel` crate of 7.3 lacks: programs, program arrays, links, and the system
//! call's requests.
//!
//! The files stand in the order of their dependencies: each uses only those above it, and `net`. `make check` holds the order.

pub(crate) mod attr;
pub(crate) mod context;
pub(crate) mod prog;

pub(crate) mod mprog;

pub(crate) mod link;
pub(crate) mod skb;

pub(crate) mod syscall;
