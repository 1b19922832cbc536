// SPDX-License-Identifier: GPL-2.0

//! A new device is given the table of the link type's own attributes, which is shorter than that of `IFLA_*`.
//!
//! expect: E0308 expected `&Table<'_, Ifla>`, found `&Table<'_, Attr>`

use crate::{
    net::{
        extack::ExtAck,
        namespace::Net,
        netlink::{IfName, Table},
        new_device::{NameAssign, NewDevice},
        rtnl::Rtnl, //
    },
    netkit::{uapi::Attr, Netkit}, //
};
use kernel::prelude::*;

fn create(net: &Net, name: &IfName, data: &Table<'_, Attr>, extack: &mut ExtAck, rtnl: &Rtnl) -> Result {
    NewDevice::<Netkit>::create(net, name, NameAssign::Enum, data, extack, rtnl).map(drop)
}
