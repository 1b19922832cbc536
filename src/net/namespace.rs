// SPDX-License-Identifier: GPL-2.0

//! Network namespaces.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use super::{
    device::NetDevice,
    rtnl::Rtnl, //
};
use crate::bindings;
use core::{
    ops::Deref,
    ptr::{self, NonNull}, //
};
use kernel::{
    container_of,
    ffi::c_ulong,
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

    /// The first device here with this index or a larger one (`for_each_netdev_dump()`).
    fn device_from<'a>(&self, ifindex: c_ulong, _rtnl: &'a Rtnl) -> Option<&'a NetDevice> {
        let mut index = ifindex;
        // SAFETY: The namespace is valid; `xa_find()` takes the RCU lock itself. An entry of `dev_by_index` is a device
        // that is listed: `list_netdevice()` and `unlist_netdevice()` put it there and take it away, under RTNL.
        unsafe {
            let dev = bindings::xa_find(
                &raw mut (*self.as_ptr()).dev_by_index,
                &mut index,
                c_ulong::MAX,
                bindings::XA_PRESENT,
            );
            NetDevice::from_raw_opt(dev.cast())
        }
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

/// A reference on a namespace (`get_net()`), which keeps it from being torn down.
///
/// # Invariants
///
/// Points at a namespace on which this value holds a reference.
struct NetRef(NonNull<bindings::net>);

impl NetRef {
    /// The next namespace on the list after this one, or the first one, that is not about to be torn down.
    ///
    /// Takes `net_rwsem`, which nests inside RTNL, and nothing inside it: event handlers take it with instance locks of
    /// devices held (`wext_netdev_notifier_call()`).
    fn after(net: Option<&Self>, _rtnl: &Rtnl) -> Option<Self> {
        let _list = NetList::read();
        let head = &raw mut bindings::net_namespace_list;
        let mut entry = match net {
            // SAFETY: By the type invariant the namespace has users, so that it is on the list.
            Some(net) => unsafe { &raw mut (*net.0.as_ptr()).list },
            None => head,
        };
        loop {
            // SAFETY: `net_rwsem` is held for reading: the list does not change.
            entry = unsafe { (*entry).next };
            if ptr::eq(entry, head) {
                return None;
            }
            // SAFETY: The entries of the list are the `list` members of namespaces, which are freed after they left it.
            let net = unsafe {
                bindings::netkit_rs_maybe_get_net(container_of!(entry, bindings::net, list))
            };
            if let Some(net) = NonNull::new(net) {
                // INVARIANT: `maybe_get_net()` took the reference.
                return Some(Self(net));
            }
        }
    }
}

impl Deref for NetRef {
    type Target = Net;

    fn deref(&self) -> &Net {
        // SAFETY: By the type invariant the namespace is valid.
        unsafe { Net::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for NetRef {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. If it is the last reference, `__put_net()` leaves the rest to a worker.
        unsafe { bindings::netkit_rs_put_net(self.0.as_ptr()) };
    }
}

/// A walk of the devices of all namespaces, in order of their indexes, that may let go of RTNL in between.
///
/// A device is left out if its namespace is about to be torn down, if it comes later, or if it moves between namespaces
/// meanwhile.
pub(crate) struct AllDevices {
    net: Option<NetRef>,
    /// The index to go on from.
    next: c_ulong,
}

impl AllDevices {
    pub(crate) fn new() -> Self {
        Self { net: None, next: 0 }
    }

    /// Calls `f` for the next devices, `count` at most. Whether there may be more.
    pub(crate) fn visit(
        &mut self,
        count: usize,
        rtnl: &Rtnl,
        mut f: impl FnMut(&NetDevice),
    ) -> bool {
        for _ in 0..count {
            match self.next(rtnl) {
                Some(dev) => f(dev),
                None => return false,
            }
        }
        true
    }

    fn next<'a>(&mut self, rtnl: &'a Rtnl) -> Option<&'a NetDevice> {
        loop {
            let found = self
                .net
                .as_ref()
                .and_then(|net| net.device_from(self.next, rtnl));
            if let Some(dev) = found {
                self.next = (dev.ifindex() as c_ulong).wrapping_add(1);
                return Some(dev);
            }
            self.net = Some(NetRef::after(self.net.as_ref(), rtnl)?);
            self.next = 0;
        }
    }
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
