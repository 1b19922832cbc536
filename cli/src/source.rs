// SPDX-License-Identifier: GPL-2.0
//! The source of a program: an object file, or the pin of a loaded program.

use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use aya::programs::ProgramType;
use aya::programs::SchedClassifier;

use crate::bpf;
use crate::bpf::Program;
use crate::failure::Kind;
use crate::object::Choice;
use crate::object::Loaded;

/// A program in the kernel, as long as this value lives or something else holds it.
pub enum Source {
    Object(Loaded),
    Pinned(SchedClassifier, Program),
}

impl Source {
    /// A file in a BPF file system is a pin; any other file is an object file.
    pub fn open(path: &Path, choice: &Choice) -> Result<Self> {
        if !bpf::is_bpf_fs(path) {
            return Ok(Self::Object(Loaded::from_file(path, choice)?));
        }
        if choice.program.is_some() || choice.section.is_some() {
            return Err(Kind::Usage.error(format!(
                "{} is a pin, which has no programs to choose from with --program or --section",
                path.display()
            )));
        }
        Self::from_pin(path)
    }

    fn from_pin(path: &Path) -> Result<Self> {
        let at = path.display();
        let program =
            SchedClassifier::from_pin(path).with_context(|| format!("cannot open the pin {at}"))?;
        if !bpf::is_program(program.fd()?.as_fd())? {
            return Err(Kind::Conflict.error(format!(
                "what is pinned at {at} is not a program (`bpftool -f prog` lists pinned programs)"
            )));
        }
        let info = program.info()?;
        // A type that aya does not know is not the right type, either.
        let kind = info.program_type();
        if !matches!(kind, Ok(ProgramType::SchedClassifier)) {
            return Err(Kind::Conflict.error(format!(
                "the program pinned at {at} is of {}, and netkit takes tc programs",
                kind.map_or("an unknown type".to_owned(), |kind| format!(
                    "the type {kind:?}"
                ))
            )));
        }
        let told = Program {
            id: info.id(),
            name: info.name_as_str().map(str::to_owned),
            tag: Some(format!("{:016x}", info.tag())),
        };
        Ok(Self::Pinned(program, told))
    }

    pub fn fd(&self) -> Result<BorrowedFd<'_>> {
        match self {
            Self::Object(loaded) => loaded.fd(),
            Self::Pinned(program, _) => Ok(program.fd()?.as_fd()),
        }
    }

    /// The number and name of the program.
    pub fn program(&self) -> Result<Program> {
        match self {
            Self::Object(loaded) => loaded.program(),
            Self::Pinned(_, program) => Ok(program.clone()),
        }
    }
}
