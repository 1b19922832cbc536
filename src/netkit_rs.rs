// SPDX-License-Identifier: GPL-2.0

//! netkit, the BPF-programmable network device, in Rust.
//!
//! The module takes the place of the kernel's built-in driver while it is loaded. What a netkit device does is told
//! in [`netkit`], which has no `unsafe` code; what that rests on, in [`net`], [`bpf`] and [`klp`].
//!
//! C source: drivers/net/netkit.c

mod bindings;
mod bpf;
mod klp;
mod net;
mod netkit;

use kernel::prelude::*;

/// The built-in driver goes out, this one comes in, and last, once nothing can fail any more, the BPF system call
/// is routed here. Unloading goes the same way back.
type NetkitRs = klp::Live<netkit::Module>;

module! {
    type: NetkitRs,
    name: "netkit_rs",
    authors: ["The netkit-rs developers"],
    description: "BPF-programmable network device (netkit) in Rust",
    license: "GPL v2",
}
