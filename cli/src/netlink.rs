// SPDX-License-Identifier: GPL-2.0
//! rtnetlink requests, their answers, and the attributes in them.

use std::io;

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

const HEADER: usize = 16;
/// The flag of a message in a dump that is not consistent.
const NLM_F_DUMP_INTR: u16 = 16;
/// How often a dump is requested at most.
const DUMPS: usize = 5;

/// Sends a request, and returns the payload of its only answer.
pub fn get(kind: u16, body: &[u8]) -> io::Result<Vec<u8>> {
    let socket = request(kind, NLM_F_REQUEST, body)?;
    let mut answer = None;
    receive(&socket, |_, payload| answer = Some(payload.to_vec()))?;
    answer.ok_or_else(|| io::Error::other("an answer without a message"))
}

/// Requests a dump, and gives each payload to `each`. If something has changed during the dump, so that it may lack some of the
/// objects, it is requested again, several times at most.
pub fn dump(kind: u16, body: &[u8], each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut payloads = Vec::new();
    for _ in 0..DUMPS {
        let mut whole = true;
        payloads.clear();
        let socket = request(kind, NLM_F_REQUEST | NLM_F_DUMP, body)?;
        while !receive(&socket, |flags, payload| {
            whole &= flags & NLM_F_DUMP_INTR == 0;
            payloads.push(payload.to_vec());
        })? {}
        if whole {
            break;
        }
    }
    payloads.iter().map(Vec::as_slice).for_each(each);
    Ok(())
}

fn request(kind: u16, flags: u16, body: &[u8]) -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut message = vec![0; HEADER];
    message.extend(body);
    let mut header = NetlinkHeader::default();
    header.length = message.len() as u32;
    header.message_type = kind;
    header.flags = flags;
    header.emit(&mut message[..HEADER]);
    socket.send(&message, 0)?;
    Ok(socket)
}

/// Reads one datagram, gives the flags and the payload of its messages to `each`, and returns whether it was the end of a dump.
fn receive(socket: &Socket, mut each: impl FnMut(u16, &[u8])) -> io::Result<bool> {
    let (datagram, _) = socket.recv_from_full()?;
    let mut rest = datagram.as_slice();
    while rest.len() >= HEADER {
        let message = NetlinkBuffer::new_checked(rest)
            .map_err(|error| io::Error::other(error.to_string()))?;
        let payload = message.payload();
        match message.message_type() {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let code = payload.get(..4).and_then(number).unwrap_or_default() as i32;
                return Err(io::Error::from_raw_os_error(-code));
            }
            _ => each(message.flags(), payload),
        }
        let step = (message.length() as usize).next_multiple_of(4);
        rest = rest.get(step..).unwrap_or_default();
    }
    Ok(false)
}

/// The attribute of this kind; a malformed one ends the search.
pub fn attribute(attributes: &[u8], kind: u16) -> Option<Vec<u8>> {
    NlasIterator::new(attributes)
        .map_while(Result::ok)
        .find(|attribute| attribute.kind() == kind)
        .map(|attribute| attribute.value().to_vec())
}

pub fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.try_into().ok()?))
}

pub fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
}

/// An attribute as it is in a message.
pub fn attr(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
