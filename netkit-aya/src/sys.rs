// SPDX-License-Identifier: GPL-2.0
//! bpf(2): the commands that links need, in the kernel's own layout.
//!
//! Each struct is the part of `union bpf_attr` that belongs to one command. The kernel takes a shorter attribute than
//! its own for zeroes behind it.

use std::io;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;

use aya::sys::SyscallError;

pub const BPF_NETKIT_PRIMARY: u32 = 54;
pub const BPF_NETKIT_PEER: u32 = 55;
pub const BPF_LINK_TYPE_NETKIT: u32 = 13;

pub const BPF_F_REPLACE: u32 = 1 << 2;
pub const BPF_F_BEFORE: u32 = 1 << 3;
pub const BPF_F_AFTER: u32 = 1 << 4;
pub const BPF_F_ID: u32 = 1 << 5;
pub const BPF_F_LINK: u32 = 1 << 13;

#[repr(C)]
#[derive(Default)]
pub struct LinkCreate {
    pub prog_fd: u32,
    pub target_ifindex: u32,
    pub attach_type: u32,
    pub flags: u32,
    pub relative: u32,
    pub _pad: u32,
    pub expected_revision: u64,
}

#[repr(C)]
#[derive(Default)]
pub struct LinkUpdate {
    pub link_fd: u32,
    pub new_prog_fd: u32,
    pub flags: u32,
    pub old_prog_fd: u32,
}

#[repr(C)]
#[derive(Default)]
pub struct LinkDetach {
    pub link_fd: u32,
}

/// BPF_PROG_ATTACH and BPF_PROG_DETACH.
#[repr(C)]
#[derive(Default)]
pub struct Attachment {
    pub target_ifindex: u32,
    pub prog_fd: u32,
    pub attach_type: u32,
    pub flags: u32,
    pub replace_fd: u32,
    pub relative: u32,
    pub expected_revision: u64,
}

/// BPF_LINK_GET_FD_BY_ID and BPF_PROG_GET_FD_BY_ID.
#[repr(C)]
#[derive(Default)]
pub struct Id {
    pub id: u32,
    pub next_id: u32,
    pub open_flags: u32,
}

#[repr(C)]
#[derive(Default)]
pub struct Object {
    pub pathname: u64,
    pub bpf_fd: u32,
    pub file_flags: u32,
}

#[repr(C)]
#[derive(Default)]
pub struct Info {
    pub bpf_fd: u32,
    pub info_len: u32,
    pub info: u64,
}

/// `struct bpf_link_info` up to and with its `netkit` member.
#[repr(C)]
#[derive(Default)]
pub struct LinkInfo {
    pub kind: u32,
    pub id: u32,
    pub prog_id: u32,
    pub _pad: u32,
    pub ifindex: u32,
    pub attach_type: u32,
}

#[repr(C)]
#[derive(Default)]
pub struct ProgQuery {
    pub target_ifindex: u32,
    pub attach_type: u32,
    pub query_flags: u32,
    pub attach_flags: u32,
    pub prog_ids: u64,
    pub count: u32,
    pub _pad: u32,
    pub prog_attach_flags: u64,
    pub link_ids: u64,
    pub link_attach_flags: u64,
    pub revision: u64,
}

/// A command with the attribute that the kernel reads, and to which it writes its answer.
///
/// # Safety
///
/// `CMD` must be the command whose part of `union bpf_attr` the type lays out.
pub unsafe trait Command {
    const CMD: libc::c_int;
    const CALL: &'static str;
}

macro_rules! commands {
    ($($attr:ty: $number:literal $call:literal;)*) => {$(
        // SAFETY: number and layout are those of include/uapi/linux/bpf.h.
        unsafe impl Command for $attr {
            const CMD: libc::c_int = $number;
            const CALL: &'static str = $call;
        }
    )*};
}

commands! {
    ObjPin: 6 "BPF_OBJ_PIN";
    ObjGet: 7 "BPF_OBJ_GET";
    ProgAttach: 8 "BPF_PROG_ATTACH";
    ProgDetach: 9 "BPF_PROG_DETACH";
    ProgGetFdById: 13 "BPF_PROG_GET_FD_BY_ID";
    Info: 15 "BPF_OBJ_GET_INFO_BY_FD";
    ProgQuery: 16 "BPF_PROG_QUERY";
    LinkCreate: 28 "BPF_LINK_CREATE";
    LinkUpdate: 29 "BPF_LINK_UPDATE";
    LinkGetFdById: 30 "BPF_LINK_GET_FD_BY_ID";
    LinkDetach: 34 "BPF_LINK_DETACH";
}

/// Commands that share a layout.
macro_rules! same_layout {
    ($($command:ident($layout:ident);)*) => {$(
        #[repr(transparent)]
        pub struct $command(pub $layout);
    )*};
}

same_layout! {
    ObjPin(Object);
    ObjGet(Object);
    ProgAttach(Attachment);
    ProgDetach(Attachment);
    ProgGetFdById(Id);
    LinkGetFdById(Id);
}

/// Calls bpf(2).
///
/// # Safety
///
/// What the attribute's addresses point at must be valid for the reads and writes of the command.
pub unsafe fn bpf<T: Command>(attr: &mut T) -> Result<RawFd, SyscallError> {
    // SAFETY: the attribute is valid for its size, and laid out for the command, by the trait's contract; what it points
    // at is the caller's promise.
    let ret = unsafe { libc::syscall(libc::SYS_bpf, T::CMD, attr as *mut T, size_of::<T>()) };
    if ret < 0 {
        return Err(SyscallError {
            call: T::CALL,
            io_error: io::Error::last_os_error(),
        });
    }
    // These commands return descriptors or zero.
    Ok(ret as RawFd)
}

/// Takes over the descriptor that a command has made.
///
/// # Safety
///
/// As for [`bpf`], and the command must return a new descriptor.
pub unsafe fn bpf_fd<T: Command>(attr: &mut T) -> Result<OwnedFd, SyscallError> {
    // SAFETY: the caller's promise.
    let fd = unsafe { bpf(attr) }?;
    // SAFETY: the kernel has just made it for us, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// Offsets of include/uapi/linux/bpf.h.
    #[test]
    fn layouts() {
        assert_eq!(offset_of!(LinkCreate, relative), 16);
        assert_eq!(offset_of!(LinkCreate, expected_revision), 24);
        assert_eq!(offset_of!(Attachment, replace_fd), 16);
        assert_eq!(offset_of!(Attachment, relative), 20);
        assert_eq!(offset_of!(Attachment, expected_revision), 24);
        assert_eq!(offset_of!(LinkInfo, ifindex), 16);
        assert_eq!(offset_of!(ProgQuery, prog_ids), 16);
        assert_eq!(offset_of!(ProgQuery, prog_attach_flags), 32);
        assert_eq!(offset_of!(ProgQuery, revision), 56);
        assert_eq!(offset_of!(Info, info), 8);
    }
}
