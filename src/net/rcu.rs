// SPDX-License-Identifier: GPL-2.0

//! RCU-protected pointers to network devices.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use super::{
    device::{Device, DeviceType},
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

/// An RCU read-side critical section that the caller of a C callback entered.
///
/// # Invariants
///
/// The critical section outlives the value.
pub(crate) struct Entered(NotThreadSafe);

impl Entered {
    /// The evidence inside a C callback that is called in such a critical section.
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

/// Evidence that bottom halves are disabled, as they are for senders of packets.
///
/// This is also an RCU read-side critical section (since v5.0). A [`rcu::Guard`] does not disable bottom halves.
///
/// # Invariants
///
/// Bottom halves are disabled as long as the value exists.
pub(crate) struct BhDisabled(NotThreadSafe);

impl BhDisabled {
    /// The evidence inside a C callback that is called with bottom halves disabled.
    ///
    /// # Safety
    ///
    /// Bottom halves must be disabled, as by `__dev_queue_xmit()`, until the value is dropped.
    #[inline(always)]
    pub(crate) unsafe fn assume() -> Self {
        // INVARIANT: By the function's safety requirement.
        Self(NotThreadSafe)
    }
}

// SAFETY: By the type invariant: for RCU, all that `rcu_read_lock_bh()` does is to disable bottom halves.
unsafe impl ReadSide for BhDisabled {}

/// `struct net_device __rcu *`: the other device of a pair. All zeroes is null: no device.
///
/// Readers use the pointer under RCU or RTNL; it is changed under RTNL. As in C, it holds no reference on the device,
/// but it cannot dangle. The pointers of both devices are set and cleared together. `T` clears them in `ndo_uninit` at
/// the latest. The built-in driver clears them in `dellink`, and never unregisters a pair without `dellink`. After
/// that, the core waits for readers before it frees a device.
///
/// # Invariants
///
/// The pointer is null, or points at a registered `net_device` of the driver `T` whose own `RcuDevice` points back.
#[repr(transparent)]
pub(crate) struct RcuDevice<T>(UnsafeCell<*mut c_void>, PhantomData<fn() -> T>);

// SAFETY: A null pointer is a valid `RcuDevice`.
unsafe impl<T> Zeroable for RcuDevice<T> {}
// SAFETY: Accessed with the RCU pointer macros, and changed only with a proof of RTNL.
unsafe impl<T> Sync for RcuDevice<T> {}

/// A private area with a pointer to the other device of the pair. [`impl_has_peer!`] implements the trait.
///
/// # Safety
///
/// `peer()` must always return the same field of `self`. The `ndo_uninit` of `T` must call [`Device::part`].
pub(crate) unsafe trait HasPeer<T> {
    fn peer(&self) -> &RcuDevice<T>;
}

/// Implements [`HasPeer`] for a private area, from the name of its field:
/// `impl_has_peer! { unsafe impl HasPeer<Driver> for Private { self.peer } }`.
macro_rules! impl_has_peer {
    // SAFETY: `peer()` below always returns this field; the caller claims the rest.
    (unsafe impl HasPeer<$driver:ty> for $private:ty { self.$peer:ident }) => {
        // SAFETY: As above.
        unsafe impl $crate::net::rcu::HasPeer<$driver> for $private {
            #[inline(always)]
            fn peer(&self) -> &$crate::net::rcu::RcuDevice<$driver> {
                &self.$peer
            }
        }
    };
}
pub(crate) use impl_has_peer;

impl<T: DeviceType> RcuDevice<T> {
    /// `rcu_dereference()`, `rcu_dereference_bh()`.
    #[inline(always)]
    pub(crate) fn dereference<'a>(
        &'a self,
        _read_side: &'a impl ReadSide,
    ) -> Option<&'a Device<T>> {
        // SAFETY: The slot is `self`, a `struct net_device __rcu *` that `rcu_dereference_bh()` only loads.
        let dev = unsafe { bindings::netkit_rs_rcu_dereference_bh(self.0.get().cast()) };
        // SAFETY: By the type invariant a non-null pointer is a device of `T`. It is cleared before the device is past its
        // `ndo_uninit`, after which `unregister_netdevice_many_notify()` calls `synchronize_net()` before anything is freed.
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

    /// `rcu_assign_pointer()`. Null clears the pointer.
    ///
    /// # Safety
    ///
    /// The caller must keep the type invariant.
    pub(super) unsafe fn set(&self, dev: *mut bindings::net_device, _rtnl: &Rtnl) {
        // SAFETY: The slot is a valid pointer to a pointer, and RTNL excludes other writers.
        unsafe { bindings::netkit_rs_rcu_assign_pointer(self.0.get(), dev.cast()) };
    }
}

impl<T: DeviceType<Private: HasPeer<T>>> Device<T> {
    /// Parts the device from its peer, and returns the peer. Readers may see the old pointers until the grace period
    /// ends.
    pub(crate) fn part<'a>(&self, rtnl: &'a Rtnl) -> Option<&'a Device<T>> {
        let peer = self.private().peer().rtnl_dereference(rtnl)?;
        // SAFETY: By the type invariant of `RcuDevice` the two point at each other.
        // INVARIANT: Both pointers are null now.
        unsafe {
            self.private().peer().set(ptr::null_mut(), rtnl);
            peer.private().peer().set(ptr::null_mut(), rtnl);
        }
        Some(peer)
    }
}
