// SPDX-License-Identifier: GPL-2.0

//! Leases of receive queues, from a physical to a virtual device.
//!
//! C header: [`include/net/netdev_queues.h`](srctree/include/net/netdev_queues.h)

use super::{
    builtin::BuiltIn,
    device::{Device, DeviceType, NetDevice},
    extack::ExtAck,
    rtnl::Rtnl,
    rtnl_link::{delete, RtnlLinkDriver},
    rx_queue::Locked,
    unregister::KillList, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    error::from_result,
    ffi::c_int,
    prelude::*, //
};

impl<T: DeviceType> Device<T> {
    /// Ends all leases of the device's queues. (The first queue is never leased: only a new queue is, and a device has
    /// one queue at first.)
    ///
    /// Only the lessee binds a pool to a leased queue. Before a device is uninitialised, open sockets have released
    /// their pools. The pool of a socket that was just closed is released in the background, which would no longer find
    /// the queue. So that pool is taken away here.
    pub(crate) fn unlease_rx_queues(&self, rtnl: &Rtnl) {
        if self.real_num_rx_queues() == 1 {
            return;
        }
        let lock = self.lock();
        let locked = Locked::from(&lock);
        for index in 1..self.real_num_rx_queues() {
            let Some(lease) = locked.leased_rx_queue(index) else {
                continue;
            };
            if lease.remove_pool(&lease.device().lock(), rtnl) {
                // SAFETY: The device is valid and its instance lock held (`lock`). `xsk_clear_pool_at_qid()` follows the
                // lease, and takes the lock of the device behind it, which was released above.
                unsafe { bindings::xsk_clear_pool_at_qid(self.as_ptr(), index as u16) };
            }
            let _lease_lock = lease.device().lock();
            // SAFETY: `index` is below `real_num_rx_queues`, `lease` belongs to that queue, and both devices are
            // locked, as `netdev_rx_queue_unlease()` asserts.
            unsafe {
                let queue = bindings::netkit_rs_netif_get_rx_queue(self.as_ptr(), index);
                bindings::netdev_rx_queue_unlease(queue, lease.0);
            }
        }
    }
}

/// Deletes every device of the driver `T` that leases a queue of `phys`, and the devices that are deleted with it.
///
/// `phys` is being unregistered. A device that leases several queues of `phys` is deleted once.
pub(crate) fn delete_lessees<T: BuiltIn + RtnlLinkDriver>(phys: &NetDevice, rtnl: &Rtnl) {
    KillList::with(rtnl, |kill| {
        let _lock = phys.lock_ops();
        for index in 0..phys.real_num_rx_queues() {
            let (mut dev, mut at) = (phys.as_ptr(), index);
            // SAFETY: `dev` is `phys`, and `at` is below its `real_num_rx_queues`. A device whose queues are leased has
            // `queue_mgmt_ops` (`netdev_can_lease_queue()`), so `lock_ops()` has locked it, and the lease does not
            // change.
            let queue = unsafe {
                bindings::__netif_get_rx_queue_lease(
                    &mut dev,
                    &mut at,
                    bindings::netif_lease_dir_NETIF_PHYS_TO_VIRT,
                )
            };
            if queue.is_null() || ptr::eq(dev, phys.as_ptr()) {
                continue;
            }
            // SAFETY: The lease points at a device that stays as long as RTNL is held.
            let lessee = unsafe { NetDevice::from_raw_opt(dev) }.and_then(NetDevice::downcast::<T>);
            if let Some(lessee) = lessee.filter(|dev| !dev.is_queued_to_unregister(rtnl)) {
                delete(lessee, kill, rtnl);
            }
        }
    });
}

/// A driver whose devices get more receive queues on demand (`struct netdev_queue_mgmt_ops`).
pub(crate) trait QueueDriver: DeviceType {
    /// `ndo_queue_create`: creates a queue for a lease, and returns its number.
    fn queue_create(dev: &Device<Self>, locked: &Locked<'_>, extack: &mut ExtAck) -> Result<u32>;
}

/// The callbacks that C calls.
pub(super) struct QueueAdapter<T>(PhantomData<T>);

impl<T: QueueDriver> QueueAdapter<T> {
    pub(super) const TABLE: bindings::netdev_queue_mgmt_ops = bindings::netdev_queue_mgmt_ops {
        ndo_queue_create: Some(Self::queue_create),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `dev` must be a device of `T`, `extack` that of a request; the instance lock of the device must be held.
    unsafe extern "C" fn queue_create(
        dev: *mut bindings::net_device,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let (dev, mut extack) = unsafe { (Device::<T>::from_raw(dev), ExtAck::from_raw(extack)) };
        // SAFETY: By the function's safety requirement.
        let locked = unsafe { Locked::assume(dev) };
        from_result(|| {
            let next = dev.real_num_rx_queues();
            let queue = T::queue_create(dev, &locked, &mut extack)?;
            // `netdev_nl_queue_create_doit()` leases the queue with this number. So the queue must exist, and be new.
            if queue != next || queue >= dev.real_num_rx_queues() {
                return Err(EINVAL);
            }
            Ok(queue as c_int)
        })
    }
}
