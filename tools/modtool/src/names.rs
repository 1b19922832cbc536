// SPDX-License-Identifier: GPL-2.0

//! Stable names for the functions that C calls.
//!
//! The callbacks are generic functions. rustc mangles their names, and no attribute can give a generic function another
//! name. So objcopy renames them in the object file, by the list that this file writes.

use anyhow::{anyhow, bail, Context, Result};
use object::{Object, ObjectSymbol};
use std::{fmt::Write, fs, path::Path};

/// Writes the renames for `object`, in the form that `objcopy --redefine-syms` reads, to `out`.
pub fn run(object: &Path, list: &Path, out: &Path) -> Result<()> {
    let data = fs::read(object).with_context(|| object.display().to_string())?;
    let file = object::File::parse(&*data).with_context(|| object.display().to_string())?;
    let symbols: Vec<&str> = file
        .symbols()
        .filter_map(|symbol| symbol.name().ok())
        .collect();
    let list = fs::read_to_string(list).with_context(|| list.display().to_string())?;
    let renames = renames(&symbols, &list)?;
    fs::write(out, renames).with_context(|| out.display().to_string())
}

fn renames(symbols: &[&str], list: &str) -> Result<String> {
    let mut text = String::new();
    for line in list
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let [file, callback, name] = line
            .split_whitespace()
            .collect::<Vec<_>>()
            .try_into()
            .map_err(|_| anyhow!("not a line of the form `FILE CALLBACK NAME`: {line}"))?;
        // v0 mangling: each identifier behind its length, `I` before generic arguments, `E` after them, and the
        // crate that instantiated the function at the end.
        let parts: Vec<_> = file
            .split('/')
            .map(|part| format!("{}{part}", part.len()))
            .collect();
        let file = parts.concat();
        let file = format!("{file}INt");
        let callback = format!("E{}{callback}B", callback.len());
        let found: Vec<_> = symbols
            .iter()
            .filter(|symbol| {
                symbol.starts_with("_R") && symbol.contains(&file) && symbol.contains(&callback)
            })
            .collect();
        match found[..] {
            [symbol] => writeln!(text, "{symbol} {name}")?,
            _ => bail!("{} functions fit the line `{line}`", found.len()),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_is_found_by_its_file_and_name() {
        let symbols = [
            "_RNvMs2_NtNtCsk1_9netkit_rs3net3opsINtB5_7AdapterNtNtB9_6netkit6NetkitE4openB9_",
            "_RNvMs2_NtNtCsk1_9netkit_rs3net4linkINtB5_7AdapterNtNtB9_6netkit6NetkitE4openB9_",
        ];
        let text = renames(&symbols, "# comment\nnet/ops open x\n").expect("one function fits");
        assert_eq!(text, format!("{} x\n", symbols[0]));
        assert!(renames(&symbols, "net/ops stop x").is_err());
        assert!(renames(&symbols, "net/ops open").is_err());
    }
}
