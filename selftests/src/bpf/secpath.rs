// SPDX-License-Identifier: GPL-2.0
//! The program of `bpf/secpath.c`: it looks for the IPsec state by which packets have come in.

use std::iter;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

use anyhow::Context;
use anyhow::Result;
use aya::include_bytes_aligned;
use aya::maps::Array;
use aya::Ebpf;

use super::probe;

/// `struct secpath` of bpf/secpath.c.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    daddr: u32,
    pub count: u32,
    /// What the helper has answered for the last packet: an errno if the packet has no security path.
    pub answer: i32,
    pub reqid: u32,
}

// SAFETY: a struct of plain integers without padding, valid in every bit pattern.
unsafe impl aya::Pod for Seen {}

pub struct Secpath(Ebpf);

impl Secpath {
    /// For packets to this address.
    pub fn load(to: Ipv4Addr) -> Result<Self> {
        let bytes = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/secpath.o"));
        let mut object = probe::load(bytes, iter::once("secpath".to_owned()))?;
        let seen = Seen {
            daddr: u32::from_ne_bytes(to.octets()),
            ..Seen::default()
        };
        let map = object.map_mut("secpaths").context("no map")?;
        Array::<_, Seen>::try_from(map)?.set(0, seen, 0)?;
        Ok(Self(object))
    }

    pub fn seen(&self) -> Result<Seen> {
        let map = self.0.map("secpaths").context("no map")?;
        Ok(Array::<_, Seen>::try_from(map)?.get(&0, 0)?)
    }

    pub fn fd(&self) -> Result<BorrowedFd<'_>> {
        Ok(probe::program(&self.0, "secpath")?.fd()?.as_fd())
    }
}
