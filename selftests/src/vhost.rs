// SPDX-License-Identifier: GPL-2.0
//! A virtual machine's network card without the machine: vhost-net takes frames out of a ring in this process and hands them to a
//! tap device, without copying them (`experimental_zcopytx`).
//!
//! Until the kernel says that it is done with a frame, it reads the bytes where they are.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::fence;
use std::sync::atomic::Ordering::SeqCst;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;
use nix::sys::mman::mmap_anonymous;
use nix::sys::mman::munmap;
use nix::sys::mman::MapFlags;
use nix::sys::mman::ProtFlags;
use nix::sys::stat::makedev;
use nix::sys::stat::mknod;
use nix::sys::stat::Mode;
use nix::sys::stat::SFlag;
use nix::unistd;

use crate::inject::modprobe;
use crate::inject::tun_device;
use crate::inject::Offload;

const DEVICE: &str = "/dev/vhost-net";
const PARAMETER: &str = "/sys/module/vhost_net/parameters/experimental_zcopytx";

// linux/vhost.h; ioctl numbers as _IOW(0xaf, …) makes them.
const SET_OWNER: u64 = 0xaf01;
const SET_MEM_TABLE: u64 = 0x4008_af03;
const SET_VRING_NUM: u64 = 0x4008_af10;
const SET_VRING_ADDR: u64 = 0x4028_af11;
const SET_VRING_BASE: u64 = 0x4008_af12;
const SET_VRING_KICK: u64 = 0x4008_af20;
const SET_VRING_CALL: u64 = 0x4008_af21;
const NET_SET_BACKEND: u64 = 0x4008_af30;
/// The ring of frames that the machine sends.
const TX: u32 = 1;

/// The memory: the ring's three parts, then a frame.
const LEN: usize = 1 << 16;
const DESCRIPTORS: usize = 0;
const AVAILABLE: usize = 0x1000;
const USED: usize = 0x2000;
const FRAME: usize = 0x4000;
const ENTRIES: u32 = 8;

#[repr(C)]
struct VringState {
    index: u32,
    num: u32,
}

#[repr(C)]
struct VringFile {
    index: u32,
    fd: i32,
}

#[repr(C)]
struct VringAddr {
    index: u32,
    flags: u32,
    desc_user_addr: u64,
    used_user_addr: u64,
    avail_user_addr: u64,
    log_guest_addr: u64,
}

/// `struct vhost_memory` with one region.
#[repr(C)]
struct Memory {
    nregions: u32,
    padding: u32,
    guest_phys_addr: u64,
    memory_size: u64,
    userspace_addr: u64,
    flags_padding: u64,
}

pub struct Vhost {
    memory: NonNull<u8>,
    kick: OwnedFd,
    call: OwnedFd,
    vhost: File,
    /// The device goes with it.
    tap: File,
}

impl Vhost {
    /// A card behind the tap device `name`, which is made in the calling thread's namespace.
    pub fn open(name: &str) -> Result<Self> {
        const IFF_TAP: i16 = 2;
        const IFF_NO_PI: i16 = 0x1000;
        const IFF_VNET_HDR: i16 = 0x4000;
        modprobe("vhost_net experimental_zcopytx=1")?;
        let zero_copy = fs::read_to_string(PARAMETER).context(PARAMETER)?;
        ensure!(zero_copy.trim() == "1", "vhost_net was loaded to copy");
        let tap = tun_device(name, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)?;
        let card = Self {
            memory: memory()?,
            kick: eventfd()?,
            call: eventfd()?,
            vhost: device()?,
            tap,
        };
        card.start()?;
        Ok(card)
    }

    /// Gives vhost the memory, the ring in it, and the tap device.
    fn start(&self) -> Result<()> {
        let base = self.memory.as_ptr() as u64;
        let state = |num| VringState { index: TX, num };
        let file = |fd: &dyn AsFd| VringFile {
            index: TX,
            fd: fd.as_fd().as_raw_fd(),
        };
        // SAFETY: SET_OWNER takes no argument.
        let owned = unsafe { libc::ioctl(self.vhost.as_raw_fd(), SET_OWNER) };
        Errno::result(owned).context("VHOST_SET_OWNER")?;
        self.tell(
            SET_MEM_TABLE,
            &Memory {
                nregions: 1,
                padding: 0,
                guest_phys_addr: base,
                memory_size: LEN as u64,
                userspace_addr: base,
                flags_padding: 0,
            },
        )?;
        self.tell(SET_VRING_NUM, &state(ENTRIES))?;
        self.tell(SET_VRING_BASE, &state(0))?;
        self.tell(
            SET_VRING_ADDR,
            &VringAddr {
                index: TX,
                flags: 0,
                desc_user_addr: base + DESCRIPTORS as u64,
                used_user_addr: base + USED as u64,
                avail_user_addr: base + AVAILABLE as u64,
                log_guest_addr: 0,
            },
        )?;
        self.tell(SET_VRING_KICK, &file(&self.kick))?;
        self.tell(SET_VRING_CALL, &file(&self.call))?;
        self.tell(NET_SET_BACKEND, &file(&self.tap))
    }

    fn tell<T>(&self, request: u64, argument: &T) -> Result<()> {
        // SAFETY: the argument is the struct that the request takes, and outlives the call.
        let ret = unsafe { libc::ioctl(self.vhost.as_raw_fd(), request, argument) };
        Errno::result(ret).with_context(|| format!("vhost request {request:#x}"))?;
        Ok(())
    }

    /// Writes where the kernel may be reading.
    fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= LEN, "beyond the memory");
        for (n, byte) in bytes.iter().enumerate() {
            // SAFETY: inside the mapping, which nothing of this program refers to.
            unsafe { self.memory.as_ptr().add(at + n).write_volatile(*byte) };
        }
    }

    fn read_u16(&self, at: usize) -> u16 {
        assert!(at + 2 <= LEN && at % 2 == 0, "beyond the memory");
        // SAFETY: inside the mapping, aligned, and a number whatever the kernel writes.
        unsafe { self.memory.as_ptr().add(at).cast::<u16>().read_volatile() }
    }

    /// Sends one frame from this process's memory. There can be one only.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let header = Offload::default().bytes();
        let base = self.memory.as_ptr() as u64;
        self.write(FRAME, &[header.as_slice(), frame].concat());
        // struct vring_desc: address, length, no flags, no next.
        self.write(DESCRIPTORS, &(base + FRAME as u64).to_ne_bytes());
        let len = (header.len() + frame.len()) as u32;
        self.write(DESCRIPTORS + 8, &len.to_ne_bytes());
        // struct vring_avail: flags, the index after the last entry, entries. The first is descriptor 0.
        fence(SeqCst);
        self.write(AVAILABLE + 2, &1u16.to_ne_bytes());
        unistd::write(&self.kick, &1u64.to_ne_bytes()).context("kicking vhost")?;
        Ok(())
    }

    /// Overwrites the frame from `at` on.
    pub fn overwrite(&self, at: usize, bytes: &[u8]) {
        self.write(FRAME + Offload::default().bytes().len() + at, bytes);
        fence(SeqCst);
    }

    /// Whether the kernel is done with the frame.
    pub fn is_done(&self) -> bool {
        fence(SeqCst);
        // struct vring_used: flags, the index after the last entry.
        self.read_u16(USED + 2) == 1
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        let stop = VringFile { index: TX, fd: -1 };
        // What vhost still has of the memory it keeps by itself: nothing is lost if that fails.
        let _stopped = self.tell(NET_SET_BACKEND, &stop);
        // SAFETY: the mapping is this value's own, and nothing refers to it any more.
        let _unmapped = unsafe { munmap(self.memory.cast(), LEN) };
    }
}

/// By which one side wakes the other up.
fn eventfd() -> Result<OwnedFd> {
    // SAFETY: a call without pointers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK) };
    Errno::result(fd).context("eventfd")?;
    // SAFETY: made just now; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn memory() -> Result<NonNull<u8>> {
    let len = NonZeroUsize::new(LEN).context("no memory")?;
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new mapping in a place of the kernel's choice.
    let memory = unsafe { mmap_anonymous(None, len, access, MapFlags::MAP_PRIVATE) };
    Ok(memory.context("mmap")?.cast())
}

/// The device node, which nobody makes in a machine without udev.
fn device() -> Result<File> {
    const MISC: u64 = 10;
    const VHOST_NET_MINOR: u64 = 238;
    if !Path::new(DEVICE).exists() {
        let number = makedev(MISC, VHOST_NET_MINOR);
        mknod(
            DEVICE,
            SFlag::S_IFCHR,
            Mode::S_IRUSR | Mode::S_IWUSR,
            number,
        )
        .context(DEVICE)?;
    }
    let file = OpenOptions::new().read(true).write(true).open(DEVICE);
    file.context(DEVICE)
}
