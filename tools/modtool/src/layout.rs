// SPDX-License-Identifier: GPL-2.0

//! Struct layouts from BTF.
//!
//! The compiler knows the layout in the headers, and BTF has the layout in the running kernel. The generated file lets
//! the module compare the two when it is compiled.

use anyhow::{anyhow, bail, Context, Result};
use btf_rs::{Btf, Type};
use object::{Object, ObjectSection};
use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

/// Names that bindgen gives a trailing underscore.
const KEYWORDS: [&str; 4] = ["mod", "move", "ref", "type"];

/// What is written for a struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// bindgen knows it, so that its idea of the layout can be asserted right here.
    Struct,
    /// The same, but for the size: a struct that is only ever reached by a pointer.
    Part,
    /// bindgen does not know it: constants.
    Mirror,
}

/// A wanted struct and its wanted fields.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    name: String,
    fields: Vec<String>,
    kind: Kind,
}

/// Writes the layouts that `list` names, as found in `btf`, and the kernel's build ID, to `out`.
pub fn run(btf: &Path, list: &Path, build_id: &str, out: &Path) -> Result<()> {
    let wanted =
        parse_list(&fs::read_to_string(list).with_context(|| list.display().to_string())?)?;
    let mut text = render(&BtfFile::read(btf)?.btf, &wanted)?;
    let id = parse_build_id(build_id)?;
    writeln!(text, "pub const BUILD_ID: [u8; {}] = {id:?};", id.len())?;
    fs::write(out, text).with_context(|| out.display().to_string())
}

fn parse_list(text: &str) -> Result<Vec<Wanted>> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (kind, rest) = line.split_once(' ').unwrap_or_default();
            let kind = match kind {
                "struct" => Some(Kind::Struct),
                "part" => Some(Kind::Part),
                "mirror" => Some(Kind::Mirror),
                _ => None,
            };
            let (kind, (name, fields)) = kind.zip(rest.split_once(':')).ok_or_else(|| {
                anyhow!("not a line of the form `struct|part|mirror NAME: FIELD …`: {line}")
            })?;
            Ok(Wanted {
                name: name.trim().to_owned(),
                fields: fields.split_whitespace().map(str::to_owned).collect(),
                kind,
            })
        })
        .collect()
}

/// A GNU build ID: a SHA-1, as ld and lld make it for the kernel.
fn parse_build_id(digits: &str) -> Result<[u8; 20]> {
    let byte = |at: usize| {
        digits
            .get(at..at + 2)
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| anyhow!("not a build ID of 20 bytes: {digits:?}"))
}

/// BTF that stands on its own: the kernel's.
pub struct BtfFile {
    pub btf: Btf,
    raw: Vec<u8>,
}

impl BtfFile {
    /// `path` is an ELF file with a section .BTF, or raw BTF.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        Self::parse(bytes).with_context(|| path.display().to_string())
    }

    fn parse(bytes: Vec<u8>) -> Result<Self> {
        if !bytes.starts_with(b"\x7fELF") {
            return Self::from_raw(bytes).context("raw BTF");
        }
        let elf = object::File::parse(&*bytes)?;
        let section = elf.section_by_name(".BTF").ok_or_else(|| {
            anyhow!("no .BTF section: the kernel was built without CONFIG_DEBUG_INFO_BTF")
        })?;
        Self::from_raw(section.data()?.to_vec()).context(".BTF section")
    }

    pub fn from_raw(raw: Vec<u8>) -> Result<Self> {
        let btf = Btf::from_bytes(&raw)?;
        Ok(Self { btf, raw })
    }

    /// The length of its strings, `struct btf_header::str_len`.
    pub fn strings_len(&self) -> Result<u32> {
        let field = self.raw.get(20..24).context("a BTF header cut short")?;
        Ok(u32::from_le_bytes(field.try_into()?))
    }
}

fn render(btf: &Btf, wanted: &[Wanted]) -> Result<String> {
    let mut text = String::from("// Written by `modtool layout` from the target kernel's BTF.\n");
    for Wanted { name, fields, kind } in wanted {
        let (size, offsets) = find(btf, name, fields)?;
        if *kind != Kind::Mirror {
            writeln!(
                text,
                "const _: () = {{\n    use crate::bindings::{name} as c;"
            )?;
            if *kind == Kind::Struct {
                writeln!(
                    text,
                    "    assert!(size_of::<c>() == {size}, \"struct {name}: size\");"
                )?;
            }
            for path in fields {
                let field = c_name(path);
                let offset = offsets[field];
                let underscore = if KEYWORDS.contains(&field) { "_" } else { "" };
                writeln!(
                    text,
                    "    assert!(offset_of!(c, {path}{underscore}) == {offset}, \"struct {name}: {field}\");"
                )?;
            }
            writeln!(text, "}};")?;
        } else {
            writeln!(
                text,
                "pub mod {name} {{\n    pub const SIZE: usize = {size};"
            )?;
            for (field, offset) in offsets {
                writeln!(
                    text,
                    "    pub const {}: usize = {offset};",
                    field.to_uppercase()
                )?;
            }
            writeln!(text, "}}")?;
        }
    }
    Ok(text)
}

/// What C calls a field that bindgen reaches through the path `path` of anonymous members.
fn c_name(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// The size of `struct name` and the byte offsets of `fields`.
///
/// One name can stand for several structs (`static` ones of different files): the one that has all the
/// wanted fields is meant, and there must be just one.
fn find(btf: &Btf, name: &str, fields: &[String]) -> Result<(usize, BTreeMap<String, usize>)> {
    let mut found = Vec::new();
    for ty in btf.resolve_types_by_name(name).unwrap_or_default() {
        let Type::Struct(st) = ty else { continue };
        let mut offsets = BTreeMap::new();
        collect(btf, &st, 0, &mut offsets)?;
        if fields
            .iter()
            .all(|field| offsets.contains_key(c_name(field)))
        {
            offsets.retain(|name, _| fields.iter().any(|field| c_name(field) == name));
            found.push((st.size(), offsets));
        }
    }
    found.dedup();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => bail!(
            "the kernel's BTF has no struct {name} with the fields {}",
            fields.join(", ")
        ),
        n => bail!("the kernel's BTF has {n} different structs {name}"),
    }
}

/// Fields by name, those of anonymous members included, as C sees them.
fn collect(
    btf: &Btf,
    st: &btf_rs::Struct,
    base: usize,
    offsets: &mut BTreeMap<String, usize>,
) -> Result<()> {
    for member in &st.members {
        let at = base + member.bit_offset() as usize / 8;
        let name = btf.resolve_name(member).unwrap_or_default();
        if !name.is_empty() {
            offsets.insert(name, at);
        } else if let Type::Struct(inner) | Type::Union(inner) = btf.resolve_chained_type(member)? {
            collect(btf, &inner, at, offsets)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_ids() {
        let id = parse_build_id(&"0f".repeat(20)).expect("a build ID");
        assert_eq!(id, [15; 20]);
        for wrong in [
            "",
            "0f",
            &"0f".repeat(21),
            &"xy".repeat(20),
            &"0f".repeat(19),
        ] {
            assert!(parse_build_id(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn list_lines_are_parsed_and_others_refused() {
        let wanted =
            parse_list("# comment\n\nstruct a: x y\nmirror b:\npart c: z\n").expect("a valid list");
        assert_eq!(wanted[0].name, "a");
        assert_eq!(wanted[0].fields, ["x", "y"]);
        let kinds: Vec<Kind> = wanted.iter().map(|wanted| wanted.kind).collect();
        assert_eq!(kinds, [Kind::Struct, Kind::Mirror, Kind::Part]);
        assert!(wanted[1].fields.is_empty());
        assert_eq!(c_name("__bindgen_anon_1.dev"), "dev");
        assert!(parse_list("union a: x").is_err());
        assert!(parse_list("struct a x").is_err());
    }
}
