// SPDX-License-Identifier: GPL-2.0
//! Attaching a program to one side of a pair. With a pin, the program is attached by a link, which exists as long as the pin.
//! Without a pin it is attached without a link, as by `ip link set … xdp`: a link would end with this command.

use std::fmt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::anyhow;
use anyhow::Error;
use anyhow::Result;
use aya::programs::ProgramError;
use netkit_aya::mprog;
use netkit_aya::query;
use netkit_aya::NetkitLink;
use netkit_aya::NetkitOptions;
use netkit_aya::NetkitOrder;
use nix::errno::Errno;
use serde::Serialize;

use super::packets;
use super::side_name;
use super::told;
use super::Link;
use super::Place;
use crate::bpf;
use crate::bpf::Program;
use crate::failure::errno;
use crate::failure::Kind;
use crate::object::Choice;
use crate::primary::primary;
use crate::source::Source;

/// What to attach, where, and how.
pub struct Attach {
    /// An object file or a pinned program.
    pub source: PathBuf,
    pub choice: Choice,
    pub place: Place,
    pub order: NetkitOrder<'static>,
    pub revision: Option<u64>,
    /// Where to pin the link; `None` for an attachment without a link.
    pub pin: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
pub struct Attached {
    pub device: String,
    pub side: &'static str,
    pub program: Program,
    pub link: Option<Link>,
    /// The revision of this side after the change.
    pub revision: u64,
    #[serde(skip)]
    packets: &'static str,
}

impl fmt::Display for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            device, packets, ..
        } = self;
        write!(
            f,
            "attached {} to {packets} on {device}",
            told(&self.program)
        )?;
        match &self.link {
            Some(Link { id, pin: Some(pin) }) => {
                write!(f, " by link {id}, pinned at {}", pin.display())
            }
            Some(Link { id, .. }) => write!(f, " by link {id}"),
            None => write!(f, ", without a link"),
        }
    }
}

pub fn attach(args: &Attach) -> Result<Attached> {
    bpf::check_root()?;
    args.place.join()?;
    // The command line requires a device here.
    let dev = args.place.dev.as_deref().unwrap_or_default();
    let device = primary(dev)?;
    if let Some(pin) = &args.pin {
        check_pin(pin)?;
    }
    let source = Source::open(&args.source, &args.choice)?;
    let side = args.place.side();
    let options = NetkitOptions {
        order: args.order,
        expected_revision: args.revision,
    };
    let link = match &args.pin {
        None => {
            mprog::attach(source.fd()?, device.index, side, options)
                .map_err(|error| refused(error, args, device.index))?;
            None
        }
        Some(pin) => {
            let link = NetkitLink::attach(source.fd()?, device.index, side, options)
                .map_err(|error| refused(error, args, device.index))?;
            let id = link.info()?.id;
            // If pinning fails, the link ends here, and with it the attachment.
            link.pin(pin).map_err(|error| {
                Error::new(error).context(format!(
                    "cannot pin at {}; nothing is attached",
                    pin.display()
                ))
            })?;
            Some(Link {
                id,
                pin: Some(pin.clone()),
            })
        }
    };
    Ok(Attached {
        device: device.name,
        side: side_name(side),
        program: source.program()?,
        link,
        revision: query(device.index, side)?.revision,
        packets: packets(side),
    })
}

/// Checks that a pin can be made, before anything is changed.
fn check_pin(pin: &Path) -> Result<()> {
    let shown = pin.display();
    if pin.symlink_metadata().is_ok() {
        return Err(Kind::Conflict.error(format!(
            "{shown} exists already: `netkit-rs replace {shown} …` replaces its program, `netkit-rs detach {shown}` \
             removes it"
        )));
    }
    let folder = match pin.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(Kind::Absent.error(format!(
            "cannot pin at {shown}: the folder {} does not exist, create it first (`ip netns exec` hides /sys/fs/bpf: use \
             --netns instead)",
            folder.display()
        )));
    }
    if !bpf::is_bpf_fs(folder) {
        let hint = match bpf::is_bpf_fs(Path::new("/sys/fs/bpf")) {
            true => "/sys/fs/bpf is a BPF file system",
            false => "mount one with `mount -t bpf bpf /sys/fs/bpf`",
        };
        return Err(Kind::Absent.error(format!(
            "cannot pin at {shown}: it is not in a BPF file system; {hint}"
        )));
    }
    Ok(())
}

fn refused(error: ProgramError, args: &Attach, ifindex: u32) -> Error {
    let dev = args.place.dev.as_deref().unwrap_or_default();
    let side = args.place.side();
    match errno(&error) {
        Some(Errno::ESTALE) => Kind::Conflict.error(match query(ifindex, side) {
            Ok(now) => format!(
                "the programs on {} of {dev} are at revision {}, not at the expected revision: somebody has changed them",
                side_name(side),
                now.revision
            ),
            Err(_) => format!("the programs on {dev} are not at the expected revision"),
        }),
        Some(Errno::ENOENT) => Kind::Absent.error(
            "the program or link that --before or --after names is not attached to this side (`netkit-rs status` shows what is attached)",
        ),
        Some(Errno::ERANGE) => Kind::Conflict.error(format!(
            "{dev} has the maximum number of programs: detach a program first"
        )),
        Some(Errno::EEXIST) => {
            Kind::Conflict.error(format!("the program is already attached to this side of {dev}"))
        }
        Some(Errno::EOPNOTSUPP) => Kind::Conflict.error(format!(
            "{dev} is a single device, which runs no programs"
        )),
        _ => driver_refused(error, dev),
    }
}

/// The refusals that attaching, replacing and detaching have in common.
pub fn driver_refused(error: ProgramError, dev: &str) -> Error {
    match errno(&error) {
        Some(Errno::EACCES) => Kind::Conflict.error(format!(
            "{dev} is now the peer of its pair: use the primary"
        )),
        _ => anyhow!(error).context(format!("the kernel refuses it on {dev}")),
    }
}
