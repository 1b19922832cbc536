// SPDX-License-Identifier: GPL-2.0

//! Devices on their way into being: allocated, registered, kept.
//!
//! Each stage is a value; one that is dropped half way takes its device back.
//!
//! C headers: [`include/net/rtnetlink.h`](srctree/include/net/rtnetlink.h),
//! [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::{
    builtin::BuiltIn,
    device::{Device, DeviceType},
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
    /// The kernel counted (`NET_NAME_ENUM`).
    Enum = bindings::NET_NAME_ENUM as isize,
    /// The user chose (`NET_NAME_USER`).
    User = bindings::NET_NAME_USER as isize,
}

/// A device that is allocated and not registered.
///
/// What rtnetlink passes to a driver stays rtnetlink's: it frees the device if `newlink` fails. What the driver
/// creates by itself ([`NewDevice::create`]) is freed when the value is dropped.
///
/// # Invariants
///
/// The pointer is a device of `T` that is not registered, and used by nobody else. If `owned`, nobody else frees it.
pub(crate) struct NewDevice<'a, T: DeviceType> {
    dev: &'a Device<T>,
    owned: bool,
}

impl<'a, T: BuiltIn> NewDevice<'a, T> {
    /// The device that rtnetlink created, and frees.
    ///
    /// # Safety
    ///
    /// `dev` must be a device of `T` that is not registered and used by nobody else, for `'a`.
    pub(super) unsafe fn from_rtnetlink(dev: *mut bindings::net_device) -> Self {
        // SAFETY: By the function's safety requirement.
        let dev = unsafe { Device::from_raw(dev) };
        // INVARIANT: Likewise.
        Self { dev, owned: false }
    }

    /// Allocates one more device as rtnetlink would (`rtnl_create_link()`), with the attributes `attrs`.
    pub(crate) fn create(
        net: &Net,
        name: &IfName,
        assign: NameAssign,
        attrs: &Table<'_, Ifla>,
        extack: &mut ExtAck,
        _rtnl: &'a Rtnl,
    ) -> Result<Self> {
        // SAFETY: All arguments are valid, the table has IFLA_MAX + 1 entries by its type, and RTNL is held. The link type stays
        // the built-in driver's: the device may outlive the module.
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
        // SAFETY: A new device of `T`. It is freed by the value that is made here, or registered, and then freed
        // after RTNL was released.
        let dev = unsafe { Device::from_raw(dev) };
        // INVARIANT: Nobody knows of the device yet.
        Ok(Self { dev, owned: true })
    }

    /// The largest packets are those of `other` (`netif_inherit_tso_max()`).
    pub(crate) fn inherit_tso_max(&self, other: &Self) {
        // SAFETY: Both devices are valid by the type invariants; `netif_inherit_tso_max()` writes this one's limits,
        // which nobody reads before `register_netdevice()`.
        unsafe { bindings::netif_inherit_tso_max(self.as_ptr(), other.as_ptr()) };
    }

    /// `eth_hw_addr_random()`.
    pub(crate) fn set_random_address(&self) {
        // SAFETY: By the type invariant the device is valid and not registered, so that nobody reads the address that
        // `eth_hw_addr_random()` writes.
        unsafe { bindings::netkit_rs_eth_hw_addr_random(self.as_ptr()) };
    }

    /// Asks for an index at registration.
    pub(crate) fn want_ifindex(&self, ifindex: i32) {
        // SAFETY: By the type invariant nobody else uses the device; `register_netdevice()` will look at `ifindex`
        // (`dev_index_reserve()`).
        unsafe { (*self.as_ptr()).ifindex = ifindex };
    }

    /// The name, or its pattern, that registration takes.
    pub(crate) fn set_name(&self, name: &IfName) {
        // SAFETY: The device is valid, and used by nobody else; both buffers have IFNAMSIZ bytes.
        unsafe {
            let field = &raw mut (*self.as_ptr()).name;
            bindings::sized_strscpy(field.cast(), name.as_ptr(), (*field).len());
        }
    }

    /// `register_netdevice()`: from now on others know the device.
    ///
    /// On an error the device is what it was before: a driver's own is freed, rtnetlink's left to rtnetlink.
    pub(crate) fn register(self, _rtnl: &'a Rtnl) -> Result<Registered<'a, T>> {
        // SAFETY: The device is valid and not registered; RTNL is held. On failure it is left unregistered, for
        // this value, or for rtnetlink, to free.
        to_result(unsafe { bindings::register_netdevice(self.as_ptr()) })?;
        let this = ManuallyDrop::new(self);
        // INVARIANT: The device was registered just now.
        Ok(Registered(this.dev))
    }
}

/// What may be done with a device that is not registered. Not a `&Device`: nobody else can hold a reference yet, and the
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

/// A device that was just registered. If it is dropped, it is unregistered again.
///
/// # Invariants
///
/// The pointer is a registered device of `T`; RTNL is held since it was registered.
#[must_use = "a device that nobody keeps is unregistered"]
pub(crate) struct Registered<'a, T: DeviceType>(&'a Device<T>);

impl<'a, T: DeviceType> Registered<'a, T> {
    /// Tells the world about a device that rtnetlink does not know of (`rtnl_configure_link()`).
    pub(crate) fn announce(&self, _rtnl: &Rtnl) -> Result {
        // SAFETY: The device is valid and registered, and RTNL is held; null is for no header and no request.
        to_result(unsafe {
            bindings::rtnl_configure_link(self.as_ptr(), ptr::null(), 0, ptr::null())
        })
    }

    /// Makes this device and `other` a pair. A pair that one of them was in before is parted.
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

    /// The device stays.
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
        // SAFETY: The device is registered, and RTNL held; it is freed once RTNL is released. If it is rtnetlink's, that calls
        // `free_netdev()`, which leaves a device that is being unregistered to be freed then.
        unsafe { bindings::unregister_netdevice_queue(self.as_ptr(), ptr::null_mut()) };
    }
}
