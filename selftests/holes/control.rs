// SPDX-License-Identifier: GPL-2.0

//! What the others get wrong, done right: this one compiles.
//!
//! expect: nothing

use crate::{
    bpf::{
        attr::Place,
        context::with_net_context,
        link::PrimedLink,
        mprog::Programs, //
    },
    net::{
        device::{Device, NetDevice, Tables},
        extack::ExtAck,
        namespace::{Net, SystemCall},
        netlink::{IfName, Ifla, Table},
        new_device::{NameAssign, NewDevice},
        rcu::{BhDisabled, ReadSide},
        rtnl::Rtnl,
        rx_queue::{Locked, RxQueue},
        skb::Arrival,
        unregister::KillList, //
    },
    netkit::Netkit, //
};
use kernel::{
    prelude::*,
    sync::rcu, //
};

const _: () = Tables::<Netkit>::PRIVATE_FITS;

fn create(net: &Net, name: &IfName, attrs: &Table<'_, Ifla>, extack: &mut ExtAck, rtnl: &Rtnl) -> Result {
    NewDevice::<Netkit>::create(net, name, NameAssign::Enum, attrs, extack, rtnl).map(drop)
}

fn kill(list: &mut KillList<Netkit>, dev: &Device<Netkit>, rtnl: &Rtnl) {
    list.push(dev, rtnl);
}

fn ifindex_of(call: &SystemCall, ifindex: u32) -> i32 {
    let rtnl = Rtnl::lock();
    NetDevice::by_index(call.net(), ifindex, &rtnl).map_or(0, |dev| dev.ifindex())
}

fn leased<'a>(dev: &NetDevice, read_side: &'a impl ReadSide) -> Option<RxQueue<'a>> {
    dev.leased_rx_queue(0, read_side)
}

fn leased_under_rcu(dev: &NetDevice) -> bool {
    leased(dev, &rcu::read_lock()).is_some()
}

fn leased_under_lock(dev: &NetDevice) -> bool {
    let lock = dev.lock();
    Locked::from(&lock).leased_rx_queue(0).is_some() && lock.has_xsk_features()
}

fn attach(link: PrimedLink<Netkit>, dev: &Device<Netkit>, rtnl: &Rtnl) -> Result {
    link.attach(dev, &Place::ANY, rtnl).map(|_| ())
}

fn run(programs: &Programs<'_, BhDisabled>, packet: &mut Arrival, bh: &BhDisabled) -> i32 {
    with_net_context(bh, |_| programs.run(packet, 0, -1, bh))
}
