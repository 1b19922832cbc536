// SPDX-License-Identifier: GPL-2.0
//! bpf(2) for the tests: programs, multi-program attachment, links.
//!
//! A thin layer over libbpf's own calls. Every call returns the errno. The options are those of the kernel, one to one,
//! so that wrong combinations can be tried.

pub mod burst;
pub mod ids;
pub mod link;
pub mod mprog;
pub mod probe;
pub mod prog;
pub mod secpath;
pub mod slow;
pub mod steer;
pub mod sum;
pub mod tail;
pub mod tproxy;
pub mod tracer;

use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

pub type Answer<T> = Result<T, Errno>;

/// Where a program sits on a pair; both are addressed through the primary's ifindex.
pub const PRIMARY: u32 = libbpf_sys::BPF_NETKIT_PRIMARY;
pub const PEER: u32 = libbpf_sys::BPF_NETKIT_PEER;
pub const TCX_INGRESS: u32 = libbpf_sys::BPF_TCX_INGRESS;
pub const TCX_EGRESS: u32 = libbpf_sys::BPF_TCX_EGRESS;

/// libbpf returns a negative errno.
fn check(ret: i32) -> Answer<i32> {
    if ret < 0 {
        Err(Errno::from_raw(-ret))
    } else {
        Ok(ret)
    }
}

fn check_fd(ret: i32) -> Answer<OwnedFd> {
    let fd = check(ret)?;
    // SAFETY: bpf(2) has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn c_path(path: &Path) -> Answer<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}

/// Pins a program or a link in a BPF file system.
pub fn pin(object: impl AsFd, path: &Path) -> Answer<()> {
    let path = c_path(path)?;
    let fd = object.as_fd().as_raw_fd();
    // SAFETY: `path` is a C string that outlives the call.
    check(unsafe { libbpf_sys::bpf_obj_pin(fd, path.as_ptr()) }).map(drop)
}

/// As long as the descriptor is open, the kernel counts and times the runs of all programs.
pub fn count_runs() -> Answer<OwnedFd> {
    // SAFETY: a call without pointers.
    check_fd(unsafe { libbpf_sys::bpf_enable_stats(libbpf_sys::BPF_STATS_RUN_TIME) })
}

/// An array map.
pub fn array_map(value_size: u32, max_entries: u32) -> Answer<OwnedFd> {
    map(libbpf_sys::BPF_MAP_TYPE_ARRAY, value_size, max_entries)
}

/// A map of any kind whose keys are numbers.
fn map(kind: u32, value_size: u32, max_entries: u32) -> Answer<OwnedFd> {
    // SAFETY: no name and no options; the other arguments are numbers.
    check_fd(unsafe {
        libbpf_sys::bpf_map_create(
            kind,
            std::ptr::null(),
            4,
            value_size,
            max_entries,
            std::ptr::null(),
        )
    })
}
