// SPDX-License-Identifier: GPL-2.0
//! Attach, replace and detach programs of netkit devices. Each returns a report, which the command prints.

mod attach;
mod detach;
mod replace;

use std::path::PathBuf;

use anyhow::Result;
use netkit_aya::NetkitAttachType;
use serde::Serialize;

use crate::bpf::Program;
use crate::device::Device;
use crate::failure::Kind;
use crate::namespace::Namespace;
use crate::primary::primary;
use crate::target::Target;

pub use attach::attach;
pub use attach::Attach;
pub use attach::Attached;
pub use detach::detach;
pub use detach::Detached;
pub use replace::replace;
pub use replace::Replaced;

/// One side of a pair, as the user named it.
#[derive(Clone, Debug)]
pub struct Place {
    /// The namespace of the primary; `None` for this one.
    pub netns: Option<String>,
    /// The primary device.
    pub dev: Option<String>,
    pub peer: bool,
}

impl Place {
    pub fn side(&self) -> NetkitAttachType {
        match self.peer {
            true => NetkitAttachType::Peer,
            false => NetkitAttachType::Primary,
        }
    }

    /// Moves this thread to the namespace, and finds the device there. The file system does not change: files have the same
    /// paths as before.
    fn enter(&self, for_what: &Target) -> Result<Device> {
        self.join()?;
        match &self.dev {
            Some(name) => primary(name),
            None => Err(Kind::Usage.error(format!(
                "{for_what} needs a device: name the primary device, too (--dev NAME, with --peer for what its peer \
                 sends)"
            ))),
        }
    }

    fn join(&self) -> Result<()> {
        match &self.netns {
            Some(name) => Namespace::by_name(name)?.join(),
            None => Ok(()),
        }
    }
}

/// A link in a report.
#[derive(Clone, Debug, Serialize)]
pub struct Link {
    pub id: u32,
    pub pin: Option<PathBuf>,
}

/// A program and its number in words.
fn told(program: &Program) -> String {
    match &program.name {
        Some(name) => format!("{name} (program {})", program.id),
        None => format!("program {}", program.id),
    }
}

/// The packets that the programs of a side see.
fn packets(side: NetkitAttachType) -> &'static str {
    match side {
        NetkitAttachType::Primary => "what the primary sends",
        NetkitAttachType::Peer => "what the peer sends",
    }
}

/// A side in a report.
fn side_name(side: NetkitAttachType) -> &'static str {
    match side {
        NetkitAttachType::Primary => "primary",
        NetkitAttachType::Peer => "peer",
    }
}
