// SPDX-License-Identifier: GPL-2.0

//! Which C functions the module rests on: those that it calls, and those that its comments name.

use crate::text;
use anyhow::{Context, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The folders of the module's source in the checkout.
const FOLDERS: [&str; 2] = ["src", "bindings"];

/// The document on the SAFETY comments, which says who calls the callbacks.
const DOCUMENT: &str = "docs/safety.md";

/// C files that the module rests on as a whole: the driver that it stands in for.
pub const WHOLE_FILES: [&str; 1] = ["drivers/net/netkit.c"];

/// Functions that a macro makes, and the functions that represent them.
const MADE: [(&str, &str); 1] = [("dev_core_stats_tx_dropped_inc", "netdev_core_stats_inc")];

/// Why a function is on the list.
#[derive(Default)]
pub struct Use {
    /// Where the module calls the function, as FILE:LINE.
    pub calls: Vec<String>,
    /// Where a comment names it.
    pub comments: Vec<String>,
    /// The function that does nothing but call it.
    pub via: Option<String>,
}

impl Use {
    /// For a function that `name` does nothing but call.
    pub fn via(name: String) -> Self {
        Self {
            via: Some(name),
            ..Self::default()
        }
    }

    /// One place to look at.
    pub fn place(&self) -> String {
        let first = self.calls.first().or(self.comments.first());
        match (&self.via, first) {
            (_, Some(place)) => place.clone(),
            (Some(via), None) => format!("{via}()"),
            (None, None) => "the module as a whole".to_owned(),
        }
    }
}

/// Collects the names, with their uses, from the checkout.
///
/// A comment may name a function of Rust as well: what Rust defines counts only if it is called as C, or named in the
/// document.
pub fn collect(checkout: &Path) -> Result<BTreeMap<String, Use>> {
    let mut uses = BTreeMap::<String, Use>::new();
    let mut rust = BTreeSet::new();
    for folder in FOLDERS {
        for path in files_below(&checkout.join(folder))? {
            let source = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let place = path
                .strip_prefix(checkout)
                .unwrap_or(&path)
                .display()
                .to_string();
            let parts = text::split(&source);
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("rs") => {
                    add(&mut uses, &place, &parts.code, called_by_rust, |found| {
                        &mut found.calls
                    });
                    rust.extend(defined_by_rust(&parts.code).map(str::to_owned));
                }
                Some("c") => {
                    add(&mut uses, &place, &parts.code, called_by_shims, |found| {
                        &mut found.calls
                    });
                }
                Some("h") => {}
                _ => continue,
            }
            add(&mut uses, &place, &parts.comments, named, |found| {
                &mut found.comments
            });
        }
    }
    for (name, stands_for_it) in MADE {
        if let Some(found) = uses.remove(name) {
            uses.insert(stands_for_it.to_owned(), found);
        }
    }
    let document = checkout.join(DOCUMENT);
    let source = fs::read_to_string(&document).with_context(|| document.display().to_string())?;
    // What follows is made from the comments.
    let written = source.split("<!-- uses -->").next().unwrap_or_default();
    add(&mut uses, DOCUMENT, written, named, |found| {
        &mut found.comments
    });
    let in_document = |place: &String| place.starts_with(DOCUMENT);
    uses.retain(|name, found| {
        !rust.contains(name) || !found.calls.is_empty() || found.comments.iter().any(in_document)
    });
    Ok(uses)
}

fn add<'a, I: Iterator<Item = (usize, &'a str)>>(
    uses: &mut BTreeMap<String, Use>,
    place: &str,
    text: &'a str,
    find: impl FnOnce(&'a str) -> I,
    kind: impl Fn(&mut Use) -> &mut Vec<String>,
) {
    for (at, name) in find(text) {
        let line = text::line_of(text, at);
        kind(uses.entry(name.to_owned()).or_default()).push(format!("{place}:{line}"));
    }
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_below(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// `bindings::name(…)`, and `Some(bindings::name)`, a function that C gets; a shim is left to its own definition.
fn called_by_rust(code: &str) -> impl Iterator<Item = (usize, &str)> {
    text::words(code).filter(move |&(at, word)| {
        let (before, after) = (&code[..at], &code[at + word.len()..]);
        let Some(before) = before.strip_suffix("bindings::") else {
            return false;
        };
        !word.starts_with("netkit_rs_") && (after.starts_with('(') || before.ends_with("Some("))
    })
}

/// What the shims call. Each has one statement, so any name with an argument list in a body is a call.
fn called_by_shims(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut depth = 0usize;
    let mut last = 0;
    text::words(code).filter(move |&(at, word)| {
        for byte in code[last..at].bytes() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        last = at;
        depth > 0 && code[at + word.len()..].starts_with('(')
    })
}

/// The names of the functions that Rust defines.
fn defined_by_rust(code: &str) -> impl Iterator<Item = &str> {
    text::words(code)
        .filter(|&(at, _)| code[..at].ends_with("fn "))
        .map(|(_, word)| word)
}

/// `name()` in a comment, but for methods and paths of Rust.
fn named(comments: &str) -> impl Iterator<Item = (usize, &str)> {
    text::words(comments).filter(|&(at, word)| {
        comments[at + word.len()..].starts_with("()")
            && !comments[..at].ends_with('.')
            && !comments[..at].ends_with("::")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'a>(found: impl Iterator<Item = (usize, &'a str)>) -> Vec<&'a str> {
        found.map(|(_, name)| name).collect()
    }

    #[test]
    fn rust_calls_bindings_and_hands_them_out() {
        let code =
            "bindings::rtnl_lock(); let a: bindings::net = x; bindings::netkit_rs_dev_net(d);\n\
                    f: Some(bindings::eth_mac_addr), kernel::bindings::xa_find(a)";
        assert_eq!(
            names(called_by_rust(code)),
            ["rtnl_lock", "eth_mac_addr", "xa_find"]
        );
        assert_eq!(
            defined_by_rust("pub fn a() { } fn b<T>()").collect::<Vec<_>>(),
            ["a", "b"]
        );
    }

    #[test]
    fn shims_call_what_their_bodies_say() {
        let code = "void netkit_rs_f(int a)\n{\n\tf(g(a));\n}\nint netkit_rs_h(void);\n";
        assert_eq!(names(called_by_shims(code)), ["f", "g"]);
    }

    #[test]
    fn comments_name_functions_by_their_parentheses() {
        let text = "// SAFETY: `rtnl_lock()` and xchg(), self.f(), Rtnl::lock(), `dev`, f(a).";
        assert_eq!(names(named(text)), ["rtnl_lock", "xchg"]);
    }
}
