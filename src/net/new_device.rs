// SPDX-License-Identifier: GPL-2.0

//! The stages of a new device: allocated, registered, kept.
//!
//! Each stage is a value. Dropping a value before the last stage frees or unregisters its device.
//!
//! C headers: [`include/net/rtnetlink.h`](srctree/include/net/rtnetlink.h),
//! [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::{
    builtin::BuiltIn,
    device::{Device, DeviceType, Xmit},
    extack::ExtAck,
    namespace::Net,
    netlink::{IfName, Ifla, Table},
    rcu::HasPeer,
    rtnl::Rtnl, //
};
use crate::{
    bindings,
    errno::to_result, //
};
use core::{
    mem::ManuallyDrop,
    ops::Deref,
    ptr, //
};
use kernel::{
    error::from_err_ptr,
    ffi::c_uchar,
    prelude::*, //
};

/// How a device got its name (`NET_NAME_*`).
#[derive(Clone, Copy)]
pub(crate) enum NameAssign {
    /// The kernel chose the next free name (`NET_NAME_ENUM`).
    Enum = bindings::NET_NAME_ENUM as isize,
    /// The user chose the name (`NET_NAME_USER`).
    User = bindings::NET_NAME_USER as isize,
}

/// A device that is allocated and not registered.
///
/// A device that rtnetlink passes to a driver belongs to rtnetlink, which frees it if `newlink` fails. A device that
/// the driver creates ([`NewDevice::create`]) is freed when the value is dropped.
///
/// # Invariants
///
/// The pointer is a device of `T` that is not registered, and nobody else uses it. If `owned`, nobody else frees it.
pub(crate) struct NewDevice<'a, T: DeviceType> {
    dev: &'a Device<T>,
    owned: bool,
}

impl<'a, T: BuiltIn> NewDevice<'a, T> {
    /// The device that rtnetlink created, and frees.
    ///
    /// # Safety
    ///
    /// `dev` must be a device of `T` that is not registered, and nobody else may use it, for `'a`.
    pub(super) unsafe fn from_rtnetlink(dev: *mut bindings::net_device) -> Self {
        // SAFETY: By the function's safety requirement.
        let dev = unsafe { Device::from_raw(dev) };
        // INVARIANT: Likewise.
        Self { dev, owned: false }
    }

    /// Allocates another device as rtnetlink would (`rtnl_create_link()`), with the attributes `attrs`.
    pub(crate) fn create(
        net: &Net,
        name: &IfName,
        assign: NameAssign,
        attrs: &Table<'_, Ifla>,
        extack: &mut ExtAck,
        _rtnl: &'a Rtnl,
    ) -> Result<Self> {
        // SAFETY: All arguments are valid, the table has IFLA_MAX + 1 entries by its type, and RTNL is held. The link
        // type is the built-in driver's, because the device may outlive the module.
        let dev = from_err_ptr(unsafe {
            bindings::rtnl_create_link(
                net.as_ptr(),
                name.as_ptr(),
                assign as c_uchar,
                T::link_ops(),
                attrs.as_ptr(),
                extack.as_ptr(),
            )
        })?;
        // SAFETY: `rtnl_create_link()` has made a device of `T`. The value that is made here frees it; or it is
        // registered, and freed after RTNL was released.
        let dev = unsafe { Device::from_raw(dev) };
        // INVARIANT: Nobody knows of the device yet.
        Ok(Self { dev, owned: true })
    }

    /// Copies the limits of segmentation offload from `other` (`netif_inherit_tso_max()`).
    pub(crate) fn inherit_tso_max(&self, other: &Self) {
        // SAFETY: Both devices are valid by the type invariants; `netif_inherit_tso_max()` writes this one's limits,
        // which nobody reads before `register_netdevice()`.
        unsafe { bindings::netif_inherit_tso_max(self.as_ptr(), other.as_ptr()) };
    }

    /// `eth_hw_addr_random()`.
    pub(crate) fn set_random_address(&self) {
        // SAFETY: By the type invariant the device is valid and not registered, so nobody reads the address that
        // `eth_hw_addr_random()` writes.
        unsafe { bindings::netkit_rs_eth_hw_addr_random(self.as_ptr()) };
    }

    /// Requests an index for the registration.
    pub(crate) fn want_ifindex(&self, ifindex: i32) {
        // SAFETY: By the type invariant nobody else uses the device; `register_netdevice()` will look at `ifindex`
        // (`dev_index_reserve()`).
        unsafe { (*self.as_ptr()).ifindex = ifindex };
    }

    /// Sets the name, or the pattern of the name, for the registration.
    pub(crate) fn set_name(&self, name: &IfName) {
        // SAFETY: The device is valid, and nobody else uses it; both buffers have IFNAMSIZ bytes.
        unsafe {
            let field = &raw mut (*self.as_ptr()).name;
            bindings::sized_strscpy(field.cast(), name.as_ptr(), (*field).len());
        }
    }

    /// `register_netdevice()`: from now on, others can find the device.
    ///
    /// On an error, the device is not registered: the driver's own device is freed, and rtnetlink's device is left to
    /// rtnetlink.
    pub(crate) fn register(self, _rtnl: &'a Rtnl) -> Result<Registered<'a, T>> {
        // SAFETY: The device is valid and not registered; RTNL is held. On failure `register_netdevice()` leaves the
        // device unregistered, and this value, or rtnetlink, frees it.
        to_result(unsafe { bindings::register_netdevice(self.as_ptr()) })?;
        let this = ManuallyDrop::new(self);
        // INVARIANT: The device was registered just now.
        Ok(Registered(this.dev))
    }
}

/// The operations on a device that is not registered. Not a `&Device`: nobody else can hold a reference yet, and the
/// per-CPU counters do not exist.
impl<T: DeviceType> NewDevice<'_, T> {
    pub(super) fn as_ptr(&self) -> *mut bindings::net_device {
        self.dev.as_ptr()
    }

    /// [`Device::private`].
    pub(crate) fn private(&self) -> &T::Private {
        self.dev.private()
    }

    /// The index that the device will ask for, 0 for any.
    pub(crate) fn ifindex(&self) -> i32 {
        self.dev.ifindex()
    }

    /// Chooses the xmit routine of the device.
    pub(crate) fn set_xmit(&self, xmit: Xmit) {
        // SAFETY: By the type invariant the device is valid, and nobody else uses it; the tables are those of its driver.
        unsafe { (*self.as_ptr()).netdev_ops = T::tables().netdev_ops(xmit) };
    }

    /// [`NetDevice::set_needed_headroom`](super::device::NetDevice::set_needed_headroom).
    pub(crate) fn set_needed_headroom(&self, bytes: u16) {
        self.dev.set_needed_headroom(bytes);
    }

    /// [`NetDevice::set_needed_tailroom`](super::device::NetDevice::set_needed_tailroom).
    pub(crate) fn set_needed_tailroom(&self, bytes: u16) {
        self.dev.set_needed_tailroom(bytes);
    }
}

impl<T: DeviceType> Drop for NewDevice<'_, T> {
    fn drop(&mut self) {
        if self.owned {
            // SAFETY: By the type invariant.
            unsafe { bindings::free_netdev(self.dev.as_ptr()) };
        }
    }
}

/// A device that was just registered. Dropping the value unregisters the device again.
///
/// # Invariants
///
/// The pointer is a registered device of `T`; RTNL has been held since it was registered.
#[must_use = "a device that nobody keeps is unregistered"]
pub(crate) struct Registered<'a, T: DeviceType>(&'a Device<T>);

impl<'a, T: DeviceType> Registered<'a, T> {
    /// Sends the notifications for a device that the driver has created itself (`rtnl_configure_link()`).
    pub(crate) fn announce(&self, _rtnl: &Rtnl) -> Result {
        // SAFETY: The device is valid and registered, and RTNL is held; null is for no header and no request.
        to_result(unsafe {
            bindings::rtnl_configure_link(self.as_ptr(), ptr::null(), 0, ptr::null())
        })
    }

    /// Makes this device and `other` a pair. If one of them is in another pair, that pair is parted first.
    pub(crate) fn pair_with(&self, other: &Self, rtnl: &Rtnl)
    where
        T: DeviceType<Private: HasPeer<T>>,
    {
        self.part(rtnl);
        other.part(rtnl);
        // SAFETY: By the type invariant both are registered, and neither has a peer any more.
        // INVARIANT: Each points at the other.
        unsafe {
            self.private().peer().set(other.as_ptr(), rtnl);
            other.private().peer().set(self.as_ptr(), rtnl);
        }
    }

    /// Keeps the device.
    pub(crate) fn keep(self) -> &'a Device<T> {
        ManuallyDrop::new(self).0
    }
}

impl<T: DeviceType> Deref for Registered<'_, T> {
    type Target = Device<T>;

    fn deref(&self) -> &Device<T> {
        self.0
    }
}

impl<T: DeviceType> Drop for Registered<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The device is registered, and RTNL is held; the device is freed after RTNL is released. If the device
        // is rtnetlink's, rtnetlink calls `free_netdev()`, which defers a device that is being unregistered.
        unsafe { bindings::unregister_netdevice_queue(self.as_ptr(), ptr::null_mut()) };
    }
}
