// SPDX-License-Identifier: GPL-2.0
//! The results of `takeover` as a table: a column for each number of pairs. Also the check that they are what netkit-rs
//! promises.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;

use crate::outcome::find;
use crate::outcome::outcomes;
use crate::outcome::Outcome;
use crate::plot_takeover;
use crate::raw::Driver;
use crate::raw::Raw;
use crate::report::cell;
use crate::report::insert;
use crate::report::write_json;
use crate::scale_report::row;
use crate::takeover::SIZES;

/// The longest that RTNL may be held, in milliseconds.
pub const LIMIT: f64 = 5.0;

/// The measured value, its title, and the number of decimals.
const ROWS: [(&str, &str, usize); 12] = [
    ("take-over", "take over, instructions", 0),
    ("hand-back", "hand back, instructions", 0),
    ("batches-take-over", "RTNL is taken, times", 0),
    ("hold-take-over", "RTNL held at most, taking over, ms", 3),
    ("hold-hand-back", "RTNL held at most, handing back, ms", 3),
    (
        "hold-loading",
        "RTNL held at most, loading and unloading, ms",
        3,
    ),
    ("load", "load, ms", 0),
    ("unload", "unload, ms", 0),
    ("exchanges", "exchanges with traffic", 0),
    ("sent", "datagrams sent", 0),
    ("lost", "datagrams lost", 0),
    ("out-of-order", "datagrams out of order", 0),
];

pub fn value(outcomes: &[Outcome], what: &str, size: u32) -> Option<f64> {
    let scenario = format!("takeover/{what}/{size}");
    find(outcomes, &scenario, Driver::Rust).map(|it| it.instructions)
}

pub fn per_device(outcomes: &[Outcome], what: &str, size: u32) -> Option<f64> {
    value(outcomes, what, size).map(|all| all / f64::from(2 * size))
}

fn table(outcomes: &[Outcome]) -> Result<String> {
    let mut text = String::new();
    let sizes = SIZES.iter().map(u32::to_string);
    row(&mut text, "with … pairs", sizes)?;
    writeln!(text, "|---|{}", "---:|".repeat(SIZES.len()))?;
    for (what, title, digits) in ROWS {
        let cells = SIZES.map(|size| cell(value(outcomes, what, size), digits));
        row(&mut text, title, cells.into_iter())?;
        if matches!(what, "take-over" | "hand-back") {
            let cells = SIZES.map(|size| cell(per_device(outcomes, what, size), 0));
            row(
                &mut text,
                &format!("{title}, per device"),
                cells.into_iter(),
            )?;
        }
    }
    Ok(text)
}

/// Fails unless RTNL was never held for longer than [`LIMIT`], and no datagram was lost or late.
pub fn check(raw: &Raw) -> Result<()> {
    for sample in &raw.samples {
        let limit = match sample.scenario.split('/').nth(1) {
            Some(what) if what.starts_with("hold-") => LIMIT,
            Some("lost" | "out-of-order") => 0.0,
            _ => continue,
        };
        let (scenario, runs) = (&sample.scenario, &sample.runs);
        ensure!(
            runs.iter().all(|run| *run <= limit),
            "{scenario}: {runs:?}, more than {limit}"
        );
    }
    Ok(())
}

pub fn make(raw: &Path, out: &Path, docs: Option<&Path>) -> Result<()> {
    let raw = Raw::read(raw)?;
    let outcomes = outcomes(&raw)?;
    let table = table(&outcomes)?;
    print!("{table}");
    let path = out.join("takeover-table.md");
    fs::write(&path, &table).with_context(|| format!("{}", path.display()))?;
    write_json(
        &outcomes,
        &out.join("takeover-results.json"),
        &out.join("takeover-other.json"),
    )?;
    for folder in [Some(out), docs].into_iter().flatten() {
        plot_takeover::plot(&outcomes, &folder.join("takeover.svg"))?;
    }
    docs.map_or(Ok(()), |docs| {
        insert(&docs.join("performance.md"), "takeover", &raw, &table)
    })
}
