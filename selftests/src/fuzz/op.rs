// SPDX-License-Identifier: GPL-2.0
//! The operations of a sequence: sound ones, most of them the differential part's, so that
//! there are devices, programs, links and leased queues to aim at, and wild ones.

use proptest::prelude::Just;
use proptest::prop_oneof;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;
use proptest::strategy::Strategy;

use super::call;
use super::call::Call;
use super::request;
use super::request::Request;
use crate::differential::op;
use crate::differential::op::Device;
use crate::differential::op::NAMESPACES;
use crate::netkit;

/// The network card with queues to lease, in the first namespace at the beginning.
pub const CARD: &str = "phys";
/// How many queues it has, and a device that leases some.
pub const QUEUES: u32 = 4;

#[derive(Clone, Debug)]
pub enum Op {
    Plain(op::Op),
    /// A queue of the card for a device, asked for where the device is.
    Lease {
        device: Device,
        queue: u32,
    },
    Request(Request),
    Call(Call),
}

pub fn any() -> BoxedStrategy<Op> {
    prop_oneof![
        20 => op::any().prop_map(Op::Plain),
        2 => lessee(),
        6 => lease(),
        1 => about_the_card(),
        40 => request::any().prop_map(Op::Request),
        40 => call::any().prop_map(Op::Call),
    ]
    .boxed()
}

/// What a sequence begins with: something to aim at.
pub fn first() -> BoxedStrategy<Op> {
    prop_oneof![op::pair().prop_map(Op::Plain), lessee()].boxed()
}

/// A pair or a single device with room for queues.
fn lessee() -> impl Strategy<Value = Op> {
    let room = op::Raw::u32(libc::IFLA_NUM_RX_QUEUES, QUEUES);
    let pairing = select(vec![0, netkit::SINGLE]);
    (0..NAMESPACES, 0..NAMESPACES, pairing).prop_map(move |(ns, pod, pairing)| {
        let peer = op::Peer {
            ns: pod,
            index: 0,
            attrs: vec![room.clone()],
        };
        Op::Plain(op::Op::Create {
            ns,
            index: 0,
            link: vec![room.clone()],
            data: vec![op::Raw::u32(netkit::PAIRING, pairing)],
            peer: (pairing == 0).then_some(peer),
        })
    })
}

fn lease() -> impl Strategy<Value = Op> {
    let device = prop_oneof![6 => (0..8usize).prop_map(Device::Nth), 1 => op::device()];
    (device, 0..QUEUES + 1).prop_map(|(device, queue)| Op::Lease { device, queue })
}

/// What happens to a card while its queues are on lease.
fn about_the_card() -> impl Strategy<Value = Op> {
    let card = || Device::Named { ns: 0, name: CARD };
    prop_oneof![
        3 => Just(op::Op::Down(card())),
        3 => Just(op::Op::Up(card())),
        1 => (1..NAMESPACES).prop_map(move |to| op::Op::Move(card(), to)),
        1 => Just(op::Op::Delete(card())),
    ]
    .prop_map(Op::Plain)
}
