// SPDX-License-Identifier: GPL-2.0

//! A driver unregisters a device of another driver, without that driver's `dellink`.
//!
//! expect: E0308 mismatched types

use crate::{
    net::{
        device::NetDevice,
        namespace::Net,
        rtnl::Rtnl,
        unregister::KillList, //
    },
    netkit::Netkit, //
};

fn kill(list: &mut KillList<Netkit>, net: &Net, rtnl: &Rtnl) {
    if let Some(dev) = NetDevice::by_index(net, 2, rtnl) {
        list.push(dev, rtnl);
    }
}
