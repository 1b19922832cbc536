// SPDX-License-Identifier: GPL-2.0

//! Devices that are unregistered together.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::{
    device::{Device, DeviceType},
    rtnl::Rtnl, //
};
use crate::bindings;
use core::marker::PhantomData;

/// The devices that are to be unregistered together (`struct list_head`); the driver `T` may add its own.
///
/// # Invariants
///
/// Points at a list of devices that its owner passes to `unregister_netdevice_many()`.
pub(crate) struct KillList<T>(*mut bindings::list_head, PhantomData<fn() -> T>);

impl<T: DeviceType> KillList<T> {
    /// The list of a C caller.
    ///
    /// # Safety
    ///
    /// `head` must be a list for `unregister_netdevice_many()`, and nobody else may use it as long as the value exists.
    pub(super) unsafe fn from_raw(head: *mut bindings::list_head) -> Self {
        // INVARIANT: By the function's safety requirement.
        Self(head, PhantomData)
    }

    /// Unregisters the devices that `f` puts on a list, all together (`unregister_netdevice_many()`).
    pub(super) fn with(_rtnl: &Rtnl, f: impl FnOnce(&mut Self)) {
        let mut head: bindings::list_head = pin_init::zeroed();
        let head = &raw mut head;
        // SAFETY: The list is initialised here, and RTNL is held. `unregister_netdevice_many()` ends with a list_del()
        // for lists on the stack: nothing points at `head` after that.
        unsafe {
            (*head).next = head;
            (*head).prev = head;
            f(&mut Self(head, PhantomData));
            bindings::unregister_netdevice_many(head);
        }
    }

    /// `unregister_netdevice_queue()`, unless the device is on a list already, or its unregistration has begun.
    ///
    /// Moving a device from another list would break a walk of that list.
    pub(crate) fn push(&mut self, dev: &Device<T>, rtnl: &Rtnl) {
        if dev.is_registered() && !dev.is_queued_to_unregister(rtnl) {
            // SAFETY: `dev` is on no list (`unregister_netdevice_queued()`).
            unsafe { self.push_or_move(dev, rtnl) };
        }
    }

    /// `unregister_netdevice_queue()`. A device that is on this list already moves to its end.
    ///
    /// # Safety
    ///
    /// `dev` must be on no other list.
    pub(super) unsafe fn push_or_move(&mut self, dev: &Device<T>, _rtnl: &Rtnl) {
        // SAFETY: The device is valid, RTNL is held, and the list is valid by the type invariant. By the function's
        // safety requirement `unregister_netdevice_queue()` removes the device from no list except this one.
        unsafe { bindings::unregister_netdevice_queue(dev.as_ptr(), self.0) };
    }
}
