// SPDX-License-Identifier: GPL-2.0
//! A synchronous netlink client that returns everything that the kernel answers.
//!
//! A refusal has the errno, the extack text and the attribute that the kernel points at. A dump is returned as raw
//! messages. A socket belongs to the namespace in which it was opened.

pub mod attr;
pub mod conf;
pub mod genl;
pub mod ipvs;
pub mod link;
pub mod netdev;
pub mod nft;

use std::fmt;
use std::io;

use netlink_packet_core::Emitable;
use netlink_packet_core::NetlinkBuffer;
use netlink_packet_core::NetlinkHeader;
use netlink_packet_core::NLMSG_DONE;
use netlink_packet_core::NLMSG_ERROR;
use netlink_packet_core::NLM_F_ACK;
use netlink_packet_core::NLM_F_ACK_TLVS;
use netlink_packet_core::NLM_F_CAPPED;
use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_core::NLM_F_REQUEST;
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::Socket;
use netlink_sys::SocketAddr;
use nix::errno::Errno;

const NLMSG_HEADER: usize = 16;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLMSGERR_ATTR_OFFS: u16 = 2;

/// What the kernel said no to, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    pub errno: Errno,
    pub text: Option<String>,
    /// Offset in the request of the attribute at fault, and that attribute's type.
    pub offset: Option<u32>,
    pub attr: Option<u16>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.errno)?;
        if let Some(text) = &self.text {
            write!(f, " \"{text}\"")?;
        }
        if let (Some(attr), Some(offset)) = (self.attr, self.offset) {
            write!(f, " at attribute {attr} (offset {offset})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// An answer of the kernel that makes no sense.
    pub fn nonsense(what: &str) -> Self {
        Self {
            errno: Errno::ENODATA,
            text: Some(what.to_owned()),
            offset: None,
            attr: None,
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self {
            errno: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
            text: Some(format!("netlink socket: {error}")),
            offset: None,
            attr: None,
        }
    }
}

pub type Answer<T> = Result<T, Refusal>;

/// One message of an answer: type and payload without the netlink header.
#[derive(Clone, Debug)]
pub struct Message {
    pub kind: u16,
    pub payload: Vec<u8>,
}

pub struct Netlink {
    socket: Socket,
}

impl Netlink {
    /// Opens an rtnetlink socket in the calling thread's network namespace.
    pub fn open() -> io::Result<Self> {
        Self::open_protocol(NETLINK_ROUTE)
    }

    /// As `open`, for generic netlink.
    pub fn open_generic() -> io::Result<Self> {
        Self::open_protocol(NETLINK_GENERIC)
    }

    /// As `open`, for netfilter.
    pub fn open_netfilter() -> io::Result<Self> {
        Self::open_protocol(NETLINK_NETFILTER)
    }

    fn open_protocol(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_ext_ack(true)?;
        Ok(Self { socket })
    }

    /// Sends a request and waits for its acknowledgement.
    pub fn request(&self, kind: u16, flags: u16, payload: &[u8]) -> Answer<Vec<Message>> {
        self.talk(kind, NLM_F_REQUEST | NLM_F_ACK | flags, payload)
    }

    pub fn dump(&self, kind: u16, payload: &[u8]) -> Answer<Vec<Message>> {
        self.talk(kind, NLM_F_REQUEST | NLM_F_DUMP, payload)
    }

    fn talk(&self, kind: u16, flags: u16, payload: &[u8]) -> Answer<Vec<Message>> {
        self.exchange(&with_header(kind, flags, payload))
    }

    /// Sends several requests as one, of each its type, flags and payload, and waits for the first refusal or acknowledgement.
    pub fn batch(&self, requests: &[(u16, u16, Vec<u8>)]) -> Answer<()> {
        let mut batch = Vec::new();
        for (kind, flags, payload) in requests {
            batch.extend(with_header(*kind, *flags, payload));
            batch.resize(batch.len().next_multiple_of(4), 0);
        }
        self.exchange(&batch).map(drop)
    }

    fn exchange(&self, request: &[u8]) -> Answer<Vec<Message>> {
        self.socket.send(request, 0)?;
        let mut answer = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = datagram.as_slice();
            while rest.len() >= NLMSG_HEADER {
                let buffer = NetlinkBuffer::new_checked(rest)
                    .map_err(|error| io::Error::other(error.to_string()))?;
                let message = &rest[NLMSG_HEADER..buffer.length() as usize];
                match buffer.message_type() {
                    NLMSG_DONE => return Ok(answer),
                    NLMSG_ERROR => {
                        return verdict(buffer.flags(), message, request).map(|()| answer)
                    }
                    kind => answer.push(Message {
                        kind,
                        payload: message.to_vec(),
                    }),
                }
                let step = (buffer.length() as usize).next_multiple_of(4);
                rest = rest.get(step..).unwrap_or_default();
            }
        }
    }
}

fn with_header(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.message_type = kind;
    header.flags = flags;
    header.length = (NLMSG_HEADER + payload.len()) as u32;
    let mut request = vec![0; NLMSG_HEADER];
    header.emit(&mut request);
    request.extend_from_slice(payload);
    request
}

/// Listens to what happens to devices of a namespace.
pub struct Monitor {
    socket: Socket,
}

impl Monitor {
    /// Listens in the calling thread's network namespace from now on.
    pub fn links() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.add_membership(libc::RTNLGRP_LINK)?;
        socket.set_non_blocking(true)?;
        Ok(Self { socket })
    }

    /// All messages so far.
    pub fn drain(&self) -> io::Result<Vec<Message>> {
        let mut messages = Vec::new();
        loop {
            let datagram = match self.socket.recv_from_full() {
                Ok((datagram, _)) => datagram,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(messages),
                Err(error) => return Err(error),
            };
            let buffer = NetlinkBuffer::new_checked(datagram.as_slice())
                .map_err(|error| io::Error::other(error.to_string()))?;
            messages.push(Message {
                kind: buffer.message_type(),
                payload: datagram[NLMSG_HEADER..buffer.length() as usize].to_vec(),
            });
        }
    }
}

/// Reads an NLMSG_ERROR: 0 is the acknowledgement.
fn verdict(flags: u16, message: &[u8], request: &[u8]) -> Answer<()> {
    let code = i32::from_ne_bytes(message[..4].try_into().unwrap_or_default());
    if code == 0 {
        return Ok(());
    }
    let mut refusal = Refusal {
        errno: Errno::from_raw(-code),
        text: None,
        offset: None,
        attr: None,
    };
    if flags & NLM_F_ACK_TLVS != 0 {
        // The request is echoed before the attributes, whole or only its header.
        let echoed = if flags & NLM_F_CAPPED != 0 {
            NLMSG_HEADER
        } else {
            request.len().next_multiple_of(4)
        };
        for attr in attr::parse(message.get(4 + echoed..).unwrap_or_default()) {
            match attr.kind {
                NLMSGERR_ATTR_MSG => refusal.text = Some(attr.text()),
                NLMSGERR_ATTR_OFFS => refusal.offset = attr.u32(),
                _ => {}
            }
        }
    }
    refusal.attr = refusal.offset.and_then(|offset| {
        let at = offset as usize;
        let kind = request.get(at + 2..at + 4)?;
        Some(u16::from_ne_bytes(kind.try_into().ok()?))
    });
    Err(refusal)
}
