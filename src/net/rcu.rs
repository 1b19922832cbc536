// SPDX-License-Identifier: GPL-2.0

//! RCU-protected pointers to network devices.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use super::{
    device::Device,
    ops::Driver,
    rtnl::Rtnl, //
};
use crate::bindings;
use core::{
    cell::UnsafeCell,
    ffi::c_void,
    marker::PhantomData,
    ptr, //
};
use kernel::{
    prelude::*,
    sync::rcu,
    types::NotThreadSafe, //
};

/// Evidence that the current context is an RCU read-side critical section.
///
/// # Safety
///
/// While a value of the type exists, the RCU read-side critical section, of `rcu_read_lock()` or
/// `rcu_read_lock_bh()`, must not end.
pub(crate) unsafe trait ReadSide {}

// SAFETY: By its type invariant the guard holds the RCU read-side lock.
unsafe impl ReadSide for rcu::Guard {}

/// An RCU read-side critical section that the caller of a C callback entered, by `rcu_read_lock()` or, since these
/// are one (v5.0), by disabling bottom halves.
///
/// # Invariants
///
/// The critical section outlives the value.
pub(crate) struct Entered(NotThreadSafe);

impl Entered {
    /// Takes the caller's critical section for granted.
    ///
    /// # Safety
    ///
    /// The caller must be in an RCU read-side critical section until the value is dropped.
    pub(crate) unsafe fn assume() -> Self {
        // INVARIANT: By the function's safety requirement.
        Self(NotThreadSafe)
    }
}

// SAFETY: By the type invariant.
unsafe impl ReadSide for Entered {}

/// `struct net_device __rcu *`: another device of the same driver, or none. All zeroes is none.
///
/// Readers use it under RCU or RTNL; it is changed under RTNL. Unlike C's plain pointer it holds a reference
/// to the device, so that it cannot dangle whatever the driver does: one that forgets to clear it makes the
/// unregistration wait and complain, as for any reference that leaks.
///
/// # Invariants
///
/// The pointer is null or points at a `net_device` of the driver `T`, on which this value holds a reference.
#[repr(transparent)]
pub(crate) struct RcuDevice<T>(UnsafeCell<*mut c_void>, PhantomData<fn() -> T>);

// SAFETY: A null pointer is a valid `RcuDevice`.
unsafe impl<T> Zeroable for RcuDevice<T> {}
// SAFETY: Accessed with the RCU pointer macros, and changed only with a proof of RTNL.
unsafe impl<T> Sync for RcuDevice<T> {}

impl<T: Driver> RcuDevice<T> {
    /// `rcu_dereference()`, `rcu_dereference_bh()`.
    #[inline(always)]
    pub(crate) fn dereference<'a>(
        &'a self,
        _read_side: &'a impl ReadSide,
    ) -> Option<&'a Device<T>> {
        // SAFETY: The slot is `self`, a `struct net_device __rcu *` that `rcu_dereference_bh()` only loads.
        let dev = unsafe { bindings::netkit_rs_rcu_dereference_bh(self.0.get().cast()) };
        // SAFETY: By the type invariant a non-null pointer is a device of `T`. It stays allocated for the
        // critical section: the reference is dropped in `clear()` only, while the device is registered or
        // after a grace period, and unregistration waits for another one before it frees.
        unsafe { Device::from_raw_opt(dev.cast()) }
    }

    /// `rtnl_dereference()`.
    #[inline]
    pub(crate) fn rtnl_dereference<'a>(&self, _rtnl: &'a Rtnl) -> Option<&'a Device<T>> {
        // SAFETY: The slot is `self`, a `struct net_device __rcu *`; RTNL protects it, so that `rtnl_dereference()`
        // may load it.
        let dev = unsafe { bindings::netkit_rs_rtnl_dereference(self.0.get().cast()) };
        // SAFETY: By the type invariant a non-null pointer is a device of `T`. A device is unregistered under
        // RTNL and freed after RTNL was released, so that it lives as long as this holder keeps RTNL.
        unsafe { Device::from_raw_opt(dev.cast()) }
    }

    /// `rcu_assign_pointer()`. Takes a reference on `dev`.
    pub(crate) fn assign(&self, dev: &Device<T>, rtnl: &Rtnl) {
        self.clear(rtnl);
        // SAFETY: `dev` is a valid device; the reference keeps the type invariant.
        unsafe { bindings::netkit_rs_dev_hold(dev.as_ptr()) };
        // SAFETY: The slot is a valid pointer to a pointer, and RTNL excludes other writers.
        unsafe { bindings::netkit_rs_rcu_assign_pointer(self.0.get(), dev.as_ptr().cast()) };
    }

    /// `RCU_INIT_POINTER(…, NULL)`. Readers may see the device until the grace period ends.
    pub(crate) fn clear(&self, rtnl: &Rtnl) {
        let Some(dev) = self.rtnl_dereference(rtnl) else {
            return;
        };
        // SAFETY: The slot is a valid pointer to a pointer, and RTNL excludes other writers.
        unsafe { bindings::netkit_rs_rcu_assign_pointer(self.0.get(), ptr::null_mut()) };
        if !dev.is_registered(rtnl) {
            // Unregistration may be past its own grace period, and wait for nothing but this reference.
            // SAFETY: RTNL is held, so this is a context that may sleep.
            unsafe { bindings::synchronize_net() };
        }
        // SAFETY: Drops the reference that `assign()` took.
        unsafe { bindings::netkit_rs_dev_put(dev.as_ptr()) };
    }
}
