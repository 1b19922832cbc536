// SPDX-License-Identifier: GPL-2.0

//! The operations of a network device driver (`struct net_device_ops`).
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::{
    builtin::BuiltIn,
    device::Device,
    ethtool,
    namespace::Net,
    queue,
    rcu::{Entered, HasPeer, ReadSide},
    rtnl::Rtnl,
    skb::SkBuff,
    xdp, //
};
use crate::{
    bindings,
    bpf::mprog::HasMprog, //
};
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    error::from_result,
    ffi::{c_int, c_void},
    prelude::*, //
};

/// What became of a packet, as the sender learns it.
pub(crate) enum Transmit {
    /// `NET_XMIT_SUCCESS`.
    Success,
    /// `NET_XMIT_DROP`: the packet was freed.
    Drop,
}

/// Statistics of a device, as netlink reports them (`struct rtnl_link_stats64`).
pub(crate) struct LinkStats<'a>(&'a mut bindings::rtnl_link_stats64);

impl LinkStats<'_> {
    /// Fills in the packets and bytes that the CPUs counted (`dev_fetch_sw_netstats()`).
    pub(crate) fn fetch<T: Driver>(&mut self, dev: &Device<T>) {
        // SAFETY: The device is valid, and has `tstats` by its type invariant.
        unsafe { bindings::dev_fetch_sw_netstats(self.0, (*dev.as_ptr()).__bindgen_anon_2.tstats) };
    }

    pub(crate) fn set_tx_dropped(&mut self, packets: u64) {
        self.0.tx_dropped = packets;
    }
}

/// A driver of network devices.
///
/// The callbacks run under RTNL where they get the evidence, otherwise as each says.
pub(crate) trait Driver: Sized + 'static {
    /// The driver's part of each device. It starts as zeroes, and is shared between all that use the device.
    type Private: HasMprog + HasPeer<Self> + Zeroable + Sync;

    /// What `ethtool -i` calls the driver.
    const NAME: &'static CStr;

    /// The driver's one operations table: devices are recognised by its address.
    fn ops() -> &'static Ops<Self>;

    /// `ndo_uninit`: the device goes; its programs and links are off it already.
    fn uninit(dev: &Device<Self>, rtnl: &Rtnl);

    /// `ndo_open`: the administrator brings the device up.
    fn open(dev: &Device<Self>, rtnl: &Rtnl) -> Result;

    /// `ndo_stop`: the administrator takes the device down.
    fn stop(dev: &Device<Self>, rtnl: &Rtnl) -> Result;

    /// `ndo_start_xmit`: sends a packet. Runs with bottom halves disabled, on several CPUs at once.
    fn start_xmit(skb: SkBuff, dev: &Device<Self>, read_side: &impl ReadSide) -> Transmit;

    /// `ndo_set_rx_headroom`: somebody above wants `bytes` of room in front of packets, or the default if negative.
    fn set_rx_headroom(dev: &Device<Self>, bytes: i32);

    /// Whether the hardware address may be changed (`ndo_set_mac_address`). `EOPNOTSUPP` if not.
    fn allow_mac_address(dev: &Device<Self>, rtnl: &Rtnl) -> Result;

    /// `ndo_get_iflink`: the index of the device that this one is bound to, 0 for none.
    fn iflink(dev: &Device<Self>) -> i32;

    /// `ndo_get_peer_dev`: the device on the other end. Under RCU.
    fn peer_dev<'a>(
        dev: &'a Device<Self>,
        read_side: &'a impl ReadSide,
    ) -> Option<&'a Device<Self>>;

    /// `ndo_get_stats64`. Under RCU or RTNL.
    fn stats(dev: &Device<Self>, stats: &mut LinkStats<'_>);

    /// The namespace that a dump names as the device's link (`rtnl_link_ops::get_link_net`).
    fn link_net<'a>(dev: &'a Device<Self>, rtnl: &'a Rtnl) -> &'a Net;
}

/// The operations tables of the driver `T`: one static per driver.
pub(crate) struct Ops<T> {
    netdev: bindings::net_device_ops,
    ethtool: bindings::ethtool_ops,
    queue_mgmt: bindings::netdev_queue_mgmt_ops,
    _driver: PhantomData<fn() -> T>,
}

// SAFETY: The tables are constants: `struct net_device_ops` and the others are only read, through pointers to const.
unsafe impl<T> Sync for Ops<T> {}

impl<T: BuiltIn> Ops<T> {
    pub(crate) const fn new() -> Self {
        Self {
            netdev: bindings::net_device_ops {
                ndo_bpf: Some(xdp::Adapter::<T>::bpf),
                ndo_xsk_wakeup: Some(xdp::Adapter::<T>::xsk_wakeup),
                ..Adapter::<T>::TABLE
            },
            ethtool: ethtool::Adapter::<T>::TABLE,
            queue_mgmt: queue::Adapter::<T>::TABLE,
            _driver: PhantomData,
        }
    }
}

impl<T: Driver> Ops<T> {
    pub(crate) fn netdev_ops(&'static self) -> *const bindings::net_device_ops {
        &raw const self.netdev
    }

    pub(crate) fn ethtool_ops(&'static self) -> *const bindings::ethtool_ops {
        &raw const self.ethtool
    }

    pub(crate) fn queue_mgmt_ops(&'static self) -> *const bindings::netdev_queue_mgmt_ops {
        &raw const self.queue_mgmt
    }
}

/// The callbacks that C calls.
struct Adapter<T>(PhantomData<T>);

impl<T: BuiltIn> Adapter<T> {
    const TABLE: bindings::net_device_ops = bindings::net_device_ops {
        ndo_init: Some(Self::init),
        ndo_uninit: Some(Self::uninit),
        ndo_open: Some(Self::open),
        ndo_stop: Some(Self::stop),
        ndo_start_xmit: Some(Self::start_xmit),
        ndo_set_rx_mode_async: Some(Self::set_rx_mode),
        ndo_set_rx_headroom: Some(Self::set_rx_headroom),
        ndo_set_mac_address: Some(Self::set_mac_address),
        ndo_get_iflink: Some(Self::get_iflink),
        ndo_get_peer_dev: Some(Self::get_peer_dev),
        ndo_get_stats64: Some(Self::get_stats64),
        ndo_features_check: Some(bindings::passthru_features_check),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `dev` must be a device of `T` that is being registered, under RTNL.
    unsafe extern "C" fn init(dev: *mut bindings::net_device) -> c_int {
        // The lock classes that the device gets have to be the kernel's: it may outlive the module.
        // SAFETY: By the function's safety requirement, and that of `BuiltIn`: the built-in driver takes the device for one
        // of its own.
        let err = unsafe { (*T::netdev_ops()).ndo_init.map_or(0, |init| init(dev)) };
        if err == 0 {
            // SAFETY: By the function's safety requirement. This is the `ndo_init` of `T`, which succeeds.
            unsafe { T::takeover().initialised(&Rtnl::assume()) };
        }
        err
    }

    /// Takes every BPF program and link off the device, and parts it from its peer: none of them may reach it any more.
    /// What follows is the built-in driver's, as a device may be held for longer than the module is there.
    ///
    /// # Safety
    ///
    /// `dev` must be a device of `T` that is being unregistered, under RTNL.
    unsafe extern "C" fn uninit(dev: *mut bindings::net_device) {
        // SAFETY: By the function's safety requirement.
        let (dev, rtnl) = unsafe { (Device::<T>::from_raw(dev), Rtnl::assume()) };
        dev.mprog().release_all(&rtnl);
        T::uninit(dev, &rtnl);
        dev.part(&rtnl);
        T::takeover().uninitialised(dev, &rtnl);
    }

    /// # Safety
    ///
    /// `dev` must be a device of `T`; RTNL must be held.
    unsafe extern "C" fn open(dev: *mut bindings::net_device) -> c_int {
        // SAFETY: By the function's safety requirement.
        let (dev, rtnl) = unsafe { (Device::from_raw(dev), Rtnl::assume()) };
        from_result(|| T::open(dev, &rtnl).map(|()| 0))
    }

    /// # Safety
    ///
    /// `dev` must be a device of `T`; RTNL must be held.
    unsafe extern "C" fn stop(dev: *mut bindings::net_device) -> c_int {
        // SAFETY: By the function's safety requirement.
        let (dev, rtnl) = unsafe { (Device::from_raw(dev), Rtnl::assume()) };
        from_result(|| T::stop(dev, &rtnl).map(|()| 0))
    }

    /// # Safety
    ///
    /// `skb` must be a packet that the callee owns from now on, `dev` a device of `T`; bottom halves must be
    /// disabled.
    unsafe extern "C" fn start_xmit(
        skb: *mut bindings::sk_buff,
        dev: *mut bindings::net_device,
    ) -> bindings::netdev_tx_t {
        // SAFETY: By the function's safety requirement.
        let (skb, dev) = unsafe { (SkBuff::from_raw(skb), Device::from_raw(dev)) };
        // SAFETY: By the function's safety requirement bottom halves are disabled until it returns:
        // `__dev_queue_xmit()` does it with `rcu_read_lock_bh()`.
        let read_side = unsafe { Entered::assume() };
        match T::start_xmit(skb, dev, &read_side) {
            Transmit::Success => bindings::NET_XMIT_SUCCESS as bindings::netdev_tx_t,
            Transmit::Drop => bindings::NET_XMIT_DROP as bindings::netdev_tx_t,
        }
    }

    /// Any address list will do: the device receives whatever its peer sends.
    ///
    /// # Safety
    ///
    /// None: `netif_rx_mode_run()` passes a device and its address lists, which are not looked at.
    unsafe extern "C" fn set_rx_mode(
        _dev: *mut bindings::net_device,
        _uc: *mut bindings::netdev_hw_addr_list,
        _mc: *mut bindings::netdev_hw_addr_list,
    ) -> c_int {
        0
    }

    /// # Safety
    ///
    /// `dev` must be a device of `T`.
    unsafe extern "C" fn set_rx_headroom(dev: *mut bindings::net_device, headroom: c_int) {
        // SAFETY: By the function's safety requirement.
        T::set_rx_headroom(unsafe { Device::from_raw(dev) }, headroom);
    }

    /// # Safety
    ///
    /// `dev` must be a device of `T`, `addr` a `sockaddr` with an address of its type; RTNL must be held.
    unsafe extern "C" fn set_mac_address(
        dev: *mut bindings::net_device,
        addr: *mut c_void,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let (device, rtnl) = unsafe { (Device::from_raw(dev), Rtnl::assume()) };
        from_result(|| {
            T::allow_mac_address(device, &rtnl)?;
            // SAFETY: By the function's safety requirement.
            Ok(unsafe { bindings::eth_mac_addr(dev, addr) })
        })
    }

    /// # Safety
    ///
    /// `dev` must be a device of `T`.
    unsafe extern "C" fn get_iflink(dev: *const bindings::net_device) -> c_int {
        // SAFETY: By the function's safety requirement.
        T::iflink(unsafe { Device::from_raw(dev.cast_mut()) })
    }

    /// # Safety
    ///
    /// `dev` must be a device of `T`; the RCU read-side lock must be held as long as the result is used.
    unsafe extern "C" fn get_peer_dev(dev: *mut bindings::net_device) -> *mut bindings::net_device {
        // SAFETY: By the function's safety requirement.
        let (dev, read_side) = unsafe { (Device::<T>::from_raw(dev), Entered::assume()) };
        T::peer_dev(dev, &read_side).map_or(ptr::null_mut(), |peer| peer.as_ptr())
    }

    /// # Safety
    ///
    /// `dev` must be a device of `T`, `stats` valid and zeroed.
    unsafe extern "C" fn get_stats64(
        dev: *mut bindings::net_device,
        stats: *mut bindings::rtnl_link_stats64,
    ) {
        // SAFETY: By the function's safety requirement.
        let (dev, stats) = unsafe { (Device::from_raw(dev), &mut *stats) };
        T::stats(dev, &mut LinkStats(stats));
    }
}
