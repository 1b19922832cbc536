// SPDX-License-Identifier: GPL-2.0

//! The livepatch post-link step (Documentation/livepatch/module-elf-format.rst).
//!
//! Kbuild has named the references to unexported symbols `.klp.sym.vmlinux.NAME,0`. This step gives these symbols the
//! section index SHN_LIVEPATCH, and moves their relocations to `.klp.rela.vmlinux.SECTION` sections. The module loader
//! resolves them through kallsyms. Every other undefined symbol must be exported.
//!
//! It also gives the module its BTF (`btf.rs`).

use crate::{btf, layout::BtfFile, names::Callback, replacements, sections};
use anyhow::{bail, Context, Result};
use object::build::elf::{Builder, Relocation, SectionData, SectionId, SymbolId};
use object::elf;
use std::{collections::BTreeSet, fs, path::Path};

/// `st_shndx` of a symbol that the livepatch core resolves (include/uapi/linux/elf.h).
const SHN_LIVEPATCH: u16 = 0xff20;
/// `sh_flags` of a section of livepatch relocations (include/uapi/linux/elf.h).
const SHF_RELA_LIVEPATCH: u64 = 0x0010_0000;
const SYMBOL_PREFIX: &str = ".klp.sym.vmlinux.";

/// Rewrites `module` to `out`.
pub fn run(
    module: &Path,
    out: &Path,
    symbols: &Path,
    symvers: &Path,
    kernel_btf: &Path,
    list: &Path,
) -> Result<()> {
    let symbols_text =
        fs::read_to_string(symbols).with_context(|| symbols.display().to_string())?;
    let allowed = names(&symbols_text);
    let symvers_text =
        fs::read_to_string(symvers).with_context(|| symvers.display().to_string())?;
    let exported = exported(&symvers_text);
    let input = fs::read(module).with_context(|| module.display().to_string())?;
    sections::check(&input).with_context(|| module.display().to_string())?;
    replacements::check(&input).with_context(|| module.display().to_string())?;
    let (btf, missing) = btf::section(&BtfFile::read(kernel_btf)?, &Callback::read_list(list)?)?;
    if !missing.is_empty() {
        eprintln!(
            "modtool: note: fentry and fexit will not know our counterparts of {}, which this kernel's BTF lacks",
            missing.join(", ")
        );
    }
    let output =
        rewrite(&input, &allowed, &exported, btf).with_context(|| module.display().to_string())?;

    // A module that was cut short must not look like a built one.
    let partial = out.with_extension("ko.part");
    fs::write(&partial, output).with_context(|| partial.display().to_string())?;
    fs::rename(&partial, out).with_context(|| out.display().to_string())
}

fn names(text: &str) -> BTreeSet<&str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

/// The second column of Module.symvers.
fn exported(symvers: &str) -> BTreeSet<&str> {
    symvers
        .lines()
        .filter_map(|line| line.split('\t').nth(1))
        .collect()
}

fn rewrite(
    input: &[u8],
    allowed: &BTreeSet<&str>,
    exported: &BTreeSet<&str>,
    btf: Vec<u8>,
) -> Result<Vec<u8>> {
    let mut elf = Builder::read(input)?;
    let mut klp: Vec<SymbolId> = Vec::new();
    let mut missing = Vec::new();

    for symbol in elf.symbols.iter_mut() {
        let name = String::from_utf8_lossy(&symbol.name).into_owned();
        if let Some(target) = name
            .strip_prefix(SYMBOL_PREFIX)
            .and_then(|rest| rest.strip_suffix(",0"))
        {
            if !allowed.contains(target) {
                missing.push(name.clone());
            }
            symbol.st_shndx = SHN_LIVEPATCH;
            symbol.st_info = (elf::STB_GLOBAL << 4) | (symbol.st_info & 0xf);
            klp.push(symbol.id());
        } else if symbol.section.is_none()
            && symbol.st_shndx == elf::SHN_UNDEF
            && !name.is_empty()
            && !exported.contains(name.as_str())
        {
            missing.push(name);
        }
    }
    if !missing.is_empty() {
        bail!(
            "undefined symbols that are neither exported by the kernel nor listed as livepatch symbols: {}",
            missing.join(", ")
        );
    }
    if klp.is_empty() {
        bail!("no livepatch symbol in the module");
    }

    let symtab = elf
        .sections
        .iter()
        .find(|s| s.sh_type == elf::SHT_SYMTAB)
        .map(|s| s.id());
    for id in elf
        .sections
        .iter()
        .map(|s| s.id())
        .collect::<Vec<SectionId>>()
    {
        if elf.sections.get(id).sh_flags & SHF_RELA_LIVEPATCH != 0 {
            continue;
        }
        let section = elf.sections.get_mut(id);
        let target = section.sh_info_section;
        let SectionData::Relocation(relocations) = &mut section.data else {
            continue;
        };
        let is_klp = |r: &Relocation| r.symbol.is_some_and(|s| klp.contains(&s));
        let moved: Vec<_> = relocations.iter().filter(|r| is_klp(r)).cloned().collect();
        if moved.is_empty() {
            continue;
        }
        relocations.retain(|r| !is_klp(r));

        let Some(target) = target else {
            bail!("a relocation section without a target")
        };
        let name = [
            b".klp.rela.vmlinux.".as_slice(),
            elf.sections.get(target).name.as_slice(),
        ]
        .concat();
        let section = elf.sections.add();
        section.name = name.into();
        section.sh_type = elf::SHT_RELA;
        section.sh_flags = u64::from(elf::SHF_ALLOC | elf::SHF_INFO_LINK) | SHF_RELA_LIVEPATCH;
        section.sh_info_section = Some(target);
        section.sh_link_section = symtab;
        section.sh_addralign = 8;
        section.sh_entsize = 24;
        section.data = SectionData::Relocation(moved);
    }

    // What pahole wrote is empty: it leaves Rust out. `.BTF.base` is for a kernel whose types have other numbers.
    for section in elf.sections.iter_mut() {
        section.delete |= [&b".BTF"[..], b".BTF.base"].contains(&section.name.as_slice());
    }
    let section = elf.sections.add();
    section.name = b".BTF"[..].into();
    section.sh_type = elf::SHT_PROGBITS;
    section.sh_addralign = 8;
    section.data = SectionData::Data(btf.into());

    let mut output = Vec::new();
    elf.write(&mut output)?;
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_skip_comments_and_blank_lines() {
        let text = "# c\n\n a\nb\n";
        assert_eq!(names(text).into_iter().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn exported_reads_the_second_column() {
        let text = "0x0\tfoo\tvmlinux\tEXPORT_SYMBOL\t\n0x0\tbar\tvmlinux\tEXPORT_SYMBOL_GPL\t\n";
        assert!(exported(text).contains("foo") && exported(text).contains("bar"));
    }
}
