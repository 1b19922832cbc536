// SPDX-License-Identifier: GPL-2.0
//! Bad input: netlink messages and bpf(2) calls that nobody would send.
//!
//! A sequence is made from a seed and its number, as in the differential part, and works on
//! devices, programs and links that sound operations in between have made. In the short run the
//! C driver is the oracle: each step has the same outcome (errno, extack, what is written) on
//! both. In the long run only ours is there, and it is judged by what it leaves behind.

mod arena;
mod call;
pub mod long;
mod message;
mod op;
mod request;
mod socket;
mod world;

use std::rc::Rc;

use anyhow::Result;

use crate::ctx::Ctx;
use crate::differential;
use crate::tests::Needs;
use crate::tests::Test;

pub use self::op::Op;

/// The module part of the sequences' names.
pub const PREFIX: &str = "fuzz::";

/// From which seed, and how much.
#[derive(Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    /// In all sequences together.
    pub operations: u64,
    /// In one sequence.
    pub steps: u32,
}

impl Plan {
    pub fn sequences(&self) -> u64 {
        self.operations.div_ceil(self.steps.max(1).into())
    }

    /// The tests of the short run.
    pub fn tests(&self) -> Vec<Test> {
        let plan = *self;
        let one = |number| {
            let name = format!("{PREFIX}seed_{}_{number}", self.seed);
            // Made where it is run: together they would be many.
            run(name, move |ctx| {
                world::compare(ctx, &plan.sequence(number)?)
            })
        };
        (0..self.sequences()).map(one).collect()
    }

    pub fn sequence(&self, number: u64) -> Result<Vec<Op>> {
        differential::sequence(self.seed, number, self.steps, op::first(), op::any())
    }

    /// The operations of a sequence by the name of its test.
    pub fn operations_of(&self, name: &str) -> Option<Vec<Op>> {
        let number = name.rsplit('_').next()?.parse().ok()?;
        self.sequence(number).ok()
    }
}

/// A test that compares these operations, for shortening them.
pub fn test(name: String, ops: Vec<Op>) -> Test {
    run(name, move |ctx| world::compare(ctx, &ops))
}

fn run(name: String, f: impl Fn(&Ctx) -> Result<()> + 'static) -> Test {
    Test {
        name,
        needs: Needs::AnyDriver,
        lacks: || None,
        patience: 4,
        run: Rc::new(f),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_depends_on_its_seed_and_number_alone() {
        let plan = Plan {
            seed: 7,
            operations: 90,
            steps: 40,
        };
        assert_eq!(plan.sequences(), 3);
        let text = |number| format!("{:?}", plan.sequence(number).expect("a sequence"));
        assert_eq!(text(0), text(0));
        assert_ne!(text(0), text(1));
        let named = plan.operations_of("fuzz::seed_7_1");
        assert_eq!(format!("{:?}", named.expect("its number")), text(1));
    }
}
