// SPDX-License-Identifier: GPL-2.0
//! Netlink requests about netkit devices, sound ones and bent ones.
//!
//! rtnetlink's link messages above all; queue leases and what else the netdev family can be
//! asked; ethtool's messages. Each starts from what a user would send, then is hit.

use std::ops::Range;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::any as anything;
use proptest::prelude::Just;
use proptest::prop_oneof;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;
use proptest::strategy::Strategy;

use super::message::encode;
use super::message::Blob;
use super::message::Hit;
use super::message::Names;
use super::message::Node;
use super::message::Strike;
use super::message::Value;
use super::op::CARD;
use super::op::QUEUES;
use crate::differential::op;
use crate::differential::op::Device;
use crate::differential::op::Raw;
use crate::differential::op::NAMESPACES;
use crate::netkit;
use crate::nl::link::ifinfomsg;
use crate::nl::link::IFLA_INFO_DATA;
use crate::nl::link::IFLA_INFO_KIND;

const NLMSG_HEADER: usize = 16;
const RTM_GETSTATS: u16 = 94;
const RTM_NEWLINKPROP: u16 = 108;
const RTM_DELLINKPROP: u16 = 109;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    Route,
    Netdev,
    Ethtool,
}

/// The bytes before the attributes.
#[derive(Clone, Debug)]
pub enum Header {
    /// struct ifinfomsg.
    Link {
        device: Option<Device>,
        index: u32,
        flags: u32,
        change: u32,
    },
    /// struct genlmsghdr.
    Generic(u8),
    /// Whatever, of whatever length.
    Odd(Blob),
}

/// What is wrong with the message as a whole.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// Bytes missing at its end.
    cut: usize,
    /// Bytes too many.
    tail: Blob,
    /// Added to the length in the header.
    lie: i32,
    /// Sent so many times more in one datagram.
    again: usize,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub space: usize,
    pub family: Family,
    /// Of rtnetlink; a generic family has its number from the kernel.
    kind: u16,
    flags: u16,
    header: Header,
    nodes: Vec<Node>,
    hits: Vec<Hit>,
    shape: Shape,
}

impl Request {
    /// The datagram. `family` is the number of a generic family.
    pub fn bytes(&self, names: &impl Names, family: u16) -> Vec<u8> {
        let mut nodes = self.nodes.clone();
        for hit in &self.hits {
            hit.apply(&mut nodes);
        }
        let mut message = vec![0; NLMSG_HEADER];
        match &self.header {
            Header::Link {
                device,
                index,
                flags,
                change,
            } => {
                let index = device.as_ref().map_or(*index, |device| names.index(device));
                message.extend_from_slice(&ifinfomsg(index, *flags, *change));
            }
            Header::Generic(command) => message.extend_from_slice(&[*command, 1, 0, 0]),
            Header::Odd(bytes) => message.extend_from_slice(&bytes.0),
        }
        encode(&nodes, &mut message, names);
        let end = message.len().saturating_sub(self.shape.cut);
        message.truncate(end.max(NLMSG_HEADER));
        message.extend_from_slice(&self.shape.tail.0);
        let kind = match self.family {
            Family::Route => self.kind,
            Family::Netdev | Family::Ethtool => family,
        };
        let len = (message.len() as u32).wrapping_add_signed(self.shape.lie);
        message[..4].copy_from_slice(&len.to_ne_bytes());
        message[4..6].copy_from_slice(&kind.to_ne_bytes());
        let flags = match self.family {
            Family::Route => keep_comparable(&mut message, self.flags),
            Family::Netdev | Family::Ethtool => self.flags,
        };
        message[6..8].copy_from_slice(&flags.to_ne_bytes());
        message.resize(message.len().next_multiple_of(4), 0);
        message.repeat(self.shape.again + 1)
    }
}

/// Takes out of a message what the two drivers answer differently by design, so that they do not go different ways from
/// there: a change of a setting that the built-in driver refuses to change becomes a creation, and the attribute that the
/// built-in driver passes over becomes one that neither of them knows. Returns the flags for the message.
fn keep_comparable(message: &mut [u8], flags: u16) -> u16 {
    const IFINFOMSG: usize = 16;
    const UNKNOWN: u16 = 14;
    let mut flags = flags;
    let all = NLMSG_HEADER + IFINFOMSG..message.len();
    for (_, info) in attrs(message, all, libc::IFLA_LINKINFO) {
        for (_, data) in attrs(message, info, IFLA_INFO_DATA) {
            for kind in netkit::CHANGEABLE {
                if !attrs(message, data.clone(), kind).is_empty() {
                    flags |= (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
                }
            }
            for (at, _) in attrs(message, data, netkit::DEV_SWITCH) {
                message[at + 2..at + 4].copy_from_slice(&UNKNOWN.to_ne_bytes());
            }
        }
    }
    flags
}

/// The attributes of a type in a part of a message, as the kernel goes through them: where each is, and its payload.
fn attrs(message: &[u8], part: Range<usize>, kind: u16) -> Vec<(usize, Range<usize>)> {
    const HEADER: usize = 4;
    const TYPE_MASK: u16 = 0x3fff;
    let mut found = Vec::new();
    let mut at = part.start;
    while at + HEADER <= part.end {
        let number = |at: usize| u16::from_ne_bytes([message[at], message[at + 1]]);
        let len = usize::from(number(at));
        if len < HEADER || at + len > part.end {
            break;
        }
        if number(at + 2) & TYPE_MASK == kind {
            found.push((at, at + HEADER..at + len));
        }
        at += len.next_multiple_of(4);
    }
    found
}

/// Any request.
pub fn any() -> BoxedStrategy<Request> {
    let route = |kinds: &[u16], template: BoxedStrategy<(Header, Vec<Node>)>| {
        let kind = prop_oneof![12 => select(kinds.to_vec()), 1 => 16..20u16];
        dressed(Family::Route, kind.boxed(), template)
    };
    let generic = |family, template| dressed(family, Just(0).boxed(), template);
    let change = [libc::RTM_NEWLINK, libc::RTM_SETLINK];
    let other = [RTM_GETSTATS, RTM_NEWLINKPROP, RTM_DELLINKPROP];
    prop_oneof![
        8 => route(&[libc::RTM_NEWLINK], creation()),
        6 => route(&change, about_a_device()),
        2 => route(&[libc::RTM_GETLINK], about_a_device()),
        1 => route(&[libc::RTM_DELLINK], about_a_device()),
        1 => route(&other, about_a_device()),
        4 => generic(Family::Netdev, lease()),
        2 => generic(Family::Netdev, netdev()),
        2 => generic(Family::Ethtool, ethtool()),
    ]
    .boxed()
}

/// A template with hits, flags and a shape.
fn dressed(
    family: Family,
    kind: BoxedStrategy<u16>,
    template: BoxedStrategy<(Header, Vec<Node>)>,
) -> BoxedStrategy<Request> {
    (0..NAMESPACES, kind, flags(), template, hits(), shape())
        .prop_map(
            move |(space, kind, flags, (header, nodes), hits, shape)| Request {
                space,
                family,
                kind,
                flags,
                header,
                nodes,
                hits,
                shape,
            },
        )
        .boxed()
}

fn flags() -> impl Strategy<Value = u16> {
    // NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL.
    const CREATE: u16 = 0x1 | 0x4 | 0x400 | 0x200;
    prop_oneof![
        6 => Just(CREATE),
        4 => Just(0x1 | 0x4),
        1 => Just(0x1 | 0x4 | 0x400),
        1 => anything::<u16>().prop_map(|bits| bits | 0x1),
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    let whole = Just(Shape::default());
    let cut = (1..40usize).prop_map(|cut| Shape {
        cut,
        ..Shape::default()
    });
    let tail = blob(1..8).prop_map(|tail| Shape {
        tail,
        ..Shape::default()
    });
    let lie =
        prop_oneof![-40..40i32, select(vec![i32::MAX, i32::MIN, 65536])].prop_map(|lie| Shape {
            lie,
            ..Shape::default()
        });
    let again = (1..4usize).prop_map(|again| Shape {
        again,
        ..Shape::default()
    });
    prop_oneof![16 => whole, 1 => cut, 1 => tail, 1 => lie, 1 => again]
}

fn blob(size: Range<usize>) -> impl Strategy<Value = Blob> {
    vec(anything::<u8>(), size).prop_map(Blob)
}

/// Interesting sizes: zero, around the size of a number, around a page, and the largest.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 0..20usize,
        2 => select(vec![63, 64, 127, 128, 255, 256]),
        1 => select(vec![4075, 4076, 4077, 4091, 4092, 4093, 4096, 4100]),
        1 => select(vec![65531, 65532, 65535]),
    ]
}

/// A type: of netkit's data, of a link, of anything.
fn kind() -> impl Strategy<Value = u16> {
    prop_oneof![4 => 0..14u16, 4 => 0..72u16, 1 => anything::<u16>()]
}

fn hits() -> impl Strategy<Value = Vec<Hit>> {
    let strike = prop_oneof![
        3 => kind().prop_map(Strike::Kind),
        2 => select(vec![0x8000, 0x4000, 0xc000]).prop_map(Strike::Flags),
        2 => prop_oneof![-16..16i16, Just(i16::MIN)].prop_map(Strike::Lie),
        4 => size().prop_map(Strike::Resize),
        3 => blob(0..40).prop_map(Strike::Fill),
        2 => Just(Strike::Twice),
        2 => Just(Strike::Gone),
        1 => Just(Strike::Last),
        1 => prop_oneof![4 => 1..4usize, 1 => select(vec![100, 3000])].prop_map(Strike::Wrap),
        3 => (kind(), blob(0..12)).prop_map(|(kind, bytes)| Strike::Add(kind, bytes)),
        1 => Just(Strike::Swallow),
    ];
    let hit = (0..32usize, strike).prop_map(|(at, strike)| Hit { at, strike });
    prop_oneof![2 => Just(Vec::new()), 9 => vec(hit, 1..4)]
}

fn nodes(attrs: Vec<Raw>) -> Vec<Node> {
    attrs
        .iter()
        .map(|attr| Node::bytes(attr.kind, &attr.payload))
        .collect()
}

fn info(data: Vec<Node>) -> Node {
    let kind = Node::bytes(IFLA_INFO_KIND, netkit::KIND.as_bytes());
    let data = Node::nest(IFLA_INFO_DATA, &[], data);
    Node::nest(libc::IFLA_LINKINFO, &[], vec![kind, data])
}

/// A new pair, with the peer's own attributes or without.
fn creation() -> BoxedStrategy<(Header, Vec<Node>)> {
    let index = || prop_oneof![8 => Just(0), 1 => 1..40u32, 1 => anything::<u32>()];
    let peer = (0..NAMESPACES, index(), op::link_attrs()).prop_map(|(space, index, attrs)| {
        let mut inner = nodes(attrs);
        inner.push(Node::new(libc::IFLA_NET_NS_FD, Value::Space(space)));
        Node::nest(netkit::PEER_INFO, &ifinfomsg(index, 0, 0), inner)
    });
    (
        index(),
        op::link_attrs(),
        op::data_attrs(),
        option::weighted(0.8, peer),
    )
        .prop_map(|(index, link, data, peer)| {
            let header = Header::Link {
                device: None,
                index,
                flags: 0,
                change: 0,
            };
            let mut all = nodes(link);
            all.push(info(peer.into_iter().chain(nodes(data)).collect()));
            (header, all)
        })
        .boxed()
}

/// A change, a look or the end of a device that is there.
fn about_a_device() -> BoxedStrategy<(Header, Vec<Node>)> {
    let device = || op::device().boxed();
    let bits = || prop_oneof![8 => Just(0), 2 => Just(libc::IFF_UP as u32), 1 => anything::<u32>()];
    let header = prop_oneof![
        12 => (device(), bits(), bits()).prop_map(|(device, flags, change)| Header::Link {
            device: Some(device),
            index: 0,
            flags,
            change,
        }),
        1 => blob(0..20).prop_map(Header::Odd),
    ];
    // Another namespace, a master, the other end by its index.
    let symbol = prop_oneof![
        (0..NAMESPACES).prop_map(|space| Node::new(libc::IFLA_NET_NS_FD, Value::Space(space))),
        device().prop_map(|device| Node::new(libc::IFLA_MASTER, Value::Index(device))),
        device().prop_map(|device| Node::new(libc::IFLA_LINK, Value::Index(device))),
    ];
    (
        header,
        op::link_attrs(),
        op::data_attrs(),
        option::weighted(0.2, symbol),
    )
        .prop_map(|(header, link, data, symbol)| {
            let mut all = nodes(link);
            all.push(info(nodes(data)));
            all.extend(symbol);
            (header, all)
        })
        .boxed()
}

/// A queue of the card, or of any device, leased to another (NETDEV_CMD_QUEUE_CREATE).
fn lease() -> BoxedStrategy<(Header, Vec<Node>)> {
    const QUEUE_CREATE: u8 = 16;
    const QUEUE_IFINDEX: u16 = 2;
    const QUEUE_LEASE: u16 = 8;
    const LEASE_IFINDEX: u16 = 1;
    const LEASE_QUEUE: u16 = 2;
    const LEASE_NETNS_ID: u16 = 3;
    let device = || op::device().boxed();
    let card = || Device::Named { ns: 0, name: CARD };
    let lessor = prop_oneof![3 => Just(card()), 1 => device()];
    let kind = || prop_oneof![8 => Just(0), 2 => 0..3u32, 1 => anything::<u32>()];
    let queue = prop_oneof![8 => 0..QUEUES + 1, 1 => anything::<u32>()];
    (
        device(),
        lessor,
        kind(),
        queue,
        kind(),
        option::weighted(0.3, 0..3u32),
    )
        .prop_map(|(device, lessor, of, id, kind, space)| {
            let queue = vec![Node::u32(1, id), Node::u32(3, kind)];
            let mut lease = vec![
                Node::new(LEASE_IFINDEX, Value::Index(lessor)),
                Node::nest(LEASE_QUEUE, &[], queue),
            ];
            lease.extend(space.map(|space| Node::u32(LEASE_NETNS_ID, space)));
            let all = vec![
                Node::new(QUEUE_IFINDEX, Value::Index(device)),
                Node::u32(3, of),
                Node::nest(QUEUE_LEASE, &[], lease),
            ];
            (Header::Generic(QUEUE_CREATE), all)
        })
        .boxed()
}

/// Any command of the netdev family about a device.
fn netdev() -> BoxedStrategy<(Header, Vec<Node>)> {
    (
        1..20u8,
        op::device().boxed(),
        vec((1..9u16, blob(0..9)), 0..3),
    )
        .prop_map(|(command, device, more)| {
            let mut all = vec![
                Node::new(1, Value::Index(device.clone())),
                Node::new(2, Value::Index(device)),
            ];
            all.extend(
                more.iter()
                    .map(|(kind, bytes)| Node::bytes(*kind, &bytes.0)),
            );
            (Header::Generic(command), all)
        })
        .boxed()
}

/// Any command of ethtool: its first attribute is a nest that names the device.
fn ethtool() -> BoxedStrategy<(Header, Vec<Node>)> {
    (
        0..54u8,
        op::device().boxed(),
        vec((0..20u16, blob(0..9)), 0..4),
    )
        .prop_map(|(command, device, more)| {
            let name = Node::new(1, Value::Index(device));
            let mut all = vec![Node::nest(0x8001, &[], vec![name])];
            all.extend(
                more.iter()
                    .map(|(kind, bytes)| Node::bytes(*kind, &bytes.0)),
            );
            (Header::Generic(command), all)
        })
        .boxed()
}
