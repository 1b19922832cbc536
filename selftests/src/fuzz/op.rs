// SPDX-License-Identifier: GPL-2.0
//! The operations of a sequence: sound ones of the differential part, so that there are
//! devices, programs and links to aim at, and wild ones.

use proptest::prop_oneof;
use proptest::strategy::BoxedStrategy;
use proptest::strategy::Strategy;

use super::call;
use super::call::Call;
use super::request;
use super::request::Request;
use crate::differential::op;

#[derive(Clone, Debug)]
pub enum Op {
    Plain(op::Op),
    Request(Request),
    Call(Call),
}

pub fn any() -> BoxedStrategy<Op> {
    prop_oneof![
        2 => op::any().prop_map(Op::Plain),
        4 => request::any().prop_map(Op::Request),
        4 => call::any().prop_map(Op::Call),
    ]
    .boxed()
}

/// What a sequence begins with: something to aim at.
pub fn first() -> BoxedStrategy<Op> {
    op::pair().prop_map(Op::Plain).boxed()
}
