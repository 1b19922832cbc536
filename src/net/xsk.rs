// SPDX-License-Identifier: GPL-2.0

//! AF_XDP sockets on a device's queues (`ndo_bpf`, `ndo_xsk_wakeup`), passed on to another device.
//!
//! C headers: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h),
//! [`include/net/xdp_sock_drv.h`](srctree/include/net/xdp_sock_drv.h)

use super::{
    device::{Device, DeviceType, NetDevice},
    new_device::NewDevice,
    rcu::{Entered, ReadSide},
    rtnl::Rtnl,
    rx_queue::{LockGuard, Locked, RxQueue}, //
};
use crate::{
    bindings,
    errno::{to_result, EOPNOTSUPP}, //
};
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    error::from_result,
    ffi::c_int,
    prelude::*, //
};

/// The features that a device needs for sockets in zero-copy mode.
const ACT_XSK: u32 = bindings::NETDEV_XDP_ACT_XSK;

/// `XDP_SETUP_XSK_POOL`: sets up a pool of buffers for a queue, or removes it.
///
/// # Invariants
///
/// The request is of this kind.
pub(crate) struct PoolSetup<'a>(&'a bindings::netdev_bpf);

impl PoolSetup<'_> {
    fn fields(&self) -> &bindings::netdev_bpf__bindgen_ty_1__bindgen_ty_3 {
        // SAFETY: By the type invariant.
        unsafe { &self.0.__bindgen_anon_1.xsk }
    }

    /// The queue of the device that the request is for.
    pub(crate) fn queue(&self) -> u32 {
        self.fields().queue_id.into()
    }

    /// Whether the request sets a pool up. Otherwise it removes the pool.
    pub(crate) fn is_setup(&self) -> bool {
        !self.fields().pool.is_null()
    }

    /// Passes the request on to the device of `queue` (`ndo_bpf`). `EINVAL` if `lock` belongs to another device.
    pub(crate) fn forward(&self, queue: &RxQueue<'_>, lock: &LockGuard<'_>) -> Result {
        let dev = queue.device();
        if !ptr::eq(dev, lock.device()) {
            return Err(EINVAL);
        }
        let mut request = *self.0;
        request.__bindgen_anon_1.xsk.queue_id = queue.index() as u16;
        // SAFETY: By the invariant of `RxQueue` the device is valid; its driver sets `netdev_ops`, a table of
        // constants, before `register_netdevice()`.
        let ndo_bpf = unsafe { (*(*dev.as_ptr()).netdev_ops).ndo_bpf }.ok_or(EOPNOTSUPP)?;
        // SAFETY: The device is valid, and its lock is held. The caller of the callback that got the request holds
        // RTNL, and the pool in the request is valid during the call.
        to_result(unsafe { ndo_bpf(dev.as_ptr(), &mut request) })
    }
}

impl NetDevice {
    /// Whether the driver has all operations for sockets in zero-copy mode.
    pub(crate) fn has_xsk_operations(&self) -> bool {
        // SAFETY: By the type invariant the device is valid; its driver sets `netdev_ops`, a table of constants,
        // before `register_netdevice()`.
        let ops = unsafe { &*(*self.as_ptr()).netdev_ops };
        ops.ndo_bpf.is_some() && ops.ndo_xdp_xmit.is_some() && ops.ndo_xsk_wakeup.is_some()
    }
}

impl LockGuard<'_> {
    /// Whether the device can serve sockets in zero-copy mode at this moment.
    pub(crate) fn has_xsk_features(&self) -> bool {
        // SAFETY: By the type invariant the device is valid; `xdp_set_features_flag_locked()` changes `xdp_features`
        // under the lock that `self` holds.
        unsafe { (*self.device().as_ptr()).xdp_features & ACT_XSK == ACT_XSK }
    }

    /// The number of channels that memory providers need (`dev_get_min_mp_channel_count()`).
    pub(crate) fn min_mp_channel_count(&self) -> u32 {
        // SAFETY: By the type invariant the device is valid; `dev_get_min_mp_channel_count()` asserts the lock that
        // `self` holds.
        unsafe { bindings::dev_get_min_mp_channel_count(self.device().as_ptr()) }
    }
}

impl RxQueue<'_> {
    /// Makes the driver release the pool that is bound to the queue. Returns whether a pool is bound.
    ///
    /// The pool itself stays bound. In copy mode the driver is not involved.
    pub(super) fn remove_pool(&self, _lock: &LockGuard<'_>, _rtnl: &Rtnl) -> bool {
        // SAFETY: By the type invariant; the lock is held. A pool that is bound exists.
        let Some(pool) = (unsafe { (*self.0).pool.as_ref() }) else {
            return false;
        };
        let dev = self.device();
        // SAFETY: The pool is valid, and holds a reference on its `umem` (`xp_create_and_assign_umem()`). The device is
        // valid, and its `netdev_ops` do not change.
        let (zero_copy, ndo_bpf) =
            unsafe { ((*pool.umem).zc, (*(*dev.as_ptr()).netdev_ops).ndo_bpf) };
        if let (true, Some(ndo_bpf)) = (zero_copy, ndo_bpf) {
            let mut request = bindings::netdev_bpf {
                command: bindings::bpf_netdev_command_XDP_SETUP_XSK_POOL,
                ..pin_init::zeroed()
            };
            request.__bindgen_anon_1.xsk.pool = ptr::null_mut();
            request.__bindgen_anon_1.xsk.queue_id = self.index() as u16;
            // SAFETY: Device and request are valid, and the device's lock and RTNL are held.
            if unsafe { ndo_bpf(dev.as_ptr(), &mut request) } != 0 {
                pr_warn!("a card keeps the buffers of a closed socket\n");
            }
        }
        true
    }

    /// Wakes up the driver of the queue (`ndo_xsk_wakeup`).
    pub(crate) fn xsk_wakeup(&self, flags: u32, _read_side: &impl ReadSide) -> Result {
        let dev = self.device();
        // SAFETY: By the invariant of `RxQueue` the device is valid; its driver sets `netdev_ops`, a table of
        // constants, before `register_netdevice()`.
        let wakeup = unsafe { (*(*dev.as_ptr()).netdev_ops).ndo_xsk_wakeup }.ok_or(EOPNOTSUPP)?;
        // SAFETY: By the invariant of `RxQueue` the device is valid and has this queue. `xsk_wakeup()` in net/xdp/xsk.c
        // also calls `ndo_xsk_wakeup` under RCU, from system calls and from softirq.
        to_result(unsafe { wakeup(dev.as_ptr(), self.index(), flags) })
    }
}

impl<T: DeviceType> NewDevice<'_, T> {
    /// Announces that the device supports sockets in zero-copy mode (`xdp_set_features_flag(NETDEV_XDP_ACT_XSK)`).
    pub(crate) fn announce_xsk(&self) {
        // SAFETY: By the type invariant the device is valid and not registered: `xdp_set_features_flag()` takes its
        // lock and sends no notification.
        unsafe { bindings::xdp_set_features_flag(self.as_ptr(), ACT_XSK) };
    }
}

/// A driver whose devices pass AF_XDP sockets on.
pub(crate) trait XskDriver: DeviceType {
    /// `XDP_SETUP_XSK_POOL`: sets up or removes a socket's buffers for a queue. Under RTNL and the device's instance
    /// lock.
    fn setup_xsk_pool(dev: &Device<Self>, locked: &Locked<'_>, setup: &PoolSetup<'_>) -> Result;

    /// `ndo_xsk_wakeup`: a socket has work for the driver. In any context, under RCU only.
    fn xsk_wakeup(dev: &Device<Self>, queue: u32, flags: u32, read_side: &impl ReadSide) -> Result;
}

/// The callbacks that C calls.
pub(crate) struct XskAdapter<T>(PhantomData<T>);

impl<T: XskDriver> XskAdapter<T> {
    /// # Safety
    ///
    /// `dev` must be a device of `T`, `request` valid; RTNL and the device's instance lock must be held.
    pub(crate) unsafe extern "C" fn bpf(
        dev: *mut bindings::net_device,
        request: *mut bindings::netdev_bpf,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let (dev, request) = unsafe { (Device::<T>::from_raw(dev), &*request) };
        // SAFETY: By the function's safety requirement.
        let locked = unsafe { Locked::assume(dev) };
        from_result(|| match request.command {
            // INVARIANT: The command says so.
            bindings::bpf_netdev_command_XDP_SETUP_XSK_POOL => {
                T::setup_xsk_pool(dev, &locked, &PoolSetup(request)).map(|()| 0)
            }
            bindings::bpf_netdev_command_XDP_SETUP_PROG => Err(EOPNOTSUPP),
            _ => Err(EINVAL),
        })
    }

    /// # Safety
    ///
    /// `dev` must be a device of `T`; the RCU read-side lock must be held (`xsk_wakeup()` in net/xdp/xsk.c takes it).
    pub(super) unsafe extern "C" fn xsk_wakeup(
        dev: *mut bindings::net_device,
        queue: u32,
        flags: u32,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let (dev, read_side) = unsafe { (Device::from_raw(dev), Entered::assume()) };
        from_result(|| T::xsk_wakeup(dev, queue, flags, &read_side).map(|()| 0))
    }
}
