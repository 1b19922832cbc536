// SPDX-License-Identifier: GPL-2.0
//! Finding the shortest sequence on which the drivers still differ.
//!
//! Each round leaves out one part after the other. It runs the shorter sequences on C, then, with the module loaded
//! once, on ours, and continues with the shortest sequence that still differs.

use anyhow::Result;

use crate::module;
use crate::runner;
use crate::runner::Settings;
use crate::runner::Sightings;
use crate::tests::Test;

/// Makes a test of operations.
type Make<O> = fn(String, Vec<O>) -> Test;

/// Shortens `ops`, whose outcome differs between the drivers. The module is not loaded.
pub fn shortest<O: Clone>(ops: Vec<O>, test: Make<O>, settings: &Settings) -> Result<Vec<O>> {
    let mut ops = ops;
    let mut part = ops.len().div_ceil(2);
    while part > 0 {
        let candidates: Vec<Vec<O>> = (0..ops.len().div_ceil(part))
            .map(|number| without(&ops, number * part, part))
            .filter(|candidate| !candidate.is_empty())
            .collect();
        match first_difference(&candidates, test, settings)? {
            Some(shorter) => {
                ops = candidates[shorter].clone();
                part = part.min(ops.len().div_ceil(2));
            }
            None if part == 1 => break,
            None => part = part.div_ceil(2),
        }
    }
    Ok(ops)
}

fn without<O: Clone>(ops: &[O], start: usize, count: usize) -> Vec<O> {
    let end = ops.len().min(start + count);
    [&ops[..start], &ops[end..]].concat()
}

fn first_difference<O: Clone>(
    candidates: &[Vec<O>],
    test: Make<O>,
    settings: &Settings,
) -> Result<Option<usize>> {
    let on_c = outcomes(candidates, test, settings)?;
    module::load(&settings.module)?;
    let on_rust = outcomes(candidates, test, settings);
    module::unload()?;
    Ok(on_c.iter().zip(on_rust?).position(|(c, rust)| *c != rust))
}

fn outcomes<O: Clone>(
    candidates: &[Vec<O>],
    test: Make<O>,
    settings: &Settings,
) -> Result<Vec<Sightings>> {
    let one = |ops: &Vec<O>| {
        let outcome = runner::run(&test("shrinking".into(), ops.clone()), settings)?;
        Ok(outcome.same)
    };
    candidates.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::Op;

    #[test]
    fn a_part_is_left_out_and_the_rest_stays_in_order() {
        let ops: Vec<_> = (0..5).map(Op::LinkClose).collect();
        let text = |ops: Vec<Op>| format!("{ops:?}");
        let left = vec![Op::LinkClose(0), Op::LinkClose(3), Op::LinkClose(4)];
        assert_eq!(text(without(&ops, 1, 2)), text(left));
        assert_eq!(without(&ops, 4, 4).len(), 4);
    }
}
