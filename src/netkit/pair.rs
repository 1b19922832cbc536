// SPDX-License-Identifier: GPL-2.0

//! The link type: rtnetlink creates, changes, dumps and deletes pairs.

#![forbid(unsafe_code)]

use super::{
    settings::{check_policy, dev_switch, scrub, End, Settings},
    uapi::{self, Attr, DevSwitch, Mode, Pairing},
    Netkit, //
};
use crate::{
    errno::{EADDRNOTAVAIL, EOPNOTSUPP},
    net::{
        device::{Device, Xmit},
        ether::{is_valid_ether_addr, ETH_ALEN, ETH_MAX_MTU},
        extack::ExtAck,
        namespace::Net,
        netlink::{total_size, IfName, Ifla, Message, OtherAttr, PeerTable, Table},
        new_device::{NameAssign, NewDevice, Registered},
        rtnl::Rtnl,
        rtnl_link::{RealQueues, Request, RtnlLinkDriver},
        setup::{Features, PrivFlags, Setup, GSO_MAX_SIZE},
        unregister::KillList, //
    }, //
};
use kernel::{
    prelude::*,
    sync::atomic::Relaxed, //
};

const NUM_RX_QUEUES_MAX: u32 = 1024;
const NUM_TX_QUEUES_MAX: u32 = 1;

/// The VLAN offloads of the devices. Devices on top of them do not get these offloads.
const FEATURES_HW_VLAN: Features = Features::HW_VLAN_CTAG_TX
    .union(Features::HW_VLAN_CTAG_RX)
    .union(Features::HW_VLAN_STAG_TX)
    .union(Features::HW_VLAN_STAG_RX);

const FEATURES: Features = FEATURES_HW_VLAN
    .union(Features::SG)
    .union(Features::FRAGLIST)
    .union(Features::HW_CSUM)
    .union(Features::RXCSUM)
    .union(Features::SCTP_CRC)
    .union(Features::HIGHDMA)
    .union(Features::GSO_SOFTWARE)
    .union(Features::GSO_ENCAP_ALL);

const PRIV_FLAGS: PrivFlags = PrivFlags::LIVE_ADDR_CHANGE
    .union(PrivFlags::PHONY_HEADROOM)
    .union(PrivFlags::NO_QUEUE)
    .union(PrivFlags::DISABLE_NETPOLL);

/// The settings that cannot be changed after creation, and the text that explains the refusal.
const FIXED: [(Attr, &CStr); 3] = [
    (
        Attr::Mode,
        c"netkit link operating mode cannot be changed after device creation",
    ),
    (
        Attr::PeerInfo,
        c"netkit link peer info cannot be changed after device creation",
    ),
    (
        Attr::Pairing,
        c"netkit link pairing cannot be changed after device creation",
    ),
];

/// The settings that a device without a peer does not have.
const SCRUB: [(Attr, &CStr); 2] = [
    (
        Attr::Scrub,
        c"netkit link scrubbing cannot be changed after device creation",
    ),
    (
        Attr::PeerScrub,
        c"netkit link peer scrubbing cannot be changed after device creation",
    ),
];

/// The name of a device if the request has no name.
const NAME_PATTERN: IfName = IfName::from_static(c"nk%d");

impl RtnlLinkDriver for Netkit {
    type Attr = Attr;

    /// `netkit_alloc()`.
    fn queues(tx: u32, rx: u32) -> Result<RealQueues> {
        if tx > NUM_TX_QUEUES_MAX || rx > NUM_RX_QUEUES_MAX {
            return Err(EOPNOTSUPP);
        }
        Ok(RealQueues { tx: 1, rx: 1 })
    }

    /// `netkit_setup()`.
    fn setup(dev: &mut Setup<Self>) {
        dev.set_max_mtu(ETH_MAX_MTU);
        dev.no_arp();
        dev.set_priv_flags(PRIV_FLAGS);
        dev.set_lltx();
        dev.set_netmem_tx_no_dma();
        dev.set_features(FEATURES);
        dev.set_hw_features(FEATURES);
        dev.set_hw_enc_features(FEATURES);
        dev.set_mpls_features(Features::HW_CSUM.union(Features::GSO_SOFTWARE));
        dev.set_vlan_features(FEATURES.without(FEATURES_HW_VLAN));
        dev.set_tso_max_size(GSO_MAX_SIZE);
    }

    /// `netkit_validate()`.
    fn validate(attrs: &Table<'_, Ifla>) -> Result {
        let Some(attr) = attrs.get(Ifla::Address) else {
            return Ok(());
        };
        let address: &[u8; ETH_ALEN] = attr.payload().try_into().map_err(|_| EINVAL)?;
        if is_valid_ether_addr(address) {
            Ok(())
        } else {
            Err(EADDRNOTAVAIL)
        }
    }

    /// `netkit_new_link()`.
    fn newlink<'a>(
        dev: NewDevice<'a, Self>,
        request: &Request<'_, Attr>,
        extack: &mut ExtAck,
        rtnl: &'a Rtnl,
    ) -> Result<Registered<'a, Self>> {
        let mut memory = PeerTable::new();
        let settings = Settings::parse(request, &mut memory, extack)?;
        let peer = match settings.pairing {
            Pairing::Pair => Some(new_peer(&dev, &settings, request, extack, rtnl)?),
            Pairing::Single => None,
        };
        let primary = new_primary(dev, &settings, request, rtnl)?;

        if let Some(peer) = peer {
            primary.pair_with(&peer, rtnl);
            peer.keep();
        }
        Ok(primary)
    }

    /// `netkit_change_link()`, which changes policies only. Here scrubbing, headroom and tailroom can be changed, too.
    ///
    /// `EACCES` through the peer, for a setting that is fixed, and for scrubbing without a peer. `EINVAL` for a policy.
    /// `EOPNOTSUPP` for the policies of a device without a peer. `ERANGE`, `EBUSY`: when packets change devices.
    fn changelink(
        dev: &Device<Self>,
        attrs: &Table<'_, Ifla>,
        data: &Table<'_, Attr>,
        extack: &mut ExtAck,
        rtnl: &Rtnl,
    ) -> Result {
        let nk = dev.private();
        if !nk.is_primary() {
            return Err(extack.error(
                EACCES,
                c"netkit link settings can be changed only through the primary device",
            ));
        }
        for (attrtype, text) in FIXED {
            if let Some(attr) = data.get(attrtype) {
                return Err(extack.attr_error(EACCES, &attr, text));
            }
        }
        let peer = nk.peer.rtnl_dereference(rtnl);
        // A device without a peer has no scrubbing to change. Refused before anything changes.
        for (attrtype, text) in SCRUB {
            match data.get(attrtype) {
                Some(attr) if peer.is_none() => {
                    return Err(extack.attr_error(EACCES, &attr, text));
                }
                _ => {}
            }
        }
        let dev_switch = dev_switch(attrs, extack)?;
        if dev_switch.is_some() {
            if nk.is_single() {
                return Err(EOPNOTSUPP);
            }
            if dev.xmit(rtnl).is_none() {
                return Err(extack.error(
                    EBUSY,
                    c"the built-in driver serves this device, run netkit-rs load",
                ));
            }
        }
        if let Some(attr) = data.get(Attr::Policy) {
            if nk.is_single() {
                return Err(EOPNOTSUPP);
            }
            nk.policy
                .store(check_policy(&attr, extack)? as u32, Relaxed);
        }
        if let Some(attr) = data.get(Attr::PeerPolicy) {
            let peer = peer.ok_or(EOPNOTSUPP)?;
            peer.private()
                .policy
                .store(check_policy(&attr, extack)? as u32, Relaxed);
        }
        if let Some(attr) = data.get(Attr::Scrub) {
            nk.scrub.store(scrub(&attr) as u32, Relaxed);
        }
        if let (Some(attr), Some(peer)) = (data.get(Attr::PeerScrub), peer) {
            peer.private().scrub.store(scrub(&attr) as u32, Relaxed);
        }
        if let Some(dev_switch) = dev_switch {
            dev.set_xmit(xmit_for(dev_switch), rtnl);
        }
        if let Some(attr) = data.get(Attr::Headroom) {
            set_headroom(dev, peer, attr.u16());
        }
        if let Some(attr) = data.get(Attr::Tailroom) {
            for end in [Some(dev), peer].into_iter().flatten() {
                end.set_needed_tailroom(attr.u16());
            }
        }
        Ok(())
    }

    /// `netkit_del_link()`: both devices of a pair are deleted together.
    fn dellink(dev: &Device<Self>, kill: &mut KillList<Self>, rtnl: &Rtnl) {
        if let Some(peer) = dev.part(rtnl) {
            kill.push(peer, rtnl);
        }
    }

    /// `netkit_get_size()`.
    fn info_size() -> usize {
        // Two policies, two scrubs, mode, pairing, when packets change devices; headroom and tailroom; primary.
        7 * total_size(4) + 2 * total_size(2) + total_size(1)
    }

    /// `netkit_fill_info()`.
    fn fill_info(message: &mut Message, dev: &Device<Self>, rtnl: &Rtnl) -> Result {
        let nk = dev.private();
        message.put_u8(Attr::Primary, nk.is_primary().into())?;
        message.put_u32(Attr::Policy, nk.policy.load(Relaxed))?;
        message.put_u32(Attr::Mode, nk.mode.load(Relaxed))?;
        if !nk.is_single() {
            message.put_u32(Attr::Scrub, nk.scrub.load(Relaxed))?;
        }
        message.put_u16(Attr::Headroom, dev.needed_headroom())?;
        message.put_u16(Attr::Tailroom, dev.needed_tailroom())?;
        message.put_u32(Attr::Pairing, nk.pair.load(Relaxed))?;
        // The default is not shown: a dump reads as with the built-in driver.
        if dev.xmit(rtnl) == Some(Xmit::Other) {
            message.put_u32(OtherAttr(uapi::DEV_SWITCH), DevSwitch::AfterProg as u32)?;
        }
        if let Some(peer) = nk.peer.rtnl_dereference(rtnl) {
            let peer = peer.private();
            message.put_u32(Attr::PeerPolicy, peer.policy.load(Relaxed))?;
            message.put_u32(Attr::PeerScrub, peer.scrub.load(Relaxed))?;
        }
        Ok(())
    }

    /// `netkit_get_link_net()`.
    fn link_net<'a>(dev: &'a Device<Self>, rtnl: &'a Rtnl) -> &'a Net {
        dev.private()
            .peer
            .rtnl_dereference(rtnl)
            .map_or(dev.net(), |peer| peer.net())
    }
}

/// The xmit routine that does it.
fn xmit_for(dev_switch: DevSwitch) -> Xmit {
    match dev_switch {
        DevSwitch::BeforeProg => Xmit::Usual,
        DevSwitch::AfterProg => Xmit::Other,
    }
}

/// Sets the headroom of both ends, in bytes, as `netkit_new_link()` does. What a device above has asked for before is
/// forgotten.
fn set_headroom(dev: &Device<Netkit>, peer: Option<&Device<Netkit>>, bytes: u16) {
    for end in [Some(dev), peer].into_iter().flatten() {
        end.private().headroom.store(bytes.into(), Relaxed);
        end.set_needed_headroom(bytes);
    }
}

/// Creates and registers the peer of `primary`. It is unregistered again if what follows fails.
fn new_peer<'a>(
    primary: &NewDevice<'_, Netkit>,
    settings: &Settings<'_>,
    request: &Request<'_, Attr>,
    extack: &mut ExtAck,
    rtnl: &'a Rtnl,
) -> Result<Registered<'a, Netkit>> {
    let (name, assign) = match settings.peer_attr(Ifla::Ifname) {
        Some(attr) => (attr.ifname(), NameAssign::User),
        None => (NAME_PATTERN, NameAssign::Enum),
    };
    // A peer without attributes of its own gets those of the primary: MTU, queues and more.
    let attrs = settings
        .peer_info
        .as_ref()
        .map_or(request.attrs(), |info| info.table());
    let peer =
        NewDevice::<Netkit>::create(request.peer_net(), &name, assign, &attrs, extack, rtnl)?;

    peer.inherit_tso_max(primary);
    if settings.mode == Mode::L2 && settings.peer_attr(Ifla::Address).is_none() {
        peer.set_random_address();
    }
    if let Some(info) = &settings.peer_info {
        if primary.ifindex() != 0 {
            peer.want_ifindex(info.ifindex());
        }
    }
    configure(&peer, settings, &settings.peer, false);

    let peer = peer.register(rtnl)?;
    activate(&peer, settings.mode, rtnl);
    peer.announce(rtnl)?;
    Ok(peer)
}

/// Registers the primary, which rtnetlink created.
fn new_primary<'a>(
    dev: NewDevice<'a, Netkit>,
    settings: &Settings<'_>,
    request: &Request<'_, Attr>,
    rtnl: &'a Rtnl,
) -> Result<Registered<'a, Netkit>> {
    let attrs = request.attrs();
    if settings.mode == Mode::L2 && !attrs.has(Ifla::Address) {
        dev.set_random_address();
    }
    dev.set_name(
        &attrs
            .get(Ifla::Ifname)
            .map_or(NAME_PATTERN, |attr| attr.ifname()),
    );
    configure(&dev, settings, &settings.primary, true);
    dev.set_xmit(xmit_for(settings.dev_switch));
    if settings.pairing == Pairing::Single {
        dev.announce_xsk();
    }

    let dev = dev.register(rtnl)?;
    activate(&dev, settings.mode, rtnl);
    Ok(dev)
}

/// Writes the settings to a device before it is registered.
fn configure(dev: &NewDevice<'_, Netkit>, settings: &Settings<'_>, end: &End, primary: bool) {
    if settings.headroom != 0 {
        dev.set_needed_headroom(settings.headroom);
    }
    if settings.tailroom != 0 {
        dev.set_needed_tailroom(settings.tailroom);
    }
    let nk = dev.private();
    nk.primary.store(primary, Relaxed);
    nk.policy.store(end.policy as u32, Relaxed);
    nk.scrub.store(end.scrub as u32, Relaxed);
    nk.mode.store(settings.mode as u32, Relaxed);
    nk.pair.store(settings.pairing as u32, Relaxed);
    nk.headroom.store(settings.headroom.into(), Relaxed);
    dev.init_mprog();
}

/// The settings that need a registered device.
fn activate(dev: &Device<Netkit>, mode: Mode, rtnl: &Rtnl) {
    dev.carrier_off();
    if mode == Mode::L2 {
        dev.enable_arp(rtnl);
    }
}
