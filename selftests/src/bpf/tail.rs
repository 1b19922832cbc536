// SPDX-License-Identifier: GPL-2.0
//! The program of `bpf/tail.c`, which calls another program; and program arrays as such.

use std::iter;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;

use anyhow::Context;
use anyhow::Result;
use aya::include_bytes_aligned;
use aya::maps::Array;
use aya::maps::Map;
use aya::Ebpf;

use super::check;
use super::map;
use super::probe;
use super::Answer;

/// `struct run` of bpf/tail.c.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    pub count: u64,
    /// How often there was no program to call.
    pub failed: u64,
    verdict: i32,
    slot: u32,
}

// SAFETY: a struct of plain integers without padding, valid in every bit pattern.
unsafe impl aya::Pod for Run {}

pub struct Tail(Ebpf);

impl Tail {
    /// A program that calls nothing yet, and returns `verdict` when there is nothing to call.
    pub fn load(verdict: i32) -> Result<Self> {
        let bytes = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tail.o"));
        let mut object = probe::load(bytes, iter::once("tail".to_owned()))?;
        let run = Run {
            verdict,
            ..Run::default()
        };
        let map = object.map_mut("runs").context("no map")?;
        Array::<_, Run>::try_from(map)?.set(0, run, 0)?;
        Ok(Self(object))
    }

    pub fn run(&self) -> Result<Run> {
        let map = self.0.map("runs").context("no map")?;
        Ok(Array::<_, Run>::try_from(map)?.get(&0, 0)?)
    }

    /// The program that is called from the next packet on is the one in slot 0 of this array.
    pub fn calls(&self) -> Result<BorrowedFd<'_>> {
        match self.0.map("calls").context("no map")? {
            Map::ProgramArray(map) => Ok(map.fd().as_fd()),
            _ => anyhow::bail!("another kind of map"),
        }
    }

    pub fn call(&self, prog: impl AsFd) -> Result<()> {
        Ok(set_prog(self.calls()?, prog)?)
    }

    pub fn fd(&self) -> Result<BorrowedFd<'_>> {
        Ok(probe::program(&self.0, "tail")?.fd()?.as_fd())
    }
}

/// An array for one program.
pub fn prog_array() -> Answer<OwnedFd> {
    map(libbpf_sys::BPF_MAP_TYPE_PROG_ARRAY, 4, 1)
}

/// Puts a program into slot 0 of an array.
pub fn set_prog(array: impl AsFd, prog: impl AsFd) -> Answer<()> {
    let (slot, value) = (0u32, prog.as_fd().as_raw_fd());
    // SAFETY: key and value are the four bytes each that this kind of map has, and outlive the call.
    let ret = unsafe {
        libbpf_sys::bpf_map_update_elem(
            array.as_fd().as_raw_fd(),
            (&raw const slot).cast(),
            (&raw const value).cast(),
            0,
        )
    };
    check(ret).map(drop)
}

/// Takes the program out of slot 0 of an array.
pub fn clear_prog(array: impl AsFd) -> Answer<()> {
    let slot = 0u32;
    // SAFETY: the key is four bytes, and outlives the call.
    let ret = unsafe {
        libbpf_sys::bpf_map_delete_elem(array.as_fd().as_raw_fd(), (&raw const slot).cast())
    };
    check(ret).map(drop)
}
