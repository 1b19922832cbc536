// SPDX-License-Identifier: GPL-2.0
//! Addresses, routes, neighbours and numbers of namespaces over rtnetlink: what traffic needs.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_core::NLM_F_REPLACE;
use nix::errno::Errno;

use super::attr;
use super::attr::Attr;
use super::attr::Attrs;
use super::Answer;
use super::Message;
use super::Netlink;
use super::Refusal;

const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;
const NUD_PERMANENT: u16 = 0x80;

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn family(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

impl Netlink {
    /// An address without duplicate address detection, so that it can be used at once.
    pub fn add_address(&self, index: u32, ip: IpAddr, prefix: u8) -> Answer<()> {
        // struct ifaddrmsg: family, prefix length, flags, scope, index.
        let mut payload = vec![family(ip), prefix, libc::IFA_F_NODAD as u8, 0];
        payload.extend_from_slice(&index.to_ne_bytes());
        let mut attrs = Attrs::new();
        attrs.put(libc::IFA_LOCAL, &octets(ip));
        attrs.put(libc::IFA_ADDRESS, &octets(ip));
        payload.extend_from_slice(attrs.bytes());
        self.request(libc::RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &payload)
            .map(drop)
    }

    /// Whether packets for `ip` are delivered in this namespace.
    pub fn is_local(&self, ip: IpAddr) -> Answer<bool> {
        const RTM_TYPE: usize = 7;
        let bits = 8 * octets(ip).len() as u8;
        let mut payload = vec![family(ip), bits, 0, 0, 0, 0, 0, 0];
        payload.extend_from_slice(&0u32.to_ne_bytes());
        let mut attrs = Attrs::new();
        attrs.put(libc::RTA_DST, &octets(ip));
        payload.extend_from_slice(attrs.bytes());
        let answer = self.request(libc::RTM_GETROUTE, 0, &payload)?;
        let local = |message: &Message| message.payload.get(RTM_TYPE) == Some(&libc::RTN_LOCAL);
        Ok(answer.iter().any(local))
    }

    /// A route to `to/prefix` over a device, through `via` if there is a next hop.
    pub fn add_route(&self, to: IpAddr, prefix: u8, index: u32, via: Option<IpAddr>) -> Answer<()> {
        let scope = if via.is_some() {
            libc::RT_SCOPE_UNIVERSE
        } else {
            libc::RT_SCOPE_LINK
        };
        // struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags.
        let mut payload = vec![
            family(to),
            prefix,
            0,
            0,
            libc::RT_TABLE_MAIN,
            libc::RTPROT_BOOT,
            scope,
            libc::RTN_UNICAST,
        ];
        payload.extend_from_slice(&0u32.to_ne_bytes());
        let mut attrs = Attrs::new();
        attrs.put(libc::RTA_DST, &octets(to));
        attrs.u32(libc::RTA_OIF, index);
        if let Some(via) = via {
            attrs.put(libc::RTA_GATEWAY, &octets(via));
        }
        payload.extend_from_slice(attrs.bytes());
        self.request(libc::RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &payload)
            .map(drop)
    }

    /// A permanent neighbour entry.
    pub fn add_neighbour(&self, index: u32, ip: IpAddr, mac: &[u8]) -> Answer<()> {
        // struct ndmsg: family, padding, index, state, flags, type.
        let mut payload = vec![family(ip), 0, 0, 0];
        payload.extend_from_slice(&index.to_ne_bytes());
        payload.extend_from_slice(&NUD_PERMANENT.to_ne_bytes());
        payload.extend_from_slice(&[0, 0]);
        let mut attrs = Attrs::new();
        attrs.put(NDA_DST, &octets(ip));
        attrs.put(NDA_LLADDR, mac);
        payload.extend_from_slice(attrs.bytes());
        self.request(libc::RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &payload)
            .map(drop)
    }

    /// The number of another namespace in requests of this one. If it has no number, the kernel assigns one.
    pub fn number_of(&self, other: impl AsFd) -> Answer<i32> {
        const ANY: i32 = -1;
        // struct rtgenmsg: the family alone.
        const RTGENMSG: usize = 4;
        let mut payload = vec![0; RTGENMSG];
        let mut attrs = Attrs::new();
        attrs.put(NETNSA_NSID, &ANY.to_ne_bytes());
        attrs.u32(NETNSA_FD, other.as_fd().as_raw_fd() as u32);
        payload.extend_from_slice(attrs.bytes());
        match self.request(libc::RTM_NEWNSID, 0, &payload) {
            Err(no) if no.errno != Errno::EEXIST => return Err(no),
            _ => {}
        }
        let answer = self.request(libc::RTM_GETNSID, 0, &payload)?;
        let attrs = answer
            .first()
            .and_then(|answer| answer.payload.get(RTGENMSG..));
        let id =
            attr::find(&attr::parse(attrs.unwrap_or_default()), NETNSA_NSID).and_then(Attr::u32);
        id.map(|id| id as i32)
            .ok_or_else(|| Refusal::nonsense("a namespace without number"))
    }
}
