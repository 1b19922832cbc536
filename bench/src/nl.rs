// SPDX-License-Identifier: GPL-2.0
//! A minimal rtnetlink client that creates, deletes and dumps pairs. Starting `ip` would cost more than the operation
//! to be measured.

use std::os::fd::AsRawFd;

use anyhow::bail;
use anyhow::Result;
use nix::errno::Errno;

use crate::netns::Ns;

const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
/// `IFLA_NETKIT_PEER_INFO` and `VETH_INFO_PEER` are the same number, and what is in them looks the same.
const PEER_INFO: u16 = 1;
/// `IFLA_NETKIT_DEV_SWITCH`, and its value for "after the programs have run".
const DEV_SWITCH: u16 = 11;
const AFTER: u32 = 1;
const NESTED: u16 = libc::NLA_F_NESTED as u16;
/// Of a message, and of what the messages about devices begin with.
const HEADER: usize = 16;
const IFINFOMSG: usize = 16;

pub struct Netlink(libc::c_int);

impl Drop for Netlink {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours.
        unsafe { libc::close(self.0) };
    }
}

fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = ((payload.len() + 4) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn name_attribute(name: &str) -> Vec<u8> {
    attribute(libc::IFLA_IFNAME, format!("{name}\0").as_bytes())
}

/// The kind of a device, and what is particular to that kind.
fn link_info(kind: &str, data: &[u8]) -> Vec<u8> {
    let mut info = attribute(INFO_KIND, kind.as_bytes());
    info.extend(attribute(INFO_DATA | NESTED, data));
    attribute(libc::IFLA_LINKINFO | NESTED, &info)
}

/// The error that an acknowledgement, or the end of a dump, has in it.
fn status(message: &[u8]) -> Result<()> {
    let Some(Ok(error)) = message.get(HEADER..HEADER + 4).map(TryInto::try_into) else {
        bail!("an answer that is too short");
    };
    match i32::from_ne_bytes(error) {
        0 => Ok(()),
        error => Err(Errno::from_raw(-error).into()),
    }
}

/// The first message of a buffer (its type, all of it) and what follows it.
fn split(buffer: &[u8]) -> Option<(libc::c_int, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(buffer.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(buffer.get(4..6)?.try_into().ok()?);
    let message = buffer.get(..length).filter(|_| length >= HEADER)?;
    let rest = buffer.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind.into(), message, rest))
}

impl Netlink {
    pub fn open() -> Result<Self> {
        // SAFETY: a call without pointers.
        let socket = Errno::result(unsafe {
            libc::socket(
                libc::AF_NETLINK,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                libc::NETLINK_ROUTE,
            )
        })?;
        Ok(Self(socket))
    }

    fn send(&self, message: u16, flags: libc::c_int, attributes: &[u8]) -> Result<()> {
        let length = HEADER + IFINFOMSG + attributes.len();
        let mut bytes = (length as u32).to_ne_bytes().to_vec();
        bytes.extend(message.to_ne_bytes());
        bytes.extend(((flags | libc::NLM_F_REQUEST) as u16).to_ne_bytes());
        // Sequence number and port, then an empty ifinfomsg.
        bytes.extend([0; 8 + IFINFOMSG]);
        bytes.extend(attributes);
        // SAFETY: the message is valid for its length.
        Errno::result(unsafe { libc::send(self.0, bytes.as_ptr().cast(), bytes.len(), 0) })?;
        Ok(())
    }

    fn receive<'a>(&self, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
        // SAFETY: the buffer is valid for its length.
        let got = Errno::result(unsafe {
            libc::recv(self.0, buffer.as_mut_ptr().cast(), buffer.len(), 0)
        })?;
        Ok(&buffer[..got as usize])
    }

    fn ask(&self, message: u16, flags: libc::c_int, attributes: &[u8]) -> Result<()> {
        self.send(message, flags | libc::NLM_F_ACK, attributes)?;
        let mut answer = [0u8; 4096];
        match split(self.receive(&mut answer)?) {
            Some((libc::NLMSG_ERROR, message, _)) => status(message),
            other => bail!("an answer that is no acknowledgement: {other:?}"),
        }
    }

    fn new_link(&self, attributes: &[u8]) -> Result<()> {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        self.ask(libc::RTM_NEWLINK, flags, attributes)
    }

    /// A pair with the driver's defaults, under this name.
    pub fn create(&self, kind: &str, name: &str) -> Result<()> {
        let mut attributes = name_attribute(name);
        let kind = attribute(INFO_KIND, kind.as_bytes());
        attributes.extend(attribute(libc::IFLA_LINKINFO, &kind));
        self.new_link(&attributes)
    }

    /// A pair both ends of which have a name: making one up takes the kernel a look at every device.
    pub fn create_named(&self, kind: &str, name: &str, peer: &str, group: u32) -> Result<()> {
        let group = attribute(libc::IFLA_GROUP, &group.to_ne_bytes());
        self.create_pair(kind, name, &name_attribute(peer), &group)
    }

    /// A pair whose other end is in that namespace.
    pub fn create_between(&self, kind: &str, name: &str, peer: &str, ns: &Ns) -> Result<()> {
        let mut info = name_attribute(peer);
        info.extend(attribute(
            libc::IFLA_NET_NS_FD,
            &ns.as_raw_fd().to_ne_bytes(),
        ));
        self.create_pair(kind, name, &info, &[])
    }

    fn create_pair(&self, kind: &str, name: &str, peer: &[u8], more: &[u8]) -> Result<()> {
        let mut peer_info = vec![0; IFINFOMSG];
        peer_info.extend(peer);
        let data = attribute(PEER_INFO | NESTED, &peer_info);
        let mut attributes = name_attribute(name);
        attributes.extend(more);
        attributes.extend(link_info(kind, &data));
        self.new_link(&attributes)
    }

    /// Gives a primary device the option dev_switch after.
    pub fn switch_after(&self, name: &str) -> Result<()> {
        let data = attribute(DEV_SWITCH, &AFTER.to_ne_bytes());
        let mut attributes = name_attribute(name);
        attributes.extend(link_info("netkit", &data));
        self.ask(libc::RTM_NEWLINK, 0, &attributes)
    }

    pub fn delete(&self, name: &str) -> Result<()> {
        self.ask(libc::RTM_DELLINK, 0, &name_attribute(name))
    }

    /// All pairs whose first device is in the group, at once.
    pub fn delete_group(&self, group: u32) -> Result<()> {
        let group = attribute(libc::IFLA_GROUP, &group.to_ne_bytes());
        self.ask(libc::RTM_DELLINK, 0, &group)
    }

    /// Lists all devices; how many there are.
    pub fn dump(&self) -> Result<usize> {
        self.send(libc::RTM_GETLINK, libc::NLM_F_DUMP, &[])?;
        let mut buffer = vec![0; 64 << 10];
        let mut devices = 0;
        loop {
            let mut rest = self.receive(&mut buffer)?;
            while let Some((kind, message, next)) = split(rest) {
                match kind {
                    libc::NLMSG_DONE => return status(message).map(|()| devices),
                    libc::NLMSG_ERROR => {
                        status(message)?;
                        bail!("a dump was acknowledged");
                    }
                    _ => devices += 1,
                }
                rest = next;
            }
        }
    }
}
