// SPDX-License-Identifier: GPL-2.0
//! The programs on one side of a pair, in the order in which they run, with their names, links and pins.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Error;
use anyhow::Result;
use netkit_aya::query;
use netkit_aya::NetkitAttachType;
use serde::Serialize;

use crate::bpf;
use crate::bpf::Pins;
use crate::bpf::Program;

/// One side of a pair.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Hook {
    /// Grows with every change. `--revision` is compared with it.
    pub revision: u64,
    pub programs: Vec<Attached>,
}

/// One attached program.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Attached {
    #[serde(flatten)]
    pub program: Program,
    /// Where the program itself is pinned.
    pub pins: Vec<PathBuf>,
    /// The link that holds the program; `None` if it was attached without a link.
    pub link: Option<HoldingLink>,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct HoldingLink {
    pub id: u32,
    pub pins: Vec<PathBuf>,
}

/// Both sides of a pair.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Hooks {
    pub primary: Hook,
    pub peer: Hook,
}

/// Names and pins, found once for any number of devices.
#[derive(Default)]
pub struct Names {
    programs: HashMap<u32, Program>,
    pins: Pins,
}

impl Names {
    pub fn find() -> Self {
        Self {
            programs: bpf::programs(),
            pins: Pins::find(),
        }
    }

    fn attached(&self, program: netkit_aya::NetkitProgram) -> Attached {
        let unknown = || Program {
            id: program.id,
            name: None,
            tag: None,
        };
        Attached {
            program: self
                .programs
                .get(&program.id)
                .cloned()
                .unwrap_or_else(unknown),
            pins: self.pins.of_program(program.id),
            link: program.link_id.map(|id| HoldingLink {
                id,
                pins: self.pins.of_link(id),
            }),
        }
    }
}

impl Hook {
    /// Queries one side of the pair whose primary has this index in the calling thread's network namespace.
    pub fn query(ifindex: u32, side: NetkitAttachType, names: &Names) -> Result<Self> {
        let now = query(ifindex, side)
            .map_err(Error::new)
            .context("cannot ask for the programs")?;
        let programs = now.programs.into_iter();
        Ok(Self {
            revision: now.revision,
            programs: programs.map(|program| names.attached(program)).collect(),
        })
    }
}

impl Hooks {
    pub fn query(ifindex: u32, names: &Names) -> Result<Self> {
        let side = |side| Hook::query(ifindex, side, names);
        Ok(Self {
            primary: side(NetkitAttachType::Primary)?,
            peer: side(NetkitAttachType::Peer)?,
        })
    }
}
