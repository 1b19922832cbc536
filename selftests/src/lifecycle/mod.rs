// SPDX-License-Identifier: GPL-2.0
//! Loading and unloading while something else happens: other livepatches, steps of loading that fail, links that are
//! freed in the background.
//!
//! Tests of loading and unloading that need none of this are in tests/module.rs.

mod alone;
pub mod other;
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
