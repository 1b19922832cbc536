// SPDX-License-Identifier: GPL-2.0

//! A device is moved off a list of devices to be unregistered that somebody walks.
//!
//! expect: E0624 method `push_or_move` is private

use crate::{
    net::{
        device::Device,
        rtnl::Rtnl,
        unregister::KillList, //
    },
    netkit::Netkit, //
};

fn kill(list: &mut KillList<Netkit>, dev: &Device<Netkit>, rtnl: &Rtnl) {
    // SAFETY: None; it must not compile.
    unsafe { list.push_or_move(dev, rtnl) };
}
