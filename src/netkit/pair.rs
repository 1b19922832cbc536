// SPDX-License-Identifier: GPL-2.0

//! The link type: pairs are created, changed, dumped and deleted through rtnetlink.

#![forbid(unsafe_code)]

use super::{
    settings::{check_policy, End, Settings},
    Mode,
    Netkit,
    Pairing, //
};
use crate::{
    bindings::*,
    errno::{EADDRNOTAVAIL, EOPNOTSUPP},
    net::{
        device::Device,
        extack::ExtAck,
        link::{KillList, LinkDriver, RealQueues, Request},
        netlink::{total_size, IfName, Message, Table},
        new_device::{NameAssign, NewDevice, Registered},
        rcu,
        rtnl::Rtnl,
        setup::{Features, Setup}, //
    }, //
};
use kernel::prelude::*;

const NUM_RX_QUEUES_MAX: u32 = 1024;
const NUM_TX_QUEUES_MAX: u32 = 1;

/// What VLAN acceleration the devices claim. Devices on top of them do not get it.
const FEATURES_HW_VLAN: Features = Features::HW_VLAN_CTAG_TX
    .and(Features::HW_VLAN_CTAG_RX)
    .and(Features::HW_VLAN_STAG_TX)
    .and(Features::HW_VLAN_STAG_RX);

const FEATURES: Features = FEATURES_HW_VLAN
    .and(Features::SG)
    .and(Features::FRAGLIST)
    .and(Features::HW_CSUM)
    .and(Features::RXCSUM)
    .and(Features::SCTP_CRC)
    .and(Features::HIGHDMA)
    .and(Features::GSO_SOFTWARE)
    .and(Features::GSO_ENCAP_ALL);

/// The settings that a pair keeps, and what a request to change one is told.
const FIXED: [(u32, &CStr); 7] = [
    (
        IFLA_NETKIT_MODE,
        c"netkit link operating mode cannot be changed after device creation",
    ),
    (
        IFLA_NETKIT_SCRUB,
        c"netkit link scrubbing cannot be changed after device creation",
    ),
    (
        IFLA_NETKIT_PEER_SCRUB,
        c"netkit link peer scrubbing cannot be changed after device creation",
    ),
    (
        IFLA_NETKIT_PEER_INFO,
        c"netkit link peer info cannot be changed after device creation",
    ),
    (
        IFLA_NETKIT_HEADROOM,
        c"netkit link headroom cannot be changed after device creation",
    ),
    (
        IFLA_NETKIT_TAILROOM,
        c"netkit link tailroom cannot be changed after device creation",
    ),
    (
        IFLA_NETKIT_PAIRING,
        c"netkit link pairing cannot be changed after device creation",
    ),
];

/// What a device is called that nobody named.
const NAME_PATTERN: IfName = IfName::from_static(c"nk%d");

impl LinkDriver for Netkit {
    const KIND: &'static CStr = c"netkit";
    const MAX_ATTR: usize = __IFLA_NETKIT_MAX as usize - 1;

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
        dev.pass_through();
        dev.set_features(FEATURES);
        dev.set_hw_features(FEATURES);
        dev.set_hw_enc_features(FEATURES);
        dev.set_mpls_features(Features::HW_CSUM.and(Features::GSO_SOFTWARE));
        dev.set_vlan_features(FEATURES.without(FEATURES_HW_VLAN));
        dev.set_tso_max_size(GSO_MAX_SIZE);
    }

    /// `netkit_validate()`.
    fn validate(attrs: &Table<'_>) -> Result {
        let Some(attr) = attrs.get(IFLA_ADDRESS) else {
            return Ok(());
        };
        let address: &[u8; ETH_ALEN as usize] = attr.payload().try_into().map_err(|_| EINVAL)?;
        if crate::net::is_valid_ether_addr(address) {
            Ok(())
        } else {
            Err(EADDRNOTAVAIL)
        }
    }

    /// `netkit_new_link()`.
    fn newlink<'a>(
        dev: NewDevice<'a, Self>,
        request: &Request<'_>,
        extack: &mut ExtAck,
        rtnl: &'a Rtnl,
    ) -> Result<Registered<'a, Self>> {
        let settings = Settings::parse(request, extack)?;
        let peer = match settings.pairing {
            Pairing::Pair => Some(new_peer(&dev, &settings, request, extack, rtnl)?),
            Pairing::Single => None,
        };
        let primary = new_primary(dev, &settings, request, rtnl)?;

        if let Some(peer) = peer {
            rcu::pair(&primary, &peer, rtnl);
            peer.keep();
        }
        Ok(primary)
    }

    /// `netkit_change_link()`.
    fn changelink(
        dev: &Device<Self>,
        data: &Table<'_>,
        extack: &mut ExtAck,
        rtnl: &Rtnl,
    ) -> Result {
        let nk = dev.private();
        if !nk.primary.get() {
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
        if let Some(attr) = data.get(IFLA_NETKIT_POLICY) {
            if nk.is_single() {
                return Err(EOPNOTSUPP);
            }
            nk.transit().policy.set(check_policy(&attr, extack)? as u32);
        }
        if let Some(attr) = data.get(IFLA_NETKIT_PEER_POLICY) {
            let peer = nk.peer.rtnl_dereference(rtnl).ok_or(EOPNOTSUPP)?;
            peer.private()
                .transit()
                .policy
                .set(check_policy(&attr, extack)? as u32);
        }
        Ok(())
    }

    /// `netkit_del_link()`: the pair goes together.
    fn dellink(dev: &Device<Self>, kill: &mut KillList, rtnl: &Rtnl) {
        let peer = dev.part(rtnl);
        kill.push(dev, rtnl);
        if let Some(peer) = peer {
            // Moved off somebody's list, it would lead whoever walks that astray.
            if !peer.is_queued_to_unregister(rtnl) {
                kill.push(peer, rtnl);
            }
        }
    }

    /// `netkit_get_size()`.
    fn info_size() -> usize {
        // Two policies, two scrubs, mode, pairing; headroom and tailroom; primary.
        6 * total_size(4) + 2 * total_size(2) + total_size(1)
    }

    /// `netkit_fill_info()`.
    fn fill_info(message: &mut Message, dev: &Device<Self>, rtnl: &Rtnl) -> Result {
        let nk = dev.private();
        message.put_u8(IFLA_NETKIT_PRIMARY, nk.primary.get().into())?;
        message.put_u32(IFLA_NETKIT_POLICY, nk.transit().policy.get())?;
        message.put_u32(IFLA_NETKIT_MODE, nk.mode.get())?;
        if !nk.is_single() {
            message.put_u32(IFLA_NETKIT_SCRUB, nk.transit().scrub.get())?;
        }
        message.put_u16(IFLA_NETKIT_HEADROOM, dev.needed_headroom())?;
        message.put_u16(IFLA_NETKIT_TAILROOM, dev.needed_tailroom())?;
        message.put_u32(IFLA_NETKIT_PAIRING, nk.pair.get())?;
        if let Some(peer) = nk.peer.rtnl_dereference(rtnl) {
            let transit = peer.private().transit();
            message.put_u32(IFLA_NETKIT_PEER_POLICY, transit.policy.get())?;
            message.put_u32(IFLA_NETKIT_PEER_SCRUB, transit.scrub.get())?;
        }
        Ok(())
    }
}

/// Creates and registers the peer of `primary`. It is unregistered again if what follows fails.
fn new_peer<'a>(
    primary: &NewDevice<'_, Netkit>,
    settings: &Settings<'_>,
    request: &Request<'_>,
    extack: &mut ExtAck,
    rtnl: &'a Rtnl,
) -> Result<Registered<'a, Netkit>> {
    let (name, assign) = match settings.peer_attr(IFLA_IFNAME) {
        Some(attr) => (attr.ifname(), NameAssign::User),
        None => (NAME_PATTERN, NameAssign::Enum),
    };
    // Without attributes of its own the peer is made with those of the primary: MTU, queues and more.
    let attrs = settings
        .peer_info
        .as_ref()
        .map_or(request.attrs(), |info| info.table());
    let peer =
        NewDevice::<Netkit>::create(request.peer_net(), &name, assign, &attrs, extack, rtnl)?;

    peer.inherit_tso_max(primary);
    if settings.mode == Mode::L2 && settings.peer_attr(IFLA_ADDRESS).is_none() {
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
    request: &Request<'_>,
    rtnl: &'a Rtnl,
) -> Result<Registered<'a, Netkit>> {
    let attrs = request.attrs();
    if settings.mode == Mode::L2 && !attrs.has(IFLA_ADDRESS) {
        dev.set_random_address();
    }
    dev.set_name(
        &attrs
            .get(IFLA_IFNAME)
            .map_or(NAME_PATTERN, |attr| attr.ifname()),
    );
    configure(&dev, settings, &settings.primary, true);
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
    nk.primary.set(primary);
    nk.transit().policy.set(end.policy as u32);
    nk.transit().scrub.set(end.scrub as u32);
    nk.mode.set(settings.mode as u32);
    nk.pair.set(settings.pairing as u32);
    nk.headroom.set(settings.headroom.into());
    dev.init_mprog();
}

/// What has to wait until a device is registered.
fn activate(dev: &Device<Netkit>, mode: Mode, rtnl: &Rtnl) {
    dev.carrier_off();
    if mode == Mode::L2 {
        dev.enable_arp(rtnl);
    }
}
