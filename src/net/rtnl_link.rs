// SPDX-License-Identifier: GPL-2.0

//! Link types: devices that rtnetlink creates, changes, dumps and deletes (`struct rtnl_link_ops`).
//!
//! C header: [`include/net/rtnetlink.h`](srctree/include/net/rtnetlink.h)

use super::{
    builtin::BuiltIn,
    device::{Device, DeviceType},
    extack::ExtAck,
    namespace::Net,
    netlink::{AttrType, Ifla, Message, Table},
    new_device::{NewDevice, Registered},
    rtnl::Rtnl,
    setup::Setup,
    unregister::KillList, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    error::from_result,
    ffi::{c_char, c_int, c_uchar, c_uint},
    prelude::*, //
};

/// The number of queues that a new device uses at first.
pub(crate) struct RealQueues {
    pub(crate) tx: u32,
    pub(crate) rx: u32,
}

/// A link type. In `ip link add … type`, its name is that of the driver ([`DeviceType::NAME`]).
pub(crate) trait RtnlLinkDriver: DeviceType {
    /// The type's own attributes (`rtnl_link_ops::maxtype` is the largest).
    type Attr: AttrType;

    /// Checks the maximum numbers of queues that a device may have, and returns how many it uses at first.
    fn queues(tx: u32, rx: u32) -> Result<RealQueues>;

    /// Sets up a device that was just allocated.
    fn setup(dev: &mut Setup<Self>);

    /// Checks the attributes of a request that netlink policies cannot check.
    fn validate(attrs: &Table<'_, Ifla>) -> Result;

    /// Creates a device: registers and returns `dev`, and creates the devices that belong to it. On an error nothing is
    /// left behind.
    fn newlink<'a>(
        dev: NewDevice<'a, Self>,
        request: &Request<'_, Self::Attr>,
        extack: &mut ExtAck,
        rtnl: &'a Rtnl,
    ) -> Result<Registered<'a, Self>>;

    /// Changes a device as `data` says. On an error, earlier changes of the same request stay, as in C.
    fn changelink(
        dev: &Device<Self>,
        attrs: &Table<'_, Ifla>,
        data: &Table<'_, Self::Attr>,
        extack: &mut ExtAck,
        rtnl: &Rtnl,
    ) -> Result;

    /// `dev` is being deleted, and is on `kill` already: adds the devices that are deleted with it to `kill`.
    fn dellink(dev: &Device<Self>, kill: &mut KillList<Self>, rtnl: &Rtnl);

    /// The maximum number of bytes that [`Self::fill_info`] writes.
    fn info_size() -> usize;

    /// Writes the attributes of a device. `EMSGSIZE` where the message has no room.
    fn fill_info(message: &mut Message, dev: &Device<Self>, rtnl: &Rtnl) -> Result;

    /// The namespace of the device's link in a dump (`get_link_net`).
    fn link_net<'a>(dev: &'a Device<Self>, rtnl: &'a Rtnl) -> &'a Net;
}

/// Deletes a device, and the devices that are deleted with it.
///
/// # Safety
///
/// `dev` must be on `kill`, or on no list.
unsafe fn delete_unchecked<T: RtnlLinkDriver>(
    dev: &Device<T>,
    kill: &mut KillList<T>,
    rtnl: &Rtnl,
) {
    // SAFETY: By the function's safety requirement.
    unsafe { kill.push_or_move(dev, rtnl) };
    T::dellink(dev, kill, rtnl);
}

/// Deletes a device, and the devices that are deleted with it, unless they are being unregistered already.
pub(super) fn delete<T: RtnlLinkDriver>(dev: &Device<T>, kill: &mut KillList<T>, rtnl: &Rtnl) {
    if !dev.is_queued_to_unregister(rtnl) {
        kill.push(dev, rtnl);
        T::dellink(dev, kill, rtnl);
    }
}

/// A request to create a device (`struct rtnl_newlink_params`).
pub(crate) struct Request<'a, A> {
    params: &'a bindings::rtnl_newlink_params,
    attrs: Table<'a, Ifla>,
    data: Option<Table<'a, A>>,
}

impl<'a, A> Request<'a, A> {
    /// The `IFLA_*` attributes.
    pub(crate) fn attrs(&self) -> Table<'a, Ifla> {
        self.attrs
    }

    /// The link type's own attributes, if there are any.
    pub(crate) fn data(&self) -> Option<Table<'a, A>> {
        self.data
    }

    /// The namespace for the other device of a pair (`rtnl_newlink_peer_net()`).
    pub(crate) fn peer_net(&self) -> &'a Net {
        // SAFETY: `params` is that of the current `newlink` call; `rtnl_newlink_peer_net()` only reads its namespaces.
        let net = unsafe {
            bindings::netkit_rs_rtnl_newlink_peer_net(ptr::from_ref(self.params).cast_mut())
        };
        // SAFETY: The namespace lives until `newlink` has returned. `rtnl_newlink()` holds a reference on it
        // (`rtnl_nets_add()`). If it is `src_net`, 7.2 leaves that to the socket which sends the request.
        unsafe { Net::from_raw(net) }
    }
}

/// Runs a macro over the callbacks that a driver gives to its link type.
macro_rules! for_each_callback {
    ($run:ident) => {
        $run!(
            alloc,
            setup,
            validate,
            newlink,
            changelink,
            dellink,
            get_size,
            fill_info,
            get_link_net
        )
    };
}

/// Copies the callbacks of a link type, one after the other. (`struct rtnl_link_ops` has other fields, too.)
///
/// # Safety
///
/// `from` must be valid for reads and `to` for writes, and nobody else may write them during the call.
pub(super) unsafe fn copy_callbacks(
    from: *const bindings::rtnl_link_ops,
    to: *mut bindings::rtnl_link_ops,
) {
    macro_rules! copy {
        ($($callback:ident),*) => {$(
            // SAFETY: By the function's safety requirement. Volatile, as `validate` is loaded without RTNL.
            unsafe { (&raw mut (*to).$callback).write_volatile((*from).$callback) };
        )*};
    }
    for_each_callback!(copy);
}

/// The callbacks that C calls.
pub(super) struct RtnlLinkAdapter<T>(PhantomData<T>);

impl<T: BuiltIn + RtnlLinkDriver> RtnlLinkAdapter<T> {
    /// The callbacks. The other fields of the table are not set.
    pub(super) const CALLBACKS: bindings::rtnl_link_ops = bindings::rtnl_link_ops {
        alloc: Some(Self::alloc),
        setup: Some(Self::setup),
        validate: Some(Self::validate),
        newlink: Some(Self::newlink),
        changelink: Some(Self::changelink),
        dellink: Some(Self::dellink),
        get_size: Some(Self::get_size),
        fill_info: Some(Self::fill_info),
        get_link_net: Some(Self::get_link_net),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `tb` must be a table of `IFLA_*` attributes that is valid for `'a`.
    unsafe fn attrs<'a>(tb: *mut *mut bindings::nlattr) -> Table<'a, Ifla> {
        // SAFETY: By the function's safety requirement; rtnetlink's table has IFLA_MAX + 1 entries.
        unsafe { Table::from_raw(tb) }
    }

    /// # Safety
    ///
    /// `data` must be null, or a table of this type's own attributes that is valid for `'a`.
    unsafe fn data<'a>(data: *mut *mut bindings::nlattr) -> Option<Table<'a, T::Attr>> {
        if data.is_null() {
            return None;
        }
        // SAFETY: By the function's safety requirement. The table has `maxtype` + 1 entries, and `identity::check()`
        // has compared this number with `COUNT`.
        Some(unsafe { Table::from_raw(data) })
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
            // SAFETY: `alloc_netdev_mqs()` has just made the device, with room for `tx` and `rx` queues, at least one of
            // each. Nobody else knows of the device before it is returned to `rtnl_create_link()`, which overwrites
            // neither field.
            unsafe {
                (*dev).real_num_tx_queues = real.tx.min(tx).max(1);
                (*dev).real_num_rx_queues = real.rx.min(rx).max(1);
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
        let new = unsafe { NewDevice::from_rtnetlink(dev) };
        let ret = from_result(|| {
            let registered = T::newlink(new, &request, &mut extack, &rtnl)?;
            if !ptr::eq(registered.as_ptr(), dev) {
                return Err(EINVAL);
            }
            registered.keep();
            Ok(0)
        });
        // SAFETY: The device is valid: `rtnl_newlink_create()` frees it if this fails.
        if ret < 0 && unsafe { Device::<T>::from_raw(dev) }.is_registered() {
            // The driver has kept it. SAFETY: The device is registered, and RTNL is held. `free_netdev()` defers a device
            // that is being unregistered.
            unsafe { bindings::unregister_netdevice_queue(dev, ptr::null_mut()) };
        }
        ret
    }

    /// # Safety
    ///
    /// `dev` must be a device of `T`, `tb`, `data` and `extack` those of a request; RTNL must be held.
    unsafe extern "C" fn changelink(
        dev: *mut bindings::net_device,
        tb: *mut *mut bindings::nlattr,
        data: *mut *mut bindings::nlattr,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let (dev, attrs, mut extack, rtnl) = unsafe {
            (
                Device::from_raw(dev),
                Self::attrs(tb),
                ExtAck::from_raw(extack),
                Rtnl::assume(),
            )
        };
        // SAFETY: By the function's safety requirement.
        let Some(data) = (unsafe { Self::data(data) }) else {
            return 0;
        };
        from_result(|| T::changelink(dev, &attrs, &data, &mut extack, &rtnl).map(|()| 0))
    }

    /// # Safety
    ///
    /// `dev` must be a device of `T`, `head` a list for `unregister_netdevice_many()`; RTNL must be held.
    unsafe extern "C" fn dellink(dev: *mut bindings::net_device, head: *mut bindings::list_head) {
        // SAFETY: By the function's safety requirement.
        let (dev, rtnl) = unsafe { (Device::<T>::from_raw(dev), Rtnl::assume()) };
        // SAFETY: By the function's safety requirement. Callers of `dellink` pass a device that is on no list except
        // `head`: `rtnl_delete_link()`, `default_device_exit_batch()`, and others in net/core/rtnetlink.c.
        unsafe { delete_unchecked(dev, &mut KillList::from_raw(head), &rtnl) };
    }

    /// # Safety
    ///
    /// None: `rtnl_link_get_size()` passes a device of `T`, which is not used.
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
