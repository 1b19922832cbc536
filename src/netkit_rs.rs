// SPDX-License-Identifier: GPL-2.0

//! netkit, the BPF-programmable network device, in Rust.
//!
//! While the module is loaded, it has the devices of the kernel's built-in driver, and makes the new ones. What a netkit
//! device does is told in [`netkit`], which has no `unsafe` code; what that rests on, in [`net`], [`bpf`] and [`klp`].
//!
//! C source: drivers/net/netkit.c

mod bindings;
mod bpf;
mod builtin;
mod errno;
mod klp;
mod net;
mod netkit;
mod param;
mod warn;

use kernel::prelude::*;

/// First the BPF system call is routed here, for one task after the other; then, while all of them work on, the devices
/// are taken over. Unloading goes the same way back.
type NetkitRs = klp::Live<netkit::Module>;

module! {
    type: NetkitRs,
    name: "netkit_rs",
    authors: ["The netkit-rs developers"],
    description: "BPF-programmable network device (netkit) in Rust",
    license: "GPL v2",
}

param::module_parameters! {
    devices: netkit::Devices, 0o444, "the number of netkit devices that the module has (read-only)";
    takeover: netkit::TakeoverState, 0o644,
        "whether the module has the netkit devices: on, off or incomplete; write 1 to take them over, 0 to hand them back";
}
