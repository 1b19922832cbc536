// SPDX-License-Identifier: GPL-2.0
//! Loading one program of an object file, by aya.

use std::fs;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::path::Path;

use anyhow::anyhow;
use anyhow::Context;
use anyhow::Result;
use aya::programs::Program;
use aya::programs::ProgramError;
use aya::programs::SchedClassifier;
use aya::Ebpf;
use netkit_aya::ProgramSymbol;

use crate::bpf;
use crate::failure::Kind;

/// Which program of the file to load.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// By the name of its function.
    pub program: Option<String>,
    /// By its section.
    pub section: Option<String>,
}

/// A program in the kernel. Its maps live as long as it does.
pub struct Loaded {
    ebpf: Ebpf,
    name: String,
}

impl Loaded {
    /// Loads the chosen program of a file, and no other. Without a choice, the file must have one program.
    pub fn from_file(path: &Path, choice: &Choice) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = || format!("the object file {}", path.display());
        let name =
            choose(&netkit_aya::programs(&bytes).with_context(file)?, choice).with_context(file)?;
        let object = netkit_aya::aya_object(bytes).with_context(file)?;
        let mut ebpf = Ebpf::load(&object).with_context(file)?;
        let program = ebpf
            .program_mut(&name)
            .ok_or_else(|| anyhow!("aya finds no program {name}"))
            .with_context(file)?;
        classifier(program, &name)?
            .load()
            .map_err(|error| rejected(error, &name))?;
        Ok(Self { ebpf, name })
    }

    pub fn fd(&self) -> Result<BorrowedFd<'_>> {
        let program = self.ebpf.program(&self.name);
        let program: &SchedClassifier = program
            .ok_or_else(|| anyhow!("there is no program {}", self.name))?
            .try_into()?;
        Ok(program.fd()?.as_fd())
    }

    /// The number and the whole name of the program. (The kernel keeps 15 bytes of the name.)
    pub fn program(&self) -> Result<bpf::Program> {
        let program = self.ebpf.program(&self.name);
        let program = program.ok_or_else(|| anyhow!("there is no program {}", self.name))?;
        let info = program.info()?;
        Ok(bpf::Program {
            id: info.id(),
            name: Some(self.name.clone()),
            tag: Some(format!("{:016x}", info.tag())),
        })
    }
}

fn classifier<'a>(program: &'a mut Program, name: &str) -> Result<&'a mut SchedClassifier> {
    let kind = program.prog_type();
    program.try_into().map_err(|_| {
        Kind::Conflict.error(format!(
            "the program {name} is of the type {kind:?}, and netkit takes tc programs: put it into a section `netkit/peer`, \
             `netkit/primary` or `tc`"
        ))
    })
}

/// The whole output of the verifier, if there is any: it helps the author of the program.
fn rejected(error: ProgramError, name: &str) -> anyhow::Error {
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            let log = verifier_log.to_string();
            match log.trim() {
                "" => anyhow!("the kernel does not take the program {name}: {io_error}"),
                log => anyhow!("the kernel does not take the program {name}: {io_error}; its verifier says:\n{log}"),
            }
        }
        other => anyhow!(other).context(format!("the program {name}")),
    }
}

fn choose(programs: &[ProgramSymbol], choice: &Choice) -> Result<String> {
    let wanted = |program: &&ProgramSymbol| {
        choice
            .program
            .as_ref()
            .is_none_or(|name| *name == program.name)
            && choice
                .section
                .as_ref()
                .is_none_or(|name| *name == program.section)
    };
    let chosen: Vec<_> = programs.iter().filter(wanted).collect();
    let list = || {
        let list: Vec<_> = programs
            .iter()
            .map(|program| format!("{} (section {})", program.name, program.section))
            .collect();
        list.join(", ")
    };
    match chosen.as_slice() {
        [one] => Ok(one.name.clone()),
        [] if programs.is_empty() => Err(Kind::Absent.error("it has no program")),
        [] => Err(Kind::Absent.error(format!("it has no such program; it has {}", list()))),
        _ => Err(Kind::Usage.error(format!(
            "it has several: choose one with --program or --section; it has {}",
            list()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<ProgramSymbol> {
        let program = |name: &str, section: &str| ProgramSymbol {
            name: name.to_owned(),
            section: section.to_owned(),
        };
        vec![
            program("block", "netkit/peer"),
            program("count", "tc"),
            program("mark", "tc"),
        ]
    }

    fn by(program: Option<&str>, section: Option<&str>) -> Result<String> {
        let choice = Choice {
            program: program.map(str::to_owned),
            section: section.map(str::to_owned),
        };
        choose(&file(), &choice)
    }

    #[test]
    fn one_of_several() -> Result<()> {
        assert_eq!(by(Some("mark"), None)?, "mark");
        assert_eq!(by(None, Some("netkit/peer"))?, "block");
        assert_eq!(choose(&file()[..1], &Choice::default())?, "block");
        Ok(())
    }

    /// The demo's program, whose section aya refuses: its code and its debug information must arrive.
    #[test]
    fn sections_of_libbpf() -> Result<()> {
        let object = fs::read(concat!(env!("DEMO_OBJECTS"), "/block_port.bpf.o"))?;
        assert!(aya_obj::Object::parse(&object).is_err());
        let listed = netkit_aya::programs(&object)?;
        assert_eq!(choose(&listed, &Choice::default())?, "block_port");
        assert_eq!(listed[0].section, "netkit/peer");

        let object = netkit_aya::aya_object(object)?;
        assert_eq!(
            netkit_aya::programs(&object)?[0].section,
            "classifier/netkit/peer"
        );
        // The second call does nothing.
        assert_eq!(netkit_aya::aya_object(object.clone())?, object);
        let parsed = aya_obj::Object::parse(&object)?;
        assert!(parsed.programs.contains_key("block_port"));
        assert!(parsed.btf.is_some());
        let functions: Vec<_> = parsed.functions.values().collect();
        assert_eq!(functions.len(), 1);
        assert_eq!(functions[0].func_info.func_info.len(), 1);
        assert!(!functions[0].line_info.line_info.is_empty());
        Ok(())
    }

    #[test]
    fn none_or_too_many() {
        assert!(by(None, None).is_err());
        assert!(by(None, Some("tc")).is_err());
        assert!(by(Some("mark"), Some("netkit/peer")).is_err());
        assert!(choose(&[], &Choice::default()).is_err());
    }
}
