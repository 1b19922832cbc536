// SPDX-License-Identifier: GPL-2.0

//! Link types: devices that rtnetlink creates, changes, dumps and deletes (`struct rtnl_link_ops`).
//!
//! C header: [`include/net/rtnetlink.h`](srctree/include/net/rtnetlink.h)

use super::{
    device::Device,
    extack::ExtAck,
    namespace::Net,
    netlink::{Message, Policy, Table, IFLA_COUNT},
    new_device::NewDevice,
    ops::Driver,
    rtnl::Rtnl,
    setup::Setup, //
};
use crate::bindings;
use core::{
    cell::UnsafeCell,
    ffi::CStr,
    marker::PhantomData,
    ptr, //
};
use kernel::{
    error::{from_result, to_result},
    ffi::{c_char, c_int, c_uchar, c_uint},
    prelude::*,
    str::as_char_ptr_in_const_context, //
};

/// The queues that a new device really has, of those that it has room for.
pub(crate) struct RealQueues {
    pub(crate) tx: u32,
    pub(crate) rx: u32,
}

/// A link type.
pub(crate) trait LinkDriver: Driver {
    /// `ip link add … type KIND`.
    const KIND: &'static CStr;
    /// The policies of the type's own attributes, indexed by type.
    const POLICY: &'static [Policy];
    /// The attribute that describes the other device of a pair.
    const PEER_TYPE: u16;

    /// The link type's one operations table.
    fn link_ops() -> &'static LinkOps<Self>;

    /// Whether a device may have so many queues, and how many of them it starts with.
    fn queues(tx: u32, rx: u32) -> Result<RealQueues>;

    /// Describes a device that was just allocated.
    fn setup(dev: &mut Setup<Self>);

    /// Checks the attributes of a request that the policies cannot.
    fn validate(attrs: &Table<'_>) -> Result;

    /// Creates a device: registers `dev`, and whatever belongs to it. On an error everything is as it was.
    fn newlink(
        dev: NewDevice<'_, Self>,
        request: &Request<'_>,
        extack: &mut ExtAck,
        rtnl: &Rtnl,
    ) -> Result;

    /// Changes a device as `data` says. On an error nothing that comes before it is undone, as in C.
    fn changelink(dev: &Device<Self>, data: &Table<'_>, extack: &mut ExtAck, rtnl: &Rtnl)
        -> Result;

    /// Deletes a device, and whatever belongs to it, by putting them on `kill`.
    fn dellink(dev: &Device<Self>, kill: &mut KillList, rtnl: &Rtnl);

    /// The bytes that [`Self::fill_info`] needs at most.
    fn info_size() -> usize;

    /// Writes the attributes of a device. `EMSGSIZE` where the message has no room.
    fn fill_info(message: &mut Message, dev: &Device<Self>, rtnl: &Rtnl) -> Result;
}

/// What a request to create a device says (`struct rtnl_newlink_params`).
pub(crate) struct Request<'a> {
    params: &'a bindings::rtnl_newlink_params,
    attrs: Table<'a>,
    data: Option<Table<'a>>,
}

impl<'a> Request<'a> {
    /// The `IFLA_*` attributes.
    pub(crate) fn attrs(&self) -> Table<'a> {
        self.attrs
    }

    /// The link type's own attributes, if there are any.
    pub(crate) fn data(&self) -> Option<Table<'a>> {
        self.data
    }

    /// The namespace for the other device of a pair (`rtnl_newlink_peer_net()`).
    pub(crate) fn peer_net(&self) -> &'a Net {
        // SAFETY: `params` is that of the `newlink` call under way; `rtnl_newlink_peer_net()` reads its namespaces
        // only.
        let net = unsafe {
            bindings::netkit_rs_rtnl_newlink_peer_net(ptr::from_ref(self.params).cast_mut())
        };
        // SAFETY: One of the namespaces on which `rtnl_newlink()` holds references (`rtnl_nets_add()`) until
        // `newlink` has returned.
        unsafe { Net::from_raw(net) }
    }
}

/// The devices that are to be unregistered together (`struct list_head`).
///
/// # Invariants
///
/// Points at a list of devices that rtnetlink passes to `unregister_netdevice_many()`.
pub(crate) struct KillList(*mut bindings::list_head);

impl KillList {
    /// Unregisters the devices that `f` puts on a list, all together (`unregister_netdevice_many()`).
    pub(super) fn with(_rtnl: &Rtnl, f: impl FnOnce(&mut KillList)) {
        let mut head: bindings::list_head = pin_init::zeroed();
        let head = &raw mut head;
        // SAFETY: The list is initialised here, and RTNL held. `unregister_netdevice_many()` ends with a list_del()
        // for lists on the stack: nothing points at `head` after it.
        unsafe {
            (*head).next = head;
            (*head).prev = head;
            f(&mut KillList(head));
            bindings::unregister_netdevice_many(head);
        }
    }

    /// `unregister_netdevice_queue()`. A device that is on a list already moves to the end of this one.
    pub(crate) fn push<T: Driver>(&mut self, dev: &Device<T>, _rtnl: &Rtnl) {
        // SAFETY: The device is valid, RTNL held, and the list valid by the type invariant.
        unsafe { bindings::unregister_netdevice_queue(dev.as_ptr(), self.0) };
    }
}

/// The operations table of the link type `T`, which rtnetlink keeps on a list: one writable static per type.
#[repr(transparent)]
pub(crate) struct LinkOps<T>(UnsafeCell<bindings::rtnl_link_ops>, PhantomData<fn() -> T>);

// SAFETY: `rtnl_link_register()` puts the table on the list `link_ops`, under `link_ops_mutex`; what is written to
// it, its list head, is rtnetlink's.
unsafe impl<T> Sync for LinkOps<T> {}

impl<T: LinkDriver> LinkOps<T> {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(Adapter::<T>::TABLE), PhantomData)
    }

    pub(crate) fn as_ptr(&'static self) -> *mut bindings::rtnl_link_ops {
        self.0.get()
    }

    /// `rtnl_link_register()`. `EEXIST` if there is a link type of this name.
    pub(crate) fn register(&'static self) -> Result<Registration<T>> {
        // SAFETY: The table is static, and not registered: if it were, `rtnl_link_register()` would find its `kind`
        // taken.
        to_result(unsafe { bindings::rtnl_link_register(self.as_ptr()) })?;
        // INVARIANT: Registered just now.
        Ok(Registration(PhantomData))
    }
}

/// A link type that is registered. Dropping it deletes its devices in all namespaces, and waits until nothing
/// of them is left (`rtnl_link_unregister()`).
///
/// # Invariants
///
/// The operations table of `T` is registered.
pub(crate) struct Registration<T: LinkDriver>(PhantomData<fn() -> T>);

impl<T: LinkDriver> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; RTNL is not held, as its holder could not sleep for the namespaces here.
        unsafe { bindings::rtnl_link_unregister(T::link_ops().as_ptr()) };
        // SAFETY: `synchronize_net()` may sleep, as `rtnl_link_unregister()` has just done. It waits for those who
        // found a device right before.
        unsafe { bindings::synchronize_net() };
    }
}

/// The callbacks that C calls.
struct Adapter<T>(PhantomData<T>);

impl<T: LinkDriver> Adapter<T> {
    const TABLE: bindings::rtnl_link_ops = bindings::rtnl_link_ops {
        kind: as_char_ptr_in_const_context(T::KIND),
        priv_size: size_of::<T::Private>(),
        alloc: Some(Self::alloc),
        setup: Some(Self::setup),
        validate: Some(Self::validate),
        newlink: Some(Self::newlink),
        changelink: Some(Self::changelink),
        dellink: Some(Self::dellink),
        get_size: Some(Self::get_size),
        fill_info: Some(Self::fill_info),
        get_link_net: Some(Self::get_link_net),
        policy: T::POLICY.as_ptr().cast(),
        maxtype: T::POLICY.len() as c_uint - 1,
        peer_type: T::PEER_TYPE,
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `tb` must be a table of `IFLA_*` attributes that is valid for `'a`.
    unsafe fn attrs<'a>(tb: *mut *mut bindings::nlattr) -> Table<'a> {
        // SAFETY: By the function's safety requirement; rtnetlink's table has IFLA_MAX + 1 entries.
        unsafe { Table::from_raw(tb, IFLA_COUNT) }
    }

    /// # Safety
    ///
    /// `data` must be null, or a table of this type's own attributes that is valid for `'a`.
    unsafe fn data<'a>(data: *mut *mut bindings::nlattr) -> Option<Table<'a>> {
        if data.is_null() {
            return None;
        }
        // SAFETY: By the function's safety requirement; the table has `maxtype` + 1 entries.
        Some(unsafe { Table::from_raw(data, T::POLICY.len()) })
    }

    /// # Safety
    ///
    /// `ifname` must be the name or pattern of a device.
    unsafe extern "C" fn alloc(
        _tb: *mut *mut bindings::nlattr,
        ifname: *const c_char,
        assign: c_uchar,
        tx: c_uint,
        rx: c_uint,
    ) -> *mut bindings::net_device {
        let real = match T::queues(tx, rx) {
            Ok(real) => real,
            Err(err) => return err.to_ptr(),
        };
        // SAFETY: By the function's safety requirement; the setup callback fits the private area.
        let dev = unsafe {
            bindings::alloc_netdev_mqs(
                size_of::<T::Private>() as c_int,
                ifname,
                assign,
                Some(Self::setup),
                tx,
                rx,
            )
        };
        if !dev.is_null() {
            // SAFETY: `alloc_netdev_mqs()` has just made the device, which nobody else knows of before
            // `rtnl_create_link()` gets it back; `rtnl_create_link()` overwrites neither field.
            unsafe {
                (*dev).real_num_tx_queues = real.tx;
                (*dev).real_num_rx_queues = real.rx;
            }
        }
        dev
    }

    /// # Safety
    ///
    /// `dev` must be freshly allocated with the private area of `T`.
    unsafe extern "C" fn setup(dev: *mut bindings::net_device) {
        // SAFETY: By the function's safety requirement.
        T::setup(&mut unsafe { Setup::ethernet(dev) });
    }

    /// # Safety
    ///
    /// `tb` must be a table of `IFLA_*` attributes.
    unsafe extern "C" fn validate(
        tb: *mut *mut bindings::nlattr,
        _data: *mut *mut bindings::nlattr,
        _extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let attrs = unsafe { Self::attrs(tb) };
        from_result(|| T::validate(&attrs).map(|()| 0))
    }

    /// # Safety
    ///
    /// `dev` must be a device of `T` that is not registered, `params` and `extack` those of a request; RTNL must
    /// be held.
    unsafe extern "C" fn newlink(
        dev: *mut bindings::net_device,
        params: *mut bindings::rtnl_newlink_params,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let (params, mut extack, rtnl) =
            unsafe { (&*params, ExtAck::from_raw(extack), Rtnl::assume()) };
        let request = Request {
            params,
            // SAFETY: By the function's safety requirement.
            attrs: unsafe { Self::attrs(params.tb) },
            // SAFETY: By the function's safety requirement.
            data: unsafe { Self::data(params.data) },
        };
        // SAFETY: By the function's safety requirement.
        let dev = unsafe { NewDevice::from_rtnetlink(dev) };
        from_result(|| T::newlink(dev, &request, &mut extack, &rtnl).map(|()| 0))
    }

    /// # Safety
    ///
    /// `dev` must be a device of `T`, `data` and `extack` those of a request; RTNL must be held.
    unsafe extern "C" fn changelink(
        dev: *mut bindings::net_device,
        _tb: *mut *mut bindings::nlattr,
        data: *mut *mut bindings::nlattr,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let (dev, mut extack, rtnl) = unsafe {
            (
                Device::from_raw(dev),
                ExtAck::from_raw(extack),
                Rtnl::assume(),
            )
        };
        // SAFETY: By the function's safety requirement.
        let Some(data) = (unsafe { Self::data(data) }) else {
            return 0;
        };
        from_result(|| T::changelink(dev, &data, &mut extack, &rtnl).map(|()| 0))
    }

    /// # Safety
    ///
    /// `dev` must be a device of `T`, `head` a list for `unregister_netdevice_many()`; RTNL must be held.
    unsafe extern "C" fn dellink(dev: *mut bindings::net_device, head: *mut bindings::list_head) {
        // SAFETY: By the function's safety requirement.
        let (dev, rtnl) = unsafe { (Device::from_raw(dev), Rtnl::assume()) };
        // INVARIANT: By the function's safety requirement.
        T::dellink(dev, &mut KillList(head), &rtnl);
    }

    /// # Safety
    ///
    /// None: `rtnl_link_get_size()` passes a device of `T`, which is not looked at.
    unsafe extern "C" fn get_size(_dev: *const bindings::net_device) -> usize {
        T::info_size()
    }

    /// # Safety
    ///
    /// `skb` must be a netlink message, `dev` a device of `T`; RTNL must be held.
    unsafe extern "C" fn fill_info(
        skb: *mut bindings::sk_buff,
        dev: *const bindings::net_device,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let (mut message, dev, rtnl) = unsafe {
            (
                Message::from_raw(skb),
                Device::from_raw(dev.cast_mut()),
                Rtnl::assume(),
            )
        };
        from_result(|| T::fill_info(&mut message, dev, &rtnl).map(|()| 0))
    }

    /// # Safety
    ///
    /// `dev` must be a device of `T`; RTNL must be held.
    unsafe extern "C" fn get_link_net(dev: *const bindings::net_device) -> *mut bindings::net {
        // SAFETY: By the function's safety requirement.
        let (dev, rtnl) = unsafe { (Device::<T>::from_raw(dev.cast_mut()), Rtnl::assume()) };
        T::link_net(dev, &rtnl).as_ptr()
    }
}
