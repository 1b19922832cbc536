// SPDX-License-Identifier: GPL-2.0

//! What a request for a new pair says.
//!
//! The attributes are read in the order of `netkit_new_link()`, with its defaults, so that of two mistakes the same
//! one is reported.

#![forbid(unsafe_code)]

use super::{
    Action,
    Mode,
    Pairing,
    Scrub, //
};
use crate::{
    bindings::*,
    errno::EOPNOTSUPP,
    net::{
        extack::ExtAck,
        link::Request,
        netlink::{Attr, PeerInfo, Table}, //
    }, //
};
use kernel::prelude::*;

/// One end of a pair.
pub(super) struct End {
    pub(super) policy: Action,
    pub(super) scrub: Scrub,
}

/// The settings of a new pair.
pub(super) struct Settings<'a> {
    pub(super) mode: Mode,
    pub(super) pairing: Pairing,
    pub(super) primary: End,
    pub(super) peer: End,
    pub(super) peer_info: Option<PeerInfo<'a>>,
    /// In bytes; 0 leaves the device's own.
    pub(super) headroom: u16,
    /// In bytes; 0 leaves the device's own.
    pub(super) tailroom: u16,
    /// Whether the request has an attribute about scrubbing the primary's packets.
    seen_scrub: bool,
    /// Whether it has one about the peer.
    seen_peer: bool,
}

/// `netkit_check_policy()`: a policy must be able to stand alone. `EINVAL`.
pub(super) fn check_policy(attr: &Attr<'_>, extack: &mut ExtAck) -> Result<Action> {
    const PASS: u32 = Action::Pass as u32;
    const DROP: u32 = Action::Drop as u32;
    match attr.u32() {
        PASS => Ok(Action::Pass),
        DROP => Ok(Action::Drop),
        _ => Err(extack.attr_error(EINVAL, attr, c"Provided default xmit policy not supported")),
    }
}

/// The attribute's policy lets no value pass but that of a variant.
fn scrub(attr: &Attr<'_>) -> Scrub {
    if attr.u32() == Scrub::None as u32 {
        Scrub::None
    } else {
        Scrub::Default
    }
}

impl<'a> Settings<'a> {
    /// C's defaults.
    fn new() -> Self {
        let end = || End {
            policy: Action::Pass,
            scrub: Scrub::Default,
        };
        Self {
            mode: Mode::L3,
            pairing: Pairing::Pair,
            primary: end(),
            peer: end(),
            peer_info: None,
            headroom: 0,
            tailroom: 0,
            seen_scrub: false,
            seen_peer: false,
        }
    }

    /// Reads a request, and refuses what does not go together: `EINVAL` for a policy, `EOPNOTSUPP` for the rest.
    pub(super) fn parse(request: &Request<'a>, extack: &mut ExtAck) -> Result<Self> {
        let mut settings = Self::new();
        if let Some(data) = request.data() {
            settings.read(&data, extack)?;
        }
        settings.check(&request.attrs())?;
        Ok(settings)
    }

    fn read(&mut self, data: &Table<'a>, extack: &mut ExtAck) -> Result {
        if let Some(attr) = data.get(IFLA_NETKIT_MODE) {
            self.mode = if attr.u32() == Mode::L2 as u32 {
                Mode::L2
            } else {
                Mode::L3
            };
        }
        if let Some(attr) = data.get(IFLA_NETKIT_PEER_INFO) {
            self.peer_info = Some(PeerInfo::parse(&attr, extack));
        }
        if let Some(attr) = data.get(IFLA_NETKIT_SCRUB) {
            self.primary.scrub = scrub(&attr);
        }
        if let Some(attr) = data.get(IFLA_NETKIT_PEER_SCRUB) {
            self.peer.scrub = scrub(&attr);
        }
        if let Some(attr) = data.get(IFLA_NETKIT_POLICY) {
            self.primary.policy = check_policy(&attr, extack)?;
        }
        if let Some(attr) = data.get(IFLA_NETKIT_PEER_POLICY) {
            self.peer.policy = check_policy(&attr, extack)?;
        }
        if let Some(attr) = data.get(IFLA_NETKIT_HEADROOM) {
            self.headroom = attr.u16();
        }
        if let Some(attr) = data.get(IFLA_NETKIT_TAILROOM) {
            self.tailroom = attr.u16();
        }
        if let Some(attr) = data.get(IFLA_NETKIT_PAIRING) {
            self.pairing = if attr.u32() == Pairing::Single as u32 {
                Pairing::Single
            } else {
                Pairing::Pair
            };
        }
        self.seen_scrub = data.has(IFLA_NETKIT_SCRUB);
        self.seen_peer = data.has(IFLA_NETKIT_PEER_INFO)
            || data.has(IFLA_NETKIT_PEER_SCRUB)
            || data.has(IFLA_NETKIT_PEER_POLICY);
        Ok(())
    }

    fn check(&self, attrs: &Table<'_>) -> Result {
        let peer_address = self.peer_attr(IFLA_ADDRESS).is_some();
        if self.mode != Mode::L2 && (attrs.has(IFLA_ADDRESS) || peer_address) {
            return Err(EOPNOTSUPP);
        }
        if self.pairing == Pairing::Single
            && (self.seen_peer || self.seen_scrub || self.primary.policy != Action::Pass)
        {
            return Err(EOPNOTSUPP);
        }
        Ok(())
    }

    /// An attribute that the request has for the peer.
    pub(super) fn peer_attr(&self, attrtype: u32) -> Option<Attr<'_>> {
        self.peer_info.as_ref()?.table().get(attrtype)
    }
}
