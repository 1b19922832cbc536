// SPDX-License-Identifier: GPL-2.0

//! A kernel's source: in which file a C function is defined, and its definition.
//!
//! The source has hundreds of megabytes. Only lines that could begin a wanted definition are searched, and only files
//! with such lines are parsed.

use crate::text;
use anyhow::{anyhow, bail, Context, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};
use tree_sitter::{Node, Parser};

/// Where functions are looked for: everything that the module could get to see on amd64.
pub const PLACES: [&str; 12] = [
    "drivers/net/netkit.c",
    "drivers/net/team",
    "drivers/base",
    "include",
    "net",
    "kernel",
    "lib",
    "mm",
    "init",
    "arch/x86/include",
    "arch/x86/kernel",
    "arch/x86/net",
];

/// A definition, as it is in its file.
pub struct Definition {
    pub name: String,
    pub text: String,
    /// Only its file knows the function: another file may have one of the same name.
    pub local: bool,
    /// The function whose call is all that this one does.
    pub forwards: Option<String>,
}

/// The definitions of a name: all of its files, each with all definitions (one for each side of an `#ifdef`).
pub type Found = BTreeMap<String, Vec<Definition>>;

/// The meaning of a name in a kernel's source.
pub struct Body {
    /// The files with its definitions, separated by commas.
    pub files: String,
    /// The definitions, joined.
    pub text: String,
    /// Other files that could have been meant as well.
    pub others: Vec<String>,
    /// The functions whose call is all that a definition does.
    pub forwards: Vec<String>,
}

impl Body {
    pub fn hash(&self) -> String {
        text::hash(&text::normalised(&self.text))
    }
}

/// A kernel's source, searched for some names.
pub struct Tree {
    root: PathBuf,
    found: BTreeMap<String, Found>,
}

impl Tree {
    /// Searches the source below `root` for the definitions of `names`.
    pub fn search<'a>(root: &Path, names: impl Iterator<Item = &'a str>) -> Result<Self> {
        let names: BTreeSet<&str> = names.collect();
        let mut found = BTreeMap::<String, Found>::new();
        let mut files = Vec::new();
        for place in PLACES {
            list_sources(&root.join(place), &mut files)
                .with_context(|| format!("{} is no kernel source", root.display()))?;
        }
        files.sort();
        for part in in_parallel(&files, |path| definitions_in(path, &names)) {
            for (path, definitions) in part? {
                let file = path
                    .strip_prefix(root)
                    .unwrap_or(&path)
                    .display()
                    .to_string();
                for definition in definitions {
                    let files = found.entry(definition.name.clone()).or_default();
                    files.entry(file.clone()).or_default().push(definition);
                }
            }
        }
        Ok(Self {
            root: root.to_owned(),
            found,
        })
    }

    /// Searches for more names; those that were searched for already cost nothing.
    pub fn add<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        let more: Vec<&str> = names
            .filter(|name| !self.found.contains_key(*name))
            .collect();
        if !more.is_empty() {
            self.found
                .append(&mut Self::search(&self.root, more.into_iter())?.found);
        }
        Ok(())
    }

    /// The definition of `name`: in the files that `pinned` names if they have one, otherwise in the likeliest file.
    pub fn body(&self, name: &str, pinned: Option<&str>) -> Option<Body> {
        let found = self.found.get(name)?;
        let pinned: Vec<&str> = pinned.unwrap_or_default().split(',').collect();
        let mut chosen: Vec<&str> = found.keys().map(String::as_str).collect();
        chosen.retain(|file| pinned.contains(file));
        let mut others = Vec::new();
        if chosen.is_empty() {
            let best = found.iter().map(|(file, it)| rank(file, it)).min()?;
            let mut likely = found.iter().filter(|(file, it)| rank(file, it) == best);
            chosen.push(likely.next()?.0);
            others.extend(likely.map(|(file, _)| file.clone()));
        }
        let definitions: Vec<_> = chosen.iter().flat_map(|file| &found[*file]).collect();
        let texts: Vec<&str> = definitions.iter().map(|it| it.text.trim_end()).collect();
        Some(Body {
            files: chosen.join(","),
            text: texts.join("\n\n") + "\n",
            others,
            forwards: definitions
                .iter()
                .filter_map(|it| it.forwards.clone())
                .collect(),
        })
    }

    /// A whole file, if the source has it.
    pub fn file(&self, path: &str) -> Option<Body> {
        Some(Body {
            files: path.to_owned(),
            text: fs::read_to_string(self.root.join(path)).ok()?,
            others: Vec::new(),
            forwards: Vec::new(),
        })
    }
}

/// How likely a file has the definition that is meant; the least is likeliest.
fn rank(file: &str, definitions: &[Definition]) -> u32 {
    let local = definitions.iter().all(|definition| definition.local);
    let near = [
        "net/core/",
        "net/xdp/",
        "kernel/bpf/",
        "kernel/livepatch/",
        "kernel/module/",
    ];
    if file == "drivers/net/netkit.c" {
        0
    } else if file.starts_with("arch/") || file.starts_with("drivers/") || file.ends_with("tiny.c")
    {
        // A kernel for one CPU has the tiny RCU.
        7
    } else if file.starts_with("include/linux/") || file.starts_with("include/net/") {
        2
    } else if file.starts_with("include/") {
        6
    } else if !local {
        // A header in include/ has the stub for where this is not built in.
        1
    } else if near.iter().any(|folder| file.starts_with(folder)) {
        3
    } else if file.starts_with("kernel/") {
        4
    } else {
        5
    }
}

/// Adds all C files at or below `path`.
fn list_sources(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        fs::metadata(path)?;
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            list_sources(&path, files)?;
        } else if path.extension().is_some_and(|it| it == "c" || it == "h") {
            files.push(path);
        }
    }
    Ok(())
}

type PerFile = Vec<(PathBuf, Vec<Definition>)>;

/// Runs `work` over the files on all CPUs; a result for each CPU.
fn in_parallel(
    files: &[PathBuf],
    work: impl Fn(&Path) -> Result<Vec<Definition>> + Sync,
) -> Vec<Result<PerFile>> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let next = std::sync::atomic::AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        while let Some(path) = files.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            let definitions = work(path).with_context(|| path.display().to_string())?;
            if !definitions.is_empty() {
                done.push((path.clone(), definitions));
            }
        }
        Ok(done)
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let joined = handles.into_iter().map(|handle| handle.join());
        joined
            .map(|result| result.unwrap_or_else(|_| Err(anyhow!("a search thread panicked"))))
            .collect()
    })
}

fn definitions_in(path: &Path, names: &BTreeSet<&str>) -> Result<Vec<Definition>> {
    let bytes = fs::read(path)?;
    let wanted = candidates(&bytes, names);
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    definitions(&String::from_utf8_lossy(&bytes), &wanted)
}

/// The names whose definition could be in a file, by its lines: a definition's name stands on a line that is not
/// indented, with the parameters behind it, or behind `#define`.
fn candidates<'a>(source: &[u8], names: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut start = 0;
    while start < source.len() {
        let end = memchr::memchr(b'\n', &source[start..]).map_or(source.len(), |n| start + n);
        let line = &source[start..end];
        start = end + 1;
        match line {
            [b'#', rest @ ..] => {
                if let Some(name) = macro_name(rest).and_then(|name| names.get(name)) {
                    found.insert(*name);
                }
            }
            [first, ..] if text::is_word(*first) && memchr::memchr(b'(', line).is_some() => {
                let Ok(line) = std::str::from_utf8(line) else {
                    continue;
                };
                found.extend(text::words(line).filter_map(|(_, word)| names.get(word)));
            }
            _ => {}
        }
    }
    found
}

/// The name in a line `#define NAME…`, of which `rest` is what follows the `#`.
fn macro_name(rest: &[u8]) -> Option<&str> {
    let rest = std::str::from_utf8(rest).ok()?;
    let rest = rest.trim_start().strip_prefix("define")?.trim_start();
    text::words(rest).next().map(|(_, word)| word)
}

/// The definitions of some names in a file of C.
pub fn definitions(source: &str, names: &BTreeSet<&str>) -> Result<Vec<Definition>> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_c::LANGUAGE.into())?;
    let Some(tree) = parser.parse(source, None) else {
        bail!("the parser gave up");
    };
    let mut found = BTreeMap::new();
    visit(tree.root_node(), source, names, &mut found);
    by_lines(source, names, &mut found);
    Ok(found.into_values().collect())
}

/// Definitions by the position of their first byte.
type Positions = BTreeMap<usize, Definition>;

fn visit(node: Node<'_>, source: &str, names: &BTreeSet<&str>, found: &mut Positions) {
    let text = &source[node.byte_range()];
    match node.kind() {
        "function_definition" => {
            let body = node.child_by_field_name("body");
            let head = body.map_or(text, |body| &source[node.start_byte()..body.start_byte()]);
            // What the parser did not understand may swallow the next function.
            let whole = text.ends_with('}') && !text.contains("\n}\n");
            if let Some(name) = defined_name(head, names).filter(|_| whole) {
                let definition = function(
                    name,
                    head,
                    text,
                    body.and_then(|body| forwards(body, source)),
                );
                found.insert(node.start_byte(), definition);
                return;
            }
        }
        "preproc_function_def" | "preproc_def" => {
            let name = node
                .child_by_field_name("name")
                .map(|name| &source[name.byte_range()]);
            let value = node
                .child_by_field_name("value")
                .map(|it| source[it.byte_range()].trim());
            // `#define f f` says that there is a function f.
            if let Some(name) = name
                .filter(|name| names.contains(name) && value.is_some_and(|value| value != *name))
            {
                found.insert(node.start_byte(), a_macro(name, text));
            }
            return;
        }
        _ => {}
    }
    let mut cursor = node.walk();
    for child in node.children(&mut cursor) {
        visit(child, source, names, found);
    }
}

fn function(name: &str, head: &str, text: &str, forwards: Option<String>) -> Definition {
    Definition {
        name: name.to_owned(),
        text: text.to_owned(),
        local: text::words(head).any(|(_, word)| word == "static"),
        forwards,
    }
}

fn a_macro(name: &str, text: &str) -> Definition {
    Definition {
        name: name.to_owned(),
        text: text.to_owned(),
        local: true,
        forwards: None,
    }
}

/// The function that is called by the one statement of a body, `f(…);` or `return f(…);`.
fn forwards(body: Node<'_>, source: &str) -> Option<String> {
    let mut cursor = body.walk();
    let mut statements = body
        .named_children(&mut cursor)
        .filter(|node| node.kind() != "comment");
    let statement = statements.next().filter(|_| statements.next().is_none())?;
    if !["expression_statement", "return_statement"].contains(&statement.kind()) {
        return None;
    }
    let call = statement
        .named_child(0)
        .filter(|node| node.kind() == "call_expression")?;
    let function = call.child_by_field_name("function")?;
    (function.kind() == "identifier").then(|| source[function.byte_range()].to_owned())
}

/// The definitions that the parser made nothing of, as the kernel lays them out: the name on a line that is not
/// indented, the end on a line that is `}`.
fn by_lines(source: &str, names: &BTreeSet<&str>, found: &mut Positions) {
    let mut start = 0;
    for line in source.split_inclusive('\n') {
        let (at, rest) = (start, &source[start..]);
        start += line.len();
        let known = found.range(..=at).next_back();
        if known.is_some_and(|(begin, it)| begin + it.text.len() > at)
            || candidates(line.as_bytes(), names).is_empty()
        {
            continue;
        }
        if let Some(define) = line.strip_prefix('#') {
            let mut length = 0;
            for line in rest.split_inclusive('\n') {
                length += line.len();
                if !line.trim_end().ends_with('\\') {
                    break;
                }
            }
            let name = macro_name(define.as_bytes()).filter(|name| names.contains(name));
            if let Some(name) = name.filter(|name| {
                !rest[..length]
                    .trim_end()
                    .ends_with(&format!("define {name} {name}"))
            }) {
                found.insert(at, a_macro(name, &rest[..length]));
            }
            continue;
        }
        let (Some(body), Some(end)) = (rest.find('{'), rest.find("\n}")) else {
            continue;
        };
        if body < end && !rest[..body].contains(';') {
            if let Some(name) = defined_name(&rest[..body], names) {
                found.insert(at, function(name, &rest[..body], &rest[..end + 2], None));
            }
        }
    }
}

/// The wanted name that the head of a definition defines: `name(` outside of all parentheses, or the first argument of
/// SYSCALL_DEFINE.
fn defined_name<'a>(head: &str, names: &BTreeSet<&'a str>) -> Option<&'a str> {
    let parts = text::split(head);
    let mut depth = 0i32;
    let mut last = 0;
    let mut call = "";
    for (at, word) in text::words(&parts.code) {
        for byte in parts.code[last..at].bytes() {
            match byte {
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
        }
        let first = depth == 1 && parts.code[..at].ends_with('(');
        last = at;
        if depth == 0 {
            call = word;
        }
        let defines = match depth {
            0 => parts.code[at + word.len()..].trim_start().starts_with('('),
            _ => first && call.starts_with("SYSCALL_DEFINE"),
        };
        if let Some(name) = names.get(word).filter(|_| defines) {
            return Some(name);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "\
/* f() in a comment */
int f(int a);
#ifdef CONFIG_X
static __always_inline int f(int a)
{
	return g(a);
}
#else
static inline int f(int a) { return 0; }
#endif
#define g(a) \\
	h(a)
#define h h
#define v(a, more...) \\
	h(a, more)
struct s *
k(int (*f)(int))
{
	return NULL;
}
SYSCALL_DEFINE2(close_it, const char __user *, name, int, flags)
{
	if (name)
		return 1;
	return f(fd);
}
";

    fn found(names: &[&str]) -> Vec<(String, bool)> {
        let names: BTreeSet<&str> = names.iter().copied().collect();
        let wanted = candidates(SAMPLE.as_bytes(), &names);
        let found = definitions(SAMPLE, &wanted).expect("a sample that parses");
        found.into_iter().map(|it| (it.name, it.local)).collect()
    }

    #[test]
    fn definitions_of_all_kinds_are_found() {
        assert_eq!(
            found(&["f"]),
            [("f".to_owned(), true), ("f".to_owned(), true)]
        );
        assert_eq!(found(&["g", "h"]), [("g".to_owned(), true)]);
        assert_eq!(found(&["k"]), [("k".to_owned(), false)]);
        assert_eq!(found(&["close_it"]), [("close_it".to_owned(), false)]);
        assert_eq!(found(&["v"]), [("v".to_owned(), true)]);
        assert!(found(&["name", "nothing"]).is_empty());
    }

    #[test]
    fn a_function_that_only_calls_another_forwards_to_it() {
        let names = BTreeSet::from(["f", "close_it"]);
        let found = definitions(SAMPLE, &names).expect("a sample that parses");
        let forwards: Vec<_> = found.iter().map(|it| it.forwards.as_deref()).collect();
        assert_eq!(forwards, [Some("g"), None, None]);
    }

    #[test]
    fn the_likeliest_file_is_taken_unless_the_list_names_one() {
        let definition = |local| Definition {
            name: "f".to_owned(),
            text: format!("{local}"),
            local,
            forwards: None,
        };
        let files = [
            ("include/linux/f.h", true),
            ("net/core/f.c", false),
            ("net/tipc/f.c", true),
        ];
        let found = files.map(|(file, local)| (file.to_owned(), vec![definition(local)]));
        let tree = Tree {
            root: PathBuf::new(),
            found: BTreeMap::from([("f".to_owned(), BTreeMap::from(found))]),
        };
        let body = |pinned| tree.body("f", pinned).map(|body| body.files);
        assert_eq!(body(None).as_deref(), Some("net/core/f.c"));
        assert_eq!(body(Some("net/tipc/f.c")).as_deref(), Some("net/tipc/f.c"));
        assert_eq!(body(Some("gone.c")).as_deref(), Some("net/core/f.c"));
        assert!(tree.body("g", None).is_none());
    }
}
