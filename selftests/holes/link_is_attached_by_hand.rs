// SPDX-License-Identifier: GPL-2.0

//! A link gets into the array of a device by way of the raw functions.
//!
//! expect: E0624 method `attach_link` is private

use crate::{
    bpf::{attr::Place, prog::Prog},
    net::{device::Device, rtnl::Rtnl},
    netkit::Netkit, //
};

fn attach(dev: &Device<Netkit>, prog: &Prog, rtnl: &Rtnl) {
    // SAFETY: None; it must not compile.
    let _ = unsafe { dev.mprog().attach_link(prog, core::ptr::null_mut(), &Place::ANY, rtnl) };
}
