// SPDX-License-Identifier: GPL-2.0
//! Network devices as rtnetlink tells of them, netkit's in particular.

use std::collections::HashSet;
use std::fs;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread;

use anyhow::anyhow;
use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use netlink_packet_core::Emitable;
use netlink_packet_core::NetlinkBuffer;
use netlink_packet_core::NetlinkHeader;
use netlink_packet_core::NlasIterator;
use netlink_packet_core::NLMSG_DONE;
use netlink_packet_core::NLMSG_ERROR;
use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_core::NLM_F_REQUEST;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::Socket;
use netlink_sys::SocketAddr;
use nix::errno::Errno;
use nix::sched::setns;
use nix::sched::CloneFlags;

const NLMSG_HEADER: usize = 16;
/// `struct ifinfomsg`, whose index stands at offset 4.
const IFINFOMSG: usize = 16;
/// `IFLA_NETKIT_PRIMARY`.
const NETKIT_PRIMARY: u16 = 2;

/// Which part of a pair a device is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// The one that programs are managed by.
    Primary,
    Peer,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Device {
    pub index: u32,
    pub name: String,
    /// `None` for a device that is not netkit's.
    pub role: Option<Role>,
    /// The other end's index, and whether that counts in another namespace.
    pub other: Option<(u32, bool)>,
}

/// The netkit devices of this network namespace.
pub fn this_namespace() -> Result<Vec<Device>> {
    let mut devices = dump().context("cannot list the network devices")?;
    devices.retain(|device| device.role.is_some());
    Ok(devices)
}

/// The primary device of this name, or why there is none.
pub fn primary(name: &str) -> Result<Device> {
    let devices = dump().context("cannot list the network devices")?;
    let device = devices.iter().find(|device| device.name == name);
    let device = device.ok_or_else(|| {
        anyhow!("there is no device {name} in this network namespace (`ip link` lists them; `ip netns exec NAME …` runs a command in another)")
    })?;
    match (device.role, device.other) {
        (Some(Role::Primary), _) => Ok(device.clone()),
        (None, _) => bail!("{name} is not a netkit device: `ip link add NAME type netkit` makes one"),
        (Some(Role::Peer), Some((index, false))) => {
            let primary = devices.iter().find(|device| device.index == index);
            bail!(
                "{name} is the peer of its pair, and programs are managed by the primary: use {} (with --peer to attach to {name})",
                primary.map_or("that one", |primary| &primary.name)
            )
        }
        (Some(Role::Peer), _) => bail!(
            "{name} is the peer of its pair, and programs are managed by the primary: run this in the namespace where the \
             primary is, on that device, with --peer"
        ),
    }
}

/// The netkit devices of all network namespaces that a process is in or a name stands for.
pub fn all_namespaces() -> Result<Vec<Device>> {
    let mut seen = HashSet::new();
    let mut devices = Vec::new();
    for path in namespaces() {
        // A process or a namespace may end while we look: then it has no devices either.
        let Ok(file) = File::open(&path) else {
            continue;
        };
        let Ok(inode) = file.metadata().map(|meta| (meta.dev(), meta.ino())) else {
            continue;
        };
        if !seen.insert(inode) {
            continue;
        }
        // A thread that ends takes its namespace along, so that this one's stays what it was.
        let found = thread::spawn(move || {
            match setns(&file, CloneFlags::CLONE_NEWNET) {
                Ok(()) => this_namespace(),
                // The empty file that stays in /run/netns when its mount has gone.
                Err(Errno::EINVAL) => Ok(Vec::new()),
                Err(errno) => Err(errno.into()),
            }
        });
        match found.join() {
            Ok(found) => devices
                .extend(found.with_context(|| format!("network namespace {}", path.display()))?),
            Err(_) => bail!("listing the devices of {} failed", path.display()),
        }
    }
    Ok(devices)
}

fn namespaces() -> impl Iterator<Item = PathBuf> {
    let list = |folder| fs::read_dir(folder).into_iter().flatten().flatten();
    let processes = list("/proc").map(|entry| entry.path().join("ns/net"));
    processes.chain(list("/run/netns").map(|entry| entry.path()))
}

fn dump() -> io::Result<Vec<Device>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;

    let mut request = vec![0; NLMSG_HEADER + IFINFOMSG];
    let mut header = NetlinkHeader::default();
    header.length = request.len() as u32;
    header.message_type = libc::RTM_GETLINK;
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    header.emit(&mut request[..NLMSG_HEADER]);
    socket.send(&request, 0)?;

    let mut devices = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while rest.len() >= NLMSG_HEADER {
            let message = NetlinkBuffer::new_checked(rest)
                .map_err(|error| io::Error::other(error.to_string()))?;
            let payload = message.payload();
            match message.message_type() {
                NLMSG_DONE => return Ok(devices),
                NLMSG_ERROR => {
                    let code = payload.get(..4).and_then(|code| code.try_into().ok());
                    let code = code.map_or(libc::EIO, |code| -i32::from_ne_bytes(code));
                    return Err(io::Error::from_raw_os_error(code));
                }
                _ => devices.extend(parse(payload)),
            }
            let step = (message.length() as usize).next_multiple_of(4);
            rest = rest.get(step..).unwrap_or_default();
        }
    }
}

/// The attribute of this kind; a malformed one ends the search.
fn attribute(attributes: &[u8], kind: u16) -> Option<Vec<u8>> {
    NlasIterator::new(attributes)
        .map_while(Result::ok)
        .find(|attribute| attribute.kind() == kind)
        .map(|attribute| attribute.value().to_vec())
}

fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.try_into().ok()?))
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
}

/// The device that a message of type RTM_NEWLINK tells of.
fn parse(message: &[u8]) -> Option<Device> {
    let index = number(message.get(4..8)?)?;
    let attributes = message.get(IFINFOMSG..)?;
    let other = attribute(attributes, libc::IFLA_LINK).and_then(|value| number(&value));
    let elsewhere = attribute(attributes, libc::IFLA_LINK_NETNSID).is_some();
    Some(Device {
        index,
        name: text(&attribute(attributes, libc::IFLA_IFNAME)?),
        role: attribute(attributes, libc::IFLA_LINKINFO).and_then(|info| role(&info)),
        other: other.map(|other| (other, elsewhere)),
    })
}

fn role(info: &[u8]) -> Option<Role> {
    if text(&attribute(info, libc::IFLA_INFO_KIND)?) != "netkit" {
        return None;
    }
    let data = attribute(info, libc::IFLA_INFO_DATA)?;
    match attribute(&data, NETKIT_PRIMARY)?.first() {
        Some(0) => Some(Role::Peer),
        _ => Some(Role::Primary),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attr(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(kind: &[u8], primary: u8) -> Vec<u8> {
        let mut message = vec![0; IFINFOMSG];
        message[4..8].copy_from_slice(&7u32.to_ne_bytes());
        message.extend(attr(libc::IFLA_IFNAME, b"nk0\0"));
        message.extend(attr(libc::IFLA_LINK, &8u32.to_ne_bytes()));
        let data = attr(NETKIT_PRIMARY, &[primary]);
        let info = [
            attr(libc::IFLA_INFO_KIND, kind),
            attr(libc::IFLA_INFO_DATA, &data),
        ]
        .concat();
        message.extend(attr(libc::IFLA_LINKINFO, &info));
        message
    }

    #[test]
    fn a_pair() {
        let device = parse(&message(b"netkit\0", 1)).expect("a device");
        assert_eq!((device.index, device.name.as_str()), (7, "nk0"));
        assert_eq!(device.role, Some(Role::Primary));
        assert_eq!(device.other, Some((8, false)));
        let device = parse(&message(b"netkit\0", 0)).expect("a device");
        assert_eq!(device.role, Some(Role::Peer));
    }

    #[test]
    fn others() {
        let device = parse(&message(b"veth\0", 1)).expect("a device");
        assert_eq!(device.role, None);
        assert_eq!(parse(&[0; 10]), None);
    }
}
