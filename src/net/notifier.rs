// SPDX-License-Identifier: GPL-2.0

//! Events about network devices, as the networking core passes them to a `notifier_call`.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::{
    device::NetDevice,
    rtnl::Rtnl,
    rx_queue::Locked, //
};
use crate::bindings;
use core::{
    ffi::c_void,
    marker::PhantomData, //
};
use kernel::ffi::{c_int, c_ulong};

/// A receiver of events.
pub(crate) trait Listener: 'static {
    /// A device is registered, or has moved to this namespace (`NETDEV_REGISTER`).
    fn register(locked: &Locked<'_>, rtnl: &Rtnl);

    /// `dev` is being unregistered, or leaves its namespace (`NETDEV_UNREGISTER`).
    fn unregister(dev: &NetDevice, rtnl: &Rtnl);
}

/// The function that C calls.
pub(crate) struct NotifierAdapter<T>(PhantomData<T>);

impl<T: Listener> NotifierAdapter<T> {
    /// # Safety
    ///
    /// `info` must be that of an event about a device; RTNL must be held, and for `NETDEV_REGISTER` the instance lock of a
    /// device whose operations run under it.
    pub(crate) unsafe extern "C" fn call(
        _block: *mut bindings::notifier_block,
        event: c_ulong,
        info: *mut c_void,
    ) -> c_int {
        let info: *mut bindings::netdev_notifier_info = info.cast();
        // SAFETY: By the function's safety requirement.
        let (dev, rtnl) = unsafe { (NetDevice::from_raw_opt((*info).dev), Rtnl::assume()) };
        match (event as u32, dev) {
            (bindings::netdev_cmd_NETDEV_REGISTER, Some(dev)) => {
                // SAFETY: By the function's safety requirement: `register_netdevice()` and `__dev_change_net_namespace()`
                // call `netdev_lock_ops()` before.
                T::register(&unsafe { Locked::assume(dev) }, &rtnl);
            }
            (bindings::netdev_cmd_NETDEV_UNREGISTER, Some(dev)) => T::unregister(dev, &rtnl),
            _ => {}
        }
        bindings::NOTIFY_DONE as c_int
    }
}
