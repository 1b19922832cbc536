// SPDX-License-Identifier: GPL-2.0

//! The driver that is built into the kernel, and that a driver of this module stands in for.
//!
//! Both drivers serve the same devices, with the same private area. A device of either driver is recognised by its
//! operations table: the built-in driver's or the module's.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::device::{
    Device,
    DeviceType,
    NetDevice, //
};
use crate::bindings;
use core::ptr;

/// A driver that stands in for a driver that is built into the kernel.
///
/// # Safety
///
/// The four tables must be those of one driver of vmlinux. Each of its devices must have a private area that is a
/// valid `Self::Private`, and `tstats` from registration on. The built-in driver must treat devices that `Self` has created as
/// its own.
pub(crate) unsafe trait BuiltIn: DeviceType {
    /// The link type (`struct rtnl_link_ops`), which stays registered. Writable.
    fn link_ops() -> *mut bindings::rtnl_link_ops;

    /// The operations of the built-in driver's devices.
    fn netdev_ops() -> *const bindings::net_device_ops;

    /// The ethtool operations of the built-in driver's devices.
    fn ethtool_ops() -> *const bindings::ethtool_ops;

    /// The operations on queues of the built-in driver's devices.
    fn queue_mgmt_ops() -> *const bindings::netdev_queue_mgmt_ops;
}

impl NetDevice {
    /// The device as a device of the driver `T`, if either the module or the built-in driver that `T` stands in for
    /// serves it.
    pub(crate) fn downcast<T: BuiltIn>(&self) -> Option<&Device<T>> {
        let ops = self.netdev_ops();
        if T::tables().xmit(ops).is_none() && !ptr::eq(ops, T::netdev_ops()) {
            return None;
        }
        // SAFETY: Two places set the operations of `T`: the setup callback of `T`, on a device that was allocated with
        // the private area of `T`, and a takeover, on a device of the built-in driver. By the safety requirement of
        // `BuiltIn` the built-in driver's devices have such an area, too.
        unsafe { Device::from_raw_opt(self.as_ptr()) }
    }
}
