// SPDX-License-Identifier: GPL-2.0
//! What the command `netkit-rs` does, for other programs to do it, too.
//!
//! - [`module`]: takes the Rust driver into the running kernel and out of it, whole: what the kernel only begins (a
//!   livepatch transition) is waited for, what it refuses is told in words.
//! - [`device`]: the netkit devices of a network namespace or of all of them.
//! - [`object`]: loads one program of an object file.

pub mod device;
mod kernel_log;
pub mod module;
pub mod object;
