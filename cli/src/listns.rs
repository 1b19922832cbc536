// SPDX-License-Identifier: GPL-2.0
//! The kernel's own list of network namespaces: listns(2) gives their ids, a file handle opens each. Linux 6.19 has both.

use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;

const SYS_LISTNS: libc::c_long = 470;
const FD_NSFS_ROOT: libc::c_int = -10003;
const FILEID_NSFS: libc::c_int = 0xf1;
const BATCH: usize = 256;

/// `struct ns_id_req`.
#[repr(C)]
struct Request {
    size: u32,
    spare: u32,
    /// List the namespaces after this one.
    ns_id: u64,
    ns_type: u32,
    spare2: u32,
    user_ns_id: u64,
}

/// `struct file_handle` with a `struct nsfs_file_handle`, which is unaligned after the two words.
#[repr(C, packed)]
struct Handle {
    handle_bytes: u32,
    handle_type: libc::c_int,
    ns_id: u64,
    ns_type: u32,
    ns_inum: u32,
}

/// Opens all namespaces that the caller may see. A namespace that ends in the meantime is left out.
pub fn network_namespaces() -> io::Result<Vec<File>> {
    Ok(ids()?.into_iter().filter_map(open).collect())
}

fn ids() -> io::Result<Vec<u64>> {
    let mut all: Vec<u64> = Vec::new();
    loop {
        let request = Request {
            size: size_of::<Request>() as u32,
            spare: 0,
            ns_id: all.last().copied().unwrap_or(0),
            ns_type: libc::CLONE_NEWNET as u32,
            spare2: 0,
            user_ns_id: 0,
        };
        let mut batch = [0u64; BATCH];
        // SAFETY: the request is read, and the array is valid for writes of the number of elements that is given with it.
        let found =
            unsafe { libc::syscall(SYS_LISTNS, &raw const request, batch.as_mut_ptr(), BATCH, 0) };
        let found = usize::try_from(found).map_err(|_| io::Error::last_os_error())?;
        all.extend(batch.iter().take(found));
        if found < BATCH {
            return Ok(all);
        }
    }
}

fn open(ns_id: u64) -> Option<File> {
    let handle = Handle {
        handle_bytes: (size_of::<Handle>() - offset_of!(Handle, ns_id)) as u32,
        handle_type: FILEID_NSFS,
        ns_id,
        ns_type: 0,
        ns_inum: 0,
    };
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the handle is valid for reads of the length that stands in it.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_open_by_handle_at,
            FD_NSFS_ROOT,
            &raw const handle,
            flags,
        )
    };
    let fd = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: the kernel has just made it for us, so nobody else owns it.
    Some(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets of include/uapi/linux/nsfs.h and fcntl.h.
    #[test]
    fn layouts() {
        assert_eq!(size_of::<Request>(), 32);
        assert_eq!(offset_of!(Request, ns_type), 16);
        assert_eq!(offset_of!(Handle, ns_id), 8);
        assert_eq!(size_of::<Handle>(), 24);
    }
}
