// SPDX-License-Identifier: GPL-2.0

//! The operations of a netkit device (`ndo_*`), without the packet path.

#![forbid(unsafe_code)]

use super::{
    uapi::Mode,
    xmit::xmit,
    Netkit,
    TABLES, //
};
use crate::{
    errno::{ENOTCONN, EOPNOTSUPP},
    net::{
        device::{Device, DeviceType, Tables},
        ops::{Driver, FeaturesCheck, LinkStats, Transmit},
        rcu::{BhDisabled, ReadSide},
        rtnl::Rtnl,
        skb::{default_headroom, SkBuff}, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        rcu, //
    }, //
};

impl DeviceType for Netkit {
    type Private = Netkit;

    const NAME: &'static CStr = c"netkit";

    fn tables() -> &'static Tables<Self> {
        &TABLES
    }
}

impl Driver for Netkit {
    const FEATURES_CHECK: FeaturesCheck = FeaturesCheck::PASSTHRU;

    /// `netkit_set_multicast`.
    const RECEIVES_ALL: bool = true;

    /// `netkit_open()`: a pair has a carrier once both devices are up. `ENOTCONN` if the peer is gone.
    fn open(dev: &Device<Self>, rtnl: &Rtnl) -> Result {
        let nk = dev.private();
        if nk.is_single() {
            dev.carrier_on();
            return Ok(());
        }
        let peer = nk.peer.rtnl_dereference(rtnl).ok_or(ENOTCONN)?;
        if peer.is_up() {
            dev.carrier_on();
            peer.carrier_on();
        }
        Ok(())
    }

    /// `netkit_close()`: both devices lose their carrier.
    fn stop(dev: &Device<Self>, rtnl: &Rtnl) -> Result {
        dev.carrier_off();
        if let Some(peer) = dev.private().peer.rtnl_dereference(rtnl) {
            peer.carrier_off();
        }
        Ok(())
    }

    #[inline(always)]
    fn start_xmit(skb: SkBuff, dev: &Device<Self>, bh: &BhDisabled) -> Transmit {
        xmit::<false>(skb, dev, bh)
    }

    /// For [`DevSwitch::AfterProg`](super::uapi::DevSwitch::AfterProg).
    #[inline(always)]
    fn start_xmit_other(skb: SkBuff, dev: &Device<Self>, bh: &BhDisabled) -> Transmit {
        xmit::<true>(skb, dev, bh)
    }

    /// `netkit_set_headroom()`: both devices get the larger of the two headrooms that were requested from them.
    fn set_rx_headroom(dev: &Device<Self>, bytes: i32) {
        let nk = dev.private();
        let bytes = u32::try_from(bytes).unwrap_or_else(|_| default_headroom());
        nk.headroom.store(bytes, Relaxed);

        let rcu = rcu::read_lock();
        let Some(peer) = nk.peer.dereference(&rcu) else {
            dev.set_needed_headroom(bytes as u16);
            return;
        };
        let bytes = bytes.max(peer.private().headroom.load(Relaxed));
        peer.set_needed_headroom(bytes as u16);
        dev.set_needed_headroom(bytes as u16);
    }

    /// `netkit_set_macaddr()`.
    fn allow_mac_address(dev: &Device<Self>, _rtnl: &Rtnl) -> Result {
        if dev.private().is(Mode::L2) {
            Ok(())
        } else {
            Err(EOPNOTSUPP)
        }
    }

    /// `netkit_get_iflink()`.
    fn iflink(dev: &Device<Self>) -> i32 {
        let rcu = rcu::read_lock();
        dev.private()
            .peer
            .dereference(&rcu)
            .map_or(0, |peer| peer.ifindex())
    }

    /// `netkit_peer_dev()`.
    fn peer_dev<'a>(
        dev: &'a Device<Self>,
        read_side: &'a impl ReadSide,
    ) -> Option<&'a Device<Self>> {
        dev.private().peer.dereference(read_side)
    }

    /// `netkit_get_stats()`.
    fn stats(dev: &Device<Self>, stats: &mut LinkStats<'_>) {
        stats.fetch(dev);
        stats.set_tx_dropped(dev.tx_dropped());
    }
}
