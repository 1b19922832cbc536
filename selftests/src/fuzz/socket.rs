// SPDX-License-Identifier: GPL-2.0
//! A netlink socket that sends any bytes and never waits.
//!
//! The kernel handles a request before send(2) returns, so the answer has arrived by then. A message with a wrong
//! length may get no answer. Answers are returned as text.

use std::collections::BTreeMap;
use std::io;

use netlink_packet_core::NLMSG_DONE;
use netlink_packet_core::NLMSG_ERROR;
use netlink_packet_core::NLM_F_ACK_TLVS;
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::Socket;
use netlink_sys::SocketAddr;
use nix::errno::Errno;

use crate::nl::attr;
use crate::nl::attr::Attr;
use crate::nl::attr::Attrs;

const NLMSG_HEADER: usize = 16;
/// struct nlmsgerr: the error, then the request's header (NETLINK_CAP_ACK leaves out the rest).
const NLMSGERR: usize = 4 + NLMSG_HEADER;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLMSGERR_ATTR_OFFS: u16 = 2;
const NLMSGERR_ATTR_MISS_TYPE: u16 = 5;

pub struct Wild(Socket);

impl Wild {
    /// Opens a socket in the calling thread's network namespace.
    pub fn route() -> io::Result<Self> {
        Self::open(NETLINK_ROUTE)
    }

    pub fn generic() -> io::Result<Self> {
        Self::open(NETLINK_GENERIC)
    }

    fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        socket.set_non_blocking(true)?;
        Ok(Self(socket))
    }

    /// Sends a datagram and returns the answer.
    pub fn send(&self, datagram: &[u8]) -> String {
        if let Err(error) = self.0.send(datagram, 0) {
            return format!("send: {}", name(&error));
        }
        let mut words = Vec::new();
        let mut others = BTreeMap::<u16, u32>::new();
        let received = self.drain(|kind, flags, message| match kind {
            NLMSG_ERROR => words.push(verdict(flags, message)),
            NLMSG_DONE => words.push(format!("end of dump {}", code(message))),
            other => *others.entry(other).or_default() += 1,
        });
        if let Err(error) = received {
            words.push(format!("receive: {}", name(&error)));
        }
        // How a dump is cut into datagrams does not matter, how many it shows does.
        words.extend(
            others
                .iter()
                .map(|(kind, count)| format!("{count} of type {kind}")),
        );
        if words.is_empty() {
            words.push("silence".into());
        }
        words.join(", ")
    }

    /// Everything that has come: type, flags and payload of each message.
    fn drain(&self, mut each: impl FnMut(u16, u16, &[u8])) -> io::Result<()> {
        loop {
            let datagram = match self.0.recv_from_full() {
                Ok((datagram, _)) => datagram,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let mut rest = datagram.as_slice();
            while rest.len() >= NLMSG_HEADER {
                let half = |at: usize| u16::from_ne_bytes([rest[at], rest[at + 1]]);
                let len = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
                let Some(message) = rest.get(NLMSG_HEADER..len) else {
                    return Err(io::Error::other("the kernel's message is cut"));
                };
                each(half(4), half(6), message);
                rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }

    /// The number of a generic family, by its name.
    pub fn family(&self, name: &str) -> io::Result<u16> {
        const GENL_ID_CTRL: u16 = 16;
        const CTRL_CMD_GETFAMILY: u8 = 3;
        const CTRL_ATTR_FAMILY_ID: u16 = 1;
        const CTRL_ATTR_FAMILY_NAME: u16 = 2;
        let mut attrs = Attrs::new();
        attrs.str(CTRL_ATTR_FAMILY_NAME, name);
        let len = NLMSG_HEADER + 4 + attrs.bytes().len();
        let mut request = (len as u32).to_ne_bytes().to_vec();
        request.extend_from_slice(&GENL_ID_CTRL.to_ne_bytes());
        // NLM_F_REQUEST; then sequence number and port.
        request.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        request.extend_from_slice(&[CTRL_CMD_GETFAMILY, 1, 0, 0]);
        request.extend_from_slice(attrs.bytes());
        self.0.send(&request, 0)?;
        let mut id = None;
        self.drain(|_, _, message| {
            let attrs = attr::parse(message.get(4..).unwrap_or_default());
            id = id.or(attr::find(&attrs, CTRL_ATTR_FAMILY_ID).and_then(Attr::u16));
        })?;
        id.ok_or_else(|| io::Error::other(format!("no generic netlink family {name}")))
    }
}

fn name(error: &io::Error) -> String {
    let errno = error.raw_os_error().map(Errno::from_raw);
    errno.map_or_else(|| error.to_string(), |errno| format!("{errno:?}"))
}

/// The errno that a message begins with.
fn code(message: &[u8]) -> String {
    let bytes = message.get(..4).and_then(|bytes| bytes.try_into().ok());
    match bytes.map_or(0, i32::from_ne_bytes) {
        0 => "ok".into(),
        code => format!("{:?}", Errno::from_raw(-code)),
    }
}

/// An acknowledgement or a refusal with all that it says.
fn verdict(flags: u16, message: &[u8]) -> String {
    let mut text = code(message);
    if flags & NLM_F_ACK_TLVS == 0 {
        return text;
    }
    for attr in attr::parse(message.get(NLMSGERR..).unwrap_or_default()) {
        match attr.kind {
            NLMSGERR_ATTR_MSG => text += &format!(" \"{}\"", attr.text()),
            NLMSGERR_ATTR_OFFS => text += &format!(" at {}", attr.u32().unwrap_or_default()),
            NLMSGERR_ATTR_MISS_TYPE => {
                text += &format!(" lacks {}", attr.u32().unwrap_or_default())
            }
            _ => {}
        }
    }
    text
}
