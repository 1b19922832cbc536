// SPDX-License-Identifier: GPL-2.0

//! Setting up a device before it is registered.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::device::{
    DeviceType,
    Xmit, //
};
use crate::bindings;
use core::marker::PhantomData;

/// A set of `NETIF_F_*` (`netdev_features_t`).
#[derive(Clone, Copy)]
pub(crate) struct Features(u64);

impl Features {
    pub(crate) const SG: Self = Self(bindings::NETIF_F_SG);
    pub(crate) const FRAGLIST: Self = Self(bindings::NETIF_F_FRAGLIST);
    pub(crate) const HW_CSUM: Self = Self(bindings::NETIF_F_HW_CSUM);
    pub(crate) const RXCSUM: Self = Self(bindings::NETIF_F_RXCSUM);
    pub(crate) const SCTP_CRC: Self = Self(bindings::NETIF_F_SCTP_CRC);
    pub(crate) const HIGHDMA: Self = Self(bindings::NETIF_F_HIGHDMA);
    pub(crate) const GSO_SOFTWARE: Self = Self(bindings::NETIF_F_GSO_SOFTWARE);
    pub(crate) const GSO_ENCAP_ALL: Self = Self(bindings::NETIF_F_GSO_ENCAP_ALL);
    pub(crate) const HW_VLAN_CTAG_TX: Self = Self(bindings::NETIF_F_HW_VLAN_CTAG_TX);
    pub(crate) const HW_VLAN_CTAG_RX: Self = Self(bindings::NETIF_F_HW_VLAN_CTAG_RX);
    pub(crate) const HW_VLAN_STAG_TX: Self = Self(bindings::NETIF_F_HW_VLAN_STAG_TX);
    pub(crate) const HW_VLAN_STAG_RX: Self = Self(bindings::NETIF_F_HW_VLAN_STAG_RX);

    /// All that is in one of the two sets.
    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without the other.
    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// A set of private flags (`enum netdev_priv_flags`).
#[derive(Clone, Copy)]
pub(crate) struct PrivFlags(u32);

impl PrivFlags {
    /// The hardware address may change while the device is up.
    pub(crate) const LIVE_ADDR_CHANGE: Self =
        Self(bindings::netdev_priv_flags_IFF_LIVE_ADDR_CHANGE);
    /// The headroom is set by the devices on top of this one.
    pub(crate) const PHONY_HEADROOM: Self = Self(bindings::netdev_priv_flags_IFF_PHONY_HEADROOM);
    /// No queueing discipline by default.
    pub(crate) const NO_QUEUE: Self = Self(bindings::netdev_priv_flags_IFF_NO_QUEUE);
    /// No netpoll, and so no netconsole.
    pub(crate) const DISABLE_NETPOLL: Self = Self(bindings::netdev_priv_flags_IFF_DISABLE_NETPOLL);

    /// All that is in one of the two sets.
    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The largest size of a packet that segmentation offload may build, in bytes.
pub(crate) const GSO_MAX_SIZE: u32 = bindings::GSO_MAX_SIZE;

/// A device that was just allocated, in the link type's setup callback.
///
/// # Invariants
///
/// The device is valid, and nobody else knows of it.
pub(crate) struct Setup<T>(*mut bindings::net_device, PhantomData<fn() -> T>);

/// Generates setters of plain fields.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident($arg:ident: $ty:ty) => $field:ident $op:tt $value:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name(&mut self, $arg: $ty) {
            // SAFETY: By the type invariant.
            unsafe { (*self.0).$field $op $value };
        }
    )*};
}

impl<T: DeviceType> Setup<T> {
    /// An Ethernet device of the driver `T`, which counts its traffic in `tstats` and is freed when it is
    /// unregistered. Without `IFF_TX_SKB_SHARING`: nobody sends the same packet several times (pktgen's clones).
    ///
    /// # Safety
    ///
    /// `dev` must be freshly allocated with the private area of `T`, and nobody else may use it while the value exists.
    pub(crate) unsafe fn ethernet(dev: *mut bindings::net_device) -> Self {
        // SAFETY: By the function's safety requirement.
        unsafe {
            bindings::ether_setup(dev);
            (*dev).netdev_ops = T::tables().netdev_ops(Xmit::Usual);
            (*dev).ethtool_ops = T::tables().ethtool_ops();
            (*dev).queue_mgmt_ops = T::tables().queue_mgmt_ops();
            (*dev).set_pcpu_stat_type(bindings::netdev_stat_type_NETDEV_PCPU_STAT_TSTATS);
            (*dev).needs_free_netdev = true;
            // The union's only other member is the same struct by its name.
            let fields = &mut (*dev).__bindgen_anon_1.__bindgen_anon_1;
            let sharing = bindings::netdev_priv_flags_IFF_TX_SKB_SHARING as usize;
            fields.set_priv_flags(fields.priv_flags() & !sharing);
        }
        // INVARIANT: By the function's safety requirement.
        Self(dev, PhantomData)
    }

    setters! {
        /// The largest MTU that may be set, in bytes.
        set_max_mtu(bytes: u32) => max_mtu = bytes;
        /// The features of the device.
        set_features(features: Features) => features |= features.0;
        /// The features that a user may switch on and off.
        set_hw_features(features: Features) => hw_features = features.0;
        /// The features for encapsulated packets.
        set_hw_enc_features(features: Features) => hw_enc_features = features.0;
        /// The features for MPLS packets.
        set_mpls_features(features: Features) => mpls_features = features.0;
        /// The features of VLAN devices on top of this one.
        set_vlan_features(features: Features) => vlan_features = features.0;
    }

    /// `IFF_NOARP`: neighbours need no addresses.
    pub(crate) fn no_arp(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { (*self.0).flags |= bindings::net_device_flags_IFF_NOARP };
    }

    /// Sets private flags, besides those that are set.
    pub(crate) fn set_priv_flags(&mut self, flags: PrivFlags) {
        // SAFETY: By the type invariant; the union's only other member is the same struct by its name.
        let fields = unsafe { &mut (*self.0).__bindgen_anon_1.__bindgen_anon_1 };
        fields.set_priv_flags(fields.priv_flags() | flags.0 as usize);
    }

    /// The core takes no lock around `ndo_start_xmit` (`dev->lltx`).
    pub(crate) fn set_lltx(&mut self) {
        // SAFETY: By the type invariant; the union's only other member is the same struct by its name.
        let fields = unsafe { &mut (*self.0).__bindgen_anon_1.__bindgen_anon_1 };
        fields.set_lltx(1);
    }

    /// The device passes on packets in memory that only devices can read, and does not read them (`NETMEM_TX_NO_DMA`).
    pub(crate) fn set_netmem_tx_no_dma(&mut self) {
        // SAFETY: By the type invariant; the union's only other member is the same struct by its name.
        let fields = unsafe { &mut (*self.0).__bindgen_anon_1.__bindgen_anon_1 };
        fields.set_netmem_tx(bindings::netmem_tx_mode_NETMEM_TX_NO_DMA as usize);
    }

    /// The largest packet that segmentation offload may build, in bytes (`netif_set_tso_max_size()`).
    pub(crate) fn set_tso_max_size(&mut self, bytes: u32) {
        // SAFETY: By the type invariant.
        unsafe { bindings::netif_set_tso_max_size(self.0, bytes) };
    }
}
