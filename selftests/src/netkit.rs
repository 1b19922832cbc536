// SPDX-License-Identifier: GPL-2.0
//! netkit's attributes and their values, and the specification of a pair.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use anyhow::Result;

use crate::adopted;
use crate::netns::Ns;
use crate::nl::attr::Attr;
use crate::nl::attr::Attrs;
use crate::nl::link::ifinfomsg;
use crate::nl::link::linkinfo;
use crate::nl::link::Link;
use crate::nl::Answer;
use crate::nl::Netlink;

pub const KIND: &str = "netkit";

pub const PEER_INFO: u16 = 1;
pub const IS_PRIMARY: u16 = 2;
pub const POLICY: u16 = 3;
pub const PEER_POLICY: u16 = 4;
pub const MODE: u16 = 5;
pub const SCRUB: u16 = 6;
pub const PEER_SCRUB: u16 = 7;
pub const HEADROOM: u16 = 8;
pub const TAILROOM: u16 = 9;
pub const PAIRING: u16 = 10;

pub const L2: u32 = 0;
pub const L3: u32 = 1;

pub const SCRUB_NONE: u32 = 0;
pub const SCRUB_DEFAULT: u32 = 1;

pub const SINGLE: u32 = 1;

/// Verdicts; PASS and DROP are also the policies (forward, blackhole).
pub const NEXT: i32 = -1;
pub const PASS: i32 = 0;
pub const DROP: i32 = 2;
pub const REDIRECT: i32 = 7;

/// Attributes which libc does not name on every target.
pub const IFLA_GSO_MAX_SEGS: u16 = 40;
pub const IFLA_GSO_MAX_SIZE: u16 = 41;
pub const IFLA_GRO_MAX_SIZE: u16 = 58;
pub const IFLA_TSO_MAX_SIZE: u16 = 59;
pub const IFLA_TSO_MAX_SEGS: u16 = 60;
pub const IFLA_GSO_IPV4_MAX_SIZE: u16 = 63;
pub const IFLA_GRO_IPV4_MAX_SIZE: u16 = 64;

/// `IFLA_NETKIT_DEV_SWITCH`, which only the Rust driver knows.
pub const DEV_SWITCH: u16 = 11;
/// What the Rust driver changes after creation, and the built-in driver refuses to change.
pub const CHANGEABLE: [u16; 4] = [SCRUB, PEER_SCRUB, HEADROOM, TAILROOM];

/// A pair to be created: what is not asked for is not sent.
#[derive(Clone, Default)]
pub struct Spec {
    /// Attributes of the primary itself.
    pub link: Attrs,
    /// netkit's data.
    pub data: Attrs,
    /// Attributes of the peer; with none, PEER_INFO is left out.
    pub peer: Option<Attrs>,
    pub peer_index: u32,
    pub index: u32,
}

impl Spec {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn l2() -> Self {
        Self::new().mode(L2)
    }

    pub fn l3() -> Self {
        Self::new().mode(L3)
    }

    fn data_u32(mut self, kind: u16, value: u32) -> Self {
        self.data.u32(kind, value);
        self
    }

    pub fn mode(self, mode: u32) -> Self {
        self.data_u32(MODE, mode)
    }

    pub fn policy(self, policy: i32) -> Self {
        self.data_u32(POLICY, policy as u32)
    }

    pub fn peer_policy(self, policy: i32) -> Self {
        self.data_u32(PEER_POLICY, policy as u32)
    }

    pub fn scrub(self, scrub: u32) -> Self {
        self.data_u32(SCRUB, scrub)
    }

    pub fn peer_scrub(self, scrub: u32) -> Self {
        self.data_u32(PEER_SCRUB, scrub)
    }

    pub fn pairing(self, pairing: u32) -> Self {
        self.data_u32(PAIRING, pairing)
    }

    pub fn headroom(mut self, bytes: u16) -> Self {
        self.data.u16(HEADROOM, bytes);
        self
    }

    pub fn tailroom(mut self, bytes: u16) -> Self {
        self.data.u16(TAILROOM, bytes);
        self
    }

    /// Room for so many receive queues on the primary or the single device.
    pub fn rx_queues(self, count: u32) -> Self {
        self.with(|link| link.u32(libc::IFLA_NUM_RX_QUEUES, count))
    }

    /// Room for so many receive queues on the peer.
    pub fn peer_rx_queues(self, count: u32) -> Self {
        self.with_peer(|peer| peer.u32(libc::IFLA_NUM_RX_QUEUES, count))
    }

    pub fn name(self, name: &str) -> Self {
        self.with(|link| link.str(libc::IFLA_IFNAME, name))
    }

    pub fn with(mut self, f: impl FnOnce(&mut Attrs) -> &mut Attrs) -> Self {
        f(&mut self.link);
        self
    }

    pub fn with_data(mut self, f: impl FnOnce(&mut Attrs) -> &mut Attrs) -> Self {
        f(&mut self.data);
        self
    }

    pub fn with_peer(mut self, f: impl FnOnce(&mut Attrs) -> &mut Attrs) -> Self {
        f(self.peer.get_or_insert_default());
        self
    }

    pub fn peer(self, name: &str) -> Self {
        self.with_peer(|peer| peer.str(libc::IFLA_IFNAME, name))
    }

    pub fn peer_in(self, ns: impl AsFd) -> Self {
        let fd = ns.as_fd().as_raw_fd() as u32;
        self.with_peer(|peer| peer.u32(libc::IFLA_NET_NS_FD, fd))
    }

    /// Creates a single device.
    pub fn create_single(self, name: &str, ns: &Ns) -> Result<u32> {
        self.pairing(SINGLE).name(name).try_create(ns)?;
        Ok(ns.link(name)?.index)
    }

    /// Sends the request and no more.
    pub fn try_create(&self, ns: &Netlink) -> Answer<()> {
        let mut data = self.data.clone();
        if let Some(peer) = &self.peer {
            data.nest(PEER_INFO, &ifinfomsg(self.peer_index, 0, 0), peer);
        }
        let data = (!data.bytes().is_empty()).then_some(&data);
        let mut attrs = self.link.clone();
        attrs.append(&linkinfo(KIND, data));
        adopted::create(|| ns.new_link(&ifinfomsg(self.index, 0, 0), &attrs))
    }

    /// Creates nk0 in `host` and its peer nk1 in `pod`.
    pub fn create(self, host: &Ns, pod: &Ns) -> Result<Pair> {
        self.create_as("nk0", "nk1", host, pod)
    }

    pub fn create_as(self, name: &str, peer: &str, host: &Ns, pod: &Ns) -> Result<Pair> {
        self.name(name).peer(peer).peer_in(pod).try_create(host)?;
        Ok(Pair {
            primary: host.link(name)?.index,
            peer: pod.link(peer)?.index,
        })
    }
}

/// Interface indexes of a pair, each in its own namespace.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    pub primary: u32,
    pub peer: u32,
}

/// The netkit devices of a namespace.
pub fn devices(ns: &Netlink) -> Answer<Vec<Link>> {
    let mut links = ns.links()?;
    links.retain(|link| link.kind().as_deref() == Some(KIND));
    Ok(links)
}

/// IFLA_INFO_DATA as text, attribute by attribute in the dump's order.
pub fn data_text(link: &Link) -> String {
    let name = |kind| match kind {
        PEER_INFO => "peer info".into(),
        IS_PRIMARY => "primary".into(),
        POLICY => "policy".into(),
        PEER_POLICY => "peer policy".into(),
        MODE => "mode".into(),
        SCRUB => "scrub".into(),
        PEER_SCRUB => "peer scrub".into(),
        HEADROOM => "headroom".into(),
        TAILROOM => "tailroom".into(),
        PAIRING => "pairing".into(),
        other => format!("attribute {other}"),
    };
    let line = |attr: &Attr| {
        let mut bytes = [0; 8];
        bytes[..attr.payload.len().min(8)].copy_from_slice(&attr.payload);
        let value = u64::from_le_bytes(bytes);
        format!("{}/{}: {}", name(attr.kind), attr.payload.len(), value)
    };
    link.data().iter().map(line).collect::<Vec<_>>().join("\n")
}
