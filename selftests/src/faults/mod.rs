// SPDX-License-Identifier: GPL-2.0
//! Operations whose steps or allocations fail.
//!
//! - `faults::step_…` makes the kernel functions that the operation calls fail, one after the other. This works on any
//!   kernel with kprobes, and the results must be C's.
//! - `faults::nth_…` makes the first, second, third… allocation of the operation fail, until the operation has no more
//!   allocations. This needs a kernel with fault injection.
//!
//! After each failure, everything must be as before, and the operation must succeed when nothing fails.

mod nth;
mod operation;
pub mod probe;

use std::rc::Rc;

use anyhow::Result;

use self::operation::Operation;
use self::operation::OPERATIONS;
use self::probe::Probe;
use crate::check;
use crate::ctx::Ctx;
use crate::tests::Needs;
use crate::tests::Test;

pub fn tests() -> Vec<Test> {
    let with_steps = OPERATIONS
        .iter()
        .filter(|operation| !operation.steps.is_empty());
    let mut all: Vec<_> = with_steps
        .map(|operation| Test {
            name: format!("faults::step_{}", operation.name),
            needs: Needs::AnyDriver,
            lacks: || None,
            patience: 2,
            run: Rc::new(|t| steps_fail(t, operation)),
        })
        .collect();
    all.extend(nth::tests());
    all
}

fn steps_fail(t: &Ctx, operation: &Operation) -> Result<()> {
    let scene = (operation.scene)(t)?;
    let probe = Probe::load(t)?;
    let before = scene.state()?;
    for (function, through, answer) in operation.steps {
        probe.arm(function, *through, *answer)?;
        let outcome = (operation.run)(&scene);
        let fired = probe.fired()?;
        probe.disarm()?;
        let step = format!("call {through} of {function}");
        check::that(&format!("{step} was made to fail"), fired)?;
        check::that(&format!("refused when {step} fails"), outcome.is_err())?;
        t.same(&step, format!("{outcome:?}"));
        check::equal(&step, scene.state()?, before.as_str())?;
        (operation.run)(&scene)?;
        (operation.undo)(&scene)?;
        check::equal("taken back", scene.state()?, before.as_str())?;
    }
    probe.unload()?;
    scene.end()
}
