// SPDX-License-Identifier: GPL-2.0
//! bpf(2) calls that no library makes: any size, any descriptor, any pointer.
//!
//! A call is a command, and the words of its argument at their offsets. The value of a word (the descriptor of a
//! program, the id of a link, an index) is a symbol until the call.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::any as anything;
use proptest::prelude::Just;
use proptest::prop_oneof;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;
use proptest::strategy::Strategy;

use super::arena::Spot;
use crate::bpf;
use crate::bpf::mprog;
use crate::differential::op;
use crate::differential::op::Device;
use crate::differential::op::Revision;
use crate::differential::op::LINKS;
use crate::differential::op::NAMESPACES;
use crate::differential::op::PROGS;

pub const PROG_ATTACH: u32 = libbpf_sys::BPF_PROG_ATTACH;
pub const PROG_DETACH: u32 = libbpf_sys::BPF_PROG_DETACH;
pub const PROG_QUERY: u32 = libbpf_sys::BPF_PROG_QUERY;
pub const LINK_CREATE: u32 = libbpf_sys::BPF_LINK_CREATE;
pub const LINK_UPDATE: u32 = libbpf_sys::BPF_LINK_UPDATE;
pub const LINK_DETACH: u32 = libbpf_sys::BPF_LINK_DETACH;
pub const LINK_BY_ID: u32 = libbpf_sys::BPF_LINK_GET_FD_BY_ID;
pub const INFO: u32 = libbpf_sys::BPF_OBJ_GET_INFO_BY_FD;

/// Where the argument of a query has what the kernel writes.
pub const QUERY_FLAGS: usize = 12;
pub const QUERY_COUNT: usize = 24;
pub const QUERY_REVISION: usize = 56;
/// Behind struct bpf_prog_query.
pub const QUERY_END: usize = 64;
pub const INFO_LEN: usize = 4;

/// A descriptor, or the id of what it is one of.
#[derive(Clone, Copy, Debug)]
pub enum Thing {
    Prog(usize),
    Link(usize),
    /// A tcx link.
    ForeignLink,
    Map,
    Socket,
    Space(usize),
    Closed,
}

#[derive(Clone, Debug)]
pub enum Word {
    Number(u64),
    Fd(Thing),
    Id(Thing),
    Index(Device),
    /// Relative to the revision of the call's device.
    Revision(Revision),
    Pointer(Spot),
}

/// The place of the argument.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    Whole,
    /// Its last byte is the last of the mapping.
    Edge,
    ReadOnly,
    Unmapped,
    Null,
}

#[derive(Clone, Debug)]
pub struct Call {
    pub command: u32,
    /// Offset, width and content of each word.
    pub words: Vec<(usize, usize, Word)>,
    pub size: u32,
    pub place: Place,
    /// A byte that is not zero, behind the words.
    pub dirt: Option<(usize, u8)>,
    /// The size of struct bpf_common_attr, if the call has one.
    pub common: Option<u32>,
    /// What the revision is of.
    pub device: Device,
    pub hook: u32,
    /// The slot for a new link.
    pub slot: usize,
}

/// Any call.
pub fn any() -> BoxedStrategy<Call> {
    prop_oneof![
        5 => attach(PROG_ATTACH),
        3 => attach(PROG_DETACH),
        4 => query(),
        5 => create(),
        3 => update(),
        1 => simple(LINK_DETACH, 4),
        1 => simple(LINK_BY_ID, 12),
        2 => info(),
    ]
    .boxed()
}

type Words = Vec<(usize, usize, Word)>;

/// A call with its words, then what is wrong with it.
fn dressed(
    command: u32,
    exact: u32,
    sound: BoxedStrategy<(Device, u32, Words)>,
) -> BoxedStrategy<Call> {
    let other = (0..16usize, word());
    let size = prop_oneof![
        10 => Just(exact),
        2 => 0..exact,
        2 => exact..200u32,
        1 => select(vec![4095, 4096, 4097, 65536, u32::MAX]),
    ];
    let place = prop_oneof![
        14 => Just(Place::Whole),
        2 => Just(Place::Edge),
        1 => select(vec![Place::ReadOnly, Place::Unmapped, Place::Null]),
    ];
    let dirt = (0..220usize, 1..255u8);
    let common = option::weighted(0.04, select(vec![0, 8, 24, 40, u32::MAX]));
    (
        sound,
        option::weighted(0.3, other),
        size,
        place,
        option::weighted(0.12, dirt),
        common,
        0..LINKS,
    )
        .prop_map(
            move |((device, hook, mut words), other, size, place, dirt, common, slot)| {
                if let Some((at, word)) = other {
                    let at = at % words.len();
                    words[at].2 = word;
                }
                // No word is cut or altered: an id, or a number where an id is looked up, would become one that
                // is taken on one run and free on the other.
                let covers = |(start, width, _): &(usize, usize, Word), at: usize| {
                    (*start..start + width).contains(&at)
                };
                let dirt = dirt.filter(|(at, _)| !words.iter().any(|word| covers(word, *at)));
                words.retain(|(start, width, _)| start + width <= size as usize);
                Call {
                    command,
                    words,
                    size,
                    place,
                    dirt,
                    common,
                    device,
                    hook,
                    slot,
                }
            },
        )
        .boxed()
}

fn thing() -> impl Strategy<Value = Thing> {
    prop_oneof![
        6 => (0..PROGS).prop_map(Thing::Prog),
        4 => (0..LINKS).prop_map(Thing::Link),
        1 => Just(Thing::ForeignLink),
        1 => select(vec![Thing::Map, Thing::Socket, Thing::Closed]),
        1 => (0..NAMESPACES).prop_map(Thing::Space),
    ]
}

/// Numbers that no program, link or descriptor of the test has, so that all is the same on both drivers.
fn number() -> impl Strategy<Value = Word> {
    prop_oneof![
        3 => select(vec![0, 1, u64::MAX, 1 << 20, 1 << 31, u64::from(u32::MAX), u64::from(u32::MAX) - 1]),
        1 => anything::<u64>().prop_map(|number| number | (1 << 28)),
    ]
    .prop_map(Word::Number)
}

fn spot() -> impl Strategy<Value = Spot> {
    select(vec![
        Spot::Null,
        Spot::Edge,
        Spot::Odd,
        Spot::Unmapped,
        Spot::ReadOnly,
        Spot::Kernel,
    ])
}

/// Whatever a word can be, and is the same on every run. So no id: that of a program or link is another
/// one each time, and stands only where it is looked up.
fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        3 => number(),
        4 => thing().prop_map(Word::Fd),
        2 => op::device().boxed().prop_map(Word::Index),
        2 => spot().prop_map(Word::Pointer),
        1 => (0..70u64).prop_map(Word::Number),
        1 => Just(Word::Revision(Revision::Current)),
    ]
}

fn prog() -> impl Strategy<Value = Word> {
    prop_oneof![12 => op::prog().prop_map(Thing::Prog), 1 => thing()].prop_map(Word::Fd)
}

fn link() -> impl Strategy<Value = Word> {
    prop_oneof![10 => (0..LINKS).prop_map(Thing::Link), 1 => thing()].prop_map(Word::Fd)
}

fn hook() -> impl Strategy<Value = u32> {
    prop_oneof![8 => op::hook(), 1 => 0..70u32]
}

fn flags() -> impl Strategy<Value = u32> {
    let bits = [
        mprog::BEFORE,
        mprog::AFTER,
        mprog::REPLACE,
        mprog::ID,
        mprog::LINK,
    ];
    let some = vec(select(bits.to_vec()), 0..4);
    prop_oneof![
        3 => Just(0),
        5 => some.prop_map(|bits| bits.into_iter().fold(0, |flags, bit| flags | bit)),
        1 => anything::<u32>(),
    ]
}

/// A descriptor or, with BPF_F_ID, an id; not always what the flags say.
fn relative() -> impl Strategy<Value = Word> {
    prop_oneof![
        4 => Just(Word::Number(0)),
        3 => thing().prop_map(Word::Fd),
        2 => thing().prop_map(Word::Id),
        1 => number(),
    ]
}

fn revision() -> impl Strategy<Value = Word> {
    prop_oneof![
        6 => Just(Word::Number(0)),
        2 => Just(Word::Revision(Revision::Current)),
        1 => Just(Word::Revision(Revision::Next)),
        1 => number(),
    ]
}

fn attach(command: u32) -> BoxedStrategy<Call> {
    let replace = prop_oneof![2 => Just(Word::Number(0)), 3 => prog()];
    let sound = (
        op::device().boxed(),
        prog(),
        hook(),
        flags(),
        replace,
        relative(),
        revision(),
    )
        .prop_map(|(device, prog, hook, flags, replace, relative, revision)| {
            let words = vec![
                (0, 4, Word::Index(device.clone())),
                (4, 4, prog),
                (8, 4, Word::Number(hook.into())),
                (12, 4, Word::Number(flags.into())),
                (16, 4, replace),
                (20, 4, relative),
                (24, 8, revision),
            ];
            (device, hook, words)
        });
    dressed(command, 32, sound.boxed())
}

fn query() -> BoxedStrategy<Call> {
    let pointer =
        |number| prop_oneof![6 => Just(Spot::Array(number)), 1 => spot()].prop_map(Word::Pointer);
    let count = prop_oneof![
        4 => 0..5u64,
        3 => Just(64),
        2 => select(vec![63, 65, 1 << 16, 1 << 31, u64::from(u32::MAX)]),
    ];
    let sound = (
        op::device().boxed(),
        hook(),
        prop_oneof![8 => Just(0u64), 1 => 0..4u64],
        count,
        pointer(0),
        pointer(1),
        pointer(2),
        pointer(3),
    )
        .prop_map(
            |(device, hook, flags, count, progs, prog_flags, links, link_flags)| {
                let words = vec![
                    (0, 4, Word::Index(device.clone())),
                    (4, 4, Word::Number(hook.into())),
                    (8, 4, Word::Number(flags)),
                    (16, 8, progs),
                    (QUERY_COUNT, 4, Word::Number(count)),
                    (32, 8, prog_flags),
                    (40, 8, links),
                    (48, 8, link_flags),
                ];
                (device, hook, words)
            },
        );
    dressed(PROG_QUERY, QUERY_END as u32, sound.boxed())
}

fn create() -> BoxedStrategy<Call> {
    let sound = (
        op::device().boxed(),
        prog(),
        hook(),
        flags(),
        relative(),
        revision(),
    )
        .prop_map(|(device, prog, hook, flags, relative, revision)| {
            let words = vec![
                (0, 4, prog),
                (4, 4, Word::Index(device.clone())),
                (8, 4, Word::Number(hook.into())),
                (12, 4, Word::Number(flags.into())),
                (16, 4, relative),
                (20, 4, Word::Number(0)),
                (24, 8, revision),
            ];
            (device, hook, words)
        });
    dressed(LINK_CREATE, 32, sound.boxed())
}

fn update() -> BoxedStrategy<Call> {
    let old = prop_oneof![1 => Just(Word::Number(0)), 1 => prog()];
    let flags = prop_oneof![3 => Just(0), 3 => Just(mprog::REPLACE), 1 => anything::<u32>()];
    let sound = (link(), prog(), flags, old).prop_map(|(link, prog, flags, old)| {
        let words = vec![
            (0, 4, link),
            (4, 4, prog),
            (8, 4, Word::Number(flags.into())),
            (12, 4, old),
        ];
        (Device::Primary(0), bpf::PRIMARY, words)
    });
    dressed(LINK_UPDATE, 16, sound.boxed())
}

/// A command about one link and no more.
fn simple(command: u32, size: u32) -> BoxedStrategy<Call> {
    let by_id = prop_oneof![10 => (0..LINKS).prop_map(Thing::Link), 1 => thing()];
    let sound = (link(), by_id).prop_map(move |(link, by_id)| {
        let word = if command == LINK_BY_ID {
            Word::Id(by_id)
        } else {
            link
        };
        (Device::Primary(0), bpf::PRIMARY, vec![(0, 4, word)])
    });
    dressed(command, size, sound.boxed())
}

fn info() -> BoxedStrategy<Call> {
    let len = prop_oneof![2 => Just(64u64), 2 => 0..100u64, 1 => select(vec![4096, 1 << 31, u64::from(u32::MAX)])];
    let to = prop_oneof![5 => Just(Spot::Array(0)), 1 => spot()];
    let sound = (link(), len, to).prop_map(|(link, len, to)| {
        let words = vec![
            (0, 4, link),
            (INFO_LEN, 4, Word::Number(len)),
            (8, 8, Word::Pointer(to)),
        ];
        (Device::Primary(0), bpf::PRIMARY, words)
    });
    dressed(INFO, 16, sound.boxed())
}
