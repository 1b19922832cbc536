// SPDX-License-Identifier: GPL-2.0

//! Network devices.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::{
    namespace::Net,
    rtnl::Rtnl, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    ops::Deref,
    ptr, //
};
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// A network device (`struct net_device`) of any driver.
///
/// # Invariants
///
/// Points at a device that stays allocated as long as the reference lives: the device is registered and RTNL or an RCU
/// read-side lock is held, or a callback of the device runs, or the device is not published yet.
#[repr(transparent)]
pub(crate) struct NetDevice(Opaque<bindings::net_device>);

impl NetDevice {
    /// # Safety
    ///
    /// `dev` must be null, or point at a device that stays allocated for `'a`.
    #[inline(always)]
    pub(crate) unsafe fn from_raw_opt<'a>(dev: *mut bindings::net_device) -> Option<&'a Self> {
        // SAFETY: By the function's safety requirement; `NetDevice` is transparent.
        // INVARIANT: Likewise.
        unsafe { dev.cast::<Self>().as_ref() }
    }

    #[inline(always)]
    pub(crate) fn as_ptr(&self) -> *mut bindings::net_device {
        self.0.get()
    }

    /// `__dev_get_by_index()`: the device with this index in `net`, if there is one.
    pub(crate) fn by_index<'a>(net: &Net, ifindex: u32, _rtnl: &'a Rtnl) -> Option<&'a Self> {
        // SAFETY: The namespace is valid, and RTNL is held, which `__dev_get_by_index()` requires.
        let dev = unsafe { bindings::__dev_get_by_index(net.as_ptr(), ifindex as i32) };
        // SAFETY: Null, or a registered device. It is freed after RTNL was released, and unregistered before that.
        unsafe { Self::from_raw_opt(dev) }
    }

    /// The operations table. It identifies the driver that serves the device at this moment.
    pub(crate) fn netdev_ops(&self) -> *const bindings::net_device_ops {
        // SAFETY: By the type invariant the device is valid; its driver sets `netdev_ops` before `register_netdevice()`.
        // A takeover changes it: hence volatile.
        unsafe { (&raw const (*self.as_ptr()).netdev_ops).read_volatile() }
    }

    /// The index within the namespace.
    #[inline(always)]
    pub(crate) fn ifindex(&self) -> i32 {
        // SAFETY: By the type invariant the device is valid. `__dev_change_net_namespace()` may change `ifindex`:
        // hence volatile, as READ_ONCE().
        unsafe { (&raw const (*self.as_ptr()).ifindex).read_volatile() }
    }

    /// The namespace that the device is in (`dev_net()`).
    ///
    /// When a device moves, this changes under RTNL, and the old namespace lives until all readers are done.
    #[inline(always)]
    pub(crate) fn net(&self) -> &Net {
        // SAFETY: By the type invariant the device is valid; `dev_net()` loads `dev->nd_net`.
        let net = unsafe { bindings::netkit_rs_dev_net(self.as_ptr()) };
        // SAFETY: `__dev_change_net_namespace()` changes `dev->nd_net` under RTNL and waits for readers with
        // `synchronize_net()`, and a namespace is freed after `cleanup_net()` has emptied it.
        unsafe { Net::from_raw(net) }
    }

    #[inline(always)]
    fn flags(&self) -> u32 {
        // SAFETY: The device is valid. `flags` is changed under RTNL, and read here without RTNL: hence volatile.
        unsafe { (&raw const (*self.as_ptr()).flags).read_volatile() }
    }

    /// `IFF_UP`: the device was brought up by its administrator.
    #[inline(always)]
    pub(crate) fn is_up(&self) -> bool {
        self.flags() & bindings::net_device_flags_IFF_UP != 0
    }

    fn reg_state(&self) -> u32 {
        // SAFETY: By the type invariant the device is valid. `reg_state` is written with WRITE_ONCE() under RTNL,
        // which need not be held here: hence volatile.
        u32::from(unsafe { (&raw const (*self.as_ptr()).reg_state).read_volatile() })
    }

    /// Whether the device is registered, and its unregistration has not begun. This changes under RTNL only.
    pub(crate) fn is_registered(&self) -> bool {
        self.reg_state() == bindings::netdev_reg_state_NETREG_REGISTERED
    }

    /// Whether the device is being unregistered: the notifiers are called in this state.
    pub(crate) fn is_unregistering(&self) -> bool {
        self.reg_state() == bindings::netdev_reg_state_NETREG_UNREGISTERING
    }

    /// Whether the device is on a list of devices to be unregistered (`unregister_netdevice_queued()`).
    pub(crate) fn is_queued_to_unregister(&self, _rtnl: &Rtnl) -> bool {
        // SAFETY: The device is valid, and RTNL held.
        unsafe { bindings::unregister_netdevice_queued(self.as_ptr()) }
    }

    /// Whether the device has a parent device, as hardware has.
    pub(crate) fn has_parent(&self) -> bool {
        // SAFETY: By the type invariant the device is valid; SET_NETDEV_DEV() writes `dev->dev.parent` before
        // `register_netdevice()`.
        !unsafe { (*self.as_ptr()).dev.parent }.is_null()
    }

    /// `netif_carrier_on()`.
    pub(crate) fn carrier_on(&self) {
        // SAFETY: By the type invariant the device is valid; `netif_carrier_on()` changes a bit of `dev->state`
        // atomically and needs no lock.
        unsafe { bindings::netif_carrier_on(self.as_ptr()) };
    }

    /// `netif_carrier_off()`.
    pub(crate) fn carrier_off(&self) {
        // SAFETY: By the type invariant the device is valid; `netif_carrier_off()` changes a bit of `dev->state`
        // atomically and needs no lock.
        unsafe { bindings::netif_carrier_off(self.as_ptr()) };
    }

    /// The bytes that the device needs before a packet.
    pub(crate) fn needed_headroom(&self) -> u16 {
        // SAFETY: By the type invariant the device is valid; LL_RESERVED_SPACE() reads `needed_headroom` in the same
        // way, with READ_ONCE().
        unsafe { (&raw const (*self.as_ptr()).needed_headroom).read_volatile() }
    }

    /// Sets [`Self::needed_headroom`]. As in C, senders may see the old value for a while.
    pub(crate) fn set_needed_headroom(&self, bytes: u16) {
        // SAFETY: By the type invariant the device is valid; LL_RESERVED_SPACE() reads `needed_headroom` with a
        // single load, READ_ONCE().
        unsafe { (&raw mut (*self.as_ptr()).needed_headroom).write_volatile(bytes) };
    }

    /// The bytes that the device needs after a packet.
    pub(crate) fn needed_tailroom(&self) -> u16 {
        // SAFETY: By the type invariant the device is valid; senders read `needed_tailroom` with a single load, as
        // `arp_create()` does.
        unsafe { (&raw const (*self.as_ptr()).needed_tailroom).read_volatile() }
    }

    /// Sets [`Self::needed_tailroom`].
    pub(crate) fn set_needed_tailroom(&self, bytes: u16) {
        // SAFETY: By the type invariant the device is valid; senders read `needed_tailroom` with a single load, as
        // `arp_create()` does.
        unsafe { (&raw mut (*self.as_ptr()).needed_tailroom).write_volatile(bytes) };
    }

    /// Clears `IFF_NOARP` by `dev_change_flags()`: the device resolves addresses from now on.
    pub(crate) fn enable_arp(&self, _rtnl: &Rtnl) {
        let flags = self.flags() & !bindings::net_device_flags_IFF_NOARP;
        // SAFETY: The device is valid and registered, and RTNL is held. Clearing `IFF_NOARP` cannot fail; netkit.c
        // ignores the result, too.
        unsafe { bindings::dev_change_flags(self.as_ptr(), flags, ptr::null_mut()) };
    }

    /// Counts a packet that was not sent (`dev_core_stats_tx_dropped_inc()`).
    #[inline(always)]
    pub(crate) fn count_tx_dropped(&self) {
        // SAFETY: By the type invariant the device is valid; `dev_core_stats_tx_dropped_inc()` allocates
        // `dev->core_stats` itself if it does not exist.
        unsafe { bindings::netkit_rs_dev_core_stats_tx_dropped_inc(self.as_ptr()) };
    }

    /// The dropped packets in the counter of the device itself, beside the per-CPU counters (`DEV_STATS_READ()`).
    pub(crate) fn tx_dropped(&self) -> u64 {
        // SAFETY: By the type invariant the device is valid; DEV_STATS_READ() loads `dev->stats.__tx_dropped`, an
        // atomic.
        let packets = unsafe { bindings::netkit_rs_dev_stats_read_tx_dropped(self.as_ptr()) };
        packets as u64
    }
}

// SAFETY: `struct net_device` is shared by all CPUs in C, too. A method whose C function needs RTNL, RCU or a lock
// takes the evidence.
unsafe impl Sync for NetDevice {}

/// The properties of all devices of one driver.
pub(crate) trait DeviceType: Sized + 'static {
    /// The driver's private area of each device. It is zeroed at first, and shared by all users of the device.
    type Private: Zeroable + Sync;

    /// The name of the driver, as `ethtool -i` shows it.
    const NAME: &'static CStr;

    /// The driver's operations tables, in one static, whose address identifies the driver's devices.
    fn tables() -> &'static Tables<Self>;
}

/// The operations tables of the devices of `T`.
///
/// # Invariants
///
/// The functions in the tables are for devices of `T`. (`tables.rs` makes the tables.)
pub(crate) struct Tables<T> {
    pub(super) netdev: bindings::net_device_ops,
    /// The same, but for `ndo_start_xmit`.
    pub(super) netdev_other: bindings::net_device_ops,
    pub(super) ethtool: bindings::ethtool_ops,
    pub(super) queue_mgmt: bindings::netdev_queue_mgmt_ops,
    pub(super) _driver: PhantomData<fn() -> T>,
}

// SAFETY: The tables are constants: C only reads `struct net_device_ops` and the others, through pointers to const.
unsafe impl<T> Sync for Tables<T> {}

impl<T: DeviceType> Tables<T> {
    /// Does not compile for a private area that `alloc_netdev_mqs()` does not align well enough.
    pub(crate) const PRIVATE_FITS: () =
        assert!(align_of::<T::Private>() <= bindings::NETDEV_ALIGN as usize);
}

impl<T> Tables<T> {
    pub(super) fn netdev_ops(&'static self, xmit: Xmit) -> *const bindings::net_device_ops {
        match xmit {
            Xmit::Usual => &raw const self.netdev,
            Xmit::Other => &raw const self.netdev_other,
        }
    }

    /// The xmit routine of a device with the operations `ops`. `None` if the table is another driver's.
    pub(super) fn xmit(&'static self, ops: *const bindings::net_device_ops) -> Option<Xmit> {
        [Xmit::Usual, Xmit::Other]
            .into_iter()
            .find(|&xmit| ptr::eq(ops, self.netdev_ops(xmit)))
    }

    pub(super) fn ethtool_ops(&'static self) -> *const bindings::ethtool_ops {
        &raw const self.ethtool
    }

    pub(super) fn queue_mgmt_ops(&'static self) -> *const bindings::netdev_queue_mgmt_ops {
        &raw const self.queue_mgmt
    }
}

/// Which of the two xmit routines of its driver a device uses. An option of a device that has no place in the private area,
/// which the built-in driver shares, is a second operations table: devices without the option pay nothing for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Xmit {
    /// The routine of every new device.
    Usual,
    /// The routine of a device for which it was chosen.
    Other,
}

/// A network device of the driver `T`.
///
/// # Invariants
///
/// The invariant of [`NetDevice`]. Also: the device was allocated with the private area of `T`, was set up by `T` or by
/// the built-in driver that `T` stands in for, and counts its traffic in per-CPU `tstats`, which exist from
/// registration on.
#[repr(transparent)]
pub(crate) struct Device<T>(NetDevice, PhantomData<fn() -> T>);

impl<T: DeviceType> Device<T> {
    /// # Safety
    ///
    /// `dev` must point at a device of `T` that stays allocated for `'a`.
    #[inline(always)]
    pub(crate) unsafe fn from_raw<'a>(dev: *mut bindings::net_device) -> &'a Self {
        // SAFETY: By the function's safety requirement; `Device` is transparent.
        // INVARIANT: Likewise.
        unsafe { &*dev.cast() }
    }

    /// # Safety
    ///
    /// `dev` must be null, or point at a device of `T` that stays allocated for `'a`.
    #[inline(always)]
    pub(crate) unsafe fn from_raw_opt<'a>(dev: *mut bindings::net_device) -> Option<&'a Self> {
        // SAFETY: By the function's safety requirement; `Device` is transparent.
        // INVARIANT: Likewise.
        unsafe { dev.cast::<Self>().as_ref() }
    }

    /// The xmit routine of the device. `None` while the built-in driver serves it.
    pub(crate) fn xmit(&self, _rtnl: &Rtnl) -> Option<Xmit> {
        T::tables().xmit(self.netdev_ops())
    }

    /// Chooses the xmit routine of the device. A device that the built-in driver serves stays as it is.
    ///
    /// Senders may use the old routine for as long as an RCU grace period takes.
    pub(crate) fn set_xmit(&self, xmit: Xmit, rtnl: &Rtnl) {
        if self.xmit(rtnl).is_some() {
            // SAFETY: By the type invariant the device is valid, and RTNL excludes other writers. Both tables are statics, and
            // differ in `ndo_start_xmit` alone: whoever loads `netdev_ops` twice calls functions of the same driver.
            unsafe {
                (&raw mut (*self.as_ptr()).netdev_ops).write_volatile(T::tables().netdev_ops(xmit))
            };
        }
    }

    /// The driver's private area of the device (`netdev_priv()`).
    #[inline(always)]
    pub(crate) fn private(&self) -> &T::Private {
        // SAFETY: By the type invariant the device is valid; `netdev_priv()` is the address of `dev->priv`.
        let private = unsafe { bindings::netkit_rs_netdev_priv(self.as_ptr()) };
        // SAFETY: By the type invariant. The area was zeroed on allocation, which `Zeroable` allows, and `Sync` allows
        // sharing it. `Tables::new()` has compared its alignment with NETDEV_ALIGN.
        unsafe { &*private.cast() }
    }

    /// Counts one packet of `len` bytes as sent by this device (`dev_sw_netstats_tx_add()`).
    #[inline(always)]
    pub(crate) fn count_tx(&self, len: u32) {
        // SAFETY: The device is valid, and has `tstats` by the type invariant.
        unsafe { bindings::netkit_rs_dev_sw_netstats_tx_add(self.as_ptr(), 1, len) };
    }

    /// Counts one packet of `len` bytes as received by this device (`dev_sw_netstats_rx_add()`).
    #[inline(always)]
    pub(crate) fn count_rx(&self, len: u32) {
        // SAFETY: The device is valid, and has `tstats` by the type invariant.
        unsafe { bindings::netkit_rs_dev_sw_netstats_rx_add(self.as_ptr(), len) };
    }
}

impl<T> Deref for Device<T> {
    type Target = NetDevice;

    #[inline(always)]
    fn deref(&self) -> &NetDevice {
        &self.0
    }
}
