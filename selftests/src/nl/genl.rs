// SPDX-License-Identifier: GPL-2.0
//! Generic netlink: a family of the kernel, found by its name, and its requests.

use netlink_packet_core::NLM_F_REQUEST;

use super::attr;
use super::attr::Attr;
use super::attr::Attrs;
use super::Answer;
use super::Message;
use super::Netlink;
use super::Refusal;

const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const GENL_HEADER: usize = 4;

pub struct Family {
    socket: Netlink,
    id: u16,
}

impl Family {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open(name: &str) -> Answer<Self> {
        let socket = Netlink::open_generic()?;
        let mut attrs = Attrs::new();
        attrs.str(CTRL_ATTR_FAMILY_NAME, name);
        let answer = socket.request(
            GENL_ID_CTRL,
            NLM_F_REQUEST,
            &message(CTRL_CMD_GETFAMILY, &attrs),
        )?;
        let id = find(&answer, CTRL_ATTR_FAMILY_ID).and_then(|attr| attr.u16());
        let id = id.ok_or_else(|| Refusal::nonsense("a family without id"))?;
        Ok(Self { socket, id })
    }

    pub fn ask(&self, command: u8, attrs: &Attrs) -> Answer<Vec<Message>> {
        self.socket
            .request(self.id, NLM_F_REQUEST, &message(command, attrs))
    }
}

/// A message of generic netlink: command and version before the attributes.
fn message(command: u8, attrs: &Attrs) -> Vec<u8> {
    [&[command, 1, 0, 0], attrs.bytes()].concat()
}

/// An attribute of the first message of an answer.
pub fn find(answer: &[Message], kind: u16) -> Option<Attr> {
    let attrs = attr::parse(answer.first()?.payload.get(GENL_HEADER..)?);
    attr::find(&attrs, kind).cloned()
}
