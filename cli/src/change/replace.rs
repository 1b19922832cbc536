// SPDX-License-Identifier: GPL-2.0
//! Replacing an attached program, with or without a link, in one step: each packet is seen by the old program or by the new
//! one.

use std::fmt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Error;
use anyhow::Result;
use aya::programs::links::LinkError;
use netkit_aya::mprog;
use netkit_aya::NetkitLink;
use nix::errno::Errno;
use serde::Serialize;

use super::attach::driver_refused;
use super::told;
use super::Link;
use super::Place;
use crate::bpf;
use crate::bpf::Program;
use crate::failure::errno;
use crate::failure::Kind;
use crate::object::Choice;
use crate::source::Source;
use crate::target::open_link;
use crate::target::open_pin;
use crate::target::open_program;
use crate::target::Target;

#[derive(Debug, Serialize)]
pub struct Replaced {
    /// The number of the replaced program.
    pub old: u32,
    pub program: Program,
    pub link: Option<Link>,
}

impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "replaced program {} by {}",
            self.old,
            told(&self.program)
        )?;
        match &self.link {
            Some(link) => write!(f, " behind link {}", link.id),
            None => Ok(()),
        }
    }
}

pub fn replace(target: &Target, source: &Path, choice: &Choice, place: &Place) -> Result<Replaced> {
    bpf::check_root()?;
    match target {
        Target::Pin(path) => {
            let pinned = open_pin(path)?;
            let new = Source::open(source, choice)?;
            behind(pinned.link(), Some(path.clone()), &new)
        }
        Target::Link(id) => {
            let link = open_link(*id)?;
            let new = Source::open(source, choice)?;
            behind(&link, None, &new)
        }
        Target::Program(id) => {
            let device = place.enter(target)?;
            let old = open_program(*id)?;
            let new = Source::open(source, choice)?;
            mprog::replace(old, new.fd()?, device.index, place.side(), None).map_err(|error| {
                match errno(&error) {
                    Some(Errno::EBUSY) => Kind::Conflict.error(format!(
                        "a link holds program {id} on {}: replace it by link:ID or by the pin (`netkit-rs status` shows \
                         both)",
                        device.name
                    )),
                    Some(Errno::ENOENT) => Kind::Absent.error(format!(
                        "program {id} is not attached to this side of {} (`netkit-rs status` shows what is attached)",
                        device.name
                    )),
                    Some(Errno::EEXIST) => Kind::Conflict.error(format!(
                        "the new program is already attached to this side of {}",
                        device.name
                    )),
                    _ => driver_refused(error, &device.name),
                }
            })?;
            Ok(Replaced {
                old: *id,
                program: new.program()?,
                link: None,
            })
        }
    }
}

fn behind(link: &NetkitLink, pin: Option<PathBuf>, new: &Source) -> Result<Replaced> {
    let info = link.info()?;
    link.update(new.fd()?)
        .map_err(|error| refused(error, info.id))?;
    Ok(Replaced {
        old: info.program_id,
        program: new.program()?,
        link: Some(Link { id: info.id, pin }),
    })
}

fn refused(error: LinkError, id: u32) -> Error {
    match errno(&error) {
        Some(Errno::ENOLINK) => Kind::Absent.error(format!(
            "link {id} has no device any more, so it cannot be updated: `netkit-rs detach` removes its pin"
        )),
        Some(Errno::EEXIST) => Kind::Conflict
            .error("the new program is already attached to this side, without a link or by another link"),
        _ => Error::new(error).context(format!("the kernel refuses it behind link {id}")),
    }
}
