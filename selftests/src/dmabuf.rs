// SPDX-License-Identifier: GPL-2.0
//! Memory that devices share (a dmabuf), made of pages of a file in memory (udmabuf), and sockets that send from it.

use std::fs::File;
use std::fs::OpenOptions;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;
use nix::fcntl::fcntl;
use nix::fcntl::FcntlArg;
use nix::fcntl::SealFlag;
use nix::sys::memfd::memfd_create;
use nix::sys::memfd::MFdFlags;

const UDMABUF: &str = "/dev/udmabuf";

/// `struct udmabuf_create`.
#[repr(C)]
struct Create {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}

nix::ioctl_write_ptr!(udmabuf_create, b'u', 0x42, Create);

/// What the machine lacks for it, if anything.
pub fn lacks() -> Option<String> {
    (!Path::new(UDMABUF).exists()).then(|| format!("the kernel has no {UDMABUF}"))
}

pub struct Dmabuf {
    file: File,
    fd: OwnedFd,
}

impl AsFd for Dmabuf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Dmabuf {
    /// So many bytes of zeroes, whole pages.
    pub fn new(len: u64) -> Result<Self> {
        let file = File::from(memfd_create(
            c"netkit-selftests",
            MFdFlags::MFD_ALLOW_SEALING,
        )?);
        file.set_len(len)?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK)).context("F_ADD_SEALS")?;
        let device = OpenOptions::new().read(true).write(true).open(UDMABUF);
        let device = device.context(UDMABUF)?;
        let request = Create {
            memfd: file.as_raw_fd() as u32,
            flags: 0,
            offset: 0,
            size: len,
        };
        // SAFETY: the request outlives the call.
        let fd = unsafe { udmabuf_create(device.as_raw_fd(), &raw const request) };
        let fd = fd.context("UDMABUF_CREATE")?;
        // SAFETY: the ioctl has just made this descriptor for us; nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { file, fd })
    }

    pub fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        Ok(self.file.write_all_at(bytes, offset)?)
    }
}

/// Sends bytes of a dmabuf, by its number on the device that the connection goes through (`NETDEV_CMD_BIND_TX`).
pub fn send(socket: &TcpStream, dmabuf: u32, offset: usize, len: usize) -> Result<usize, Errno> {
    const SPACE: usize = 32;
    let mut part = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(offset),
        iov_len: len,
    };
    let mut control = [0u64; SPACE / 8];
    // SAFETY: an all-zero msghdr is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: a computation. The space for one u32 fits the buffer, and the header lies in it.
    unsafe {
        message.msg_controllen = libc::CMSG_SPACE(size_of::<u32>() as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_DEVMEM_DMABUF;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<u32>() as u32) as _;
        libc::CMSG_DATA(header)
            .cast::<u32>()
            .write_unaligned(dmabuf);
    }
    let flags = libc::MSG_ZEROCOPY | libc::MSG_NOSIGNAL;
    // SAFETY: the message and its control data outlive the call. The kernel reads the dmabuf, not the address.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) };
    Errno::result(sent).map(|len| len as usize)
}
