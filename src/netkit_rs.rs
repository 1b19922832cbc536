// SPDX-License-Identifier: GPL-2.0

//! netkit, the BPF-programmable network device, in Rust.
//!
//! While the module is loaded, it serves the devices of the kernel's built-in driver, and makes the new ones.
//! [`netkit`] is the driver, and has no `unsafe` code. [`net`], [`bpf`] and [`klp`] are the wrappers that it uses.
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

/// Loading first replaces functions of the built-in driver by livepatch, for one task after the other. When all tasks
/// have switched, the module takes the devices over. Unloading is the reverse.
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
