// SPDX-License-Identifier: GPL-2.0
//! How a user names an attached program: by its number, by the number of its link, or by a pin.

use std::fmt;
use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use anyhow::Error;
use anyhow::Result;
use aya::programs::links::LinkError;
use netkit_aya::NetkitLink;
use netkit_aya::PinnedNetkitLink;
use nix::errno::Errno;

use crate::bpf;
use crate::failure::errno;
use crate::failure::Kind;

/// The argument of `--before` and `--after`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Relative {
    Program(u32),
    Link(u32),
}

/// The target of `replace` and `detach`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    Program(u32),
    Link(u32),
    Pin(PathBuf),
}

const NUMBERS: &str = "(`netkit-rs status` shows the numbers)";

/// "prog:12" or "link:3"; `None` for a text without such a prefix.
fn numbered(text: &str) -> Option<Result<Relative, String>> {
    let (make, number): (fn(u32) -> Relative, _) = match text.split_once(':')? {
        ("link", number) => (Relative::Link, number),
        ("prog", number) => (Relative::Program, number),
        _ => return None,
    };
    Some(match number.parse() {
        Ok(0) | Err(_) => Err(format!(
            "{number:?} is not the number of a program or link {NUMBERS}"
        )),
        Ok(id) => Ok(make(id)),
    })
}

impl FromStr for Relative {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = || numbered(&format!("prog:{text}")).unwrap_or_else(|| Err(String::new()));
        numbered(text)
            .unwrap_or_else(bare)
            .map_err(|_| format!("it must be a program's number, prog:ID or link:ID {NUMBERS}"))
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match numbered(text) {
            Some(Ok(Relative::Program(id))) => Ok(Self::Program(id)),
            Some(Ok(Relative::Link(id))) => Ok(Self::Link(id)),
            Some(Err(error)) => Err(error),
            None if text.is_empty() => Err("it must be a pin, link:ID or prog:ID".to_owned()),
            None => Ok(Self::Pin(PathBuf::from(text))),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(id) => write!(f, "prog:{id}"),
            Self::Link(id) => write!(f, "link:{id}"),
            Self::Pin(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The link that is pinned at a path.
pub fn open_pin(path: &Path) -> Result<PinnedNetkitLink> {
    PinnedNetkitLink::from_pin(path).map_err(|error| {
        let at = path.display();
        match (&error, errno(&error)) {
            (LinkError::InvalidLink, _) => match bpf::program_at(path) {
                Some(id) => Kind::Conflict.error(format!(
                    "{at} is a pinned program, not a link: use prog:{id} with --dev"
                )),
                None => Kind::Conflict.error(format!("{at} is not a pinned netkit link")),
            },
            (_, Some(Errno::ENOENT | Errno::ENOTDIR)) => Kind::Absent.error(format!(
                "{at} does not exist (`netkit-rs status` shows links with their pins; `ip netns exec` hides /sys/fs/bpf, use \
                 --netns instead)"
            )),
            // The path is in an ordinary file system, or a folder.
            (_, Some(Errno::EINVAL | Errno::EACCES | Errno::EPERM)) if !bpf::is_bpf_fs(path) => {
                Kind::Conflict.error(format!("{at} is not a pinned link: it is not in a BPF file system"))
            }
            _ => Error::new(error).context(format!("cannot open the pin {at}")),
        }
    })
}

/// The netkit link with this number.
pub fn open_link(id: u32) -> Result<NetkitLink> {
    NetkitLink::from_id(id).map_err(|error| match (&error, errno(&error)) {
        (LinkError::InvalidLink, _) => {
            Kind::Conflict.error(format!("link {id} is not a netkit link {NUMBERS}"))
        }
        (_, Some(Errno::ENOENT)) => Kind::Absent.error(format!("there is no link {id} {NUMBERS}")),
        _ => Error::new(error).context(format!("cannot open link {id}")),
    })
}

/// The program with this number.
pub fn open_program(id: u32) -> Result<std::os::fd::OwnedFd> {
    let opened = netkit_aya::mprog::program_by_id(id);
    match opened.as_ref().err().and_then(|error| errno(error)) {
        Some(Errno::ENOENT) => {
            Err(Kind::Absent.error(format!("there is no program {id} {NUMBERS}")))
        }
        _ => opened.with_context(|| format!("cannot open program {id}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relatives() {
        assert_eq!("12".parse(), Ok(Relative::Program(12)));
        assert_eq!("prog:12".parse(), Ok(Relative::Program(12)));
        assert_eq!("link:3".parse(), Ok(Relative::Link(3)));
        for wrong in [
            "0",
            "link:0",
            "link:",
            "prog",
            "-1",
            "",
            "x:1",
            "prog:link:1",
        ] {
            assert!(wrong.parse::<Relative>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn targets() {
        assert_eq!("prog:12".parse(), Ok(Target::Program(12)));
        assert_eq!("link:3".parse(), Ok(Target::Link(3)));
        let pin = Target::Pin(PathBuf::from("/sys/fs/bpf/a:b"));
        assert_eq!("/sys/fs/bpf/a:b".parse(), Ok(pin));
        for wrong in ["link:0", "link:x", "prog:", ""] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
        for text in ["prog:1", "link:2", "./link:2"] {
            let shown = text.parse::<Target>().map(|target| target.to_string());
            assert_eq!(shown, Ok(text.to_owned()));
        }
    }
}
