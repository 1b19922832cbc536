// SPDX-License-Identifier: GPL-2.0
//! The results of `scale` as a table: a row for each operation and driver, a column for each number of pairs.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;

use crate::outcome::find;
use crate::outcome::outcomes;
use crate::outcome::Outcome;
use crate::plot_scale;
use crate::raw::Driver;
use crate::raw::Raw;
use crate::report::cell;
use crate::report::insert;
use crate::report::write_json;
use crate::scale::SIZES;

/// The operations, and what a figure is for.
pub const OPERATIONS: [(&str, &str); 6] = [
    ("create", "create a pair"),
    ("delete", "delete a pair"),
    ("attach-detach", "attach and detach a program"),
    ("query", "query one program"),
    ("dump", "dump, per device"),
    ("delete-all", "delete all at once, per pair"),
];
const MEMORY: [(&str, &str); 2] = [("memory-slab", "slab"), ("memory-per-cpu", "per CPU")];

pub fn row(text: &mut String, title: &str, cells: impl Iterator<Item = String>) -> Result<()> {
    let cells: Vec<String> = cells.collect();
    writeln!(text, "| {title} | {} |", cells.join(" | "))?;
    Ok(())
}

fn table(outcomes: &[Outcome]) -> Result<String> {
    let mut text = String::new();
    let of = |operation: &str, driver, size| {
        find(outcomes, &format!("scale/{operation}/{size}"), driver)
    };
    row(
        &mut text,
        "instructions with … pairs",
        SIZES.iter().map(u32::to_string),
    )?;
    writeln!(text, "|---|{}", "---:|".repeat(SIZES.len()))?;
    for (operation, title) in OPERATIONS {
        for (driver, name) in [
            (Driver::C, "C"),
            (Driver::Rust, "Rust"),
            (Driver::Veth, "veth"),
        ] {
            let value = |size| cell(of(operation, driver, size).map(|it| it.instructions), 0);
            row(
                &mut text,
                &format!("{title}: {name}"),
                SIZES.into_iter().map(value),
            )?;
        }
        let ratio = |size| {
            cell(
                of(operation, Driver::Rust, size).and_then(|it| it.ratio_to_c),
                3,
            )
        };
        row(
            &mut text,
            &format!("{title}: Rust/C"),
            SIZES.into_iter().map(ratio),
        )?;
        let spread = |size| {
            let all = [Driver::C, Driver::Rust].map(|driver| of(operation, driver, size));
            let worst = all.into_iter().flatten().map(|it| it.spread * 100.0);
            worst
                .reduce(f64::max)
                .map_or_else(|| "–".to_owned(), |it| format!("{it:.1} %"))
        };
        row(
            &mut text,
            &format!("{title}: spread"),
            SIZES.into_iter().map(spread),
        )?;
    }
    writeln!(
        text,
        "\n| bytes a pair, of … pairs | C | Rust | veth |\n|---|---:|---:|---:|"
    )?;
    for (operation, title) in MEMORY {
        for size in SIZES {
            let value = |driver| of(operation, driver, size).map(|it| it.instructions);
            if value(Driver::C).is_some() {
                let cells = [Driver::C, Driver::Rust, Driver::Veth].map(|it| cell(value(it), 0));
                row(&mut text, &format!("{title}, {size}"), cells.into_iter())?;
            }
        }
    }
    Ok(text)
}

pub fn make(raw: &[PathBuf], out: &Path, docs: Option<&Path>) -> Result<()> {
    let raw = Raw::read_all(raw)?;
    let outcomes = outcomes(&raw)?;
    let table = table(&outcomes)?;
    print!("{table}");
    let path = out.join("scale-table.md");
    fs::write(&path, &table).with_context(|| format!("{}", path.display()))?;
    write_json(
        &outcomes,
        &out.join("scale-results.json"),
        &out.join("scale-other.json"),
    )?;
    for folder in [Some(out), docs].into_iter().flatten() {
        plot_scale::growth(&outcomes, &folder.join("scale.svg"))?;
    }
    docs.map_or(Ok(()), |docs| {
        insert(&docs.join("performance.md"), "growth", &raw, &table)
    })
}
