// SPDX-License-Identifier: GPL-2.0
//! Zero-copy receive with io_uring: memory that the process provides to a queue, filled by the device.

use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use io_uring::cqueue;
use io_uring::opcode::RecvZc;
use io_uring::squeue;
use io_uring::types;
use io_uring::IoUring;
use nix::errno::Errno;
use nix::sys::mman::mmap_anonymous;
use nix::sys::mman::munmap;
use nix::sys::mman::MapFlags;
use nix::sys::mman::ProtFlags;

use crate::netns::Ns;

const PAGE: usize = 4096;
/// As many buffers as entries, so that a buffer that is given back always finds an entry.
const ENTRIES: u32 = 256;
const AREA: usize = ENTRIES as usize * PAGE;
const REFILL: usize = 2 * PAGE;
const IORING_REGISTER_ZCRX_IFQ: u32 = 32;

/// Memory of whole pages that is shared with the kernel: accessed through its pointer only.
struct Map(NonNull<u8>, usize);

impl Map {
    fn new(len: usize) -> Result<Self> {
        let size = NonZeroUsize::new(len).context("no memory asked for")?;
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: new memory, at an address that the kernel chooses.
        let at = unsafe { mmap_anonymous(None, size, prot, MapFlags::MAP_PRIVATE)? };
        Ok(Self(at.cast(), len))
    }

    /// A pointer into the memory, with `len` bytes behind it.
    fn at(&self, offset: usize, len: usize) -> Result<*mut u8> {
        let end = offset.checked_add(len);
        ensure!(
            end.is_some_and(|end| end <= self.1),
            "{offset}+{len} is outside"
        );
        // SAFETY: just checked to be within the mapping.
        Ok(unsafe { self.0.as_ptr().add(offset) })
    }

    fn word(&self, offset: u32) -> Result<&AtomicU32> {
        let at = self.at(offset as usize, 4)?.cast::<u32>();
        ensure!(at.is_aligned(), "a word at {offset}");
        // SAFETY: within the mapping and aligned; both sides use it atomically.
        Ok(unsafe { AtomicU32::from_ptr(at) })
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`; nothing borrowed from it is left.
        let _still_mapped_at_worst = unsafe { munmap(self.0.cast(), self.1) };
    }
}

/// A ring with memory provided to one queue. The fields go in this order: the memory last.
pub struct Zcrx {
    ring: IoUring<squeue::Entry, cqueue::Entry32>,
    refill: Map,
    area: Map,
    token: u64,
    id: u32,
    /// Which connection a completion is for: one that has ended may still have some to come.
    connection: u64,
    /// The request as the kernel has completed it: where things are in the refill ring.
    reg: types::io_uring_zcrx_ifq_reg,
}

impl Zcrx {
    /// Provides memory to a queue of a device of the namespace; the inner result is the kernel's answer.
    pub fn register(ns: &Ns, index: u32, queue: u32) -> Result<Result<Self, Errno>> {
        let ring = IoUring::<squeue::Entry, cqueue::Entry32>::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(ENTRIES)
            .context("io_uring_setup")?;
        let (area, refill) = (Map::new(AREA)?, Map::new(REFILL)?);
        let mut area_reg = types::io_uring_zcrx_area_reg {
            addr: area.0.as_ptr() as u64,
            len: AREA as u64,
            ..Default::default()
        };
        let mut region = types::io_uring_region_desc {
            user_addr: refill.0.as_ptr() as u64,
            size: REFILL as u64,
            flags: types::IORING_MEM_REGION_TYPE_USER,
            ..Default::default()
        };
        let mut request = types::io_uring_zcrx_ifq_reg {
            if_idx: index,
            if_rxq: queue,
            rq_entries: ENTRIES,
            area_ptr: (&raw mut area_reg) as u64,
            region_ptr: (&raw mut region) as u64,
            ..Default::default()
        };
        let answer = ns.run(|| {
            // SAFETY: the request and what it points at outlive the call. The memory outlives the ring.
            Ok(Errno::result(unsafe {
                libc::syscall(
                    libc::SYS_io_uring_register,
                    ring.as_raw_fd(),
                    IORING_REGISTER_ZCRX_IFQ,
                    &raw mut request,
                    1,
                )
            }))
        })?;
        Ok(answer.map(|_| Self {
            ring,
            refill,
            area,
            token: area_reg.rq_area_token,
            id: request.zcrx_id,
            connection: 0,
            reg: request,
        }))
    }

    /// Receives `len` bytes of a TCP connection from where the device has put them.
    pub fn receive(&mut self, socket: &impl AsRawFd, len: usize) -> Result<Vec<u8>> {
        self.connection += 1;
        let request = RecvZc::new(types::Fd(socket.as_raw_fd()), 0)
            .ifq(self.id)
            .build()
            .user_data(self.connection);
        let mut bytes = Vec::with_capacity(len);
        let mut armed = false;
        while bytes.len() < len {
            if !armed {
                // SAFETY: the request points at no memory; the socket is open until it has ended.
                unsafe { self.ring.submission().push(&request)? };
                armed = true;
            }
            let wait = types::Timespec::from(Duration::from_secs(5));
            let args = types::SubmitArgs::new().timespec(&wait);
            self.ring
                .submitter()
                .submit_with_args(1, &args)
                .with_context(|| format!("{} of {len} bytes came", bytes.len()))?;
            let done: Vec<cqueue::Entry32> = self.ring.completion().collect();
            for entry in done {
                if entry.user_data() != self.connection {
                    continue;
                }
                armed &= cqueue::more(entry.flags());
                let got = Errno::result(entry.result().max(-1))
                    .map_err(|_| Errno::from_raw(-entry.result()))
                    .context("RECV_ZC")? as usize;
                if got == 0 {
                    ensure!(bytes.len() == len, "the connection ended early");
                    continue;
                }
                self.take(entry.big_cqe()[0], got, &mut bytes)?;
            }
        }
        Ok(bytes)
    }

    /// Copies what came to an offset of the area, and gives the buffer back.
    fn take(&self, offset: u64, len: usize, bytes: &mut Vec<u8>) -> Result<()> {
        let at = offset & !types::IORING_ZCRX_AREA_MASK;
        let from = self.area.at(at as usize, len)?;
        // SAFETY: within the area, and the kernel does not write there before it has the buffer back.
        bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(from, len) });

        let offsets = &self.reg.offsets;
        let tail = self.refill.word(offsets.tail)?;
        let index = tail.load(Ordering::Relaxed);
        let slot = index % self.reg.rq_entries;
        let size = size_of::<types::io_uring_zcrx_rqe>();
        let entry = types::io_uring_zcrx_rqe {
            off: at | self.token,
            len: len as u32,
            __pad: 0,
        };
        let to = self
            .refill
            .at(offsets.rqes as usize + slot as usize * size, size)?;
        // SAFETY: an entry of the ring that the kernel reads once the tail is beyond it.
        unsafe { to.cast::<types::io_uring_zcrx_rqe>().write_unaligned(entry) };
        tail.store(index.wrapping_add(1), Ordering::Release);
        Ok(())
    }
}
