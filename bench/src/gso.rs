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
fn payload() -> &'static [u8] {
    static BUFFER: OnceLock<Vec<u8>> = OnceLock::new();
    let buffer = BUFFER.get_or_init(|| vec![0x5a; PAYLOAD + PAGE]);
    // A pipe holds sixteen pages, which is what the payload takes if it begins with one.
    let start = buffer.as_ptr().align_offset(PAGE);
    &buffer[start..start + PAYLOAD]
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
        let pages = libc::iovec {
            iov_base: payload().as_ptr().cast_mut().cast(),
            iov_len: PAYLOAD,
        };
        // SAFETY: the pipe gets references to the payload's pages, which are only read.
        let given = unsafe { libc::vmsplice(self.write.as_raw_fd(), &pages, 1, 0) };
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
        if given != PAYLOAD as isize || sent != PAYLOAD as isize {
            bail!(
                "{given} bytes given, {sent} sent, of {PAYLOAD}: {}",
                Errno::last()
            );
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
