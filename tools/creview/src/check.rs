// SPDX-License-Identifier: GPL-2.0

//! Comparing a kernel's source with the list.

use crate::{
    list::{Hash, List, Row, OPEN},
    names::{Use, WHOLE_FILES},
    tree::{Body, Tree},
};
use anyhow::Result;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// What the module rests on, and what one kernel has for it.
pub struct Reviewed {
    pub uses: BTreeMap<String, Use>,
    tree: Tree,
}

impl Reviewed {
    /// Finds the definitions of `uses` in `source`, and of those functions that others do nothing but call.
    pub fn find(mut uses: BTreeMap<String, Use>, list: &List, source: &Path) -> Result<Self> {
        let names = uses.keys().chain(list.rows.keys()).map(String::as_str);
        let mut tree = Tree::search(source, names)?;
        let mut open: Vec<String> = uses.keys().cloned().collect();
        while !open.is_empty() {
            let mut callees = BTreeMap::new();
            for name in open.drain(..) {
                let body = tree.body(&name, pinned(list, &name));
                for callee in body.into_iter().flat_map(|body| body.forwards) {
                    if !uses.contains_key(&callee) {
                        callees.insert(callee, name.clone());
                    }
                }
            }
            tree.add(callees.keys().map(String::as_str))?;
            for (callee, name) in callees {
                if tree.body(&callee, None).is_some() {
                    open.push(callee.clone());
                    uses.insert(callee, Use::via(name));
                }
            }
        }
        for file in WHOLE_FILES {
            uses.insert(file.to_owned(), Use::default());
        }
        Ok(Self { uses, tree })
    }

    /// What the kernel has for a name.
    pub fn body(&self, list: &List, name: &str) -> Option<Body> {
        if WHOLE_FILES.contains(&name) {
            self.tree.file(name)
        } else {
            self.tree.body(name, pinned(list, name))
        }
    }
}

fn pinned<'a>(list: &'a List, name: &str) -> Option<&'a str> {
    list.rows.get(name).map(|row| row.files.as_str())
}

/// Compares the list with what a kernel has. One line for each difference.
pub fn problems(list: &List, column: usize, here: &Reviewed) -> Vec<String> {
    let kernel = &list.kernels[column];
    let mut problems = Vec::new();
    for (name, found) in &here.uses {
        let body = here.body(list, name);
        let place = found.place();
        match (list.rows.get(name), body) {
            // Comments name more than functions of C.
            (None, None) if found.calls.is_empty() => {}
            (None, None) => problems.push(format!(
                "unknown   {name}: called at {place}, and not found in the source"
            )),
            (None, Some(body)) => {
                problems.push(format!(
                    "new       {name} ({}): rested on by {place}, and not on the list",
                    body.files
                ));
            }
            (Some(_), _) => {}
        }
    }
    for (name, row) in &list.rows {
        if !is_used(&here.uses, name, row) {
            problems.push(format!(
                "unused    {name}: on the list, and nothing rests on it any more"
            ));
            continue;
        }
        let body = here.body(list, name);
        let hash = hash_of(body.as_ref());
        match (&row.hashes[column], &hash) {
            (listed, hash) if listed == hash => {}
            (Hash::Unknown, _) => problems.push(format!(
                "unseen    {name} ({}): not reviewed for {kernel}",
                row.files
            )),
            (_, Hash::Absent) => problems.push(format!(
                "missing   {name} ({}): this kernel has it no longer",
                row.files
            )),
            (listed, hash) => problems.push(format!(
                "changed   {name} ({}): {hash}, reviewed was {listed}",
                row.files
            )),
        }
        if row.sentence.starts_with(OPEN) {
            problems.push(format!("open      {name}: its sentence begins with {OPEN}"));
        } else if row.differs() && row.sentence.is_empty() {
            problems.push(format!("unsaid    {name}: differs between kernels, without a sentence why that is all right"));
        }
    }
    problems
}

fn is_used(uses: &BTreeMap<String, Use>, name: &str, row: &Row) -> bool {
    uses.contains_key(name) || row.via.as_ref().is_some_and(|via| uses.contains_key(via))
}

fn hash_of(body: Option<&Body>) -> Hash {
    body.map_or(Hash::Absent, |body| Hash::Body(body.hash()))
}

/// Writes a kernel's functions into the list. Lines that must be reviewed are marked, and returned.
pub fn update(list: &mut List, column: usize, here: &Reviewed) -> Vec<String> {
    let mut open = Vec::new();
    let rows = std::mem::take(&mut list.rows);
    // Bodies are found where the old list has them.
    let old = List {
        head: String::new(),
        kernels: list.kernels.clone(),
        rows,
    };
    let names: BTreeSet<&String> = here.uses.keys().chain(old.rows.keys()).collect();
    for name in names {
        let known = old.rows.get(name);
        let body = here.body(&old, name);
        let mut row = match (known, &body) {
            (Some(row), _) if is_used(&here.uses, name, row) => row.clone(),
            (None, Some(_)) => Row::default(),
            _ => continue,
        };
        row.hashes.resize(old.kernels.len(), Hash::Unknown);
        if let Some(found) = here.uses.get(name) {
            row.via = found.via.clone();
        }
        let hash = hash_of(body.as_ref());
        let mut reason = String::new();
        if let Some(body) = &body {
            add_files(&mut row.files, &body.files);
            if known.is_none() && !body.others.is_empty() {
                reason = format!("which file? {} have one, too", body.others.join(", "));
            }
        }
        let seen =
            row.hashes.contains(&hash) || row.hashes.iter().all(|hash| *hash == Hash::Unknown);
        if row.hashes[column] != hash && !seen {
            reason = format!("{} differs", old.kernels[column]);
        }
        row.hashes[column] = hash;
        if !reason.is_empty() {
            let before = row
                .sentence
                .trim_start_matches(OPEN)
                .trim_start_matches(": ");
            row.sentence = match before {
                "" => format!("{OPEN}: {reason}"),
                before => format!("{OPEN}: {reason}; before: {before}"),
            };
            open.push(format!("{name}: {reason}"));
        }
        list.rows.insert(name.clone(), row);
    }
    open
}

/// A function that is in another file in some kernel has both in its line.
fn add_files(files: &mut String, more: &str) {
    for file in more.split(',') {
        if !files.split(',').any(|known| known == file) {
            if !files.is_empty() {
                files.push(',');
            }
            files.push_str(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::PathBuf};

    /// A kernel's source in a folder of its own, removed when dropped.
    struct Source(PathBuf);

    impl Source {
        fn new(name: &str, body_of_f: &str) -> Self {
            let root = std::env::temp_dir().join(format!("creview-{}-{name}", std::process::id()));
            for place in crate::tree::PLACES {
                let path = root.join(place);
                let folder = if place.ends_with(".c") {
                    path.parent()
                } else {
                    Some(&*path)
                };
                fs::create_dir_all(folder.expect("a folder")).expect("a folder that can be made");
            }
            fs::write(root.join(WHOLE_FILES[0]), "/* the driver */\n").expect("a file");
            let source = format!(
                "int f(void)\n{{\n{body_of_f}\n}}\nint g(int a)\n{{\n\ta++;\n\treturn a;\n}}\n"
            );
            fs::write(root.join("net/f.c"), source).expect("a file");
            Self(root)
        }
    }

    impl Drop for Source {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// The module calls `f()`, and a comment of it names `h()`, which is no function of C.
    fn found(source: &Source, list: &List) -> Reviewed {
        let mut uses = BTreeMap::<String, Use>::new();
        uses.entry("f".to_owned())
            .or_default()
            .calls
            .push("src/a.rs:1".to_owned());
        uses.entry("h".to_owned())
            .or_default()
            .comments
            .push("src/a.rs:2".to_owned());
        Reviewed::find(uses, list, &source.0).expect("a source")
    }

    fn empty() -> List {
        List {
            head: String::new(),
            kernels: vec!["7.2".to_owned(), "7.3".to_owned()],
            rows: BTreeMap::new(),
        }
    }

    /// The first words of the problems, and the names that they are about.
    fn told(list: &List, column: usize, here: &Reviewed) -> Vec<String> {
        let problems = problems(list, column, here);
        let words = |problem: &String| {
            problem
                .split_whitespace()
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        };
        problems
            .iter()
            .map(|problem| words(problem).trim_end_matches(':').to_owned())
            .collect()
    }

    #[test]
    fn what_a_kernel_has_is_listed_and_what_differs_is_marked() {
        let (old, new) = (
            Source::new("old", "\treturn g(1);"),
            Source::new("new", "\treturn g(2);"),
        );
        let mut list = empty();
        let here = found(&old, &list);
        assert_eq!(
            told(&list, 0, &here),
            ["new drivers/net/netkit.c", "new f", "new g"]
        );
        assert!(update(&mut list, 0, &here).is_empty());
        assert!(told(&list, 0, &found(&old, &list)).is_empty());
        assert_eq!(list.rows["g"].via.as_deref(), Some("f"));
        assert_eq!(list.rows["f"].files, "net/f.c");

        let here = found(&new, &list);
        assert_eq!(told(&list, 1, &here).len(), 3);
        assert_eq!(told(&list, 0, &here), ["changed f"]);
        assert_eq!(update(&mut list, 1, &here), ["f: 7.3 differs"]);
        assert_eq!(told(&list, 1, &here), ["open f"]);
        list.rows.get_mut("f").expect("listed").sentence.clear();
        assert_eq!(told(&list, 1, &here), ["unsaid f"]);
        list.rows
            .get_mut("f")
            .expect("listed")
            .sentence
            .push_str("It is all right.");
        assert!(told(&list, 1, &here).is_empty());
        assert!(told(&list, 0, &found(&old, &list)).is_empty());
    }

    #[test]
    fn what_is_gone_is_told() {
        let source = Source::new("gone", "\treturn 0;");
        let mut list = empty();
        let here = found(&source, &list);
        update(&mut list, 0, &here);
        let row = list.rows["f"].clone();
        list.rows.insert("i".to_owned(), row);
        fs::write(source.0.join("net/f.c"), "").expect("a file");
        let here = found(&source, &list);
        assert_eq!(told(&list, 0, &here), ["missing f", "unused i"]);
        list.rows.clear();
        assert_eq!(
            told(&list, 0, &here),
            ["new drivers/net/netkit.c", "unknown f"]
        );
    }
}
