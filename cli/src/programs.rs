// SPDX-License-Identifier: GPL-2.0
//! attach, replace and detach: programs of object files on netkit devices, by pinned links.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use anyhow::anyhow;
use anyhow::bail;
use anyhow::Context;
use anyhow::Error;
use anyhow::Result;
use netkit_aya::NetkitAttachType;
use netkit_aya::NetkitError;
use netkit_aya::NetkitLink;
use netkit_aya::NetkitOptions;
use netkit_aya::NetkitOrder;
use netkit_rs::device;
use netkit_rs::object::Choice;
use netkit_rs::object::Loaded;

use crate::Attach;
use crate::Order;
use crate::Replace;
use crate::Source;

/// What `--before` and `--after` name: a program, or a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Relative {
    Program(u32),
    Link(u32),
}

impl FromStr for Relative {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (make, id): (fn(u32) -> Self, _) = match text.strip_prefix("link:") {
            Some(id) => (Self::Link, id),
            None => (Self::Program, text),
        };
        match id.parse() {
            Ok(0) | Err(_) => Err("it must be a program's id, or link:ID (`bpftool net` and `bpftool link` show them)".to_owned()),
            Ok(id) => Ok(make(id)),
        }
    }
}

impl From<&Order> for NetkitOrder {
    fn from(order: &Order) -> Self {
        match (order.first, order.before, order.after) {
            (true, ..) => Self::First,
            (_, Some(Relative::Program(id)), _) => Self::BeforeProgram(id),
            (_, Some(Relative::Link(id)), _) => Self::BeforeLink(id),
            (_, _, Some(Relative::Program(id))) => Self::AfterProgram(id),
            (_, _, Some(Relative::Link(id))) => Self::AfterLink(id),
            // --last, or nothing said.
            (false, None, None) => Self::Last,
        }
    }
}

fn check_root() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("BPF programs are for root to attach: run the same command with sudo");
    }
    Ok(())
}

fn load(source: &Source) -> Result<Loaded> {
    let choice = Choice {
        program: source.program.clone(),
        section: source.section.clone(),
    };
    Loaded::from_file(&source.object, &choice)
}

/// The side to attach to, and whose packets that means.
fn side(args: &Attach) -> (NetkitAttachType, &'static str) {
    match args.peer {
        true => (NetkitAttachType::Peer, "the peer sends"),
        false => (NetkitAttachType::Primary, "the primary sends"),
    }
}

pub fn attach(args: Attach) -> Result<()> {
    check_root()?;
    let device = device::primary(&args.dev)?;
    if args.pin.exists() {
        bail!(
            "{0} exists already: `netkit-rs replace {0} …` puts another program there, `netkit-rs detach {0}` removes it",
            args.pin.display()
        );
    }
    let program = load(&args.source)?;
    let (side, packets) = side(&args);
    let options = NetkitOptions {
        order: NetkitOrder::from(&args.order),
        expected_revision: args.revision,
    };
    let link = NetkitLink::attach_to_index(program.fd()?, device.index, side, options)
        .map_err(|error| refused(error, &args))?;
    // A link without a pin would end with this process: if pinning fails, nothing stays behind.
    link.pin(&args.pin)
        .map_err(|error| unpinned(error, &args.pin))?;
    println!(
        "attached {} (program {}, link {}) to what {packets} on {}; pinned at {}",
        program.name,
        program.id()?,
        link.info()?.id,
        args.dev,
        args.pin.display()
    );
    Ok(())
}

pub fn replace(args: Replace) -> Result<()> {
    check_root()?;
    let link = open(&args.pin)?;
    let old = link.info()?.program_id;
    let program = load(&args.source)?;
    link.update(program.fd()?)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ENOLINK) => anyhow!(
                "the link at {0} has no device any more: `netkit-rs detach {0}` removes it",
                args.pin.display()
            ),
            _ => Error::new(error),
        })?;
    println!(
        "replaced program {old} by {} (program {}) behind link {}",
        program.name,
        program.id()?,
        link.info()?.id
    );
    Ok(())
}

pub fn detach(pin: &Path) -> Result<()> {
    check_root()?;
    let link = open(pin)?;
    let id = link.info()?.id;
    link.detach()?;
    fs::remove_file(pin)
        .with_context(|| format!("detached link {id}, but cannot remove {}", pin.display()))?;
    println!("detached link {id} and removed {}", pin.display());
    Ok(())
}

fn open(pin: &Path) -> Result<NetkitLink> {
    NetkitLink::from_pin(pin).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOENT) => anyhow!(
            "there is no {} (`bpftool link` lists links with their pins)",
            pin.display()
        ),
        // What is pinned there is a program or a map, or the path is in an ordinary file system.
        Some(libc::EINVAL | libc::EACCES) => anyhow!("{} is not a pinned link", pin.display()),
        _ => Error::new(error).context(pin.display().to_string()),
    })
}

fn refused(error: NetkitError, args: &Attach) -> Error {
    let dev = &args.dev;
    match error.raw_os_error() {
        Some(libc::ESTALE) => match netkit_aya::query(dev, side(args).0) {
            Ok(now) => anyhow!("the programs on {dev} are at revision {}, which is not the expected one: somebody has changed them", now.revision),
            Err(error) => Error::new(error).context(format!("the programs on {dev} are not at the expected revision")),
        },
        Some(libc::ENOENT) => anyhow!("the program or link that --before or --after names is not attached there (`bpftool net` shows what is)"),
        Some(libc::ERANGE) => anyhow!("{dev} has as many programs as it can take: detach one first"),
        Some(libc::EEXIST) => anyhow!("the program is attached there already"),
        Some(libc::EACCES) => anyhow!("{dev} is the peer of its pair: use the primary"),
        // The driver is changing hands.
        Some(libc::ENXIO) => anyhow!("the driver of {dev} does not answer: is the module being loaded or unloaded (netkit-rs status)?"),
        _ => Error::new(error).context(format!("cannot attach to {dev}")),
    }
}

fn unpinned(error: NetkitError, pin: &Path) -> Error {
    let pin = pin.display();
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => anyhow!("cannot pin at {pin}: there is no such folder, create it first (`ip netns exec` hides /sys/fs/bpf: use `nsenter --net=/run/netns/NAME` there); nothing is attached"),
        Some(libc::EPERM | libc::EINVAL) => anyhow!("cannot pin at {pin}: it is not in a BPF file system (/sys/fs/bpf is one); nothing is attached"),
        _ => Error::new(error).context(format!("cannot pin at {pin}; nothing is attached")),
    }
}

#[cfg(test)]
mod tests {
    use super::Relative;

    #[test]
    fn relatives() {
        assert_eq!("12".parse(), Ok(Relative::Program(12)));
        assert_eq!("link:3".parse(), Ok(Relative::Link(3)));
        for wrong in ["0", "link:0", "link:", "prog", "-1", ""] {
            assert!(wrong.parse::<Relative>().is_err(), "{wrong}");
        }
    }
}
