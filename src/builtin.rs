// SPDX-License-Identifier: GPL-2.0

//! The built-in netkit driver: its tables, its notifier, and the promise that the Rust driver fits them.
//!
//! C source: drivers/net/netkit.c

use crate::{
    bindings,
    klp,
    net::{
        builtin::BuiltIn,
        notifier,
        rcu::{HasPeer, RcuDevice},
        takeover::Takeover,
        xdp, //
    },
    netkit::{Netkit, Notifier}, //
};

/// Which driver has the devices, the Rust one or the built-in one.
///
/// SAFETY: The only one for `Netkit`, and what `takeover()` below returns.
pub(crate) static TAKEOVER: Takeover<Netkit> = unsafe { Takeover::new() };

// SAFETY: `peer` is a field of `Netkit`.
unsafe impl HasPeer<Netkit> for Netkit {
    #[inline(always)]
    fn peer(&self) -> &RcuDevice<Netkit> {
        &self.peer
    }
}

// SAFETY: The tables are those of drivers/net/netkit.c, where each is the only one of its kind. The private area of its
// devices is `struct netkit`; src/netkit/mod.rs asserts against the kernel's BTF that `Netkit` has the same fields at
// the same places, and each field of `Netkit` allows what netkit.c writes to its counterpart: any number, null, a
// registered device of the pair. `netkit_setup()` sets `pcpu_stat_type` to NETDEV_PCPU_STAT_TSTATS. netkit.c knows its
// devices by `netdev_ops` and `rtnl_link_ops`, which are its own once a device was handed back; it unregisters pairs in
// `netkit_del_link()` only, or before they are pairs. None of the four functions named in the trait's requirement sleeps: see
// src/netkit/device.rs and pair.rs.
unsafe impl BuiltIn for Netkit {
    fn link_ops() -> *mut bindings::rtnl_link_ops {
        &raw mut bindings::netkit_link_ops
    }

    fn netdev_ops() -> *const bindings::net_device_ops {
        &raw const bindings::netkit_netdev_ops
    }

    fn ethtool_ops() -> *const bindings::ethtool_ops {
        &raw const bindings::netkit_ethtool_ops
    }

    fn queue_mgmt_ops() -> *const bindings::netdev_queue_mgmt_ops {
        &raw const bindings::netkit_queue_mgmt_ops
    }

    fn takeover() -> &'static Takeover<Self> {
        &TAKEOVER
    }
}

/// `netkit_notifier()`, which the kernel calls for every event about a network device since it booted. So the module
/// registers no notifier of its own, and waits for nobody who is busy with namespaces (`pernet_ops_rwsem`).
///
/// SAFETY: `netkit_netdev_notifier` calls `netkit_notifier()`, under RTNL, with what a `notifier_call` of the chain
/// `netdev_chain` gets; the replacement is such a function.
pub(crate) const NOTIFIER: [klp::Func; 1] = unsafe {
    [klp::Func::new(
        c"netkit_notifier",
        notifier::Adapter::<Notifier>::call as *const (),
    )]
};

/// `netkit_xsk()`. A device has the built-in driver's tables when its `ndo_uninit` is over; the buffers of a socket that was just
/// closed are taken off it later, in the background (`xp_disable_drv_zc()`), and the kernel warns about C's answer.
///
/// SAFETY: `netkit_xsk()` is the `ndo_bpf` of `netkit_netdev_ops`, and called by that alone; the replacement is an `ndo_bpf` for the
/// same devices.
pub(crate) const XSK: [klp::Func; 1] = unsafe {
    [klp::Func::new(
        c"netkit_xsk",
        xdp::Adapter::<Netkit>::bpf as *const (),
    )]
};
