// SPDX-License-Identifier: GPL-2.0
//! A generator of 64 KiB packets for segmentation offload, which pktgen cannot make.
//!
//! UDP with UDP_SEGMENT, with the payload spliced from a pipe: the pages themselves become part of the packet, so
//! nothing is copied. (The transmit ring of a packet socket would mark them as zero-copy, and netkit would have to copy
//! them: another path.)

use std::net::SocketAddr;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::ptr;
use std::sync::OnceLock;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::BindToDevice;
use nix::sys::socket::sockopt::UdpGsoSegment;
use nix::time::clock_gettime;
use nix::time::ClockId;

use crate::pktgen::Run;

const SEGMENT: usize = 1448;
const PAYLOAD: usize = 45 * SEGMENT;
const PAGE: usize = 4096;
const WARM_UP: u64 = 64;
const PACKETS: u64 = 8192;
/// The total number of bytes that is sent, for the counter at the other end.
pub const ALL: u64 = WARM_UP + PACKETS;

/// A peer that nobody is; bed.rs gives it a MAC address on each device.
pub const PEER: &str = "198.18.2.2";
const DISCARD: u16 = 9;

/// One for all runs: pages that happen to be neighbours in memory become one fragment of the
/// packet, so another buffer would be another packet.
struct Payload {
    buffer: Vec<u8>,
    /// Holds references to the pages: the kernel must not move them, or make a huge page of them.
    _pinned: (OwnedFd, OwnedFd),
}

impl Payload {
    fn new() -> Result<Self> {
        let buffer = vec![0x5a; PAYLOAD + PAGE];
        let (read, write) = nix::unistd::pipe().context("a pipe")?;
        let payload = Self {
            buffer,
            _pinned: (read, write),
        };
        payload.give(&payload._pinned.1)?;
        Ok(payload)
    }

    fn the() -> Result<&'static Self> {
        static PAYLOAD: OnceLock<Payload> = OnceLock::new();
        if PAYLOAD.get().is_none() {
            let _beaten = PAYLOAD.set(Self::new()?);
        }
        PAYLOAD.get().context("no payload")
    }

    /// A pipe holds sixteen pages, which is what the payload takes if it begins with one.
    fn bytes(&self) -> &[u8] {
        let start = self.buffer.as_ptr().align_offset(PAGE);
        &self.buffer[start..start + PAYLOAD]
    }

    /// Gives a pipe references to the pages.
    fn give(&self, pipe: &OwnedFd) -> Result<()> {
        let bytes = self.bytes();
        let pages = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        // SAFETY: the pages are only read.
        let given = unsafe { libc::vmsplice(pipe.as_raw_fd(), &pages, 1, 0) };
        if given != PAYLOAD as isize {
            bail!("{given} bytes given, of {PAYLOAD}: {}", Errno::last());
        }
        Ok(())
    }
}

struct Sender {
    socket: UdpSocket,
    read: OwnedFd,
    write: OwnedFd,
}

impl Sender {
    fn new(device: &str) -> Result<Self> {
        let socket = UdpSocket::bind("0.0.0.0:0").context("a UDP socket")?;
        setsockopt(&socket, BindToDevice, &device.into()).context("SO_BINDTODEVICE")?;
        setsockopt(&socket, UdpGsoSegment, &(SEGMENT as i32)).context("UDP_SEGMENT")?;
        let peer = SocketAddr::new(PEER.parse()?, DISCARD);
        socket
            .connect(peer)
            .with_context(|| format!("no route to {peer} on {device}"))?;
        let (read, write) = nix::unistd::pipe().context("a pipe")?;
        Ok(Self {
            socket,
            read,
            write,
        })
    }

    fn send(&self) -> Result<()> {
        Payload::the()?.give(&self.write)?;
        let socket = self.socket.as_raw_fd();
        // SAFETY: two descriptors of ours, no offsets.
        let sent = unsafe {
            libc::splice(
                self.read.as_raw_fd(),
                ptr::null_mut(),
                socket,
                ptr::null_mut(),
                PAYLOAD,
                0,
            )
        };
        if sent != PAYLOAD as isize {
            bail!("{sent} bytes sent, of {PAYLOAD}: {}", Errno::last());
        }
        Ok(())
    }
}

pub fn run(device: &str) -> Result<Run> {
    let sender = Sender::new(device)?;
    for _ in 0..WARM_UP {
        sender.send()?;
    }
    let start = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    for _ in 0..PACKETS {
        sender.send()?;
    }
    let elapsed = clock_gettime(ClockId::CLOCK_MONOTONIC)? - start;
    Ok(Run {
        sent: PACKETS,
        errors: 0,
        nanoseconds: elapsed.tv_sec() as f64 * 1e9 + elapsed.tv_nsec() as f64,
    })
}
