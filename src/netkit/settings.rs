// SPDX-License-Identifier: GPL-2.0

//! Parsing a request for a new pair.
//!
//! The attributes are read in the order of `netkit_new_link()`, with its defaults. So if a request has two mistakes,
//! both drivers report the same one.

#![forbid(unsafe_code)]

use super::uapi::{
    self,
    Action,
    DevSwitch,
    Mode,
    Pairing,
    Scrub, //
};
use crate::{
    errno::EOPNOTSUPP,
    net::{
        extack::ExtAck,
        netlink::{Attr, Ifla, PeerInfo, PeerTable, Table},
        rtnl_link::Request, //
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
    pub(super) dev_switch: DevSwitch,
    /// In bytes; 0 leaves the device's own.
    pub(super) headroom: u16,
    /// In bytes; 0 leaves the device's own.
    pub(super) tailroom: u16,
    /// Whether the request has the attribute for scrubbing packets of the primary.
    seen_scrub: bool,
    /// Whether the request has an attribute for the peer.
    seen_peer: bool,
}

/// `netkit_check_policy()`: only pass and drop can be a policy. `EINVAL` for others.
pub(super) fn check_policy(attr: &Attr<'_>, extack: &mut ExtAck) -> Result<Action> {
    const PASS: u32 = Action::Pass as u32;
    const DROP: u32 = Action::Drop as u32;
    match attr.u32() {
        PASS => Ok(Action::Pass),
        DROP => Ok(Action::Drop),
        _ => Err(extack.attr_error(EINVAL, attr, c"Provided default xmit policy not supported")),
    }
}

/// The netlink policy of the attribute allows only the values of the two variants.
pub(super) fn scrub(attr: &Attr<'_>) -> Scrub {
    if attr.u32() == Scrub::None as u32 {
        Scrub::None
    } else {
        Scrub::Default
    }
}

/// When packets change devices, if the request says so. `ERANGE` for what a policy of the kernel would refuse.
pub(super) fn dev_switch(
    attrs: &Table<'_, Ifla>,
    extack: &mut ExtAck,
) -> Result<Option<DevSwitch>> {
    const BEFORE: u32 = DevSwitch::BeforeProg as u32;
    const AFTER: u32 = DevSwitch::AfterProg as u32;
    let Some(attr) = attrs.info_data(uapi::DEV_SWITCH) else {
        return Ok(None);
    };
    if attr.payload().len() < size_of::<u32>() {
        return Err(extack.attr_error(ERANGE, &attr, c"Attribute failed policy validation"));
    }
    match attr.u32() {
        BEFORE => Ok(Some(DevSwitch::BeforeProg)),
        AFTER => Ok(Some(DevSwitch::AfterProg)),
        _ => Err(extack.attr_error(ERANGE, &attr, c"integer out of range")),
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
            dev_switch: DevSwitch::BeforeProg,
            headroom: 0,
            tailroom: 0,
            seen_scrub: false,
            seen_peer: false,
        }
    }

    /// Parses a request. `EINVAL` for a wrong policy, `EOPNOTSUPP` for attributes that contradict each other.
    pub(super) fn parse(
        request: &Request<'a, uapi::Attr>,
        memory: &'a mut PeerTable,
        extack: &mut ExtAck,
    ) -> Result<Self> {
        let mut settings = Self::new();
        if let Some(data) = request.data() {
            settings.read(&data, memory, extack)?;
        }
        settings.check(&request.attrs())?;
        if let Some(value) = dev_switch(&request.attrs(), extack)? {
            if settings.pairing == Pairing::Single {
                return Err(EOPNOTSUPP);
            }
            settings.dev_switch = value;
        }
        Ok(settings)
    }

    fn read(
        &mut self,
        data: &Table<'a, uapi::Attr>,
        memory: &'a mut PeerTable,
        extack: &mut ExtAck,
    ) -> Result {
        if let Some(attr) = data.get(uapi::Attr::Mode) {
            self.mode = if attr.u32() == Mode::L2 as u32 {
                Mode::L2
            } else {
                Mode::L3
            };
        }
        if let Some(attr) = data.get(uapi::Attr::PeerInfo) {
            self.peer_info = Some(PeerInfo::parse(&attr, memory, extack));
        }
        if let Some(attr) = data.get(uapi::Attr::Scrub) {
            self.primary.scrub = scrub(&attr);
        }
        if let Some(attr) = data.get(uapi::Attr::PeerScrub) {
            self.peer.scrub = scrub(&attr);
        }
        if let Some(attr) = data.get(uapi::Attr::Policy) {
            self.primary.policy = check_policy(&attr, extack)?;
        }
        if let Some(attr) = data.get(uapi::Attr::PeerPolicy) {
            self.peer.policy = check_policy(&attr, extack)?;
        }
        if let Some(attr) = data.get(uapi::Attr::Headroom) {
            self.headroom = attr.u16();
        }
        if let Some(attr) = data.get(uapi::Attr::Tailroom) {
            self.tailroom = attr.u16();
        }
        if let Some(attr) = data.get(uapi::Attr::Pairing) {
            self.pairing = if attr.u32() == Pairing::Single as u32 {
                Pairing::Single
            } else {
                Pairing::Pair
            };
        }
        self.seen_scrub = data.has(uapi::Attr::Scrub);
        self.seen_peer = data.has(uapi::Attr::PeerInfo)
            || data.has(uapi::Attr::PeerScrub)
            || data.has(uapi::Attr::PeerPolicy);
        Ok(())
    }

    fn check(&self, attrs: &Table<'_, Ifla>) -> Result {
        let peer_address = self.peer_attr(Ifla::Address).is_some();
        if self.mode != Mode::L2 && (attrs.has(Ifla::Address) || peer_address) {
            return Err(EOPNOTSUPP);
        }
        if self.pairing == Pairing::Single
            && (self.seen_peer || self.seen_scrub || self.primary.policy != Action::Pass)
        {
            return Err(EOPNOTSUPP);
        }
        Ok(())
    }

    /// An attribute of the peer in the request.
    pub(super) fn peer_attr(&self, attrtype: Ifla) -> Option<Attr<'_>> {
        self.peer_info.as_ref()?.table().get(attrtype)
    }
}
