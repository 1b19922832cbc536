// SPDX-License-Identifier: GPL-2.0

//! Setting up a device before it is registered.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::ops::Driver;
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

    /// Both sets.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without the other.
    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

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

impl<T: Driver> Setup<T> {
    /// An Ethernet device of the driver `T`, which counts its traffic in `tstats` and is freed when it is
    /// unregistered.
    ///
    /// # Safety
    ///
    /// `dev` must be freshly allocated with the private area of `T`, and used by nobody else while the value
    /// exists.
    pub(crate) unsafe fn ethernet(dev: *mut bindings::net_device) -> Self {
        // SAFETY: By the function's safety requirement.
        unsafe {
            bindings::ether_setup(dev);
            (*dev).netdev_ops = T::ops().netdev_ops();
            (*dev).ethtool_ops = T::ops().ethtool_ops();
            (*dev).queue_mgmt_ops = T::ops().queue_mgmt_ops();
            (*dev).set_pcpu_stat_type(bindings::netdev_stat_type_NETDEV_PCPU_STAT_TSTATS);
            (*dev).needs_free_netdev = true;
        }
        // INVARIANT: By the function's safety requirement.
        Self(dev, PhantomData)
    }

    setters! {
        /// The largest MTU that may be set, in bytes.
        set_max_mtu(bytes: u32) => max_mtu = bytes;
        /// What the device does, and what of it may be switched off.
        set_features(features: Features) => features |= features.0;
        /// What of its features may be switched on and off.
        set_hw_features(features: Features) => hw_features = features.0;
        /// What it does for encapsulated packets.
        set_hw_enc_features(features: Features) => hw_enc_features = features.0;
        /// What it does for MPLS packets.
        set_mpls_features(features: Features) => mpls_features = features.0;
        /// What devices on top of it, VLANs, may count on.
        set_vlan_features(features: Features) => vlan_features = features.0;
    }

    /// `IFF_NOARP`: neighbours need no addresses.
    pub(crate) fn no_arp(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { (*self.0).flags |= bindings::net_device_flags_IFF_NOARP };
    }

    /// Changes the private flags: `clear`, then `set` (`IFF_*` of `enum netdev_priv_flags`).
    fn priv_flags(&mut self, clear: u32, set: u32) {
        // SAFETY: By the type invariant; the union's only other member is the same struct by its name.
        let fields = unsafe { &mut (*self.0).__bindgen_anon_1.__bindgen_anon_1 };
        let flags = fields.priv_flags() & !(clear as usize) | set as usize;
        fields.set_priv_flags(flags);
    }

    /// A virtual device without a queue: packets pass through in the sender's context.
    ///
    /// No sharing of packets with the sender (pktgen's clones), address changes while up, headroom that follows
    /// what others want, no queueing discipline, no netpoll, no lock around xmit, and memory that only devices
    /// can read passes through unread.
    pub(crate) fn pass_through(&mut self) {
        self.priv_flags(
            bindings::netdev_priv_flags_IFF_TX_SKB_SHARING,
            bindings::netdev_priv_flags_IFF_LIVE_ADDR_CHANGE
                | bindings::netdev_priv_flags_IFF_PHONY_HEADROOM
                | bindings::netdev_priv_flags_IFF_NO_QUEUE
                | bindings::netdev_priv_flags_IFF_DISABLE_NETPOLL,
        );
        // SAFETY: By the type invariant; the union's only other member is the same struct by its name.
        let fields = unsafe { &mut (*self.0).__bindgen_anon_1.__bindgen_anon_1 };
        fields.set_lltx(1);
        fields.set_netmem_tx(bindings::netmem_tx_mode_NETMEM_TX_NO_DMA as usize);
    }

    /// The largest packet that segmentation offload may build, in bytes (`netif_set_tso_max_size()`).
    pub(crate) fn set_tso_max_size(&mut self, bytes: u32) {
        // SAFETY: By the type invariant.
        unsafe { bindings::netif_set_tso_max_size(self.0, bytes) };
    }
}
