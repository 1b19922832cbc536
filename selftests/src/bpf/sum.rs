// SPDX-License-Identifier: GPL-2.0
//! The program of `bpf/sum.c`: it shows the checksum that came with a packet.

use std::iter;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

use anyhow::Context;
use anyhow::Result;
use aya::include_bytes_aligned;
use aya::maps::Array;
use aya::Ebpf;

use super::probe;

/// `struct sum` of bpf/sum.c.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub last: i64,
    pub count: u64,
}

// SAFETY: a struct of plain integers without padding, valid in every bit pattern.
unsafe impl aya::Pod for Seen {}

pub struct Sum(Ebpf);

impl Sum {
    pub fn load() -> Result<Self> {
        let bytes = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sum.o"));
        Ok(Self(probe::load(bytes, iter::once("sum".to_owned()))?))
    }

    pub fn seen(&self) -> Result<Seen> {
        let map = self.0.map("sums").context("no map")?;
        Ok(Array::<_, Seen>::try_from(map)?.get(&0, 0)?)
    }

    pub fn fd(&self) -> Result<BorrowedFd<'_>> {
        Ok(probe::program(&self.0, "sum")?.fd()?.as_fd())
    }
}
