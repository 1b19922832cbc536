// SPDX-License-Identifier: GPL-2.0

//! A device is used after RTNL was released.
//!
//! expect: E0597 `rtnl` does not live long enough

use crate::net::{
    device::NetDevice,
    namespace::Net,
    rtnl::Rtnl, //
};

fn ifindex(net: &Net) -> i32 {
    let dev = {
        let rtnl = Rtnl::lock();
        NetDevice::by_index(net, 1, &rtnl)
    };
    dev.map_or(0, |dev| dev.ifindex())
}
