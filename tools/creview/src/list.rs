// SPDX-License-Identifier: GPL-2.0

//! The list of what was reviewed: docs/reviewed-functions.

use anyhow::{bail, Context, Result};
use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    fs,
    path::Path,
};

/// How the sentence of a line begins whose review is open.
pub const OPEN: &str = "REVIEW";

/// What is known of a function in one kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hash {
    /// Nobody has looked.
    Unknown,
    /// The kernel has no such function.
    Absent,
    Body(String),
}

impl Hash {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "?" => Some(Self::Unknown),
            "-" => Some(Self::Absent),
            _ if word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                Some(Self::Body(word.to_owned()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unknown => "?",
            Self::Absent => "-",
            Self::Body(digits) => digits,
        })
    }
}

/// A line of the list.
#[derive(Clone, Default)]
pub struct Row {
    /// The files of the definition, separated by commas.
    pub files: String,
    /// One for each kernel of the list.
    pub hashes: Vec<Hash>,
    /// The function that does nothing but call this one.
    pub via: Option<String>,
    /// Why the differences between kernels are all right.
    pub sentence: String,
}

impl Row {
    /// Whether the kernels have different bodies.
    pub fn differs(&self) -> bool {
        let mut known = self.hashes.iter().filter(|hash| **hash != Hash::Unknown);
        known
            .next()
            .is_some_and(|first| known.any(|hash| hash != first))
    }
}

/// The list.
pub struct List {
    /// The comments at the top.
    pub head: String,
    /// The kernels, a column for each: a series, as in 7.3, or a release, as in 7.3.4.
    pub kernels: Vec<String>,
    pub rows: BTreeMap<String, Row>,
}

impl List {
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let mut list = Self {
            head: String::new(),
            kernels: Vec::new(),
            rows: BTreeMap::new(),
        };
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some(word) if word.starts_with('#') => {
                    list.head.push_str(line);
                    list.head.push('\n');
                }
                Some("kernels") => list.kernels = words.map(str::to_owned).collect(),
                Some(name) => {
                    let row = list.row(words.collect());
                    let row = row.with_context(|| format!("line {}", number + 1))?;
                    if list.rows.insert(name.to_owned(), row).is_some() {
                        bail!("line {}: {name} is listed twice", number + 1);
                    }
                }
                None => {}
            }
        }
        Ok(list)
    }

    fn row(&self, words: Vec<&str>) -> Result<Row> {
        let (files, mut words) = words
            .split_first()
            .context("a line has a name and a file")?;
        let mut row = Row {
            files: (*files).to_owned(),
            ..Row::default()
        };
        // A kernel that was added to the line `kernels` has no words in the rows yet.
        for _ in &self.kernels {
            match words
                .split_first()
                .map(|(word, rest)| (Hash::parse(word), rest))
            {
                Some((Some(hash), rest)) => {
                    row.hashes.push(hash);
                    words = rest;
                }
                _ => row.hashes.push(Hash::Unknown),
            }
        }
        if let ["via", via, rest @ ..] = words {
            row.via = Some((*via).to_owned());
            words = rest;
        }
        row.sentence = words.join(" ");
        Ok(row)
    }

    /// The column for a kernel, named by its release or a part of it: the column with the longest name that fits.
    pub fn column(&self, kernel: &str) -> Option<usize> {
        let fits = |column: &str| {
            let rest = kernel.strip_prefix(column);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let columns = self
            .kernels
            .iter()
            .enumerate()
            .filter(|(_, column)| fits(column));
        columns
            .max_by_key(|(_, column)| column.len())
            .map(|(index, _)| index)
    }

    /// Adds a column.
    pub fn add(&mut self, kernel: &str) -> usize {
        self.kernels.push(kernel.to_owned());
        for row in self.rows.values_mut() {
            row.hashes.push(Hash::Unknown);
        }
        self.kernels.len() - 1
    }

    pub fn text(&self) -> String {
        let width = |length: &dyn Fn(&String, &Row) -> usize| {
            self.rows
                .iter()
                .map(|(name, row)| length(name, row))
                .max()
                .unwrap_or(0)
        };
        let names = width(&|name, _| name.len());
        let files = width(&|_, row| row.files.len());
        let mut text = format!("{}kernels {}\n", self.head, self.kernels.join(" "));
        for (name, row) in &self.rows {
            let mut line = format!("{name:names$} {:files$}", row.files);
            for hash in &row.hashes {
                // Writing to a string does not fail.
                let _ = write!(line, " {hash:12}");
            }
            if let Some(via) = &row.via {
                let _ = write!(line, " via {via}");
            }
            let _ = write!(line, " {}", row.sentence);
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// The kernel's version in that of a package or in a release: 7.3.4 of 7.3.4-1~bpo13+1 or 7.3.4+deb13-amd64, 7.4~rc7 of
/// 7.4~rc7-1~exp1.
pub fn version(package: &str) -> &str {
    let end = package.find(['-', '+']);
    &package[..end.unwrap_or(package.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "\
# the top
kernels 7.2 7.3
f  net/f.c          0123456789ab 0123456789ab
gg net/g.c,net/gg.c -            0123456789ac new in 7.3
h  net/h.c          0123456789ad ?            via f why
";

    #[test]
    fn a_list_is_written_as_it_was_read() {
        let list = List::parse(SAMPLE).expect("a list");
        assert_eq!(list.text(), SAMPLE);
        assert!(!list.rows["f"].differs());
        assert!(list.rows["gg"].differs());
        assert!(!list.rows["h"].differs());
        assert_eq!(list.rows["h"].via.as_deref(), Some("f"));
        assert_eq!(list.rows["h"].sentence, "why");
        assert!(List::parse("kernels 7.2\nf a\nf b\n").is_err());
        assert!(List::parse("f\n").is_err());
    }

    #[test]
    fn a_kernel_has_the_column_that_fits_best() {
        let mut list = List::parse(&SAMPLE.replace("7.2 7.3", "7.2 7.3 7.3.4")).expect("a list");
        assert_eq!(list.rows["f"].hashes[2], Hash::Unknown);
        assert_eq!(list.column("7.3.4"), Some(2));
        assert_eq!(list.column("7.3.40"), Some(1));
        assert_eq!(list.column("7.30"), None);
        assert_eq!(list.add("7.30"), 3);
        assert_eq!(list.column("7.30.1"), Some(3));
        assert_eq!(list.rows["gg"].hashes[3], Hash::Unknown);
    }

    #[test]
    fn a_release_begins_with_its_version() {
        assert_eq!(version("7.3.4+deb13-amd64"), "7.3.4");
        assert_eq!(version("7.3.4-1~bpo13+1"), "7.3.4");
        assert_eq!(version("7.4~rc7-1~exp1"), "7.4~rc7");
        assert_eq!(version("7.3.4-netkit-debug"), "7.3.4");
        assert_eq!(version("7.3"), "7.3");
    }
}
