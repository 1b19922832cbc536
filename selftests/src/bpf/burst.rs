// SPDX-License-Identifier: GPL-2.0
//! The program of `bpf/burst.c`: it sends many packets while the CPU receives none.

use std::iter;

use anyhow::Context;
use anyhow::Result;
use aya::include_bytes_aligned;
use aya::maps::Array;
use aya::Ebpf;

use super::probe;
use super::prog;

/// `struct burst` of bpf/burst.c.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Answers {
    ifindex: u32,
    clones: u32,
    pub sent: u32,
    pub dropped: u32,
    /// The last answer that is neither.
    pub other: i64,
}

// SAFETY: a struct of plain integers without padding, valid in every bit pattern.
unsafe impl aya::Pod for Answers {}

pub struct Burst(Ebpf);

impl Burst {
    /// So many clones, at most 1024, out of a device of the calling thread's namespace.
    pub fn load(ifindex: u32, clones: u32) -> Result<Self> {
        let bytes = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/burst.o"));
        let mut object = probe::load(bytes, iter::once("burst".to_owned()))?;
        let order = Answers {
            ifindex,
            clones,
            ..Answers::default()
        };
        let map = object.map_mut("bursts").context("no map")?;
        Array::<_, Answers>::try_from(map)?.set(0, order, 0)?;
        Ok(Self(object))
    }

    /// Sends the clones of a packet, and returns all answers so far.
    pub fn send(&self, packet: &[u8]) -> Result<Answers> {
        let program = probe::program(&self.0, "burst")?;
        prog::test_run(program.fd()?, packet)?;
        let map = self.0.map("bursts").context("no map")?;
        Ok(Array::<_, Answers>::try_from(map)?.get(&0, 0)?)
    }
}
