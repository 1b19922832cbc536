// SPDX-License-Identifier: GPL-2.0

//! The list of network namespaces, and the devices in all of them.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use super::{
    device::NetDevice,
    namespace::Net,
    rtnl::Rtnl, //
};
use crate::bindings::{
    self,
    layout, //
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    container_of,
    ffi::c_ulong, //
};

impl Net {
    /// The namespace after this one on the list, or the first one.
    ///
    /// Takes `net_rwsem`, which nests inside RTNL, and no lock inside it: event handlers take `net_rwsem` while they
    /// hold instance locks of devices (`wext_netdev_notifier_call()`).
    fn after<'a>(net: Option<&'a Self>, _rtnl: &'a Rtnl) -> Option<&'a Self> {
        let _list = NetList::read();
        let head = &raw mut bindings::net_namespace_list;
        // SAFETY: `net_rwsem` is held for reading: the list does not change. A namespace that has left the list in the
        // meantime (`list_del_rcu()`) still points at the next one. No namespace is freed while RTNL is held: before
        // `cleanup_net()` frees one, it takes RTNL in `default_device_exit_batch()`.
        unsafe {
            let entry = net.map_or(head, |net| &raw mut (*net.as_ptr()).list);
            let entry = (*entry).next;
            (!ptr::eq(entry, head))
                .then(|| Self::from_raw(container_of!(entry, bindings::net, list)))
        }
    }

    /// The first device here with this index or a larger one (`for_each_netdev_dump()`).
    fn device_from<'a>(&self, ifindex: c_ulong, _rtnl: &'a Rtnl) -> Option<&'a NetDevice> {
        let mut index = ifindex;
        // SAFETY: The namespace is valid; `xa_find()` takes the RCU lock itself. An entry of `dev_by_index` is a listed
        // device: `list_netdevice()` and `unlist_netdevice()` add and remove it, under RTNL. The offset of
        // `dev_by_index` is the one in the kernel's BTF.
        unsafe {
            let dev = bindings::xa_find(
                self.as_ptr().byte_add(layout::net::DEV_BY_INDEX).cast(),
                &mut index,
                c_ulong::MAX,
                bindings::XA_PRESENT,
            );
            NetDevice::from_raw_opt(dev.cast())
        }
    }
}

/// A reference on a namespace (`get_net()`), which keeps it from being torn down, and on the list of namespaces.
///
/// # Invariants
///
/// Points at a namespace on which this value holds a reference.
struct NetRef(NonNull<bindings::net>);

impl NetRef {
    /// `maybe_get_net()`: `None` for a namespace that nobody uses any more.
    fn get(net: &Net) -> Option<Self> {
        // SAFETY: The namespace is valid; `maybe_get_net()` takes a reference if there are others.
        // INVARIANT: Taken just now.
        NonNull::new(unsafe { bindings::netkit_rs_maybe_get_net(net.as_ptr()) }).map(Self)
    }
}

impl Drop for NetRef {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. If it is the last reference, `__put_net()` leaves the rest to a worker.
        unsafe { bindings::netkit_rs_put_net(self.0.as_ptr()) };
    }
}

/// A walk of the devices of all namespaces on the list, which can release RTNL in between.
///
/// The walk misses devices that are created during the walk, devices that move to a namespace that was walked already,
/// and devices of namespaces that have left the list: `cleanup_net()` is about to delete those.
pub(crate) struct AllDevices {
    /// The namespace, and the index in it, where the walk continues. `None` at the beginning.
    at: Option<(NetRef, c_ulong)>,
}

impl AllDevices {
    pub(crate) fn new() -> Self {
        Self { at: None }
    }

    /// Calls `f` for the next devices, as many as cost as much as `count` devices of one namespace, or a few more if
    /// the current namespace cannot be referenced. Returns whether there may be more devices.
    pub(crate) fn visit(
        &mut self,
        count: usize,
        rtnl: &Rtnl,
        mut f: impl FnMut(&NetDevice),
    ) -> bool {
        let resumed = self.at.take();
        let mut current = resumed.as_ref().map(|(net, next)| {
            // SAFETY: By the type invariant of `NetRef`.
            (unsafe { Net::from_raw(net.0.as_ptr()) }, *next)
        });
        // Reaching the end of a namespace, and finding the next namespace, takes about as long as twelve devices.
        const NAMESPACE: usize = 12;
        let mut left = count;
        loop {
            let Some((net, next)) = current.or_else(|| Some((Net::after(None, rtnl)?, 0))) else {
                return false;
            };
            if left == 0 {
                self.at = NetRef::get(net).map(|net| (net, next));
                if self.at.is_some() {
                    return true;
                }
            }
            current = match net.device_from(next, rtnl) {
                Some(dev) => {
                    f(dev);
                    left = left.saturating_sub(1);
                    Some((net, (dev.ifindex() as c_ulong).wrapping_add(1)))
                }
                None => match Net::after(Some(net), rtnl) {
                    Some(net) => {
                        left = left.saturating_sub(NAMESPACE);
                        Some((net, 0))
                    }
                    None => return false,
                },
            };
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
