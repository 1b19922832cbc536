// SPDX-License-Identifier: GPL-2.0
//! The program of `bpf/slow.c`: a run of it takes as long as it is told.

use std::iter;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use aya::include_bytes_aligned;
use aya::maps::Array;
use aya::Ebpf;

use super::probe;

/// `struct runs` of bpf/slow.c.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Runs {
    nanoseconds: u64,
    pub begun: u32,
    pub ended: u32,
}

// SAFETY: a struct of plain integers without padding, valid in every bit pattern.
unsafe impl aya::Pod for Runs {}

pub struct Slow(Ebpf);

impl Slow {
    /// A program of which each run takes `time`.
    pub fn load(time: Duration) -> Result<Self> {
        let bytes = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/slow.o"));
        let mut object = probe::load(bytes, iter::once("slow".to_owned()))?;
        let runs = Runs {
            nanoseconds: time.as_nanos() as u64,
            ..Runs::default()
        };
        let map = object.map_mut("runs").context("no map")?;
        Array::<_, Runs>::try_from(map)?.set(0, runs, 0)?;
        Ok(Self(object))
    }

    pub fn runs(&self) -> Result<Runs> {
        let map = self.0.map("runs").context("no map")?;
        Ok(Array::<_, Runs>::try_from(map)?.get(&0, 0)?)
    }

    pub fn fd(&self) -> Result<BorrowedFd<'_>> {
        Ok(probe::program(&self.0, "slow")?.fd()?.as_fd())
    }
}
