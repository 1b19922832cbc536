// SPDX-License-Identifier: GPL-2.0
//! The program of `bpf/tproxy.c`: it gives connections to port 80 to a transparent proxy.

use std::iter;
use std::net::SocketAddrV4;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

use anyhow::Context;
use anyhow::Result;
use aya::include_bytes_aligned;
use aya::maps::Array;
use aya::Ebpf;

use super::probe;

/// The mark that the program puts on the packets of the connections.
pub const MARK: u32 = 1;

/// `struct proxy` of bpf/tproxy.c.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    addr: u32,
    port: u32,
    /// The last answer of `bpf_sk_assign()`.
    pub assigned: i32,
    /// The first packets of connections.
    pub packets: u32,
    /// How many of them met the proxy's socket in their namespace.
    pub found: u32,
}

// SAFETY: a struct of plain integers without padding, valid in every bit pattern.
unsafe impl aya::Pod for Seen {}

pub struct Tproxy(Ebpf);

impl Tproxy {
    /// For the proxy that listens at this address.
    pub fn load(proxy: SocketAddrV4) -> Result<Self> {
        let bytes = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tproxy.o"));
        let mut object = probe::load(bytes, iter::once("tproxy".to_owned()))?;
        let seen = Seen {
            addr: u32::from_ne_bytes(proxy.ip().octets()),
            port: proxy.port().to_be().into(),
            // No errno.
            assigned: i32::MIN,
            ..Seen::default()
        };
        let map = object.map_mut("proxy").context("no map")?;
        Array::<_, Seen>::try_from(map)?.set(0, seen, 0)?;
        Ok(Self(object))
    }

    pub fn seen(&self) -> Result<Seen> {
        let map = self.0.map("proxy").context("no map")?;
        Ok(Array::<_, Seen>::try_from(map)?.get(&0, 0)?)
    }

    pub fn fd(&self) -> Result<BorrowedFd<'_>> {
        Ok(probe::program(&self.0, "tproxy")?.fd()?.as_fd())
    }
}
