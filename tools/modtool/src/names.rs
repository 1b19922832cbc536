// SPDX-License-Identifier: GPL-2.0

//! Stable names for the functions that C calls, and an entry for tracers.
//!
//! The callbacks are generic functions. rustc mangles their names, and no attribute can give a generic function another
//! name. So objcopy renames them in the object file, by the list that this file writes. rustc cannot make functions
//! traceable either; LLVM does it for the functions of the second list.

use anyhow::{anyhow, bail, Context, Result};
use std::{fmt::Write, fs, path::Path};

/// A line of bindings/symbol-names.
#[derive(Debug, PartialEq, Eq)]
pub struct Callback {
    /// How a symbol of the callback's file and generic type begins, and how it ends, in rustc's mangling.
    mangled: [String; 2],
    /// The C function whose place it takes, and whose prototype it has.
    pub stands_for: String,
    /// Its name in the module.
    pub name: String,
}

impl Callback {
    pub fn read_list(list: &Path) -> Result<Vec<Self>> {
        let text = fs::read_to_string(list).with_context(|| list.display().to_string())?;
        Self::parse_list(&text).with_context(|| list.display().to_string())
    }

    fn parse_list(text: &str) -> Result<Vec<Self>> {
        text.lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                Self::parse(line).ok_or_else(|| {
                    anyhow!("not a line of the form `FILE CALLBACK C-FUNCTION [NAME]`: {line}")
                })
            })
            .collect()
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let [file, callback, stands_for] = [words.next()?, words.next()?, words.next()?];
        let name = match words.next() {
            Some(name) => name.to_owned(),
            None => format!("netkit_rs_{}", stands_for.strip_prefix("netkit_")?),
        };
        // v0 mangling: each identifier behind its length, `I` before generic arguments, `E` after them, and the
        // crate that instantiated the function at the end.
        let parts: Vec<_> = file
            .split('/')
            .map(|part| format!("{}{part}", part.len()))
            .collect();
        words.next().is_none().then(|| Self {
            mangled: [
                format!("{}INt", parts.concat()),
                format!("E{}{callback}B", callback.len()),
            ],
            stands_for: stands_for.to_owned(),
            name,
        })
    }

    /// The one symbol that is this callback's.
    fn find<'a>(&self, symbols: &[&'a str]) -> Result<&'a str> {
        let found: Vec<_> = symbols
            .iter()
            .filter(|symbol| {
                symbol.starts_with("_R") && self.mangled.iter().all(|part| symbol.contains(part))
            })
            .collect();
        match found[..] {
            [symbol] => Ok(symbol),
            _ => bail!("{} functions could be {}", found.len(), self.name),
        }
    }
}

/// Writes two files for the functions of `list`, which are found in `symbols`, one symbol a line: `renames` as
/// `objcopy --redefine-syms` reads it, and `entries` as `opt -forceattrs-csv-path` reads it.
pub fn run(symbols: &Path, list: &Path, renames: &Path, entries: &Path) -> Result<()> {
    let text = fs::read_to_string(symbols).with_context(|| symbols.display().to_string())?;
    let symbols: Vec<&str> = text.lines().collect();
    let (rename_lines, entry_lines) = lines(&symbols, &Callback::read_list(list)?)?;
    fs::write(renames, rename_lines).with_context(|| renames.display().to_string())?;
    fs::write(entries, entry_lines).with_context(|| entries.display().to_string())
}

fn lines(symbols: &[&str], callbacks: &[Callback]) -> Result<(String, String)> {
    let (mut renames, mut entries) = (String::new(), String::new());
    for callback in callbacks {
        let symbol = callback.find(symbols)?;
        writeln!(renames, "{symbol} {}", callback.name)?;
        // `call __fentry__` as the first instruction.
        writeln!(entries, "{symbol},fentry-call=true")?;
    }
    Ok((renames, entries))
}

#[cfg(test)]
impl Callback {
    pub fn for_test(stands_for: &str, name: &str) -> Self {
        Self {
            mangled: Default::default(),
            stands_for: stands_for.to_owned(),
            name: name.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYMBOLS: [&str; 2] = [
        "_RNvMs2_NtNtCsk1_9netkit_rs3net3opsINtB5_7AdapterNtNtB9_6netkit6NetkitE4openB9_",
        "_RNvMs2_NtNtCsk1_9netkit_rs3net4linkINtB5_7AdapterNtNtB9_6netkit6NetkitE4openB9_",
    ];

    fn renames(list: &str) -> Result<String> {
        Ok(lines(&SYMBOLS, &Callback::parse_list(list)?)?.0)
    }

    #[test]
    fn a_callback_is_found_by_its_file_and_name() {
        let [symbol, _] = SYMBOLS;
        let callbacks = Callback::parse_list("# comment\nnet/ops open netkit_open\n");
        let (renames, entries) = callbacks
            .and_then(|callbacks| lines(&SYMBOLS, &callbacks))
            .expect("one function fits");
        assert_eq!(renames, format!("{symbol} netkit_rs_open\n"));
        assert_eq!(entries, format!("{symbol},fentry-call=true\n"));
    }

    #[test]
    fn a_name_of_its_own_is_kept() {
        let text = renames("net/ops open netkit_open mine").expect("one function fits");
        assert!(text.ends_with(" mine\n"), "{text}");
    }

    #[test]
    fn a_callback_that_is_missing_or_misspelled_is_an_error() {
        for list in [
            "net/ops stop netkit_close",
            "net/ops open",
            "net/ops open netkit_open a b",
            "net/ops open other_open",
        ] {
            assert!(renames(list).is_err(), "{list}");
        }
    }
}
