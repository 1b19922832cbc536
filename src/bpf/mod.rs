// SPDX-License-Identifier: GPL-2.0

//! BPF abstractions that the `kernel` crate of 7.3 lacks: programs, program arrays, links, and the system
//! call's requests.

pub(crate) mod attr;
pub(crate) mod context;
pub(crate) mod link;
pub(crate) mod mprog;
pub(crate) mod prog;
pub(crate) mod syscall;
