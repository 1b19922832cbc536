// SPDX-License-Identifier: GPL-2.0
//! The output of the figures: the table, results.json, the document.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use serde::Serialize;

use crate::outcome::find;
use crate::outcome::outcomes;
use crate::outcome::without_the_kernels_part;
use crate::outcome::Outcome;
use crate::plot;
use crate::raw::Driver;
use crate::raw::Raw;
use crate::raw::Unit;

/// What is measured beside instructions, as other.json has it.
#[derive(Serialize)]
struct Other<'a> {
    scenario: &'a str,
    driver: Driver,
    unit: Unit,
    value: f64,
    spread: f64,
    kernel: &'a str,
    commit: &'a str,
}

pub fn cell(number: Option<f64>, digits: usize) -> String {
    number.map_or_else(|| "–".to_owned(), |number| format!("{number:.digits$}"))
}

/// The scenarios in their order, each followed by the figures that are derived from it.
pub fn names(outcomes: &[Outcome]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for outcome in outcomes {
        let name = outcome.scenario.as_str();
        if !outcome.counts_instructions()
            || outcome.driver == Driver::Dummy
            || names.contains(&name)
        {
            continue;
        }
        let base = names.iter().position(|base| {
            name.strip_prefix(base)
                .is_some_and(|rest| rest.starts_with(' '))
        });
        names.insert(base.map_or(names.len(), |base| base + 1), name);
    }
    names
}

/// The table, in Markdown that reads well on a terminal.
pub fn table(outcomes: &[Outcome]) -> Result<String> {
    let mut text = String::new();
    let title = "| scenario | C | Rust | Rust/C | veth | veth/C | spread |";
    writeln!(text, "{title}\n|---|---:|---:|---:|---:|---:|---:|")?;
    for name in names(outcomes) {
        let of = |driver| find(outcomes, name, driver);
        let spread = [Driver::C, Driver::Rust, Driver::Veth]
            .into_iter()
            .filter_map(of)
            .map(|outcome| outcome.spread * 100.0)
            .fold(0.0, f64::max);
        let instructions = |driver| cell(of(driver).map(|outcome| outcome.instructions), 0);
        let ratio = |driver| cell(of(driver).and_then(|outcome| outcome.ratio_to_c), 3);
        writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} | {spread:.2} % |",
            instructions(Driver::C),
            instructions(Driver::Rust),
            ratio(Driver::Rust),
            instructions(Driver::Veth),
            ratio(Driver::Veth),
        )?;
    }
    writeln!(text, "\n| beside that | | spread |\n|---|---:|---:|")?;
    for outcome in outcomes {
        let value = match outcome.unit {
            Unit::Bytes => format!("{:.0} KiB", outcome.instructions / 1024.0),
            Unit::Milliseconds => format!("{:.0} ms of the guest's time", outcome.instructions),
            _ if outcome.driver == Driver::Dummy => {
                format!("{:.0} instructions a packet", outcome.instructions)
            }
            _ => continue,
        };
        writeln!(
            text,
            "| {} | {value} | {:.2} % |",
            outcome.scenario,
            outcome.spread * 100.0
        )?;
    }
    Ok(text)
}

/// Two files: the instructions (an array, one object per scenario and driver), and what else was measured.
pub fn write_json(outcomes: &[Outcome], instructions: &Path, other: &Path) -> Result<()> {
    let write = |path: &Path, text: String| {
        fs::write(path, text).with_context(|| format!("{}", path.display()))
    };
    let (counted, rest): (Vec<&Outcome>, Vec<&Outcome>) = outcomes
        .iter()
        .partition(|outcome| outcome.counts_instructions());
    let rest: Vec<Other> = rest
        .into_iter()
        .map(|outcome| Other {
            scenario: &outcome.scenario,
            driver: outcome.driver,
            unit: outcome.unit,
            value: outcome.instructions,
            spread: outcome.spread,
            kernel: &outcome.kernel,
            commit: &outcome.commit,
        })
        .collect();
    write(instructions, serde_json::to_string_pretty(&counted)?)?;
    write(other, serde_json::to_string_pretty(&rest)?)
}

pub fn make(raw: &Path, out: &Path, docs: Option<&Path>) -> Result<()> {
    let raw = Raw::read(raw)?;
    let mut outcomes = outcomes(&raw)?;
    outcomes.extend(without_the_kernels_part(&outcomes));
    let table = table(&outcomes)?;
    print!("{table}");
    let path = out.join("table.md");
    fs::write(&path, &table).with_context(|| format!("{}", path.display()))?;
    write_json(
        &outcomes,
        &out.join("results.json"),
        &out.join("other.json"),
    )?;
    for folder in [Some(out), docs].into_iter().flatten() {
        plot::ratios(&outcomes, &folder.join("ratios.svg"))?;
        plot::programs(&outcomes, &folder.join("programs.svg"))?;
    }
    docs.map_or(Ok(()), |docs| {
        insert(&docs.join("performance.md"), "table", &raw, &table)
    })
}

/// Puts a table between the two lines of the document that are there for it.
pub fn insert(document: &Path, what: &str, raw: &Raw, table: &str) -> Result<()> {
    let begin = format!("<!-- the {what}, by make bench-docs -->\n");
    let end = format!("<!-- end of the {what} -->\n");
    let text = fs::read_to_string(document).with_context(|| format!("{}", document.display()))?;
    let parts = text
        .split_once(&begin)
        .and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) =
        parts.with_context(|| format!("{} has no place for the {what}", document.display()))?;
    let (kernel, commit) = (&raw.kernel, &raw.commit);
    let text = format!("{before}{begin}Kernel {kernel}, commit {commit}.\n\n{table}{end}{after}");
    fs::write(document, text).with_context(|| format!("{}", document.display()))
}
