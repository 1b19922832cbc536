// SPDX-License-Identifier: GPL-2.0

//! Receive queues, and the locks of a device that protect them.
//!
//! A queue of a virtual device may be leased: it stands for a queue of a physical device. Memory or a socket that is
//! bound to the virtual queue is bound to the physical queue. The two queues point at each other while the lease lasts.
//! The lease changes only with the instance locks of both devices held.
//!
//! C headers: [`include/net/netdev_rx_queue.h`](srctree/include/net/netdev_rx_queue.h),
//! [`include/net/netdev_lock.h`](srctree/include/net/netdev_lock.h)

use super::{
    device::NetDevice,
    rcu::ReadSide, //
};
use crate::{
    bindings,
    errno::to_result, //
};
use core::marker::PhantomData;
use kernel::prelude::*;

impl NetDevice {
    /// The receive queues in use.
    pub(crate) fn real_num_rx_queues(&self) -> u32 {
        // SAFETY: By the type invariant the device is valid. `netif_set_real_num_rx_queues()` changes the field under a
        // lock that may not be held here: hence volatile.
        unsafe { (&raw const (*self.as_ptr()).real_num_rx_queues).read_volatile() }
    }

    /// The receive queues that the device has room for.
    pub(crate) fn num_rx_queues(&self) -> u32 {
        // SAFETY: By the type invariant the device is valid; `alloc_netdev_mqs()` sets `num_rx_queues`, which does not
        // change later.
        unsafe { (*self.as_ptr()).num_rx_queues }
    }

    /// The queue of a physical device for which this device's queue `index` stands, if it is leased.
    ///
    /// The lease may end at any time, but the physical device exists during the critical section.
    /// [`Locked::leased_rx_queue`] keeps the lease.
    pub(crate) fn leased_rx_queue<'a>(
        &self,
        index: u32,
        _read_side: &'a impl ReadSide,
    ) -> Option<RxQueue<'a>> {
        // SAFETY: A lease holds a reference on the physical device (`netdev_rx_queue_lease()`), and must end when that
        // device is unregistered (`unregister_netdevice_many_notify()`). `synchronize_net()` follows before anything is
        // freed.
        unsafe { self.lease(index) }
    }

    /// # Safety
    ///
    /// The device at the other end of the lease must stay for `'a`.
    unsafe fn lease<'a>(&self, index: u32) -> Option<RxQueue<'a>> {
        if index >= self.num_rx_queues() {
            return None;
        }
        // SAFETY: By the type invariant the device is valid, and `index` was checked: `__netif_get_rx_queue()` is an
        // element of `dev->_rx`. `netdev_rx_queue_lease()` writes `lease` with WRITE_ONCE(), under locks that may not
        // be held here: hence volatile.
        let lease = unsafe {
            let queue = bindings::netkit_rs_netif_get_rx_queue(self.as_ptr(), index);
            (&raw const (*queue).lease).read_volatile()
        };
        // INVARIANT: By the function's safety requirement.
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
        // SAFETY: By the type invariant the device is valid. The guard is made only if the mutex `dev->lock` was taken,
        // and releases it.
        unsafe { bindings::netkit_rs_netdev_trylock(self.as_ptr()) }.then(|| LockGuard(self))
    }

    /// Takes the instance lock if the device's operations run under it (`netdev_lock_ops()`).
    pub(super) fn lock_ops(&self) -> OpsLockGuard<'_> {
        // SAFETY: By the type invariant the device is valid; `netdev_lock_ops()` takes the mutex `dev->lock` if the
        // device needs it, and the guard releases it under the same condition.
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
pub(super) struct OpsLockGuard<'a>(&'a NetDevice);

impl Drop for OpsLockGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: Taken in `lock_ops()`.
        unsafe { bindings::netkit_rs_netdev_unlock_ops(self.0.as_ptr()) };
    }
}

impl LockGuard<'_> {
    /// The device that is locked.
    pub(crate) fn device(&self) -> &NetDevice {
        self.0
    }
}

/// Evidence that the locks are held that a change of a device's queues needs.
///
/// # Invariants
///
/// The instance lock of the device is held for `'a`, if its operations run under it (`netdev_need_ops_lock()`); otherwise RTNL.
pub(crate) struct Locked<'a>(&'a NetDevice);

impl<'a> Locked<'a> {
    /// The evidence inside a callback that is called under these locks.
    ///
    /// # Safety
    ///
    /// The instance lock of `dev` must be held for `'a`, if `netdev_need_ops_lock()` says so; otherwise RTNL.
    pub(super) unsafe fn assume(dev: &'a NetDevice) -> Self {
        // INVARIANT: By the function's safety requirement.
        Self(dev)
    }

    /// The device that is locked.
    pub(crate) fn device(&self) -> &'a NetDevice {
        self.0
    }

    /// `netif_set_real_num_rx_queues()`. `EINVAL` beyond [`NetDevice::num_rx_queues`], and for fewer queues than now,
    /// because they may be leased.
    pub(crate) fn set_real_num_rx_queues(&self, queues: u32) -> Result {
        if queues < self.0.real_num_rx_queues() {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariant the device is valid, and the lock is held that
        // `netdev_assert_locked_ops_compat()` checks.
        to_result(unsafe { bindings::netif_set_real_num_rx_queues(self.0.as_ptr(), queues) })
    }

    /// The queue of a physical device for which the device's queue `index` stands, if it is leased. The lease stays as long as the
    /// lock is held.
    pub(crate) fn leased_rx_queue(&self, index: u32) -> Option<RxQueue<'a>> {
        // SAFETY: A device that leases queues has `queue_mgmt_ops` (`ndo_queue_create`), so by the type invariant its
        // instance lock is held. Without this lock, `netdev_rx_queue_unlease()` cannot end the lease, and the physical
        // device waits for that.
        unsafe { self.0.lease(index) }
    }
}

impl<'a> From<&'a LockGuard<'_>> for Locked<'a> {
    fn from(guard: &'a LockGuard<'_>) -> Self {
        // INVARIANT: The guard outlives the value.
        Self(guard.0)
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
