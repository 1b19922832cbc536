// SPDX-License-Identifier: GPL-2.0

//! The functions whose bodies differ between two kernels.

use crate::{check::Reviewed, list::List, text, tree::Body};
use similar::TextDiff;
use std::collections::BTreeSet;

/// Prints the differences, of the functions in `only` if there are any. What differs in comments and layout alone is
/// left out.
pub fn print(list: &List, old: &Reviewed, new: &Reviewed, only: &[String]) {
    let mut names: BTreeSet<&String> = old.uses.keys().chain(new.uses.keys()).collect();
    names.retain(|name| only.is_empty() || only.contains(name));
    let (mut compared, mut differing, mut gone, mut come) = (0, 0, Vec::new(), Vec::new());
    for name in names {
        match (old.body(list, name), new.body(list, name)) {
            (Some(old), Some(new)) => {
                compared += 1;
                if text::normalised(&old.text) != text::normalised(&new.text) {
                    differing += 1;
                    print!("{}", unified(name, &old, &new));
                }
            }
            (Some(_), None) => gone.push(name.as_str()),
            (None, Some(_)) => come.push(name.as_str()),
            (None, None) => {}
        }
    }
    for (which, names) in [("old", gone), ("new", come)] {
        if !names.is_empty() {
            println!("only in the {which} kernel: {}", names.join(" "));
        }
    }
    println!("{compared} compared, {differing} differ");
}

fn unified(name: &str, old: &Body, new: &Body) -> String {
    let diff = TextDiff::from_lines(&old.text, &new.text);
    let mut diff = diff.unified_diff();
    let (old, new) = (
        format!("{name} old/{}", old.files),
        format!("{name} new/{}", new.files),
    );
    diff.context_radius(6).header(&old, &new).to_string()
}
