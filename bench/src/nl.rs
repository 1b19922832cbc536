// SPDX-License-Identifier: GPL-2.0
//! As much rtnetlink as it takes to create and delete a pair without starting `ip`,
//! whose own start would be most of what is measured.

use anyhow::bail;
use anyhow::Result;
use nix::errno::Errno;

const INFO_KIND: u16 = 1;

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

    fn ask(&self, message: u16, flags: libc::c_int, attributes: &[u8]) -> Result<()> {
        let length = 16 + 16 + attributes.len();
        let mut bytes = (length as u32).to_ne_bytes().to_vec();
        bytes.extend(message.to_ne_bytes());
        bytes.extend(((flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16).to_ne_bytes());
        // Sequence number and port, then an empty ifinfomsg.
        bytes.extend([0; 8 + 16]);
        bytes.extend(attributes);
        // SAFETY: the message is valid for its length.
        Errno::result(unsafe { libc::send(self.0, bytes.as_ptr().cast(), bytes.len(), 0) })?;
        let mut answer = [0u8; 4096];
        // SAFETY: the buffer is valid for its length.
        let got = Errno::result(unsafe {
            libc::recv(self.0, answer.as_mut_ptr().cast(), answer.len(), 0)
        })?;
        let kind = u16::from_ne_bytes([answer[4], answer[5]]);
        if got < 20 || libc::c_int::from(kind) != libc::NLMSG_ERROR {
            bail!("an answer that is no acknowledgement (type {kind})");
        }
        match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
            0 => Ok(()),
            error => Err(Errno::from_raw(-error).into()),
        }
    }

    /// A pair with the driver's defaults, under this name.
    pub fn create(&self, kind: &str, name: &str) -> Result<()> {
        let mut attributes = attribute(libc::IFLA_IFNAME, format!("{name}\0").as_bytes());
        let kind = attribute(INFO_KIND, kind.as_bytes());
        attributes.extend(attribute(libc::IFLA_LINKINFO, &kind));
        self.ask(
            libc::RTM_NEWLINK,
            libc::NLM_F_CREATE | libc::NLM_F_EXCL,
            &attributes,
        )
    }

    pub fn delete(&self, name: &str) -> Result<()> {
        let attributes = attribute(libc::IFLA_IFNAME, format!("{name}\0").as_bytes());
        self.ask(libc::RTM_DELLINK, 0, &attributes)
    }
}
