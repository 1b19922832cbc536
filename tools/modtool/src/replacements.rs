// SPDX-License-Identifier: GPL-2.0

//! The livepatch core must find a task that is inside a replacement function.
//!
//! Before it releases the module, it looks for addresses of the replacements on the stack of each task
//! (`klp_check_stack_func()`, kernel/livepatch/transition.c). A compiler may turn a call in the last line into a jump.
//! A replacement that ends in a jump to another function of the module leaves no address on the stack: a task that
//! sleeps in that function would return into freed memory. So a module with such a jump is refused.

use anyhow::{bail, Context, Result};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction};
use object::{
    Object, ObjectSection, ObjectSymbol, RelocationTarget, Section, SectionIndex, Symbol,
    SymbolKind,
};
use std::collections::BTreeMap;

/// The static of the type `klp::Patch`, by the beginning and the end of its mangled name. (KASAN adds a symbol that ends so, too.)
const PATCH: (&str, &str) = ("_R", "5PATCH");

/// The target of a branch.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Target {
    /// Into a section of the module.
    Here(SectionIndex, u64),
    /// Outside of the module. This code stays when the module is removed.
    Kernel,
    /// A place that is known only at run time.
    Computed,
}

/// Fails if a replacement function of `module`, an ELF file, jumps to another function of it.
pub fn check(module: &[u8]) -> Result<()> {
    let elf = object::File::parse(module)?;
    let functions = replacements(&elf)?;
    for function in &functions {
        let name = function.name()?;
        let index = function
            .section_index()
            .with_context(|| format!("{name} has no section"))?;
        let section = elf.section_by_index(index)?;
        let code = section
            .data_range(function.address(), function.size())?
            .with_context(|| format!("{name} has no code"))?;
        let relocated = targets(&elf, &section)?;
        let jumps = jumps_out(code, function.address(), index, &relocated);
        if let Some(jump) = jumps.first() {
            bail!("{name}, a function that livepatch puts in place, ends in a jump ({jump}): the livepatch core would not \
                see who sleeps behind it. Keep it a call, see klp::stay_on_stack()");
        }
    }
    Ok(())
}

/// The functions to which the patch points.
fn replacements<'a>(elf: &'a object::File<'a>) -> Result<Vec<Symbol<'a, 'a>>> {
    let patches: Vec<_> = elf
        .symbols()
        .filter(|symbol| {
            symbol
                .name()
                .is_ok_and(|name| name.starts_with(PATCH.0) && name.ends_with(PATCH.1))
        })
        .collect();
    // Of two, one would go unchecked.
    let [patch] = &patches[..] else {
        bail!("{} livepatches in the module instead of one", patches.len());
    };
    let index = patch
        .section_index()
        .context("the livepatch has no section")?;
    let section = elf.section_by_index(index)?;
    let within = patch.address()..patch.address() + patch.size();
    let starts: Vec<_> = targets(elf, &section)?
        .into_iter()
        .filter(|(at, _)| within.contains(at))
        .filter_map(|(_, target)| match target {
            Target::Here(section, address) => Some((section, address)),
            Target::Kernel | Target::Computed => None,
        })
        .collect();
    let functions: Vec<_> = elf
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
        .filter(|symbol| {
            symbol
                .section_index()
                .is_some_and(|section| starts.contains(&(section, symbol.address())))
        })
        .collect();
    if functions.is_empty() {
        bail!("the livepatch points to no function");
    }
    Ok(functions)
}

/// What the relocations of a section refer to, by the place that they change.
fn targets(elf: &object::File<'_>, section: &Section<'_, '_>) -> Result<BTreeMap<u64, Target>> {
    let mut found = BTreeMap::new();
    for (at, relocation) in section.relocations() {
        let RelocationTarget::Symbol(index) = relocation.target() else {
            continue;
        };
        let symbol = elf.symbol_by_index(index)?;
        let target = match symbol.section_index() {
            // A displacement is relative to the next instruction, which is 4 bytes after it.
            Some(section) => {
                let distance = relocation.addend() + if relocation.size() == 32 { 4 } else { 0 };
                Target::Here(section, symbol.address().wrapping_add_signed(distance))
            }
            None if symbol.name()?.starts_with("__x86_indirect_thunk") => Target::Computed,
            None => Target::Kernel,
        };
        found.insert(at, target);
    }
    Ok(found)
}

/// The jumps, not calls, that lead from `code` at `start` of a section to somewhere else in the module.
fn jumps_out(
    code: &[u8],
    start: u64,
    section: SectionIndex,
    relocated: &BTreeMap<u64, Target>,
) -> Vec<Instruction> {
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    let mut found = Vec::new();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        let target = match instruction.flow_control() {
            FlowControl::IndirectBranch => Target::Computed,
            FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
                let bytes = instruction.ip()..instruction.next_ip();
                let relocation = relocated.range(bytes).next().map(|(_, target)| *target);
                relocation.unwrap_or(Target::Here(section, instruction.near_branch_target()))
            }
            _ => continue,
        };
        let end = start + code.len() as u64;
        let stays = match target {
            Target::Here(index, address) => index == section && (start..end).contains(&address),
            Target::Kernel => true,
            Target::Computed => false,
        };
        if !stays {
            found.push(instruction);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the check says of a module with statics of these names.
    fn judge(names: &[&str]) -> String {
        use object::{
            build::elf::{Builder, SectionData},
            elf, Endianness,
        };
        let mut builder = Builder::new(Endianness::Little, true);
        builder.header.e_type = elf::ET_REL;
        builder.header.e_machine = elf::EM_X86_64;
        for (name, kind, data) in [
            (".symtab", elf::SHT_SYMTAB, SectionData::Symbol),
            (".strtab", elf::SHT_STRTAB, SectionData::String),
            (".shstrtab", elf::SHT_STRTAB, SectionData::SectionString),
        ] {
            let section = builder.sections.add();
            section.name = name.as_bytes().to_vec().into();
            section.sh_type = kind;
            section.data = data;
        }
        for name in names {
            let symbol = builder.symbols.add();
            symbol.name = name.as_bytes().to_vec().into();
            symbol.st_info = elf::STT_OBJECT;
            symbol.st_shndx = elf::SHN_ABS;
        }
        let mut module = Vec::new();
        let written = builder.write(&mut module).map_err(anyhow::Error::from);
        written
            .and_then(|()| check(&module))
            .map_or_else(|err| err.to_string(), |()| String::new())
    }

    #[test]
    fn one_livepatch_is_expected() {
        assert_eq!(judge(&[]), "0 livepatches in the module instead of one");
        let asan = "__odr_asan_gen__RNvNtC9netkit_rs7builtin5PATCH";
        let one = judge(&["_RNvNtC9netkit_rs7builtin5PATCH", asan]);
        assert_eq!(one, "the livepatch has no section");
        let two = judge(&[
            "_RNvNtC9netkit_rs7builtin5PATCH",
            "_RNvNtC9netkit_rs5other5PATCH",
        ]);
        assert_eq!(two, "2 livepatches in the module instead of one");
        assert_eq!(
            judge(&["_RNvNtC9netkit_rs7builtin5PATCH"]),
            "the livepatch has no section"
        );
    }

    const TEXT: SectionIndex = SectionIndex(7);

    /// `endbr64`, then `code`, at 0x100 of the section.
    fn jumps(code: &[u8], relocated: &[(u64, Target)]) -> usize {
        let code = [&[0xf3, 0x0f, 0x1e, 0xfa], code].concat();
        jumps_out(&code, 0x100, TEXT, &relocated.iter().copied().collect()).len()
    }

    #[test]
    fn calls_and_returns_stay() {
        let call_and_return = [0xe8, 0, 1, 0, 0, 0xc3];
        assert_eq!(jumps(&call_and_return, &[]), 0);
        // A return by way of the kernel's thunk.
        let thunk = [0xe9, 0, 0, 0, 0];
        assert_eq!(jumps(&thunk, &[(0x105, Target::Kernel)]), 0);
    }

    #[test]
    fn a_jump_within_the_function_stays() {
        assert_eq!(jumps(&[0xeb, 0xfe], &[]), 0);
        assert_eq!(jumps(&[0x74, 0x01, 0x90, 0xc3], &[]), 0);
    }

    #[test]
    fn a_jump_to_another_function_is_found() {
        assert_eq!(jumps(&[0xe9, 0, 1, 0, 0], &[]), 1);
        assert_eq!(jumps(&[0x0f, 0x84, 0, 1, 0, 0, 0xc3], &[]), 1);
        let elsewhere = [(0x105, Target::Here(TEXT, 0x10))];
        assert_eq!(jumps(&[0xe9, 0, 0, 0, 0], &elsewhere), 1);
    }

    #[test]
    fn a_jump_to_a_computed_place_is_found() {
        assert_eq!(jumps(&[0xff, 0xe0], &[]), 1);
        let thunk = [(0x105, Target::Computed)];
        assert_eq!(jumps(&[0xe9, 0, 0, 0, 0], &thunk), 1);
    }
}
