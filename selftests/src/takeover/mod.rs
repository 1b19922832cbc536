// SPDX-License-Identifier: GPL-2.0
//! Taking the built-in driver's devices over, and handing them back, while they are in use.
//!
//! A device goes from the built-in driver to the module when the module's livepatch is enabled, and back before it is
//! disabled. Users must not notice this. A test either does whole loads and unloads, or exchanges the drivers by the
//! module's parameter `takeover`. The parameter does the same to the devices, and is much faster.

mod busy;
mod deletions;
mod ethtool;
mod hitless;
mod hold;
mod kernel;
mod kinds;
mod operations;
mod options;
mod picture;
mod places;
mod queues;
mod same;
pub mod states;
mod strangers;
mod stream;
mod streams;

use crate::tests::Needs;
use crate::tests::Test;

pub fn tests() -> Vec<Test> {
    let mut all: Vec<_> = [
        hitless::tests(),
        queues::tests(),
        same::tests(),
        kinds::tests(),
        options::tests(),
        deletions::tests(),
        kernel::tests(),
        busy::tests(),
        strangers::tests(),
    ]
    .into_iter()
    .flatten()
    .collect();
    for test in &mut all {
        test.name = format!("takeover::{}", test.name);
        test.needs = Needs::Module("the built-in driver's devices have nobody to go to");
        test.patience = 5;
    }
    all
}
