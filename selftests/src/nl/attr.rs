// SPDX-License-Identifier: GPL-2.0
//! Netlink attributes, written and read as bytes.
//!
//! The builder writes anything, also wrong lengths and unknown types, because tests check what the kernel refuses. The
//! reader keeps payloads as bytes, so that two dumps can be compared byte for byte.

use netlink_packet_core::NlasIterator;
use netlink_packet_core::NLA_F_NESTED;
use netlink_packet_core::NLA_HEADER_SIZE;

const ALIGN: usize = 4;

/// A sequence of attributes under construction.
#[derive(Clone, Debug, Default)]
pub struct Attrs(Vec<u8>);

impl Attrs {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn put(&mut self, kind: u16, payload: &[u8]) -> &mut Self {
        // A payload beyond u16 cannot be expressed; no test has one.
        let len = (NLA_HEADER_SIZE + payload.len()) as u16;
        self.0.extend_from_slice(&len.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(payload);
        self.0.resize(self.0.len().next_multiple_of(ALIGN), 0);
        self
    }

    pub fn u8(&mut self, kind: u16, value: u8) -> &mut Self {
        self.put(kind, &[value])
    }

    pub fn u16(&mut self, kind: u16, value: u16) -> &mut Self {
        self.put(kind, &value.to_ne_bytes())
    }

    pub fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_ne_bytes())
    }

    /// A string with its terminating NUL, as iproute2 writes it.
    pub fn str(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut payload = value.as_bytes().to_vec();
        payload.push(0);
        self.put(kind, &payload)
    }

    /// Attributes within one; `prefix` is the fixed header that some of them have.
    pub fn nest(&mut self, kind: u16, prefix: &[u8], inner: &Attrs) -> &mut Self {
        let mut payload = prefix.to_vec();
        payload.extend_from_slice(inner.bytes());
        self.put(kind, &payload)
    }

    /// As `nest` without a prefix, with the flag that generic netlink insists on.
    pub fn nest_flagged(&mut self, kind: u16, inner: &Attrs) -> &mut Self {
        self.put(kind | NLA_F_NESTED, inner.bytes())
    }

    pub fn append(&mut self, other: &Attrs) -> &mut Self {
        self.0.extend_from_slice(other.bytes());
        self
    }
}

/// One attribute as received.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attr {
    pub kind: u16,
    pub payload: Vec<u8>,
}

impl Attr {
    /// How many bytes it takes in a message.
    pub fn size(&self) -> usize {
        (NLA_HEADER_SIZE + self.payload.len()).next_multiple_of(ALIGN)
    }

    pub fn u16(&self) -> Option<u16> {
        Some(u16::from_ne_bytes(self.payload.as_slice().try_into().ok()?))
    }

    pub fn u32(&self) -> Option<u32> {
        Some(u32::from_ne_bytes(self.payload.as_slice().try_into().ok()?))
    }

    /// The text up to the first NUL.
    pub fn text(&self) -> String {
        let end = self.payload.iter().position(|&b| b == 0);
        String::from_utf8_lossy(&self.payload[..end.unwrap_or(self.payload.len())]).into_owned()
    }

    pub fn nested(&self) -> Vec<Attr> {
        parse(&self.payload)
    }
}

/// Reads attributes; what is malformed ends the list.
pub fn parse(bytes: &[u8]) -> Vec<Attr> {
    NlasIterator::new(bytes)
        .map_while(Result::ok)
        .map(|nla| Attr {
            kind: nla.kind() & !NLA_F_NESTED,
            payload: nla.value().to_vec(),
        })
        .collect()
}

pub fn find(attrs: &[Attr], kind: u16) -> Option<&Attr> {
    attrs.iter().find(|attr| attr.kind == kind)
}
