// SPDX-License-Identifier: GPL-2.0

//! The built-in netkit driver: its tables, its functions, and the claim that the Rust driver fits them.
//!
//! The driver's `unsafe` is here: what it claims to the wrappers, which know no driver by name.
//!
//! C source: drivers/net/netkit.c

use crate::{
    bindings::{self, layout},
    bpf::{
        link::{BuiltInLinks, DeviceLink, LinkAdapter},
        mprog::impl_has_mprog,
        syscall::SyscallAdapter, //
    },
    klp,
    net::{
        builtin::BuiltIn,
        device::Device,
        notifier::NotifierAdapter,
        rcu::impl_has_peer,
        rtnl::Rtnl,
        takeover::{StandIn, Takeover},
        xsk::XskAdapter, //
    },
    netkit::{Netkit, Notifier}, //
};
use pin_init::Zeroable;

/// Which driver serves the devices, the Rust driver or the built-in driver.
///
/// SAFETY: This is the only value for `Netkit`, and `takeover()` below returns it.
pub(crate) static TAKEOVER: Takeover<Netkit> = unsafe { Takeover::new() };

// SAFETY: Zero is valid for each field: `RcuDevice`, `Active` and `Bundle` are `Zeroable`, and an `Atomic` of `u32` or `bool` has the
// layout of the integer in it.
unsafe impl Zeroable for Netkit {}

impl_has_peer! {
    // SAFETY: `release()` below calls `part()`.
    unsafe impl HasPeer<Netkit> for Netkit { self.peer }
}

impl_has_mprog! {
    // SAFETY: `release()` below calls `release_programs()`.
    unsafe impl HasMprog for Netkit { self.active, self.bundle }
}

// SAFETY: The tables are those of drivers/net/netkit.c, where each is the only one of its kind. The private area of its
// devices is `struct netkit`; src/netkit/mod.rs asserts against the kernel's BTF that `Netkit` has the same fields at
// the same places, and each field of `Netkit` allows what netkit.c writes to its counterpart: any number, null, a
// registered device of the pair. `netkit_setup()` sets `pcpu_stat_type` to NETDEV_PCPU_STAT_TSTATS. netkit.c knows its
// devices by `netdev_ops` and `rtnl_link_ops`, which are its own once a device was handed back; it unregisters pairs in
// `netkit_del_link()` only, or before they are pairs.
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
}

// SAFETY: `takeover()` always returns the same static. The links in its bundle, leases, and its peer point at a netkit
// device: netkit.c has nothing else to undo in `netkit_uninit()` and `netkit_del_link()`. The four functions named in
// the trait's requirement do not sleep: see src/netkit/device.rs and pair.rs.
unsafe impl StandIn for Netkit {
    fn takeover() -> &'static Takeover<Self> {
        &TAKEOVER
    }

    /// `netkit_uninit()`.
    fn release(dev: &Device<Self>, rtnl: &Rtnl) {
        dev.release_programs(rtnl);
        dev.unlease_rx_queues(rtnl);
        dev.part(rtnl);
    }
}

// SAFETY: `netkit_link_attach()` gives its links this type and this table, whose `dealloc` frees them as `KBox` does. The layout of
// `struct netkit_link` is compared in `link_lops()`. `PATCH` has all functions of the table.
unsafe impl BuiltInLinks for Netkit {
    const LINK_TYPE: bindings::bpf_link_type = bindings::bpf_link_type_BPF_LINK_TYPE_NETKIT;

    fn link_lops() -> *const bindings::bpf_link_ops {
        const {
            use layout::netkit_link as c;
            let (size, link, dev) = DeviceLink::LAYOUT;
            assert!(size == c::SIZE && link == c::LINK && dev == c::DEV);
        }
        &raw const bindings::netkit_link_lops
    }
}

/// The functions of the built-in driver that the rest of the kernel calls by name, through the link operations, through
/// the notifier, or for a device that the module has handed back.
pub(crate) static PATCH: klp::Patch<12> =
    klp::Patch::new(klp::Func::table(&[&SYSCALL, &LINK_LOPS, &NOTIFIER, &XSK]));

/// The functions that kernel/bpf/syscall.c calls.
const SYSCALL: [klp::Func; 4] = {
    type Ours = SyscallAdapter<Netkit>;
    // SAFETY: Each function has the signature of the one of the same name in include/net/netkit.h, which `bpf_prog_attach()`,
    // `bpf_prog_detach()`, `bpf_prog_query()` and `link_create()` call in a bpf(2) system call.
    unsafe {
        [
            klp::Func::new(c"netkit_prog_attach", Ours::prog_attach as *const ()),
            klp::Func::new(c"netkit_prog_detach", Ours::prog_detach as *const ()),
            klp::Func::new(c"netkit_prog_query", Ours::prog_query as *const ()),
            klp::Func::new(c"netkit_link_attach", Ours::link_attach as *const ()),
        ]
    }
};

/// The functions of `netkit_link_lops`. All six: gcc may have inlined one of them into another.
const LINK_LOPS: [klp::Func; 6] = {
    type Ours = LinkAdapter<Netkit>;
    // SAFETY: Each function has the signature of the member of `struct bpf_link_ops` that it replaces in
    // `netkit_link_lops`: `netkit_link_release()` and the others in drivers/net/netkit.c.
    unsafe {
        [
            klp::Func::new(c"netkit_link_release", Ours::release as *const ()),
            klp::Func::new(c"netkit_link_detach", Ours::detach as *const ()),
            klp::Func::new(c"netkit_link_dealloc", Ours::dealloc as *const ()),
            klp::Func::new(c"netkit_link_update", Ours::update as *const ()),
            klp::Func::new(c"netkit_link_fdinfo", Ours::fdinfo as *const ()),
            klp::Func::new(c"netkit_link_fill_info", Ours::fill_info as *const ()),
        ]
    }
};

/// `netkit_notifier()`, which the kernel calls for every event about a network device. So the module registers no
/// notifier of its own, and never waits for `pernet_ops_rwsem`, which is held while namespaces are created and deleted.
///
/// SAFETY: `netkit_netdev_notifier` calls `netkit_notifier()`, under RTNL, with the arguments of a `notifier_call` of
/// the chain `netdev_chain`; the replacement is such a function.
const NOTIFIER: [klp::Func; 1] = unsafe {
    [klp::Func::new(
        c"netkit_notifier",
        NotifierAdapter::<Notifier>::call as *const (),
    )]
};

/// `netkit_xsk()`. After `ndo_uninit`, a device has the built-in driver's tables. The buffers of a socket that was just
/// closed are taken off the device later, in the background (`xp_disable_drv_zc()`), and the kernel would warn about
/// the return value of C's function.
///
/// SAFETY: `netkit_xsk()` is the `ndo_bpf` of `netkit_netdev_ops`, and is called only through this table; the
/// replacement is an `ndo_bpf` for the same devices.
const XSK: [klp::Func; 1] = unsafe {
    [klp::Func::new(
        c"netkit_xsk",
        XskAdapter::<Netkit>::bpf as *const (),
    )]
};
