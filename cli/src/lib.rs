// SPDX-License-Identifier: GPL-2.0
//! What the command `netkit-rs` does, for other programs to do it, too.
//!
//! - [`module`]: loads, unloads and reloads the Rust driver, and waits until the kernel has finished. A refusal of the kernel is
//!   explained in words.
//! - [`status`]: which driver serves how many devices, the netkit devices of one network namespace or of all, their programs
//!   in order.
//! - [`change`]: attaches, replaces and detaches programs. It goes from what a user names ([`target`], [`primary`],
//!   [`source`]) to the kernel, by `netkit-aya`.
//! - [`device`], [`namespace`], [`hook`], [`bpf`], [`object`]: what these look at.
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
