// SPDX-License-Identifier: GPL-2.0
//! Object files whose programs are in sections that aya does not know.
//!
//! libbpf's names for programs of the type SchedClassifier are `tc`, `tcx/…`, `netkit/primary` and so on. aya (0.13) knows
//! `classifier` alone and refuses a whole object for any other name. So the section `netkit/peer` becomes
//! `classifier/netkit/peer` here, in the section headers and where BTF speaks of sections by name. Nothing is moved: the
//! two string tables are copied to the end of the file with the new names behind the old ones.

use std::mem::offset_of;

use object::elf;
use object::elf::FileHeader64;
use object::elf::SectionHeader64;
use object::read::elf::FileHeader as _;
use object::read::elf::SectionHeader as _;
use object::read::elf::Sym as _;
use object::NativeEndian;
use object::SectionIndex;
use thiserror::Error;

type Header = FileHeader64<NativeEndian>;
const ENDIAN: NativeEndian = NativeEndian;

/// An object file that cannot be read.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
#[error("it is not a BPF object file: {0}")]
pub struct ObjectError(String);

/// A program of an object file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProgramSymbol {
    /// The function's name, which is the program's.
    pub name: String,
    /// Its section, as the file has it.
    pub section: String,
}

/// The programs of an object file, in the order of its symbol table.
pub fn programs(object: &[u8]) -> Result<Vec<ProgramSymbol>, ObjectError> {
    let header = Header::parse(object).map_err(unreadable)?;
    let sections = header.sections(ENDIAN, object).map_err(unreadable)?;
    let symbols = sections
        .symbols(ENDIAN, object, elf::SHT_SYMTAB)
        .map_err(unreadable)?;
    let mut found = Vec::new();
    for symbol in symbols.iter() {
        let section = SectionIndex(symbol.st_shndx(ENDIAN).into());
        let Ok(section) = sections.section(section) else {
            continue;
        };
        let section = sections.section_name(ENDIAN, section).map_err(unreadable)?;
        if symbol.st_type() == elf::STT_FUNC
            && symbol.st_bind() == elf::STB_GLOBAL
            && section != b".text"
        {
            let name = symbol.name(ENDIAN, symbols.strings()).map_err(unreadable)?;
            found.push(ProgramSymbol {
                name: text(name),
                section: text(section),
            });
        }
    }
    Ok(found)
}

/// The object with section names that aya knows; the very same bytes if it has such names already.
pub fn aya_object(mut object: Vec<u8>) -> Result<Vec<u8>, ObjectError> {
    let Plan {
        renamed,
        names,
        btf,
        btf_ext,
    } = plan(&object)?;
    if renamed.is_empty() {
        return Ok(object);
    }
    let offsets = append(&mut object, &names, names.size, &renamed)?;
    for (rename, offset) in renamed.iter().zip(&offsets) {
        let field = rename.header + offset_of!(SectionHeader64<NativeEndian>, sh_name);
        put(&mut object, field, &offset.to_ne_bytes())?;
    }
    if let (Some(btf), Some(btf_ext)) = (btf, btf_ext) {
        rename_in_btf(&mut object, &btf, &btf_ext, &renamed)?;
    }
    Ok(object)
}

/// A section: where its header is in the file, and where its bytes are.
struct Place {
    header: usize,
    offset: usize,
    size: usize,
}

struct Rename {
    header: usize,
    old: String,
    new: String,
}

struct Plan {
    renamed: Vec<Rename>,
    names: Place,
    btf: Option<Place>,
    btf_ext: Option<Place>,
}

fn plan(object: &[u8]) -> Result<Plan, ObjectError> {
    let header = Header::parse(object).map_err(unreadable)?;
    let sections = header.sections(ENDIAN, object).map_err(unreadable)?;
    let start = header.e_shoff.get(ENDIAN) as usize;
    let place = |index: usize, section: &SectionHeader64<NativeEndian>| Place {
        header: start + index * size_of::<SectionHeader64<NativeEndian>>(),
        offset: section.sh_offset(ENDIAN) as usize,
        size: section.sh_size(ENDIAN) as usize,
    };
    let names = header.shstrndx(ENDIAN, object).map_err(unreadable)? as usize;
    let section = sections.section(SectionIndex(names)).map_err(unreadable)?;
    let mut plan = Plan {
        renamed: Vec::new(),
        names: place(names, section),
        btf: None,
        btf_ext: None,
    };
    for (index, section) in sections.iter().enumerate() {
        let name = text(sections.section_name(ENDIAN, section).map_err(unreadable)?);
        let place = place(index, section);
        match name.as_str() {
            ".BTF" => plan.btf = Some(place),
            ".BTF.ext" => plan.btf_ext = Some(place),
            _ if section.sh_flags(ENDIAN) & u64::from(elf::SHF_EXECINSTR) != 0 && is_tc(&name) => {
                plan.renamed.push(Rename {
                    header: place.header,
                    new: format!("classifier/{name}"),
                    old: name,
                });
            }
            _ => {}
        }
    }
    Ok(plan)
}

/// libbpf's sections for programs of the type SchedClassifier.
fn is_tc(section: &str) -> bool {
    let kind = section.split('/').next();
    matches!(kind, Some("tc" | "tcx" | "netkit" | "action"))
}

/// Copies a section to the end of the file with the new names inserted behind its first `keep` bytes, which must be
/// all. Answers the names' offsets in the section.
fn append(
    object: &mut Vec<u8>,
    section: &Place,
    keep: usize,
    renamed: &[Rename],
) -> Result<Vec<u32>, ObjectError> {
    let old = object
        .get(section.offset..section.offset + keep)
        .ok_or_else(truncated)?
        .to_vec();
    let offset = object.len().next_multiple_of(8);
    object.resize(offset, 0);
    object.extend(old);
    let mut offsets = Vec::new();
    for rename in renamed {
        offsets.push((object.len() - offset) as u32);
        object.extend(rename.new.as_bytes());
        object.push(0);
    }
    let size = object.len() - offset;
    let field = section.header + offset_of!(SectionHeader64<NativeEndian>, sh_offset);
    put(object, field, &(offset as u64).to_ne_bytes())?;
    let field = section.header + offset_of!(SectionHeader64<NativeEndian>, sh_size);
    put(object, field, &(size as u64).to_ne_bytes())?;
    Ok(offsets)
}

/// `struct btf_header`: the length of the header, the offset and the length of the strings (counted from its end).
const BTF_HDR_LEN: usize = 4;
const BTF_STR_OFF: usize = 16;
const BTF_STR_LEN: usize = 20;
/// `struct btf_ext_header`: offset and length of function, line and CO-RE information, in this order.
const EXT_HDR_LEN: usize = 4;
const EXT_PARTS: usize = 8;

fn rename_in_btf(
    object: &mut Vec<u8>,
    btf: &Place,
    ext: &Place,
    renamed: &[Rename],
) -> Result<(), ObjectError> {
    let strings = get(object, btf.offset + BTF_HDR_LEN)? + get(object, btf.offset + BTF_STR_OFF)?;
    let strings_len = get(object, btf.offset + BTF_STR_LEN)?;
    if strings + strings_len != btf.size {
        return Err(ObjectError(
            "its BTF does not end with the strings".to_owned(),
        ));
    }
    let table = object
        .get(btf.offset + strings..btf.offset + btf.size)
        .ok_or_else(truncated)?
        .to_vec();
    let new = append(object, btf, btf.size, renamed)?;
    // The section's header has its new place.
    let moved = btf.header + offset_of!(SectionHeader64<NativeEndian>, sh_offset);
    let size = get(object, moved + 8)?;
    let moved = get(object, moved)?;
    put(
        object,
        moved + BTF_STR_LEN,
        &((size - strings) as u32).to_ne_bytes(),
    )?;

    let header_len = get(object, ext.offset + EXT_HDR_LEN)?;
    for part in (EXT_PARTS..header_len.min(EXT_PARTS + 24)).step_by(8) {
        let mut at = ext.offset + header_len + get(object, ext.offset + part)?;
        let end = at + get(object, ext.offset + part + 4)?;
        if at == end {
            continue;
        }
        // The size of a record, then for each section its name, the number of records, the records.
        let record = get(object, at)?;
        at += 4;
        while at < end {
            let name = string(&table, get(object, at)?);
            if let Some(nth) = renamed
                .iter()
                .position(|rename| rename.old.as_bytes() == name)
            {
                put(object, at, &(new[nth] - strings as u32).to_ne_bytes())?;
            }
            at += 8 + record * get(object, at + 4)?;
        }
    }
    Ok(())
}

fn string(table: &[u8], offset: usize) -> &[u8] {
    let rest = table.get(offset..).unwrap_or_default();
    rest.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn get(object: &[u8], at: usize) -> Result<usize, ObjectError> {
    let bytes = object
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok());
    Ok(u32::from_ne_bytes(bytes.ok_or_else(truncated)?) as usize)
}

fn put(object: &mut [u8], at: usize, bytes: &[u8]) -> Result<(), ObjectError> {
    let field = object.get_mut(at..at + bytes.len()).ok_or_else(truncated)?;
    field.copy_from_slice(bytes);
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn truncated() -> ObjectError {
    ObjectError("it is cut off".to_owned())
}

fn unreadable(error: object::Error) -> ObjectError {
    ObjectError(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        assert!(is_tc("tc") && is_tc("tcx/ingress") && is_tc("netkit/primary"));
        assert!(!is_tc("classifier") && !is_tc("tcpdump") && !is_tc("xdp"));
    }

    #[test]
    fn garbage_is_refused() {
        assert!(aya_object(Vec::new()).is_err());
        assert!(aya_object(b"\x7fELF and no more".to_vec()).is_err());
        assert!(programs(b"#!/bin/sh").is_err());
    }
}
