// SPDX-License-Identifier: GPL-2.0
//! The module's life beside others: other livepatches, steps of loading that fail, links that die in the background.
//!
//! What can be told without such help stands in tests/module.rs.

mod alone;
mod other;
mod patches;
mod steps;

use crate::tests::Needs;
use crate::tests::Test;

pub fn tests() -> Vec<Test> {
    let mut all: Vec<_> = [patches::tests(), steps::tests(), alone::tests()]
        .into_iter()
        .flatten()
        .collect();
    for test in &mut all {
        let name = test.name.rsplit("::").next().unwrap_or_default();
        test.name = format!("lifecycle::{name}");
        test.needs = Needs::Module("there is no module to load or unload with the built-in driver");
        test.patience = 3;
    }
    all
}
