// SPDX-License-Identifier: GPL-2.0
//! The program of `bpf/steer.c`: it does with every packet what its map says.

use std::iter;
use std::net::Ipv4Addr;
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
    /// `bpf_redirect_peer()` with flags, such as [`EGRESS`].
    PeerFlags(u32, u32),
    Neigh(u32),
    Clone(u32),
    /// `bpf_fib_lookup()` for an address, and on to the peer.
    Fib(Ipv4Addr),
    /// `bpf_redirect()` to the first device; before that happens, `bpf_clone_redirect()` to the second.
    EgressThenClone(u32, u32),
}

/// `BPF_F_EGRESS`: the peer sends the packet instead of receiving it.
pub const EGRESS: u32 = 1 << 1;

/// `struct order` of bpf/steer.c.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Raw {
    way: u32,
    ifindex: u32,
    verdict: i32,
    count: u32,
    flags: u32,
    other: u32,
    daddr: u32,
    found: u32,
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
        let to = |way, ifindex| Raw {
            way,
            ifindex,
            ..Raw::default()
        };
        let raw = match order {
            Order::Verdict(verdict) => Raw {
                verdict,
                ..to(0, 0)
            },
            Order::Egress(ifindex) => to(1, ifindex),
            Order::Ingress(ifindex) => to(2, ifindex),
            Order::Peer(ifindex) => to(3, ifindex),
            Order::PeerFlags(ifindex, flags) => Raw {
                flags,
                ..to(3, ifindex)
            },
            Order::Neigh(ifindex) => to(4, ifindex),
            Order::Clone(ifindex) => to(5, ifindex),
            Order::Fib(ip) => Raw {
                verdict: i32::MIN,
                daddr: u32::from_ne_bytes(ip.octets()),
                ..to(6, 0)
            },
            Order::EgressThenClone(ifindex, other) => Raw {
                other,
                ..to(7, ifindex)
            },
        };
        let map = self.0.map_mut("order").ok_or_else(|| anyhow!("no map"))?;
        Ok(Array::<_, Raw>::try_from(map)?.set(0, raw, 0)?)
    }

    fn raw(&self) -> Result<Raw> {
        let map = self.0.map("order").ok_or_else(|| anyhow!("no map"))?;
        Ok(Array::<_, Raw>::try_from(map)?.get(&0, 0)?)
    }

    /// How many packets it has seen since the last order.
    pub fn count(&self) -> Result<u32> {
        Ok(self.raw()?.count)
    }

    /// The last return value of `bpf_fib_lookup()`, and the device that it has found.
    pub fn route(&self) -> Result<(i32, u32)> {
        let raw = self.raw()?;
        Ok((raw.verdict, raw.found))
    }

    /// The last return value of the `bpf_clone_redirect()` of [`Order::EgressThenClone`].
    pub fn clone_answer(&self) -> Result<i32> {
        Ok(self.raw()?.verdict)
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
