// SPDX-License-Identifier: GPL-2.0
//! The status for people: a line for each device, under it a line for each program in the order in which they run.

use std::fmt;
use std::path::PathBuf;

use super::ByDriver;
use super::Entry;
use super::Status;
use crate::hook::Attached;
use crate::hook::Hook;
use crate::module::Driver;
use crate::module::Takeover;

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "driver:   {}", self.driver)?;
        if let Some(module) = &self.module {
            write!(f, "module:   netkit_rs")?;
            let version = module.version.as_ref();
            let named = [
                ("version", version),
                ("srcversion", module.srcversion.as_ref()),
                ("build", module.build_id.as_ref()),
            ];
            for (name, value) in named {
                if let Some(value) = value {
                    write!(f, ", {name} {value}")?;
                }
            }
            writeln!(f, ", reference count {}", module.references)?;
        }
        if let Some(text) = takeover(self.driver, self.takeover) {
            writeln!(f, "takeover: {text}")?;
        }
        for task in &self.waiting_for {
            writeln!(f, "waits for {task}")?;
        }
        if self.driver != Driver::None {
            writeln!(f, "total:    {}", self.devices_by_driver)?;
        }
        write!(f, "devices:  {}", self.devices.len())?;
        let mut namespace = None;
        for entry in &self.devices {
            if namespace != Some(entry.namespace.inode) {
                namespace = Some(entry.namespace.inode);
                write!(f, "\n  {}:", entry.namespace)?;
            }
            write!(f, "\n    {entry}")?;
        }
        Ok(())
    }
}

/// The state of the takeover in words, if it adds something to the name of the driver.
fn takeover(driver: Driver, takeover: Option<Takeover>) -> Option<&'static str> {
    match (driver, takeover?) {
        (Driver::BuiltIn, Takeover::Off) => Some(
            "off, so netkit_rs serves no device: `netkit-rs load` takes all devices over",
        ),
        (Driver::Rust, Takeover::Incomplete) => Some(
            "incomplete, so some devices are served by the other driver: `netkit-rs load` takes all devices over",
        ),
        (_, Takeover::Incomplete) => Some(
            "incomplete, so some devices are served by the other driver: `netkit-rs unload` hands all devices back",
        ),
        (_, Takeover::On | Takeover::Off) => None,
    }
}

impl fmt::Display for ByDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.rust, self.c) {
            (Some(rust), Some(c)) => write!(
                f,
                "{rust} with the Rust driver, {c} with the C driver, in all network namespaces"
            ),
            (Some(rust), None) => write!(
                f,
                "{rust} with the Rust driver, in all network namespaces (only root sees the C driver's number)"
            ),
            (None, _) => f.write_str("unknown (the module is an old build, which does not count)"),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match (self.netkit.role, self.netkit.pairing.as_str()) {
            (_, "single") => "single",
            (crate::device::Role::Primary, _) => "primary",
            (crate::device::Role::Peer, _) => "peer",
        };
        let netkit = &self.netkit;
        write!(
            f,
            "{}: {} ({role}), mode {}, policy {}",
            self.ifindex, self.name, netkit.mode, netkit.policy
        )?;
        if let Some(policy) = &netkit.peer_policy {
            write!(f, ", peer policy {policy}")?;
        }
        if netkit.dev_switch != "before" {
            write!(
                f,
                ", packets change devices {} the programs",
                netkit.dev_switch
            )?;
        }
        if let Some(other) = self.peer {
            write!(f, ", other end {}", other.ifindex)?;
            if let Some(id) = other.netnsid {
                write!(f, " (netns id {id})")?;
            }
        }
        let Some(programs) = &self.programs else {
            return Ok(());
        };
        for (side, hook) in [("primary", &programs.primary), ("peer", &programs.peer)] {
            hook_text(f, side, hook)?;
        }
        Ok(())
    }
}

/// A side without programs, now and before, gets no line.
fn hook_text(f: &mut fmt::Formatter<'_>, side: &str, hook: &Hook) -> fmt::Result {
    if hook.programs.is_empty() && hook.revision <= 1 {
        return Ok(());
    }
    write!(f, "\n      {side}, revision {}:", hook.revision)?;
    for program in &hook.programs {
        write!(f, "\n        {program}")?;
    }
    match hook.programs.is_empty() {
        true => f.write_str(" no program"),
        false => Ok(()),
    }
}

impl fmt::Display for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            program,
            pins,
            link,
        } = self;
        let name = program.name.as_deref().filter(|name| !name.is_empty());
        write!(f, "prog:{} {}", program.id, name.unwrap_or("?"))?;
        if let Some(tag) = &program.tag {
            write!(f, " tag {tag}")?;
        }
        pinned(f, pins)?;
        if let Some(link) = link {
            write!(f, ", link:{}", link.id)?;
            pinned(f, &link.pins)?;
        }
        Ok(())
    }
}

fn pinned(f: &mut fmt::Formatter<'_>, pins: &[PathBuf]) -> fmt::Result {
    for pin in pins {
        write!(f, " pinned at {}", pin.display())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::Program;
    use crate::hook::HoldingLink;

    #[test]
    fn numbers_of_devices() {
        let text = |rust, c| ByDriver { rust, c }.to_string();
        assert!(text(Some(4), Some(2)).starts_with("4 with the Rust driver, 2 with the C driver"));
        assert!(text(Some(4), None).contains("only root"));
    }

    #[test]
    fn takeovers_worth_a_line() {
        assert_eq!(takeover(Driver::Rust, Some(Takeover::On)), None);
        assert_eq!(takeover(Driver::Unloading, Some(Takeover::Off)), None);
        assert_eq!(takeover(Driver::BuiltIn, None), None);
        let hint = |driver, state| takeover(driver, Some(state)).unwrap_or_default();
        assert!(hint(Driver::BuiltIn, Takeover::Off).contains("`netkit-rs load`"));
        assert!(hint(Driver::Rust, Takeover::Incomplete).contains("`netkit-rs load`"));
        assert!(hint(Driver::Disabled, Takeover::Incomplete).contains("`netkit-rs unload`"));
    }

    #[test]
    fn a_program() {
        let mut attached = Attached {
            program: Program {
                id: 7,
                name: Some("filter".to_owned()),
                tag: Some("00ab".to_owned()),
            },
            pins: Vec::new(),
            link: None,
        };
        assert_eq!(attached.to_string(), "prog:7 filter tag 00ab");
        attached.link = Some(HoldingLink {
            id: 3,
            pins: vec![PathBuf::from("/sys/fs/bpf/x")],
        });
        attached.program.name = Some(String::new());
        assert_eq!(
            attached.to_string(),
            "prog:7 ? tag 00ab, link:3 pinned at /sys/fs/bpf/x"
        );
    }
}
