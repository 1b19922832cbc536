// SPDX-License-Identifier: GPL-2.0
//! The operations of a sequence, and how likely each is.
//!
//! Operations name their objects by slots, so that a step means the same on both drivers, also after earlier steps were
//! left out. Wrong input is as likely as right input.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::any as anything;
use proptest::prelude::Just;
use proptest::prop_oneof;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;
use proptest::strategy::Strategy;

use crate::bpf;
use crate::bpf::mprog;
use crate::netkit;

pub const NAMESPACES: usize = 3;
pub const PROGS: usize = 5;
pub const LINKS: usize = 2;
pub const NAMES: [&str; 4] = ["nk0", "nk1", "nk2", "nk3"];

/// A MAC address that only this program gives out, so that a dump may show it.
pub const MAC: [u8; 6] = [2, 0x6e, 0x6b, 0, 0, 1];

/// A device: one of the primaries, or of all, that there are, by its place in the order of
/// namespaces and indexes (modulo their number), or whatever has a name, which may be
/// nothing.
#[derive(Clone, Debug)]
pub enum Device {
    Primary(usize),
    Nth(usize),
    Named { ns: usize, name: &'static str },
}

/// An attribute, whatever its payload.
#[derive(Clone, Debug)]
pub struct Raw {
    pub kind: u16,
    pub payload: Vec<u8>,
}

impl Raw {
    pub fn u32(kind: u16, value: u32) -> Self {
        let payload = value.to_ne_bytes().to_vec();
        Self { kind, payload }
    }

    fn one_of(kind: u16, values: Vec<u32>) -> impl Strategy<Value = Self> {
        select(values).prop_map(move |value| Self::u32(kind, value))
    }
}

#[derive(Clone, Debug)]
pub struct Peer {
    pub ns: usize,
    pub index: u32,
    pub attrs: Vec<Raw>,
}

/// What an attachment is relative to.
#[derive(Clone, Debug)]
pub enum Relative {
    Nothing,
    Prog(usize),
    ProgId(usize),
    Link(usize),
    LinkId(usize),
    Number(u32),
}

#[derive(Clone, Debug)]
pub enum Revision {
    Any,
    Current,
    Next,
}

#[derive(Clone, Debug)]
pub struct Place {
    pub flags: u32,
    pub relative: Relative,
    pub replace: Option<usize>,
    pub revision: Revision,
}

#[derive(Clone, Debug)]
pub enum Op {
    Create {
        ns: usize,
        index: u32,
        link: Vec<Raw>,
        data: Vec<Raw>,
        peer: Option<Peer>,
    },
    Change {
        device: Device,
        link: Vec<Raw>,
        data: Vec<Raw>,
    },
    Delete(Device),
    Up(Device),
    Down(Device),
    Move(Device, usize),
    Attach {
        device: Device,
        hook: u32,
        prog: usize,
        place: Place,
    },
    Detach {
        device: Device,
        hook: u32,
        prog: Option<usize>,
        place: Place,
    },
    Query {
        device: Device,
        hook: u32,
        room: usize,
        flags: u32,
    },
    LinkCreate {
        slot: usize,
        device: Device,
        hook: u32,
        prog: usize,
        place: Place,
    },
    LinkUpdate {
        slot: usize,
        prog: usize,
        old: Option<usize>,
    },
    LinkDetach(usize),
    LinkClose(usize),
    LinkInfo(usize),
}

/// Any operation.
pub fn any() -> BoxedStrategy<Op> {
    prop_oneof![
        2 => pair(),
        4 => create(),
        3 => (device(), link_attrs(), data_attrs()).prop_map(|(device, link, mut data)| {
            data.retain(|raw| !netkit::CHANGEABLE.contains(&raw.kind));
            Op::Change { device, link, data }
        }),
        1 => device().prop_map(Op::Delete),
        2 => device().prop_map(Op::Up),
        1 => device().prop_map(Op::Down),
        1 => (device(), 0..NAMESPACES).prop_map(|(device, ns)| Op::Move(device, ns)),
        5 => (device(), hook(), prog(), place())
            .prop_map(|(device, hook, prog, place)| Op::Attach { device, hook, prog, place }),
        2 => (device(), hook(), option::of(prog()), place())
            .prop_map(|(device, hook, prog, place)| Op::Detach { device, hook, prog, place }),
        2 => (device(), hook(), select(vec![0, 1, 64]), select(vec![0, 0, 0, 1]))
            .prop_map(|(device, hook, room, flags)| Op::Query { device, hook, room, flags }),
        4 => (0..LINKS, device(), hook(), prog(), place()).prop_map(
            |(slot, device, hook, prog, place)| Op::LinkCreate { slot, device, hook, prog, place }
        ),
        2 => (0..LINKS, prog(), option::of(0..PROGS))
            .prop_map(|(slot, prog, old)| Op::LinkUpdate { slot, prog, old }),
        1 => (0..LINKS).prop_map(Op::LinkDetach),
        1 => (0..LINKS).prop_map(Op::LinkClose),
        2 => (0..LINKS).prop_map(Op::LinkInfo),
    ]
    .boxed()
}

/// A pair that nothing speaks against.
pub fn pair() -> BoxedStrategy<Op> {
    let mode = Raw::one_of(netkit::MODE, vec![netkit::L2, netkit::L3]);
    (0..NAMESPACES, 0..NAMESPACES, mode)
        .prop_map(|(ns, pod, mode)| Op::Create {
            ns,
            index: 0,
            link: Vec::new(),
            data: vec![mode],
            peer: Some(Peer {
                ns: pod,
                index: 0,
                attrs: Vec::new(),
            }),
        })
        .boxed()
}

fn create() -> impl Strategy<Value = Op> {
    let peer = (
        0..NAMESPACES,
        prop_oneof![4 => Just(0), 1 => 1..40u32],
        link_attrs(),
    )
        .prop_map(|(ns, index, attrs)| Peer { ns, index, attrs });
    (
        0..NAMESPACES,
        prop_oneof![4 => Just(0), 1 => 1..40u32],
        link_attrs(),
        data_attrs(),
        option::weighted(0.7, peer),
    )
        .prop_map(|(ns, index, link, data, peer)| Op::Create {
            ns,
            index,
            link,
            data,
            peer,
        })
}

pub fn device() -> impl Strategy<Value = Device> {
    let named = (
        0..NAMESPACES,
        select(vec![NAMES[0], NAMES[1], "lo", "none"]),
    )
        .prop_map(|(ns, name)| Device::Named { ns, name });
    prop_oneof![
        10 => Just(Device::Primary(0)),
        6 => (0..4usize).prop_map(Device::Primary),
        5 => (0..8usize).prop_map(Device::Nth),
        1 => named,
    ]
}

/// One of the programs; the first, whose type is wrong, less often.
pub fn prog() -> impl Strategy<Value = usize> {
    prop_oneof![1 => Just(0), 14 => 1..PROGS]
}

pub fn hook() -> impl Strategy<Value = u32> {
    prop_oneof![8 => Just(bpf::PRIMARY), 6 => Just(bpf::PEER), 1 => Just(0)]
}

fn place() -> impl Strategy<Value = Place> {
    let revision = prop_oneof![
        8 => Just(Revision::Any),
        2 => Just(Revision::Current),
        1 => Just(Revision::Next),
    ];
    let parts = prop_oneof![
        6 => Just((0, Relative::Nothing, None)),
        2 => side().prop_map(|side| (side, Relative::Nothing, None)),
        2 => (side(), prog()).prop_map(|(side, slot)| (side, Relative::Prog(slot), None)),
        2 => (side(), prog())
            .prop_map(|(side, slot)| (side | mprog::ID, Relative::ProgId(slot), None)),
        1 => (side(), 0..LINKS)
            .prop_map(|(side, slot)| (side | mprog::LINK, Relative::Link(slot), None)),
        1 => (side(), 0..LINKS).prop_map(|(side, slot)| {
            (side | mprog::LINK | mprog::ID, Relative::LinkId(slot), None)
        }),
        2 => prog().prop_map(|slot| (mprog::REPLACE, Relative::Nothing, Some(slot))),
        2 => anything_goes(),
    ];
    (parts, revision).prop_map(|((flags, relative, replace), revision)| Place {
        flags,
        relative,
        replace,
        revision,
    })
}

fn side() -> impl Strategy<Value = u32> {
    select(vec![mprog::BEFORE, mprog::AFTER])
}

/// Flags, and what they are about, that need not go together.
fn anything_goes() -> impl Strategy<Value = (u32, Relative, Option<usize>)> {
    let bits = [
        mprog::BEFORE,
        mprog::AFTER,
        mprog::REPLACE,
        mprog::ID,
        mprog::LINK,
        1 << 9,
    ];
    let flags = vec(select(bits.to_vec()), 0..4)
        .prop_map(|bits| bits.into_iter().fold(0, |flags, bit| flags | bit));
    let relative = prop_oneof![
        Just(Relative::Nothing),
        (0..PROGS).prop_map(Relative::Prog),
        (0..PROGS).prop_map(Relative::ProgId),
        (0..LINKS).prop_map(Relative::Link),
        (0..LINKS).prop_map(Relative::LinkId),
        select(vec![1 << 20, u32::MAX]).prop_map(Relative::Number),
    ];
    (flags, relative, option::of(0..PROGS))
}

/// netkit's own attributes: each with values around what it may be, and now and then
/// with a payload that it cannot have, or of a type that there is not.
pub fn data_attrs() -> impl Strategy<Value = Vec<Raw>> {
    let short = |kind: u16| {
        select(vec![0u16, 1, 256, u16::MAX]).prop_map(move |value| Raw {
            kind,
            payload: value.to_ne_bytes().to_vec(),
        })
    };
    let bits = |value: i32| value as u32;
    let policies = vec![
        bits(netkit::PASS),
        bits(netkit::DROP),
        bits(netkit::DROP),
        bits(netkit::NEXT),
        bits(netkit::REDIRECT),
        1,
        3,
    ];
    let odd = (0..13u16, vec(anything::<u8>(), 0..10)).prop_map(|(kind, payload)| Raw {
        // The one that the Rust driver alone knows gives way to one that neither knows.
        kind: if kind == netkit::DEV_SWITCH { 13 } else { kind },
        payload,
    });
    let attr = prop_oneof![
        6 => Raw::one_of(netkit::MODE, vec![netkit::L2, netkit::L2, netkit::L3, 2, u32::MAX]),
        4 => Raw::one_of(netkit::POLICY, policies.clone()),
        4 => Raw::one_of(netkit::PEER_POLICY, policies),
        2 => Raw::one_of(netkit::SCRUB, vec![netkit::SCRUB_NONE, netkit::SCRUB_DEFAULT, 2]),
        2 => Raw::one_of(netkit::PEER_SCRUB, vec![netkit::SCRUB_NONE, netkit::SCRUB_DEFAULT, 2]),
        2 => short(netkit::HEADROOM),
        2 => short(netkit::TAILROOM),
        2 => Raw::one_of(netkit::PAIRING, vec![0, netkit::SINGLE, netkit::SINGLE, 2]),
        2 => odd,
    ];
    vec(attr, 0..4)
}

/// Attributes that every device has.
pub fn link_attrs() -> impl Strategy<Value = Vec<Raw>> {
    let name = prop_oneof![6 => select(&NAMES[..]), 1 => select(vec!["", "a/b", "nk%d", "much-too-long-a-name"])]
        .prop_map(|name| Raw {
            kind: libc::IFLA_IFNAME,
            payload: [name.as_bytes(), b"\0"].concat(),
        });
    let mac = select(vec![
        MAC.to_vec(),
        MAC.to_vec(),
        vec![0; 6],
        vec![0xff; 6],
        vec![1, 0, 0x5e, 0, 0, 1],
        vec![2, 0, 0],
        vec![2; 8],
    ])
    .prop_map(|payload| Raw {
        kind: libc::IFLA_ADDRESS,
        payload,
    });
    let attr = prop_oneof![
        4 => Raw::one_of(libc::IFLA_MTU, vec![67, 68, 1500, 65535, 65536]),
        2 => Raw::one_of(libc::IFLA_NUM_TX_QUEUES, vec![0, 1, 2, 5000]),
        2 => Raw::one_of(libc::IFLA_NUM_RX_QUEUES, vec![0, 1, 2, 1024, 1025, 5000]),
        2 => Raw::one_of(netkit::IFLA_GSO_MAX_SIZE, vec![0, 65536, 185000, 524280, 524281]),
        1 => Raw::one_of(netkit::IFLA_GRO_MAX_SIZE, vec![65536, 524280]),
        1 => Raw::one_of(libc::IFLA_TXQLEN, vec![0, 500]),
        1 => Raw::one_of(libc::IFLA_GROUP, vec![0, 7]),
        3 => mac,
    ];
    (option::weighted(0.8, name), vec(attr, 0..2)).prop_map(|(name, mut attrs)| {
        attrs.extend(name);
        attrs
    })
}
