// SPDX-License-Identifier: GPL-2.0
//! The program of `bpf/steer.c`: it does with every packet what its map says.

use std::iter;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

use anyhow::anyhow;
use anyhow::Result;
use aya::include_bytes_aligned;
use aya::maps::Array;
use aya::Ebpf;

use super::probe;
use super::prog;
use super::Answer;

/// What to do (`enum way`), and where to send it.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    Verdict(i32),
    Egress(u32),
    Ingress(u32),
    Peer(u32),
    Neigh(u32),
    Clone(u32),
    /// `bpf_fib_lookup()`, and on to the peer.
    Fib,
}

/// `struct order` of bpf/steer.c.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Raw {
    way: u32,
    ifindex: u32,
    verdict: i32,
    count: u32,
}

// SAFETY: a struct of plain integers without padding, valid in every bit pattern.
unsafe impl aya::Pod for Raw {}

pub struct Steer(Ebpf);

impl Steer {
    pub fn load() -> Result<Self> {
        let bytes = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/steer.o"));
        Ok(Self(probe::load(bytes, iter::once("steer".to_owned()))?))
    }

    /// From the next packet on; counts from 0 again.
    pub fn order(&mut self, order: Order) -> Result<()> {
        let (way, ifindex, verdict) = match order {
            Order::Verdict(verdict) => (0, 0, verdict),
            Order::Egress(ifindex) => (1, ifindex, 0),
            Order::Ingress(ifindex) => (2, ifindex, 0),
            Order::Peer(ifindex) => (3, ifindex, 0),
            Order::Neigh(ifindex) => (4, ifindex, 0),
            Order::Clone(ifindex) => (5, ifindex, 0),
            Order::Fib => (6, 0, i32::MIN),
        };
        let map = self.0.map_mut("order").ok_or_else(|| anyhow!("no map"))?;
        let raw = Raw {
            way,
            ifindex,
            verdict,
            count: 0,
        };
        Ok(Array::<_, Raw>::try_from(map)?.set(0, raw, 0)?)
    }

    /// How many packets it has seen since the last order.
    pub fn count(&self) -> Result<u32> {
        let map = self.0.map("order").ok_or_else(|| anyhow!("no map"))?;
        Ok(Array::<_, Raw>::try_from(map)?.get(&0, 0)?.count)
    }

    /// The last return value of `bpf_fib_lookup()`.
    pub fn fib_answer(&self) -> Result<i32> {
        let map = self.0.map("order").ok_or_else(|| anyhow!("no map"))?;
        Ok(Array::<_, Raw>::try_from(map)?.get(&0, 0)?.verdict)
    }

    pub fn fd(&self) -> Result<BorrowedFd<'_>> {
        Ok(probe::program(&self.0, "steer")?.fd()?.as_fd())
    }

    /// Runs the program on one packet (BPF_PROG_TEST_RUN), and returns its return value.
    pub fn test_run(&self, packet: &[u8]) -> Answer<u32> {
        let fd = self.fd().map_err(|_| nix::errno::Errno::EBADF)?;
        prog::test_run(fd, packet)
    }
}
