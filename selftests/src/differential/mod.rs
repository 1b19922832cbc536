// SPDX-License-Identifier: GPL-2.0
//! Random sequences of operations, the same ones on both drivers, compared step by step.
//!
//! A sequence is made from a seed only. After each step, its outcome (errno, extack text and offset, the result of a
//! query) and a dump of all devices are reported. They must be the same on both drivers. If they differ, the sequence
//! is shortened as long as a difference remains.

pub mod op;
mod shrink;
pub mod world;

use std::fmt::Debug;
use std::rc::Rc;

use anyhow::anyhow;
use anyhow::Result;
use proptest::collection::vec;
use proptest::strategy::BoxedStrategy;
use proptest::strategy::Strategy;
use proptest::strategy::ValueTree;
use proptest::test_runner::Config;
use proptest::test_runner::RngAlgorithm;
use proptest::test_runner::TestRng;
use proptest::test_runner::TestRunner;

use crate::tests::Needs;
use crate::tests::Test;

pub use self::op::Op;
pub use self::shrink::shortest;

/// The module part of the sequences' names.
pub const PREFIX: &str = "differential::";

/// How many sequences, how long, and from which seed.
#[derive(Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    pub sequences: u32,
    pub steps: u32,
}

impl Plan {
    pub fn tests(&self) -> Result<Vec<Test>> {
        (0..self.sequences)
            .map(|number| {
                let name = format!("{PREFIX}seed_{}_{number}", self.seed);
                Ok(test(name, self.operations(number)?))
            })
            .collect()
    }

    fn operations(&self, number: u32) -> Result<Vec<Op>> {
        sequence(self.seed, number.into(), self.steps, op::pair(), op::any())
    }

    /// The operations of a sequence by the name of its test.
    pub fn operations_of(&self, name: &str) -> Option<Vec<Op>> {
        let number = name.rsplit('_').next()?.parse().ok()?;
        self.operations(number).ok()
    }
}

/// Draws sequence `number` of a seed: so many operations, the first of a kind of its own.
pub fn sequence<O: Clone + Debug>(
    seed: u64,
    number: u64,
    steps: u32,
    first: BoxedStrategy<O>,
    any: BoxedStrategy<O>,
) -> Result<Vec<O>> {
    let rest = steps.saturating_sub(1) as usize;
    let tree = (first, vec(any, rest))
        .new_tree(&mut random(seed, number))
        .map_err(|why| anyhow!("making a sequence: {why}"))?;
    let (first, mut ops) = tree.current();
    ops.insert(0, first);
    Ok(ops)
}

/// What sequence `number` of a seed is drawn from.
fn random(seed: u64, number: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config {
        // No file, and so nothing that is copied for each draw: that would be most of its time.
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, rng)
}

/// A test that runs these operations.
pub fn test(name: String, ops: Vec<Op>) -> Test {
    Test {
        name,
        needs: Needs::AnyDriver,
        lacks: || None,
        patience: 2,
        run: Rc::new(move |ctx| world::run(ctx, &ops)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_depends_on_its_seed_and_number_alone() {
        let plan = Plan {
            seed: 7,
            sequences: 2,
            steps: 20,
        };
        let text = |number| format!("{:?}", plan.operations(number).expect("a sequence"));
        assert_eq!(text(0), text(0));
        assert_ne!(text(0), text(1));
        let named = plan.operations_of("differential::seed_7_1");
        assert_eq!(format!("{:?}", named.expect("its number")), text(1));
    }
}
