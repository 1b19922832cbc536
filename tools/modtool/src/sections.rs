// SPDX-License-Identifier: GPL-2.0

//! The sections of the module: those that the loader knows, and those that must exist exactly once.
//!
//! A newer compiler may use sections with other names. The loader silently ignores sections that it does not know:
//! constructors, thread-local data, or a second part of the module's information.

use anyhow::{bail, Result};
use object::{Object, ObjectSection, SectionFlags};

/// Sections that must exist exactly once, because the loader uses only the first one (`find_sec()`).
const ONCE: [&str; 3] = [".modinfo", ".gnu.linkonce.this_module", "__param"];

/// The sections of the module's code and data, each also with `.SUFFIX`: the kernel's scripts/module.lds joins most of
/// them.
const MEMORY: [&str; 10] = [
    ".text",
    ".rodata",
    ".data",
    ".bss",
    ".init.text",
    ".init.data",
    ".init.rodata",
    ".exit.text",
    ".exit.data",
    ".static_call.text",
];

/// The sections that the loader and its code for x86 use (kernel/module/main.c, arch/x86/kernel/module.c).
const KNOWN: [&str; 25] = [
    "__bug_table",
    "__ex_table",
    "__jump_table",
    "__mcount_loc",
    "__patchable_function_entries",
    "__tracepoints",
    "__tracepoints_ptrs",
    ".altinstructions",
    ".altinstr_aux",
    ".altinstr_replacement",
    ".call_sites",
    ".cfi_sites",
    ".codetag.alloc_tags",
    ".ibt_endbr_seal",
    ".init_array",
    ".note.GNU-stack",
    ".note.Linux",
    ".note.gnu.build-id",
    ".note.gnu.property",
    ".orc_header",
    ".orc_unwind",
    ".orc_unwind_ip",
    ".retpoline_sites",
    ".return_sites",
    ".smp_locks",
];

/// The sanitizers' destructors, which no module runs (`.fini_array.1` of clang's KASAN); and static calls.
const KNOWN_WITH_SUFFIX: [&str; 2] = [".fini_array", ".static_call_sites"];

/// Fails for a section that the loader would ignore, or of which it would use only one of several.
pub fn check(module: &[u8]) -> Result<()> {
    let elf = object::File::parse(module)?;
    let mut loaded = Vec::new();
    for section in elf.sections() {
        let SectionFlags::Elf { sh_flags } = section.flags() else {
            bail!("not an ELF file");
        };
        if sh_flags & u64::from(object::elf::SHF_ALLOC) != 0 && section.size() != 0 {
            loaded.push(section.name()?.to_owned());
        }
    }
    for name in ONCE {
        let count = loaded.iter().filter(|loaded| *loaded == name).count();
        if count != 1 {
            bail!("{count} sections {name} instead of one");
        }
    }
    if let Some(name) = loaded.iter().find(|name| !is_known(name)) {
        bail!(
            "an unexpected section, {name}: what is it for, and what does the loader do with it?"
        );
    }
    Ok(())
}

fn is_known(name: &str) -> bool {
    let begins = |known: &str| {
        name.strip_prefix(known)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    ONCE.contains(&name)
        || KNOWN.contains(&name)
        || MEMORY.iter().any(|known| begins(known))
        || KNOWN_WITH_SUFFIX.iter().any(|known| begins(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::build::elf::{Builder, SectionData};
    use object::{elf, Endianness};

    /// What the check says of a module with sections of these names.
    fn judge(names: &[&str], flags: u32) -> String {
        let mut builder = Builder::new(Endianness::Little, true);
        builder.header.e_type = elf::ET_REL;
        builder.header.e_machine = elf::EM_X86_64;
        for name in names.iter().chain(&[".shstrtab"]) {
            let section = builder.sections.add();
            section.name = name.as_bytes().to_vec().into();
            if *name == ".shstrtab" {
                section.sh_type = elf::SHT_STRTAB;
                section.data = SectionData::SectionString;
            } else {
                section.sh_type = elf::SHT_PROGBITS;
                section.sh_flags = u64::from(flags);
                section.sh_addralign = 1;
                section.data = SectionData::Data(vec![0; 8].into());
            }
        }
        let mut module = Vec::new();
        let written = builder.write(&mut module).map_err(anyhow::Error::from);
        written
            .and_then(|()| check(&module))
            .map_or_else(|err| err.to_string(), |()| String::new())
    }

    /// The same of a sound module with one section more.
    fn with(name: &str) -> String {
        judge(
            &[
                ".modinfo",
                ".gnu.linkonce.this_module",
                "__param",
                ".text",
                name,
            ],
            elf::SHF_ALLOC,
        )
    }

    #[test]
    fn what_a_module_has_passes() {
        for name in [
            ".rodata",
            ".rodata.str1.1",
            ".data..unlikely",
            "__bug_table",
            ".fini_array.1",
        ] {
            assert_eq!(with(name), "");
        }
    }

    #[test]
    fn a_second_modinfo_is_refused() {
        assert_eq!(with(".modinfo"), "2 sections .modinfo instead of one");
    }

    #[test]
    fn a_missing_section_is_refused() {
        assert_eq!(
            judge(&[".text"], elf::SHF_ALLOC),
            "0 sections .modinfo instead of one"
        );
    }

    #[test]
    fn an_unknown_section_is_refused() {
        for name in [
            ".tdata",
            ".eh_frame",
            ".ctors",
            ".rodata2",
            "__param2",
            ".got",
        ] {
            assert!(with(name).contains(name), "{name}");
        }
    }

    #[test]
    fn what_is_not_loaded_does_not_matter() {
        let says = judge(&[".debug_whatever", ".modinfo"], 0);
        assert_eq!(says, "0 sections .modinfo instead of one");
    }
}
