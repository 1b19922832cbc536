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
    cell::Cell,
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
/// The request is of this kind, and for the device of `locked`.
pub(crate) struct PoolSetup<'a> {
    request: &'a bindings::netdev_bpf,
    locked: &'a Locked<'a>,
    /// The other device has the pool.
    forwarded: Cell<bool>,
}

impl<'a> PoolSetup<'a> {
    fn fields(&self) -> &bindings::netdev_bpf__bindgen_ty_1__bindgen_ty_3 {
        // SAFETY: By the type invariant.
        unsafe { &self.request.__bindgen_anon_1.xsk }
    }

    /// The queue of the device that the request is for.
    pub(crate) fn queue(&self) -> u32 {
        self.fields().queue_id.into()
    }

    /// The queue of a physical device for which the queue of the request stands, if it is leased.
    pub(crate) fn leased_rx_queue(&self) -> Option<RxQueue<'a>> {
        self.locked.leased_rx_queue(self.queue())
    }

    /// Passes the request on to the device of the leased queue (`ndo_bpf`), if `check` permits that, under that device's
    /// instance lock. `EOPNOTSUPP` if the queue is not leased, `EBUSY` the second time.
    pub(crate) fn forward(&self, check: impl FnOnce(&LockGuard<'_>) -> Result) -> Result {
        if self.forwarded.get() {
            return Err(EBUSY);
        }
        let queue = self.leased_rx_queue().ok_or(EOPNOTSUPP)?;
        let lock = queue.device().lock();
        check(&lock)?;
        // SAFETY: The caller of the callback that got the request holds RTNL. `xp_assign_dev()` made its pool that of this
        // queue first.
        unsafe { queue.set_pool(self.fields().pool, &lock) }?;
        self.forwarded.set(true);
        Ok(())
    }

    /// Has the other device release the pool, which its caller frees next (`xp_disable_drv_zc()`, `xp_assign_dev()`).
    fn remove(&self) -> Result {
        let Some(queue) = self.leased_rx_queue() else {
            // The pool was taken away when the lease ended. C returns an error here, and the stack warns.
            return Ok(());
        };
        // SAFETY: As in `forward()`.
        unsafe { queue.set_pool(ptr::null_mut(), &queue.device().lock()) }
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
    pub(super) fn remove_pool(&self, lock: &LockGuard<'_>, _rtnl: &Rtnl) -> bool {
        // SAFETY: By the type invariant; the lock is held. A pool that is bound exists.
        let Some(pool) = (unsafe { (*self.0).pool.as_ref() }) else {
            return false;
        };
        // SAFETY: The pool is valid, and holds a reference on its `umem` (`xp_create_and_assign_umem()`). RTNL is held.
        if unsafe { (*pool.umem).zc && self.set_pool(ptr::null_mut(), lock).is_err() } {
            pr_warn!("a card keeps the buffers of a closed socket\n");
        }
        true
    }

    /// `XDP_SETUP_XSK_POOL` for the queue (`ndo_bpf`): a pool, or null to release the one that it has. `EOPNOTSUPP`, and
    /// what the driver returns.
    ///
    /// # Safety
    ///
    /// RTNL must be held, and `pool` be null or a valid pool that no other queue has.
    unsafe fn set_pool(&self, pool: *mut bindings::xsk_buff_pool, _lock: &LockGuard<'_>) -> Result {
        let dev = self.device();
        let mut request = bindings::netdev_bpf {
            command: bindings::bpf_netdev_command_XDP_SETUP_XSK_POOL,
            ..pin_init::zeroed()
        };
        request.__bindgen_anon_1.xsk.pool = pool;
        request.__bindgen_anon_1.xsk.queue_id = self.index() as u16;
        // SAFETY: By the type invariant the device is valid; its driver sets `netdev_ops`, a table of constants, before
        // `register_netdevice()`.
        let ndo_bpf = unsafe { (*(*dev.as_ptr()).netdev_ops).ndo_bpf }.ok_or(EOPNOTSUPP)?;
        // SAFETY: The device is valid and its lock is held; the rest is the function's safety requirement, as
        // `xp_assign_dev()` and `xp_disable_drv_zc()` meet it.
        to_result(unsafe { ndo_bpf(dev.as_ptr(), &mut request) })
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
    /// `XDP_SETUP_XSK_POOL`: sets up a socket's buffers for a queue. Under RTNL and the device's instance lock. (The
    /// wrapper passes their removal on.)
    fn setup_xsk_pool(dev: &Device<Self>, setup: &PoolSetup<'_>) -> Result;

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
            bindings::bpf_netdev_command_XDP_SETUP_XSK_POOL => {
                // INVARIANT: The command says so, and `locked` is the evidence for `dev`.
                let setup = PoolSetup {
                    request,
                    locked: &locked,
                    forwarded: Cell::new(false),
                };
                if setup.fields().pool.is_null() {
                    return setup.remove().map(|()| 0);
                }
                let result = T::setup_xsk_pool(dev, &setup);
                if result.is_err() && setup.forwarded.get() {
                    setup.remove()?;
                }
                result.map(|()| 0)
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
