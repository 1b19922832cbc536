// SPDX-License-Identifier: GPL-2.0

//! Receive queues, and leases between those of a virtual and those of a physical device.
//!
//! A leased queue of the virtual device stands for one of the physical device: whoever binds memory or a socket to
//! the former gets the latter. Either end points at the other while the lease lasts. The lease changes with the
//! instance locks of both devices held.
//!
//! C headers: [`include/net/netdev_rx_queue.h`](srctree/include/net/netdev_rx_queue.h),
//! [`include/net/netdev_queues.h`](srctree/include/net/netdev_queues.h)

use super::{
    builtin::BuiltIn,
    device::{Device, NetDevice},
    extack::ExtAck,
    link::KillList,
    ops::Driver,
    rtnl::Rtnl,
    xdp::PoolSetup, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    error::{from_result, to_result},
    ffi::c_int,
    prelude::*, //
};

impl NetDevice {
    /// The receive queues in use.
    pub(crate) fn real_num_rx_queues(&self) -> u32 {
        // SAFETY: By the type invariant the device is valid. `netif_set_real_num_rx_queues()` changes the field under
        // a lock that need not be held here: hence volatile.
        unsafe { (&raw const (*self.as_ptr()).real_num_rx_queues).read_volatile() }
    }

    /// The receive queues that the device has room for.
    pub(crate) fn num_rx_queues(&self) -> u32 {
        // SAFETY: By the type invariant the device is valid; `alloc_netdev_mqs()` sets `num_rx_queues`, and nobody
        // changes it.
        unsafe { (*self.as_ptr()).num_rx_queues }
    }

    /// `netif_set_real_num_rx_queues()`. `EINVAL` beyond [`Self::num_rx_queues`].
    pub(crate) fn set_real_num_rx_queues(&self, queues: u32, _locked: &Locked<'_>) -> Result {
        // SAFETY: By the type invariant the device is valid, and `_locked` shows what
        // `netdev_assert_locked_ops_compat()` asks for.
        to_result(unsafe { bindings::netif_set_real_num_rx_queues(self.as_ptr(), queues) })
    }

    /// The queue of a physical device for which this device's queue `index` stands, if it is leased.
    pub(crate) fn leased_rx_queue(&self, index: u32) -> Option<RxQueue<'_>> {
        if index >= self.num_rx_queues() {
            return None;
        }
        // SAFETY: By the type invariant the device is valid, and `index` was checked: `__netif_get_rx_queue()` is an
        // element of `dev->_rx`. `netdev_rx_queue_lease()` writes `lease` with WRITE_ONCE(), under locks that need
        // not be held here: hence volatile.
        let lease = unsafe {
            let queue = bindings::netkit_rs_netif_get_rx_queue(self.as_ptr(), index);
            (&raw const (*queue).lease).read_volatile()
        };
        // INVARIANT: A lease that is there points at a queue of a device that cannot go before the lease is ended,
        // for which it waits until nobody uses this device.
        (!lease.is_null()).then_some(RxQueue(lease, PhantomData))
    }

    /// Takes the instance lock (`netdev_lock()`).
    pub(crate) fn lock(&self) -> LockGuard<'_> {
        // SAFETY: By the type invariant the device is valid; `netdev_lock()` takes the mutex `dev->lock`, which the
        // guard releases.
        unsafe { bindings::netkit_rs_netdev_lock(self.as_ptr()) };
        LockGuard(self)
    }

    /// Takes the instance lock if nobody holds it (`mutex_trylock()`).
    pub(super) fn try_lock(&self) -> Option<LockGuard<'_>> {
        // SAFETY: By the type invariant the device is valid; the guard, made only if the mutex `dev->lock` was taken, releases it.
        unsafe { bindings::netkit_rs_netdev_trylock(self.as_ptr()) }.then(|| LockGuard(self))
    }

    /// Takes the instance lock if the device's operations run under it (`netdev_lock_ops()`).
    fn lock_ops(&self) -> OpsLockGuard<'_> {
        // SAFETY: By the type invariant the device is valid; `netdev_lock_ops()` takes the mutex `dev->lock` if the
        // device needs it, and the guard releases it by the same condition.
        unsafe { bindings::netkit_rs_netdev_lock_ops(self.as_ptr()) };
        OpsLockGuard(self)
    }
}

/// The instance lock of a device, held.
pub(crate) struct LockGuard<'a>(&'a NetDevice);

impl Drop for LockGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: Taken in `lock()`.
        unsafe { bindings::netkit_rs_netdev_unlock(self.0.as_ptr()) };
    }
}

/// The instance lock of a device, held if it has operations under it.
struct OpsLockGuard<'a>(&'a NetDevice);

impl Drop for OpsLockGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: Taken in `lock_ops()`.
        unsafe { bindings::netkit_rs_netdev_unlock_ops(self.0.as_ptr()) };
    }
}

/// Evidence that the locks of a device are held that a change of its queues needs.
///
/// # Invariants
///
/// They are, while the value exists.
pub(crate) struct Locked<'a>(PhantomData<&'a NetDevice>);

impl<'a> Locked<'a> {
    /// The evidence inside a callback that is called under the instance lock of `dev`, if its operations run under it.
    ///
    /// # Safety
    ///
    /// The instance lock of `dev` must be held for `'a`, if `netdev_need_ops_lock()` says so.
    pub(super) unsafe fn assume(_dev: &'a NetDevice) -> Self {
        // INVARIANT: By the function's safety requirement.
        Self(PhantomData)
    }
}

impl<'a> From<&'a LockGuard<'_>> for Locked<'a> {
    fn from(_guard: &'a LockGuard<'_>) -> Self {
        // INVARIANT: The guard outlives the value.
        Self(PhantomData)
    }
}

/// A receive queue of a device.
///
/// # Invariants
///
/// Points at a queue of a device that stays for `'a`.
pub(crate) struct RxQueue<'a>(
    pub(super) *mut bindings::netdev_rx_queue,
    PhantomData<&'a NetDevice>,
);

impl<'a> RxQueue<'a> {
    /// The device of the queue.
    pub(crate) fn device(&self) -> &'a NetDevice {
        // SAFETY: By the type invariant.
        unsafe { &*(*self.0).dev.cast() }
    }

    /// The number of the queue within its device (`get_netdev_rx_queue_index()`).
    pub(crate) fn index(&self) -> u32 {
        // SAFETY: By the type invariant.
        unsafe { bindings::netkit_rs_get_netdev_rx_queue_index(self.0) }
    }
}

impl<T: Driver> Device<T> {
    /// Ends all leases of the device's queues but the first, which is never leased.
    ///
    /// Nobody but the lessee binds a pool to a leased queue. Sockets that are open have let go of theirs before a
    /// device is uninitialised. That of a socket which was just closed goes in the background, and would not find
    /// its queue any more: it is taken away here.
    pub(crate) fn unlease_rx_queues(&self, rtnl: &Rtnl) {
        if self.real_num_rx_queues() == 1 {
            return;
        }
        let _lock = self.lock();
        for index in 1..self.real_num_rx_queues() {
            let Some(lease) = self.leased_rx_queue(index) else {
                continue;
            };
            if lease.remove_pool(&lease.device().lock(), rtnl) {
                // SAFETY: The device is valid and its instance lock held (`_lock`). `xsk_clear_pool_at_qid()` follows the
                // lease, and takes the lock of the device behind it, which was released above.
                unsafe { bindings::xsk_clear_pool_at_qid(self.as_ptr(), index as u16) };
            }
            let _lease_lock = lease.device().lock();
            // SAFETY: `index` is below `real_num_rx_queues`, `lease` is that queue's, and both devices are locked:
            // `netdev_rx_queue_unlease()` asserts it.
            unsafe {
                let queue = bindings::netkit_rs_netif_get_rx_queue(self.as_ptr(), index);
                bindings::netdev_rx_queue_unlease(queue, lease.0);
            }
        }
    }
}

/// Deletes every device of the driver `T` that has a queue of `phys` on lease; `delete` puts it on the list.
///
/// `phys` is being unregistered. A device with several of its queues is deleted once.
pub(crate) fn delete_lessees<T: BuiltIn>(
    phys: &NetDevice,
    rtnl: &Rtnl,
    delete: impl Fn(&Device<T>, &mut KillList, &Rtnl),
) {
    KillList::with(rtnl, |kill| {
        let _lock = phys.lock_ops();
        for index in 0..phys.real_num_rx_queues() {
            let (mut dev, mut at) = (phys.as_ptr(), index);
            // SAFETY: `dev` is `phys`, and `at` below its `real_num_rx_queues`. A device that leases queues out has
            // `queue_mgmt_ops` (`netdev_can_lease_queue()`), so that `lock_ops()` has locked it: the lease does not
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
pub(crate) trait QueueDriver: Driver {
    /// `ndo_queue_create`: one more queue, to be leased; its number.
    fn queue_create(dev: &Device<Self>, locked: &Locked<'_>, extack: &mut ExtAck) -> Result<u32>;

    /// `XDP_SETUP_XSK_POOL`: a socket's buffers for a queue, or no more. Under RTNL and the device's instance lock.
    fn setup_xsk_pool(dev: &Device<Self>, setup: &PoolSetup<'_>) -> Result;

    /// `ndo_xsk_wakeup`: a socket has something to do. In any context, with no lock.
    fn xsk_wakeup(dev: &Device<Self>, queue: u32, flags: u32) -> Result;
}

/// The callbacks that C calls.
pub(crate) struct Adapter<T>(PhantomData<T>);

impl<T: QueueDriver> Adapter<T> {
    pub(crate) const TABLE: bindings::netdev_queue_mgmt_ops = bindings::netdev_queue_mgmt_ops {
        ndo_queue_create: Some(Self::queue_create),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `dev` must be a device of `T`, `extack` that of a request; the locks of the device must be held.
    unsafe extern "C" fn queue_create(
        dev: *mut bindings::net_device,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let (dev, mut extack) = unsafe { (Device::from_raw(dev), ExtAck::from_raw(extack)) };
        // INVARIANT: By the function's safety requirement.
        let locked = Locked(PhantomData);
        from_result(|| Ok(T::queue_create(dev, &locked, &mut extack)? as c_int))
    }
}
