// SPDX-License-Identifier: GPL-2.0
//! Detaching a program: by the pin of its link, which is removed, by the number of its link, or by its own number if it has no
//! link.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use aya::programs::Link as _;
use netkit_aya::mprog;
use netkit_aya::NetkitLink;
use nix::errno::Errno;
use serde::Serialize;

use super::attach::driver_refused;
use super::Place;
use crate::bpf;
use crate::bpf::Pins;
use crate::failure::errno;
use crate::failure::Kind;
use crate::target::open_link;
use crate::target::open_pin;
use crate::target::open_program;
use crate::target::Target;

#[derive(Debug, Serialize)]
pub struct Detached {
    /// The program's number.
    pub program: u32,
    /// The link's number, if there was one.
    pub link: Option<u32>,
    /// The pin that was removed.
    pub unpinned: Option<PathBuf>,
    /// Other pins of the link, which has no device any more.
    pub pins_left: Vec<PathBuf>,
}

impl fmt::Display for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.link {
            Some(link) => write!(f, "detached program {} by link {link}", self.program)?,
            None => write!(f, "detached program {}", self.program)?,
        }
        if let Some(pin) = &self.unpinned {
            write!(f, " and removed {}", pin.display())?;
        }
        for pin in &self.pins_left {
            write!(
                f,
                "\n{} still names the link: `rm` removes it",
                pin.display()
            )?;
        }
        Ok(())
    }
}

pub fn detach(target: &Target, place: &Place) -> Result<Detached> {
    bpf::check_root()?;
    match target {
        Target::Pin(path) => {
            let (mut report, link) = by_link(NetkitLink::from(open_pin(path)?))?;
            fs::remove_file(path).with_context(|| {
                format!("detached link {link}, but cannot remove {}", path.display())
            })?;
            report.unpinned = Some(path.clone());
            report.pins_left = Pins::find().of_link(link);
            Ok(report)
        }
        Target::Link(id) => {
            let (mut report, link) = by_link(open_link(*id)?)?;
            report.pins_left = Pins::find().of_link(link);
            Ok(report)
        }
        Target::Program(id) => {
            let device = place.enter(target)?;
            let program = open_program(*id)?;
            mprog::detach(program, device.index, place.side(), None).map_err(|error| {
                match errno(&error) {
                    Some(Errno::EBUSY) => Kind::Conflict.error(format!(
                        "a link holds program {id} on {}: detach it by link:ID or by the pin (`netkit-rs status` shows \
                         both)",
                        device.name
                    )),
                    Some(Errno::ENOENT) => Kind::Absent.error(format!(
                        "program {id} is not attached to this side of {} (`netkit-rs status` shows what is attached)",
                        device.name
                    )),
                    _ => driver_refused(error, &device.name),
                }
            })?;
            Ok(Detached {
                program: *id,
                link: None,
                unpinned: None,
                pins_left: Vec::new(),
            })
        }
    }
}

fn by_link(link: NetkitLink) -> Result<(Detached, u32)> {
    let info = link.info()?;
    link.detach()
        .with_context(|| format!("cannot detach link {}", info.id))?;
    let report = Detached {
        program: info.program_id,
        link: Some(info.id),
        unpinned: None,
        pins_left: Vec::new(),
    };
    Ok((report, info.id))
}
