// SPDX-License-Identifier: GPL-2.0

//! The operations of a network device driver (`struct net_device_ops`).
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::{
    device::{Device, DeviceType},
    rcu::{BhDisabled, Entered, ReadSide},
    rtnl::Rtnl,
    skb::SkBuff, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    error::from_result,
    ffi::{c_int, c_void},
    prelude::*,
    sync::rcu, //
};

/// The result of sending a packet.
pub(crate) enum Transmit {
    /// `NET_XMIT_SUCCESS`.
    Success,
    /// `NET_XMIT_DROP`: the packet was freed.
    Drop,
}

/// Statistics of a device, as netlink reports them (`struct rtnl_link_stats64`).
pub(crate) struct LinkStats<'a>(&'a mut bindings::rtnl_link_stats64);

impl LinkStats<'_> {
    /// Adds up the packets and bytes that the CPUs have counted (`dev_fetch_sw_netstats()`).
    pub(crate) fn fetch<T: DeviceType>(&mut self, dev: &Device<T>) {
        // SAFETY: The device is valid, and has `tstats` by its type invariant.
        unsafe { bindings::dev_fetch_sw_netstats(self.0, (*dev.as_ptr()).__bindgen_anon_2.tstats) };
    }

    pub(crate) fn set_tx_dropped(&mut self, packets: u64) {
        self.0.tx_dropped = packets;
    }
}

/// The function for `ndo_features_check`: which offloads a packet may use.
pub(crate) struct FeaturesCheck(pub(super) Option<FeaturesCheckFn>);

type FeaturesCheckFn = unsafe extern "C" fn(
    skb: *mut bindings::sk_buff,
    dev: *mut bindings::net_device,
    features: bindings::netdev_features_t,
) -> bindings::netdev_features_t;

impl FeaturesCheck {
    /// All offloads that the device has (`passthru_features_check()`).
    pub(crate) const PASSTHRU: Self = Self(Some(bindings::passthru_features_check));
}

/// A driver of network devices.
///
/// A callback with an argument `&Rtnl` runs under RTNL. The others run as their comments say.
pub(crate) trait Driver: DeviceType {
    /// `ndo_features_check`.
    const FEATURES_CHECK: FeaturesCheck;

    /// Whether the device receives all packets, whatever its address lists are. Then there is an
    /// `ndo_set_rx_mode_async` that does nothing.
    const RECEIVES_ALL: bool;

    /// `ndo_open`: the administrator brings the device up.
    fn open(dev: &Device<Self>, rtnl: &Rtnl) -> Result;

    /// `ndo_stop`: the administrator takes the device down.
    fn stop(dev: &Device<Self>, rtnl: &Rtnl) -> Result;

    /// `ndo_start_xmit`: sends a packet. Runs with bottom halves disabled, on several CPUs at once.
    fn start_xmit(skb: SkBuff, dev: &Device<Self>, bh: &BhDisabled) -> Transmit;

    /// `ndo_start_xmit` of a device for which [`Xmit::Other`](super::device::Xmit::Other) was chosen.
    fn start_xmit_other(skb: SkBuff, dev: &Device<Self>, bh: &BhDisabled) -> Transmit;

    /// `ndo_set_rx_headroom`: a user of the device requests `bytes` of room before packets, or the default if negative.
    fn set_rx_headroom(dev: &Device<Self>, bytes: i32);

    /// Whether the hardware address may be changed (`ndo_set_mac_address`). `EOPNOTSUPP` if not.
    fn allow_mac_address(dev: &Device<Self>, rtnl: &Rtnl) -> Result;

    /// `ndo_get_iflink`: the index of the device that this one is bound to, 0 for none.
    fn iflink(dev: &Device<Self>) -> i32;

    /// `ndo_get_peer_dev`: the other device of the pair. Under RCU.
    fn peer_dev<'a>(
        dev: &'a Device<Self>,
        read_side: &'a impl ReadSide,
    ) -> Option<&'a Device<Self>>;

    /// `ndo_get_stats64`. Under RCU or RTNL.
    fn stats(dev: &Device<Self>, stats: &mut LinkStats<'_>);
}

/// The callbacks that C calls.
pub(super) struct DeviceAdapter<T>(PhantomData<T>);

impl<T: Driver> DeviceAdapter<T> {
    /// The operations without `ndo_init`, `ndo_uninit`, and those for queues.
    pub(super) const TABLE: bindings::net_device_ops = bindings::net_device_ops {
        ndo_open: Some(Self::open),
        ndo_stop: Some(Self::stop),
        ndo_start_xmit: Some(Self::start_xmit),
        ndo_set_rx_mode_async: if T::RECEIVES_ALL {
            Some(Self::set_rx_mode)
        } else {
            None
        },
        ndo_set_rx_headroom: Some(Self::set_rx_headroom),
        ndo_set_mac_address: Some(Self::set_mac_address),
        ndo_get_iflink: Some(Self::get_iflink),
        ndo_get_peer_dev: Some(Self::get_peer_dev),
        ndo_get_stats64: Some(Self::get_stats64),
        ndo_features_check: T::FEATURES_CHECK.0,
        ..pin_init::zeroed()
    };

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
        unsafe { Self::send(skb, dev, T::start_xmit) }
    }

    /// # Safety
    ///
    /// As of [`Self::start_xmit`].
    pub(super) unsafe extern "C" fn start_xmit_other(
        skb: *mut bindings::sk_buff,
        dev: *mut bindings::net_device,
    ) -> bindings::netdev_tx_t {
        // SAFETY: By the function's safety requirement.
        unsafe { Self::send(skb, dev, T::start_xmit_other) }
    }

    /// # Safety
    ///
    /// As of [`Self::start_xmit`].
    #[inline(always)]
    unsafe fn send(
        skb: *mut bindings::sk_buff,
        dev: *mut bindings::net_device,
        xmit: impl FnOnce(SkBuff, &Device<T>, &BhDisabled) -> Transmit,
    ) -> bindings::netdev_tx_t {
        // SAFETY: By the function's safety requirement.
        let (skb, dev) = unsafe { (SkBuff::from_raw(skb), Device::from_raw(dev)) };
        // SAFETY: By the function's safety requirement bottom halves are disabled until this function returns:
        // `__dev_queue_xmit()` disables them with `rcu_read_lock_bh()`.
        let bh = unsafe { BhDisabled::assume() };
        // For RCU this is enough. But with CONFIG_PROVE_RCU, helpers of BPF programs such as `bpf_fib_lookup()` check
        // for `rcu_read_lock()`, and some senders, such as AF_PACKET, have not taken it.
        let _checked = cfg!(CONFIG_PROVE_RCU).then(rcu::read_lock);
        match xmit(skb, dev, &bh) {
            Transmit::Success => bindings::NET_XMIT_SUCCESS as bindings::netdev_tx_t,
            Transmit::Drop => bindings::NET_XMIT_DROP as bindings::netdev_tx_t,
        }
    }

    /// Accepts any address list: the device receives everything that its peer sends.
    ///
    /// # Safety
    ///
    /// None: `netif_rx_mode_run()` passes a device and its address lists, which are not used.
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
