// SPDX-License-Identifier: GPL-2.0
//! The library behind the command `netkit-rs`.
//!
//! - [`module`]: loads, unloads and reloads the Rust driver, and waits until the kernel has finished. If the kernel refuses, the
//!   error says why.
//! - [`status`]: which driver serves how many devices; the netkit devices of one network namespace or of all; their programs
//!   in order.
//! - [`change`]: attaches, replaces and detaches programs. It finds what the user has named ([`target`], [`primary`],
//!   [`source`]), and calls the kernel through `netkit-aya`.
//! - [`trace`]: follows packets through the devices.
//! - [`device`], [`namespace`], [`hook`], [`bpf`], [`object`]: used by the modules above.
//! - [`args`], [`command`]: the command line, and what is printed.
//! - [`failure`]: the kinds of errors, which are the exit statuses.

pub mod args;
pub mod bpf;
pub mod change;
pub mod command;
pub mod device;
pub mod failure;
pub mod hook;
mod kernel_log;
mod listns;
pub mod module;
pub mod namespace;
mod netlink;
pub mod object;
pub mod primary;
pub mod source;
pub mod status;
pub mod target;
pub mod trace;
pub mod uname;
