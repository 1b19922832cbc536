// SPDX-License-Identifier: GPL-2.0
//! A netlink message as a tree of attributes, and changes that make it malformed.
//!
//! First a valid tree is made. Then it is changed: a wrong length, an attribute inside itself, an attribute twice, cut
//! short, or of another type. Values that are known only in the run (an index, a descriptor) stay symbols until the
//! bytes are made, so that a request means the same on both drivers.

use std::fmt;

use crate::differential::op::Device;

const HEADER: usize = 4;
const ALIGN: usize = 4;
/// IFLA_NET_NS_PID: a random process may be one of the machine's own processes, and the device would be lost.
const FORBIDDEN: u16 = libc::IFLA_NET_NS_PID;
const KIND: u16 = 0x3fff;

/// Bytes; shown shortened.
#[derive(Clone, Default)]
pub struct Blob(pub Vec<u8>);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 24;
        for byte in self.0.iter().take(SHOWN) {
            write!(f, "{byte:02x}")?;
        }
        match self.0.len() {
            0 => f.write_str("-"),
            len if len > SHOWN => write!(f, "… ({len} bytes)"),
            _ => Ok(()),
        }
    }
}

/// The value of a symbol at the moment of sending.
pub trait Names {
    fn index(&self, device: &Device) -> u32;
    fn space(&self, number: usize) -> u32;
}

#[derive(Clone, Debug)]
pub enum Value {
    Bytes(Blob),
    Index(Device),
    /// The descriptor of a namespace.
    Space(usize),
    /// Attributes, behind what header they have.
    Nest(Blob, Vec<Node>),
}

#[derive(Clone, Debug)]
pub struct Node {
    pub kind: u16,
    pub value: Value,
    /// Added to the length in the header of the attribute.
    lie: i16,
    /// Cut or filled up with zeroes to so many bytes.
    size: Option<usize>,
    /// How often the attribute is nested in an attribute of its own type, header included.
    wraps: usize,
}

impl Node {
    pub fn new(kind: u16, value: Value) -> Self {
        Self {
            kind,
            value,
            lie: 0,
            size: None,
            wraps: 0,
        }
    }

    pub fn bytes(kind: u16, bytes: &[u8]) -> Self {
        Self::new(kind, Value::Bytes(Blob(bytes.to_vec())))
    }

    pub fn u32(kind: u16, value: u32) -> Self {
        Self::bytes(kind, &value.to_ne_bytes())
    }

    pub fn nest(kind: u16, header: &[u8], nodes: Vec<Node>) -> Self {
        Self::new(kind, Value::Nest(Blob(header.to_vec()), nodes))
    }

    fn children(&self) -> &[Node] {
        match &self.value {
            Value::Nest(_, nodes) => nodes,
            _ => &[],
        }
    }

    fn encode(&self, out: &mut Vec<u8>, names: &impl Names) {
        let header: &[u8] = match &self.value {
            Value::Nest(header, _) => &header.0,
            _ => &[],
        };
        let mut starts = vec![out.len()];
        out.extend_from_slice(&[0; HEADER]);
        for _ in 0..self.wraps {
            out.extend_from_slice(header);
            starts.push(out.len());
            out.extend_from_slice(&[0; HEADER]);
        }
        let body = out.len();
        match &self.value {
            Value::Bytes(bytes) => out.extend_from_slice(&bytes.0),
            Value::Index(device) => out.extend_from_slice(&names.index(device).to_ne_bytes()),
            Value::Space(number) => out.extend_from_slice(&names.space(*number).to_ne_bytes()),
            Value::Nest(header, nodes) => {
                out.extend_from_slice(&header.0);
                encode(nodes, out, names);
            }
        }
        if let Some(size) = self.size {
            out.resize(body + size, 0);
        }
        let kind = if self.kind & KIND == FORBIDDEN {
            self.kind + 1
        } else {
            self.kind
        };
        let end = out.len();
        for start in starts {
            // What is too long wraps around: one more length that is wrong.
            let len = ((end - start) as u16).wrapping_add_signed(self.lie);
            out[start..start + 2].copy_from_slice(&len.to_ne_bytes());
            out[start + 2..start + HEADER].copy_from_slice(&kind.to_ne_bytes());
        }
        out.resize(out.len().next_multiple_of(ALIGN), 0);
    }
}

pub fn encode(nodes: &[Node], out: &mut Vec<u8>, names: &impl Names) {
    for node in nodes {
        node.encode(out, names);
    }
}

/// What can happen to an attribute.
#[derive(Clone, Debug)]
pub enum Strike {
    Kind(u16),
    /// The bits above the type: nested, network byte order.
    Flags(u16),
    Lie(i16),
    Resize(usize),
    Fill(Blob),
    Twice,
    Gone,
    /// To the end of its row.
    Last,
    Wrap(usize),
    /// Another one before it.
    Add(u16, Blob),
    /// Its whole row within it.
    Swallow,
}

/// A strike on one attribute: by its place in the tree, modulo their number.
#[derive(Clone, Debug)]
pub struct Hit {
    pub at: usize,
    pub strike: Strike,
}

impl Hit {
    pub fn apply(&self, nodes: &mut Vec<Node>) {
        let mut paths = Vec::new();
        walk(nodes, &mut Vec::new(), &mut paths);
        let Some(path) = paths.get(self.at % paths.len().max(1)) else {
            return;
        };
        let mut row = nodes;
        for &step in &path[..path.len() - 1] {
            match &mut row[step].value {
                Value::Nest(_, inner) => row = inner,
                _ => return,
            }
        }
        strike(row, path[path.len() - 1], &self.strike);
    }
}

/// The ways to all attributes, parents first.
fn walk(nodes: &[Node], way: &mut Vec<usize>, paths: &mut Vec<Vec<usize>>) {
    for (number, node) in nodes.iter().enumerate() {
        way.push(number);
        paths.push(way.clone());
        walk(node.children(), way, paths);
        way.pop();
    }
}

fn strike(row: &mut Vec<Node>, at: usize, strike: &Strike) {
    match strike {
        Strike::Kind(kind) => row[at].kind = *kind,
        Strike::Flags(flags) => row[at].kind ^= flags,
        Strike::Lie(lie) => row[at].lie = *lie,
        Strike::Resize(size) => row[at].size = Some(*size),
        Strike::Fill(bytes) => row[at].value = Value::Bytes(bytes.clone()),
        Strike::Twice => row.insert(at, row[at].clone()),
        Strike::Gone => drop(row.remove(at)),
        Strike::Last => {
            let node = row.remove(at);
            row.push(node);
        }
        Strike::Wrap(depth) => row[at].wraps = *depth,
        Strike::Add(kind, bytes) => row.insert(at, Node::bytes(*kind, &bytes.0)),
        Strike::Swallow => {
            let all = row.clone();
            match &mut row[at].value {
                Value::Nest(_, inner) => inner.extend(all),
                value => *value = Value::Nest(Blob::default(), all),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Names for Nobody {
        fn index(&self, _: &Device) -> u32 {
            7
        }

        fn space(&self, number: usize) -> u32 {
            number as u32
        }
    }

    fn bytes(nodes: &[Node]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(nodes, &mut out, &Nobody);
        out
    }

    fn tree() -> Vec<Node> {
        vec![
            Node::bytes(3, b"ab"),
            Node::nest(18, &[9; 4], vec![Node::u32(1, 5)]),
        ]
    }

    fn struck(at: usize, strike: Strike) -> Vec<u8> {
        let mut nodes = tree();
        Hit { at, strike }.apply(&mut nodes);
        bytes(&nodes)
    }

    #[test]
    fn a_sound_tree_is_written_as_the_kernel_reads_it() {
        let first = [6, 0, 3, 0, b'a', b'b', 0, 0];
        let second = [16, 0, 18, 0, 9, 9, 9, 9, 8, 0, 1, 0, 5, 0, 0, 0];
        assert_eq!(bytes(&tree()), [first.as_slice(), &second].concat());
    }

    #[test]
    fn a_hit_finds_attributes_of_any_depth() {
        assert_eq!(struck(2, Strike::Kind(4))[18], 4);
        assert_eq!(struck(5, Strike::Kind(4))[18], 4);
        assert_eq!(struck(1, Strike::Flags(0x8000))[11], 0x80);
    }

    #[test]
    fn lengths_lie_and_sizes_change() {
        assert_eq!(struck(0, Strike::Lie(-3))[0], 3);
        assert_eq!(struck(0, Strike::Resize(1))[..5], [5, 0, 3, 0, b'a']);
        assert_eq!(struck(0, Strike::Gone).len(), 16);
        assert_eq!(struck(0, Strike::Twice).len(), 32);
    }

    #[test]
    fn an_attribute_stands_within_itself_with_its_header() {
        let wrapped = struck(1, Strike::Wrap(1));
        assert_eq!(wrapped[8..20], [24, 0, 18, 0, 9, 9, 9, 9, 16, 0, 18, 0]);
    }

    #[test]
    fn no_device_goes_to_a_random_process() {
        assert_eq!(struck(0, Strike::Kind(FORBIDDEN))[2], FORBIDDEN as u8 + 1);
    }
}
