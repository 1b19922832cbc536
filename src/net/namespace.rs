// SPDX-License-Identifier: GPL-2.0

//! Network namespaces.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use super::{
    device::NetDevice,
    rtnl::Rtnl, //
};
use crate::bindings;
use core::ptr;
use kernel::{
    container_of,
    types::Opaque, //
};

/// A network namespace (`struct net`).
///
/// # Invariants
///
/// Points at a namespace that lives as long as the reference.
#[repr(transparent)]
pub(crate) struct Net(Opaque<bindings::net>);

impl Net {
    /// # Safety
    ///
    /// `net` must point at a namespace that lives for `'a`.
    #[inline(always)]
    pub(crate) unsafe fn from_raw<'a>(net: *mut bindings::net) -> &'a Self {
        // SAFETY: By the function's safety requirement; `Net` is transparent.
        unsafe { &*net.cast() }
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::net {
        self.0.get()
    }

    /// `net_eq()`.
    #[inline(always)]
    pub(crate) fn is(&self, other: &Net) -> bool {
        // SAFETY: `net_eq()` compares the two addresses.
        unsafe { bindings::netkit_rs_net_eq(self.as_ptr(), other.as_ptr()) }
    }

    /// `__dev_get_by_index()`: the device with this index here, if there is one.
    pub(crate) fn device_by_index<'a>(
        &self,
        ifindex: u32,
        _rtnl: &'a Rtnl,
    ) -> Option<&'a NetDevice> {
        // SAFETY: The namespace is valid, and RTNL is held.
        let dev = unsafe { bindings::__dev_get_by_index(self.as_ptr(), ifindex as i32) };
        // SAFETY: Null, or a registered device; devices are unregistered and freed under RTNL.
        unsafe { NetDevice::from_raw_opt(dev) }
    }

    /// The first device here for which `pred` holds (`for_each_netdev()`).
    fn find_device<'a>(
        &self,
        _rtnl: &'a Rtnl,
        pred: &impl Fn(&NetDevice) -> bool,
    ) -> Option<&'a NetDevice> {
        // SAFETY: The namespace is valid, and RTNL protects its list of devices.
        let mut next = unsafe { bindings::netkit_rs_first_net_device(self.as_ptr()) };
        // SAFETY: Null, or a device on the list, which cannot leave it while RTNL is held.
        while let Some(dev) = unsafe { NetDevice::from_raw_opt(next) } {
            if pred(dev) {
                return Some(dev);
            }
            // SAFETY: As above.
            next = unsafe { bindings::netkit_rs_next_net_device(dev.as_ptr()) };
        }
        None
    }
}

/// Runs `f` in the namespace of the current task (`current->nsproxy->net_ns`).
///
/// The namespace can be left only by the task itself, so it lives while `f` runs.
pub(crate) fn with_current<R>(f: impl FnOnce(&Net) -> R) -> R {
    // SAFETY: System calls run with a valid `nsproxy`.
    let net = unsafe { bindings::netkit_rs_current_net() };
    // SAFETY: The current task holds its `nsproxy`, which holds the namespace, while `f` runs.
    f(unsafe { Net::from_raw(net) })
}

/// The first device of all namespaces for which `pred` holds.
///
/// Namespaces that are being torn down have left the list already; `rtnl_link_unregister()` waits for those.
pub(crate) fn find_device<'a>(
    rtnl: &'a Rtnl,
    pred: impl Fn(&NetDevice) -> bool,
) -> Option<&'a NetDevice> {
    let _list = NetList::read();
    let head = &raw mut bindings::net_namespace_list;
    // SAFETY: `net_rwsem` is held for reading: the list does not change.
    let mut entry = unsafe { (*head).next };
    while !ptr::eq(entry, head) {
        // SAFETY: The entries of the list are the `list` members of namespaces.
        let net = unsafe { Net::from_raw(container_of!(entry, bindings::net, list)) };
        if let Some(dev) = net.find_device(rtnl, &pred) {
            return Some(dev);
        }
        // SAFETY: As above.
        entry = unsafe { (*entry).next };
    }
    None
}

/// `net_rwsem`, held for reading. Nests inside RTNL.
struct NetList;

impl NetList {
    fn read() -> Self {
        // SAFETY: `net_rwsem` is initialised at build time; the caller may sleep, as it holds RTNL.
        unsafe { bindings::down_read(&raw mut bindings::net_rwsem) };
        Self
    }
}

impl Drop for NetList {
    fn drop(&mut self) {
        // SAFETY: Taken in `read()`.
        unsafe { bindings::up_read(&raw mut bindings::net_rwsem) };
    }
}
