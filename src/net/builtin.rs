// SPDX-License-Identifier: GPL-2.0

//! The built-in driver's link type, taken out of the kernel and put back.
//!
//! `rtnl_link_unregister()` refuses nothing: it deletes the devices that it finds. So the type is taken out in two
//! steps. Under RTNL, where no device can come into being: look for devices, and if there are none, close the
//! door, by a `newlink` that refuses. Then unregister. Each step is a value; dropping it undoes the step.
//!
//! Putting it back takes memory, and may fail. Then the table is left on no list, which the next load of the module
//! finds, and its unloading tries again.
//!
//! C source: drivers/net/netkit.c, net/core/rtnetlink.c

use super::{
    extack::ExtAck,
    link::{LinkDriver, LinkOps},
    namespace,
    rtnl::Rtnl, //
};
use crate::bindings;
use core::{
    ffi::CStr,
    ptr, //
};
use kernel::{
    error::to_result,
    ffi::c_int,
    prelude::*, //
};

/// `rtnl_link_ops::newlink`.
type NewLink = Option<
    unsafe extern "C" fn(
        *mut bindings::net_device,
        *mut bindings::rtnl_newlink_params,
        *mut bindings::netlink_ext_ack,
    ) -> c_int,
>;

/// The built-in driver's table (`netkit_link_ops`): static, writable, and found by livepatch relocation.
fn table() -> *mut bindings::rtnl_link_ops {
    &raw mut bindings::netkit_link_ops
}

/// Whether the built-in driver is the one that this module was made to replace: the same link type, with the same
/// private area and the same attributes. `ENODEV` with a line in the log if not.
pub(crate) fn check<T: LinkDriver>() -> Result {
    // SAFETY: `netkit_link_ops` is static data of vmlinux; its initialiser in netkit.c sets `kind`, `priv_size` and
    // `maxtype`, and nobody writes them.
    let (kind, size, max) = unsafe { ((*table()).kind, (*table()).priv_size, (*table()).maxtype) };
    // SAFETY: A name ends in NUL.
    let kind = unsafe { CStr::from_char_ptr(kind) };
    if kind != T::KIND || size != size_of::<T::Private>() || max as usize + 1 != T::POLICY.len() {
        pr_err!(
            "the kernel's netkit is another than this module was built for (kind {:?}, {} bytes, {} attributes)\n",
            kind,
            size,
            max
        );
        return Err(ENODEV);
    }
    Ok(())
}

/// Makes no device, while the link type changes hands.
///
/// # Safety
///
/// `extack` must be that of a request.
unsafe extern "C" fn refuse(
    _dev: *mut bindings::net_device,
    _params: *mut bindings::rtnl_newlink_params,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the function's safety requirement.
    let mut extack = unsafe { ExtAck::from_raw(extack) };
    extack
        .error(EBUSY, c"netkit changes its driver, try again")
        .to_errno()
}

/// The built-in link type makes no devices, and has none.
///
/// # Invariants
///
/// `newlink` is what the table had, and now has [`refuse`].
struct Closed {
    newlink: NewLink,
}

impl Closed {
    /// `EBUSY`, with a line in the log that names it, if there is a device in any namespace; `EBUSY` if it is closed
    /// already.
    fn close() -> Result<Self> {
        let rtnl = Rtnl::lock();
        // SAFETY: The table is static; the field is used under RTNL only.
        let newlink: NewLink = unsafe { (*table()).newlink };
        if newlink.map(|newlink| newlink as usize) == Some(refuse as *const () as usize) {
            return Err(EBUSY);
        }
        let ours = |dev: &super::device::NetDevice| ptr::eq(dev.link_ops(), table());
        if let Some(dev) = namespace::find_device(&rtnl, ours) {
            pr_err!(
                "device {} (index {}) belongs to the built-in driver: delete it, then load the module\n",
                dev.name(&rtnl).to_str().unwrap_or("?"),
                dev.ifindex()
            );
            return Err(EBUSY);
        }
        // INVARIANT: Exchanged just now.
        Ok(Self {
            newlink: Self::exchange(Some(refuse), &rtnl),
        })
    }

    fn exchange(newlink: NewLink, _rtnl: &Rtnl) -> NewLink {
        // SAFETY: The table is static and writable; the field is used under RTNL only.
        unsafe { ptr::replace(&raw mut (*table()).newlink, newlink) }
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        let rtnl = Rtnl::lock();
        // `refuse` runs under RTNL: nobody is inside it now, and nobody gets there any more.
        Self::exchange(self.newlink, &rtnl);
    }
}

/// The built-in link type is not registered. Dropping it brings the built-in driver back.
///
/// # Invariants
///
/// The built-in table is not registered.
pub(crate) struct Suspended(#[expect(dead_code)] Closed);

/// Whether the table is on no list: [`Suspended`] leaves it so, pointing at itself, where the kernel does not take it.
fn is_left_out(_closed: &Closed) -> bool {
    // SAFETY: The table is static. Its place in the list is changed by `rtnl_link_register()` and
    // `rtnl_link_unregister()`, which are called for it by the boot, and by who has a `Closed`.
    unsafe {
        let list = &raw const (*table()).list;
        ptr::eq((*list).next, list)
    }
}

/// Leaves the table on no list (`INIT_LIST_HEAD()`).
///
/// # Safety
///
/// `rtnl_link_unregister()` must have taken the table off `link_ops`.
unsafe fn leave_out() {
    // SAFETY: By the function's safety requirement it is on no list, and `rtnl_link_unregister()` has waited for those
    // who walked it (`synchronize_rcu()`).
    unsafe {
        let list = &raw mut (*table()).list;
        (*list).next = list;
        (*list).prev = list;
    }
}

impl Suspended {
    /// Takes the built-in driver out. `EBUSY` if it has a device.
    pub(crate) fn suspend() -> Result<Self> {
        let closed = Closed::close()?;
        if !is_left_out(&closed) {
            // Waits for the namespaces that are being torn down, devices of the type and all.
            // SAFETY: `netkit_mod_init()` registered `netkit_link_ops` when the kernel booted. Whoever unregisters it
            // has a value of this type, which registers it again, or leaves it out.
            unsafe { bindings::rtnl_link_unregister(table()) };
        }
        // INVARIANT: Unregistered just now, or left out.
        Ok(Self(closed))
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the table is not registered. It goes on refusing until `Closed` is dropped.
        if let Err(err) = to_result(unsafe { bindings::rtnl_link_register(table()) }) {
            // SAFETY: By the type invariant it is on no list, and `rtnl_link_register()` has failed to put it on one.
            unsafe { leave_out() };
            pr_err!(
                "cannot register the built-in driver again ({}): load and unload the module once more\n",
                err.to_errno()
            );
        }
    }
}

/// Both halves of the change of hands: the built-in link type is out, that of `T` is in. Dropping it changes back.
pub(crate) struct Replaced<T: LinkDriver> {
    // Dropped in this order.
    _registration: super::link::Registration<T>,
    _suspended: Suspended,
}

impl<T: LinkDriver> Replaced<T> {
    /// See [`check`] and [`Suspended::suspend`] for the errors.
    pub(crate) fn replace(ops: &'static LinkOps<T>) -> Result<Self> {
        check::<T>()?;
        let suspended = Suspended::suspend()?;
        let registration = ops.register().inspect_err(|err| {
            pr_err!("cannot register the link type ({})\n", err.to_errno());
        })?;
        Ok(Self {
            _registration: registration,
            _suspended: suspended,
        })
    }
}
