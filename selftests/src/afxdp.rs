// SPDX-License-Identifier: GPL-2.0
//! AF_XDP sockets: buffers in shared memory, four rings, wakeups. And the XDP program that feeds them.

use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::anyhow;
use anyhow::Context;
use anyhow::Result;
use aya::include_bytes_aligned;
use aya::maps::XskMap;
use aya::programs::Xdp;
use aya::Ebpf;
use aya::EbpfLoader;
use nix::errno::Errno;
use xdp::nic::NicIndex;
use xdp::slab::HeapSlab;
use xdp::slab::Slab;
use xdp::socket::PollTimeout;
use xdp::socket::SocketError;
use xdp::socket::XdpSocket;
use xdp::socket::XdpSocketBuilder;
use xdp::umem::UmemCfgBuilder;
use xdp::RingConfigBuilder;
use xdp::Umem;
use xdp::WakableRings;

use crate::netns::Ns;

const FRAMES: u32 = 64;

/// What bind(2) is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// Zero copy if it can be had.
    Any,
    Copy,
    ZeroCopy,
}

/// A bound socket. The fields go in this order: the memory last.
pub struct Xsk {
    socket: XdpSocket,
    rings: WakableRings,
    umem: Umem,
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

impl Xsk {
    /// Binds a new socket of the namespace to a queue; the inner result is that of bind(2).
    pub fn bind(ns: &Ns, index: u32, queue: u32, mode: Mode) -> Result<Result<Self, Errno>> {
        let umem = UmemCfgBuilder {
            frame_count: FRAMES,
            ..Default::default()
        };
        let umem = Umem::map(umem.build()?).context("memory for frames")?;
        let mut socket = ns.run(|| Ok(XdpSocketBuilder::new()?))?;
        let rings = RingConfigBuilder {
            rx_count: FRAMES,
            tx_count: FRAMES,
            fill_count: FRAMES,
            completion_count: FRAMES,
        };
        let (rings, mut flags) = socket.build_wakable_rings(&umem, rings.build()?)?;
        match mode {
            Mode::Any => {}
            Mode::Copy => flags.force_copy(),
            Mode::ZeroCopy => flags.force_zerocopy(),
        }
        match socket.bind(NicIndex::new(index), queue, flags) {
            Ok(socket) => Ok(Ok(Self {
                socket,
                rings,
                umem,
            })),
            Err(SocketError::Bind(error)) => Ok(Err(errno(&error))),
            Err(error) => Err(error.into()),
        }
    }

    /// Binds in zero-copy mode, which must succeed.
    pub fn zero_copy(ns: &Ns, index: u32, queue: u32) -> Result<Self> {
        Self::bind(ns, index, queue, Mode::ZeroCopy)?.context("bind(AF_XDP)")
    }

    /// Whether the device uses the socket's memory itself.
    pub fn is_zero_copy(&self) -> Result<bool> {
        const SOL_XDP: i32 = 283;
        const XDP_OPTIONS: i32 = 8;
        const XDP_OPTIONS_ZEROCOPY: u32 = 1;
        let mut options = 0u32;
        let mut len = size_of_val(&options) as u32;
        // SAFETY: value and length are valid, and the length is the value's.
        let ret = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                SOL_XDP,
                XDP_OPTIONS,
                (&raw mut options).cast(),
                &mut len,
            )
        };
        Errno::result(ret).context("XDP_OPTIONS")?;
        Ok(options & XDP_OPTIONS_ZEROCOPY != 0)
    }

    /// Puts a frame into the ring and wakes the device up (sendto(2)).
    pub fn send(&mut self, frame: &[u8]) -> Result<Result<(), Errno>> {
        // SAFETY: the packet is put into the ring of the same socket, before the memory is unmapped.
        let packet = unsafe { self.umem.alloc() };
        let mut packet = packet.context("no frame is free")?;
        packet.append(frame)?;
        let mut packets = HeapSlab::with_capacity(1);
        packets.push_front(packet);
        let tx = self.rings.tx_ring.as_mut().context("no ring")?;
        // SAFETY: the packet is of this socket's memory.
        let sent = unsafe { tx.send(&mut packets, true) };
        Ok(sent.map(drop).map_err(|error| errno(&error)))
    }

    /// Takes frames back that have been sent; how many.
    pub fn completed(&mut self) -> usize {
        let ring = &mut self.rings.completion_ring;
        ring.dequeue(&mut self.umem, FRAMES as usize)
    }

    /// Gives frames for packets to come, and wakes the device up (recvfrom(2)).
    pub fn offer(&mut self, frames: usize) -> Result<(), Errno> {
        let ring = &mut self.rings.fill_ring;
        // SAFETY: the frames are of this socket's memory, which outlives the socket.
        let given = unsafe { ring.enqueue(&mut self.umem, frames, true) };
        given.map(drop).map_err(|error| errno(&error))
    }

    /// poll(2) for something to read or to write, which wakes the device up for both.
    pub fn poll(&self, wait: Duration) -> Result<bool> {
        Ok(self.socket.poll(PollTimeout::new(Some(wait)))?)
    }

    /// Waits for a packet, and gives its frame back for the next one.
    pub fn receive(&mut self, wait: Duration) -> Result<Option<Vec<u8>>> {
        let rx = self.rings.rx_ring.as_mut().context("no ring")?;
        let mut packets = HeapSlab::with_capacity(1);
        // SAFETY: the packets are gone before the memory goes.
        let mut take = || unsafe { rx.recv(&self.umem, &mut packets) };
        if take() == 0 {
            self.socket.poll_read(PollTimeout::new(Some(wait)))?;
            take();
        }
        let Some(packet) = packets.pop_back() else {
            return Ok(None);
        };
        let bytes = packet.to_vec();
        self.umem.free_packet(packet);
        Ok(Some(bytes))
    }

    /// The result of a socket whose device was deleted.
    pub fn error(&self) -> Result<i32> {
        let socket = self.as_fd();
        let error = nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::SocketError);
        Ok(error?)
    }
}

impl AsFd for Xsk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as the socket, which is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.socket.as_raw_fd()) }
    }
}

/// The program of bpf/to_socket.c, and which socket gets what arrives at which queue.
pub struct ToSocket(Ebpf);

impl ToSocket {
    pub fn load() -> Result<Self> {
        let bytes = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/to_socket.o"));
        let mut object = EbpfLoader::new().btf(None).load(bytes)?;
        let program = object.program_mut("to_socket");
        let program: &mut Xdp = program.ok_or_else(|| anyhow!("no program"))?.try_into()?;
        program.load()?;
        Ok(Self(object))
    }

    pub fn set(&mut self, queue: u32, socket: &Xsk) -> Result<()> {
        let map = self.0.map_mut("sockets").ok_or_else(|| anyhow!("no map"))?;
        Ok(XskMap::try_from(map)?.set(queue, socket.as_fd().as_raw_fd(), 0)?)
    }

    pub fn fd(&self) -> Result<BorrowedFd<'_>> {
        let program = self.0.program("to_socket");
        let program: &Xdp = program.ok_or_else(|| anyhow!("no program"))?.try_into()?;
        Ok(program.fd()?.as_fd())
    }
}
