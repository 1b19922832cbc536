// SPDX-License-Identifier: GPL-2.0
//! Network devices over rtnetlink: create, change, delete, dump.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_core::NLM_F_EXCL;
use nix::errno::Errno;

use super::attr;
use super::attr::Attr;
use super::attr::Attrs;
use super::Answer;
use super::Message;
use super::Netlink;
use super::Refusal;

const IFINFOMSG: usize = 16;
pub const IFLA_INFO_KIND: u16 = 1;
pub const IFLA_INFO_DATA: u16 = 2;
/// Text and counters that differ from run to run or have no part in a device's settings.
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;

/// `struct ifinfomsg`: the bytes before the attributes of a link message.
pub fn ifinfomsg(index: u32, flags: u32, change: u32) -> [u8; IFINFOMSG] {
    let mut bytes = [0; IFINFOMSG];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&change.to_ne_bytes());
    bytes
}

/// Attributes of a device of `kind`, with its own data.
pub fn linkinfo(kind: &str, data: Option<&Attrs>) -> Attrs {
    let mut info = Attrs::new();
    info.put(IFLA_INFO_KIND, kind.as_bytes());
    if let Some(data) = data {
        info.nest(IFLA_INFO_DATA, &[], data);
    }
    let mut attrs = Attrs::new();
    attrs.nest(libc::IFLA_LINKINFO, &[], &info);
    attrs
}

/// A device as the kernel shows it.
#[derive(Clone, Debug)]
pub struct Link {
    pub index: u32,
    pub flags: u32,
    pub attrs: Vec<Attr>,
}

impl Link {
    pub fn parse(message: &Message) -> Option<Self> {
        let header = message.payload.get(..IFINFOMSG)?;
        Some(Self {
            index: u32::from_ne_bytes(header[4..8].try_into().ok()?),
            flags: u32::from_ne_bytes(header[8..12].try_into().ok()?),
            attrs: attr::parse(&message.payload[IFINFOMSG..]),
        })
    }

    pub fn attr(&self, kind: u16) -> Option<&Attr> {
        attr::find(&self.attrs, kind)
    }

    pub fn u32(&self, kind: u16) -> Option<u32> {
        self.attr(kind)?.u32()
    }

    pub fn name(&self) -> String {
        self.attr(libc::IFLA_IFNAME)
            .map(Attr::text)
            .unwrap_or_default()
    }

    pub fn mac(&self) -> Vec<u8> {
        self.attr(libc::IFLA_ADDRESS)
            .map(|attr| attr.payload.clone())
            .unwrap_or_default()
    }

    pub fn has(&self, flag: i32) -> bool {
        self.flags & flag as u32 != 0
    }

    pub fn kind(&self) -> Option<String> {
        let info = self.attr(libc::IFLA_LINKINFO)?.nested();
        Some(attr::find(&info, IFLA_INFO_KIND)?.text())
    }

    /// IFLA_INFO_DATA's attributes in the order of the dump.
    pub fn data(&self) -> Vec<Attr> {
        let info = self.attr(libc::IFLA_LINKINFO).map(Attr::nested);
        info.as_deref()
            .and_then(|info| attr::find(info, IFLA_INFO_DATA))
            .map(Attr::nested)
            .unwrap_or_default()
    }
}

impl Netlink {
    pub fn new_link(&self, header: &[u8], attrs: &Attrs) -> Answer<()> {
        let payload = [header, attrs.bytes()].concat();
        self.request(libc::RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &payload)
            .map(drop)
    }

    /// Creates a plain device such as dummy or bridge, and returns its ifindex.
    pub fn add_device(&self, name: &str, kind: &str) -> Answer<u32> {
        let mut attrs = linkinfo(kind, None);
        attrs.str(libc::IFLA_IFNAME, name);
        self.new_link(&ifinfomsg(0, 0, 0), &attrs)?;
        Ok(self.link(name)?.index)
    }

    /// Creates a pair of veth devices with these names.
    pub fn add_veth(&self, name: &str, peer_name: &str) -> Answer<()> {
        const VETH_INFO_PEER: u16 = 1;
        let mut peer = Attrs::new();
        peer.str(libc::IFLA_IFNAME, peer_name);
        let mut data = Attrs::new();
        data.nest(VETH_INFO_PEER, &ifinfomsg(0, 0, 0), &peer);
        let mut attrs = linkinfo("veth", Some(&data));
        attrs.str(libc::IFLA_IFNAME, name);
        self.new_link(&ifinfomsg(0, 0, 0), &attrs)
    }

    /// Changes attributes of a device that exists.
    pub fn set_link(&self, index: u32, attrs: &Attrs) -> Answer<()> {
        let payload = [ifinfomsg(index, 0, 0).as_slice(), attrs.bytes()].concat();
        self.request(libc::RTM_NEWLINK, 0, &payload).map(drop)
    }

    fn set_flags(&self, index: u32, flags: u32, change: u32) -> Answer<()> {
        self.request(libc::RTM_NEWLINK, 0, &ifinfomsg(index, flags, change))
            .map(drop)
    }

    pub fn up(&self, index: u32) -> Answer<()> {
        self.set_flags(index, libc::IFF_UP as u32, libc::IFF_UP as u32)
    }

    pub fn down(&self, index: u32) -> Answer<()> {
        self.set_flags(index, 0, libc::IFF_UP as u32)
    }

    pub fn set_mtu(&self, index: u32, mtu: u32) -> Answer<()> {
        self.set_link(index, Attrs::new().u32(libc::IFLA_MTU, mtu))
    }

    pub fn set_mac(&self, index: u32, mac: &[u8]) -> Answer<()> {
        self.set_link(index, Attrs::new().put(libc::IFLA_ADDRESS, mac))
    }

    pub fn set_master(&self, index: u32, master: u32) -> Answer<()> {
        self.set_link(index, Attrs::new().u32(libc::IFLA_MASTER, master))
    }

    pub fn move_to(&self, index: u32, ns: impl AsFd) -> Answer<()> {
        let fd = ns.as_fd().as_raw_fd() as u32;
        self.set_link(index, Attrs::new().u32(libc::IFLA_NET_NS_FD, fd))
    }

    pub fn del_link(&self, index: u32) -> Answer<()> {
        self.request(libc::RTM_DELLINK, 0, &ifinfomsg(index, 0, 0))
            .map(drop)
    }

    pub fn link(&self, name: &str) -> Answer<Link> {
        let mut attrs = Attrs::new();
        attrs.str(libc::IFLA_IFNAME, name);
        self.get(0, attrs)
    }

    pub fn link_by_index(&self, index: u32) -> Answer<Link> {
        self.get(index, Attrs::new())
    }

    fn get(&self, index: u32, mut attrs: Attrs) -> Answer<Link> {
        attrs.u32(libc::IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        let payload = [ifinfomsg(index, 0, 0).as_slice(), attrs.bytes()].concat();
        let answer = self.request(libc::RTM_GETLINK, 0, &payload)?;
        answer.iter().find_map(Link::parse).ok_or(Refusal {
            errno: Errno::ENODATA,
            text: Some("the kernel acknowledged RTM_GETLINK without a link".into()),
            offset: None,
            attr: None,
        })
    }

    pub fn links(&self) -> Answer<Vec<Link>> {
        let mut attrs = Attrs::new();
        attrs.u32(libc::IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        let payload = [ifinfomsg(0, 0, 0).as_slice(), attrs.bytes()].concat();
        let answer = self.dump(libc::RTM_GETLINK, &payload)?;
        Ok(answer.iter().filter_map(Link::parse).collect())
    }

    /// `struct rtnl_link_stats64` by its fields' position.
    pub fn stats(&self, index: u32) -> Answer<Stats> {
        let answer = self.request(libc::RTM_GETLINK, 0, &ifinfomsg(index, 0, 0))?;
        let link = answer.iter().find_map(Link::parse);
        let field = |n: usize| -> u64 {
            link.as_ref()
                .and_then(|link| link.attr(libc::IFLA_STATS64))
                .and_then(|attr| attr.payload.get(8 * n..8 * n + 8))
                .and_then(|bytes| bytes.try_into().ok())
                .map(u64::from_ne_bytes)
                .unwrap_or_default()
        };
        Ok(Stats {
            rx_packets: field(0),
            tx_packets: field(1),
            rx_bytes: field(2),
            tx_bytes: field(3),
            rx_errors: field(4),
            tx_errors: field(5),
            rx_dropped: field(6),
            tx_dropped: field(7),
        })
    }
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
}

impl Stats {
    /// What was counted since `before`.
    pub fn since(&self, before: &Stats) -> Stats {
        Stats {
            rx_packets: self.rx_packets - before.rx_packets,
            tx_packets: self.tx_packets - before.tx_packets,
            rx_bytes: self.rx_bytes - before.rx_bytes,
            tx_bytes: self.tx_bytes - before.tx_bytes,
            rx_errors: self.rx_errors - before.rx_errors,
            tx_errors: self.tx_errors - before.tx_errors,
            rx_dropped: self.rx_dropped - before.rx_dropped,
            tx_dropped: self.tx_dropped - before.tx_dropped,
        }
    }
}
