// SPDX-License-Identifier: GPL-2.0

//! Being told about network devices.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::{
    device::NetDevice,
    rtnl::Rtnl, //
};
use crate::bindings;
use core::{
    cell::UnsafeCell,
    ffi::c_void,
    marker::PhantomData, //
};
use kernel::{
    error::to_result,
    ffi::{c_int, c_ulong},
    prelude::*, //
};

/// Somebody who wants to know.
pub(crate) trait Listener: 'static {
    /// The notifier's one block.
    fn block() -> &'static Block<Self>;

    /// `dev` is being unregistered (`NETDEV_UNREGISTER`).
    ///
    /// Also told about devices that stay, when the listener itself is unregistered.
    fn unregister(dev: &NetDevice, rtnl: &Rtnl);
}

/// `struct notifier_block`: a writable static.
pub(crate) struct Block<T: ?Sized>(UnsafeCell<bindings::notifier_block>, PhantomData<fn() -> T>);

// SAFETY: `register_netdevice_notifier()` puts the block on `netdev_chain`, under RTNL; what is written to it, its
// `next`, is the chain's.
unsafe impl<T: ?Sized> Sync for Block<T> {}

impl<T: Listener> Block<T> {
    pub(crate) const fn new() -> Self {
        let mut block: bindings::notifier_block = pin_init::zeroed();
        block.notifier_call = Some(Self::call);
        Self(UnsafeCell::new(block), PhantomData)
    }

    /// `register_netdevice_notifier()`. The listener hears of all devices that there are.
    pub(crate) fn register(&'static self) -> Result<Registration<T>> {
        // SAFETY: The block is static, and `register_netdevice_notifier()` answers EEXIST for one that is on the
        // chain (`notifier_chain_register()`).
        to_result(unsafe { bindings::register_netdevice_notifier(self.0.get()) })?;
        // INVARIANT: Registered just now.
        Ok(Registration(PhantomData))
    }

    /// # Safety
    ///
    /// `info` must be that of an event about a device; RTNL must be held.
    unsafe extern "C" fn call(
        _block: *mut bindings::notifier_block,
        event: c_ulong,
        info: *mut c_void,
    ) -> c_int {
        if event == bindings::netdev_cmd_NETDEV_UNREGISTER as c_ulong {
            let info: *mut bindings::netdev_notifier_info = info.cast();
            // SAFETY: By the function's safety requirement.
            let (dev, rtnl) = unsafe { (NetDevice::from_raw_opt((*info).dev), Rtnl::assume()) };
            if let Some(dev) = dev {
                T::unregister(dev, &rtnl);
            }
        }
        bindings::NOTIFY_DONE as c_int
    }
}

/// A listener that is registered.
///
/// # Invariants
///
/// The block of `T` is registered.
pub(crate) struct Registration<T: Listener>(PhantomData<fn() -> T>);

impl<T: Listener> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Waits for calls that are under way. It cannot fail for a registered block.
        unsafe { bindings::unregister_netdevice_notifier(T::block().0.get()) };
    }
}
