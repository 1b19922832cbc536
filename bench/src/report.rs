// SPDX-License-Identifier: GPL-2.0
//! From single runs to what is shown: the generator's cost subtracted, ratios to C, the spread.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use serde::Serialize;

use crate::plot;
use crate::raw::Driver;
use crate::raw::Raw;
use crate::raw::Sample;
use crate::raw::Unit;

/// One scenario on one driver, as results.json has it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub scenario: String,
    pub driver: Driver,
    pub unit: Unit,
    /// Median of the runs, less the generator's; none where something else is counted.
    pub instructions: Option<f64>,
    /// Median of the runs as they were measured.
    pub total: f64,
    pub ratio_to_c: Option<f64>,
    /// From the smallest run to the largest, as a part of `instructions`.
    pub spread: f64,
    pub kernel: String,
    pub commit: String,
}

fn median(runs: &[f64]) -> f64 {
    let mut runs = runs.to_vec();
    runs.sort_by(f64::total_cmp);
    runs.get(runs.len() / 2).copied().unwrap_or(f64::NAN)
}

fn range(runs: &[f64]) -> f64 {
    let largest = runs.iter().copied().fold(f64::MIN, f64::max);
    let smallest = runs.iter().copied().fold(f64::MAX, f64::min);
    largest - smallest
}

/// The median less the generator's.
fn net(sample: &Sample, samples: &[Sample]) -> Result<f64> {
    let own = median(&sample.runs);
    let Some(name) = &sample.generator else {
        return Ok(own);
    };
    let generator = samples.iter().find(|other| other.scenario == *name);
    let generator = generator.with_context(|| format!("{name} was not measured"))?;
    Ok(own - median(&generator.runs))
}

pub fn outcomes(raw: &Raw) -> Result<Vec<Outcome>> {
    let mut of_c = BTreeMap::new();
    for sample in raw
        .samples
        .iter()
        .filter(|sample| sample.driver == Driver::C)
    {
        of_c.insert(sample.scenario.as_str(), net(sample, &raw.samples)?);
    }
    let outcome = |sample: &Sample| {
        let value = net(sample, &raw.samples)?;
        let counts = matches!(sample.unit, Unit::Packet | Unit::Operation);
        let c = of_c.get(sample.scenario.as_str());
        Ok(Outcome {
            scenario: sample.scenario.clone(),
            driver: sample.driver,
            unit: sample.unit,
            instructions: counts.then_some(value),
            total: median(&sample.runs),
            ratio_to_c: c.filter(|_| counts).map(|c| value / c),
            spread: range(&sample.runs) / value,
            kernel: raw.kernel.clone(),
            commit: raw.commit.clone(),
        })
    };
    raw.samples.iter().map(outcome).collect()
}

fn cell(number: Option<f64>, digits: usize) -> String {
    number.map_or_else(|| "–".to_owned(), |number| format!("{number:.digits$}"))
}

/// The table, in Markdown that reads well on a terminal.
pub fn table(outcomes: &[Outcome]) -> Result<String> {
    let mut text = String::new();
    let title = "| scenario | C | Rust | Rust/C | veth | veth/C | spread |";
    writeln!(text, "{title}\n|---|---:|---:|---:|---:|---:|---:|")?;
    let mut names: Vec<&str> = Vec::new();
    for outcome in outcomes
        .iter()
        .filter(|outcome| outcome.instructions.is_some())
    {
        if outcome.driver != Driver::Dummy && !names.contains(&outcome.scenario.as_str()) {
            names.push(&outcome.scenario);
        }
    }
    for name in names {
        let of = |driver| {
            let mut all = outcomes.iter();
            all.find(|outcome| outcome.scenario == name && outcome.driver == driver)
        };
        let spread = [Driver::C, Driver::Rust, Driver::Veth]
            .into_iter()
            .filter_map(of)
            .map(|outcome| outcome.spread * 100.0)
            .fold(0.0, f64::max);
        let instructions = |driver| cell(of(driver).and_then(|outcome| outcome.instructions), 0);
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
            Unit::Bytes => format!("{:.0} KiB", outcome.total / 1024.0),
            Unit::Milliseconds => format!("{:.0} ms of the guest's time", outcome.total),
            _ if outcome.driver == Driver::Dummy => {
                format!("{:.0} instructions a packet", outcome.total)
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

pub fn make(raw: &Path, out: &Path, docs: Option<&Path>) -> Result<()> {
    let raw = Raw::read(raw)?;
    let outcomes = outcomes(&raw)?;
    let table = table(&outcomes)?;
    print!("{table}");
    let write = |name: &str, text: &str| {
        let path = out.join(name);
        fs::write(&path, text).with_context(|| format!("{}", path.display()))
    };
    write("results.json", &serde_json::to_string_pretty(&outcomes)?)?;
    write("table.md", &table)?;
    for folder in [Some(out), docs].into_iter().flatten() {
        plot::ratios(&outcomes, &folder.join("ratios.svg"))?;
        plot::programs(&outcomes, &folder.join("programs.svg"))?;
    }
    docs.map_or(Ok(()), |docs| {
        let measured = format!("Kernel {}, commit {}.\n\n{table}", raw.kernel, raw.commit);
        insert(&docs.join("performance.md"), &measured)
    })
}

/// Puts the table between the two lines of the document that are there for it.
fn insert(document: &Path, table: &str) -> Result<()> {
    const BEGIN: &str = "<!-- the table, by make bench-docs -->\n";
    const END: &str = "<!-- end of the table -->\n";
    let text = fs::read_to_string(document).with_context(|| format!("{}", document.display()))?;
    let parts = text
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) =
        parts.with_context(|| format!("{} has no place for the table", document.display()))?;
    fs::write(document, format!("{before}{BEGIN}{table}{END}{after}"))
        .with_context(|| format!("{}", document.display()))
}
