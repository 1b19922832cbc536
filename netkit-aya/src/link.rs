// SPDX-License-Identifier: GPL-2.0
//! A netkit link: the bond between one program and one side of a pair.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::ifindex;
use crate::sys;
use crate::NetkitAttachType;
use crate::NetkitError;
use crate::NetkitOptions;

/// An open netkit link.
///
/// The program runs as long as the link lives: until [`detach`](Self::detach), or until the last descriptor is closed and
/// the last pin removed. The device does not depend on the link: when the device goes, the link stays behind, defunct.
#[derive(Debug)]
pub struct NetkitLink {
    fd: OwnedFd,
}

/// What the kernel tells about a netkit link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NetkitLinkInfo {
    /// The link's id.
    pub id: u32,
    /// The id of its program.
    pub program_id: u32,
    /// The device whose packets the program sees, by its index in its own network namespace: the peer's for a link on the
    /// peer. `None` when the device has gone or the link is detached.
    pub ifindex: Option<u32>,
    /// The side of the pair; `None` for one that this crate does not know.
    pub attach_type: Option<NetkitAttachType>,
}

impl AsFd for NetkitLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl NetkitLink {
    /// Attaches a loaded program to one side of the pair whose primary is `interface`.
    ///
    /// The kernel refuses a peer (`EACCES`), a device of another kind (`ENXIO`), a place next to a program that is not
    /// there (`ENOENT`) and a revision that has passed (`ESTALE`).
    pub fn attach(
        program: impl AsFd,
        interface: &str,
        attach_type: NetkitAttachType,
        options: NetkitOptions,
    ) -> Result<Self, NetkitError> {
        Self::attach_to_index(program, ifindex(interface)?, attach_type, options)
    }

    /// [`attach`](Self::attach), by the primary's index.
    pub fn attach_to_index(
        program: impl AsFd,
        ifindex: u32,
        attach_type: NetkitAttachType,
        options: NetkitOptions,
    ) -> Result<Self, NetkitError> {
        let (flags, relative) = options.order.to_raw();
        let mut attr = sys::LinkCreate {
            prog_fd: raw(program.as_fd()),
            target_ifindex: ifindex,
            attach_type: attach_type.to_raw(),
            flags,
            relative,
            expected_revision: options.expected_revision.unwrap_or(0),
            ..Default::default()
        };
        // SAFETY: no addresses; a new descriptor is the answer.
        let fd = unsafe { sys::bpf_fd(&mut attr) }?;
        Ok(Self { fd })
    }

    /// Opens the link that is pinned at `path`.
    pub fn from_pin(path: impl AsRef<Path>) -> Result<Self, NetkitError> {
        let path = c_path(path.as_ref())?;
        let mut attr = sys::ObjGet(sys::Object {
            pathname: path.as_ptr() as u64,
            ..Default::default()
        });
        // SAFETY: the path is a C string that outlives the call; a new descriptor is the answer.
        let fd = unsafe { sys::bpf_fd(&mut attr) }?;
        Self::from_fd(fd)
    }

    /// Opens a link by its id.
    pub fn from_id(id: u32) -> Result<Self, NetkitError> {
        let mut attr = sys::GetFdById {
            id,
            ..Default::default()
        };
        // SAFETY: no addresses; a new descriptor is the answer.
        let fd = unsafe { sys::bpf_fd(&mut attr) }?;
        Self::from_fd(fd)
    }

    fn from_fd(fd: OwnedFd) -> Result<Self, NetkitError> {
        let link = Self { fd };
        link.info()?;
        Ok(link)
    }

    /// Puts another program behind the link, at once and in the same place.
    pub fn update(&self, program: impl AsFd) -> Result<(), NetkitError> {
        self.update_raw(program.as_fd(), None)
    }

    /// [`update`](Self::update), but only (`EPERM` otherwise) if `old` is the program behind the link.
    pub fn replace(&self, old: impl AsFd, new: impl AsFd) -> Result<(), NetkitError> {
        self.update_raw(new.as_fd(), Some(old.as_fd()))
    }

    fn update_raw(
        &self,
        new: BorrowedFd<'_>,
        old: Option<BorrowedFd<'_>>,
    ) -> Result<(), NetkitError> {
        let mut attr = sys::LinkUpdate {
            link_fd: raw(self.fd.as_fd()),
            new_prog_fd: raw(new),
            flags: old.map_or(0, |_| sys::BPF_F_REPLACE),
            old_prog_fd: old.map_or(0, raw),
        };
        // SAFETY: no addresses.
        unsafe { sys::bpf(&mut attr) }.map(drop)
    }

    /// Takes the program off the device. The link stays open, and pinned if it was, without a device.
    pub fn detach(&self) -> Result<(), NetkitError> {
        let mut attr = sys::LinkDetach {
            link_fd: raw(self.fd.as_fd()),
        };
        // SAFETY: no addresses.
        unsafe { sys::bpf(&mut attr) }.map(drop)
    }

    /// Gives the link a name in a BPF file system, where it outlives this process.
    pub fn pin(&self, path: impl AsRef<Path>) -> Result<(), NetkitError> {
        let path = c_path(path.as_ref())?;
        let mut attr = sys::ObjPin(sys::Object {
            pathname: path.as_ptr() as u64,
            bpf_fd: raw(self.fd.as_fd()),
            ..Default::default()
        });
        // SAFETY: the path is a C string that outlives the call.
        unsafe { sys::bpf(&mut attr) }.map(drop)
    }

    /// Asks the kernel about the link.
    pub fn info(&self) -> Result<NetkitLinkInfo, NetkitError> {
        let mut info = sys::LinkInfo::default();
        let mut attr = sys::Info {
            bpf_fd: raw(self.fd.as_fd()),
            info_len: size_of_val(&info) as u32,
            info: (&raw mut info) as u64,
        };
        // SAFETY: `info` is valid for the `info_len` bytes that the kernel may write, and any bytes are a value of it.
        unsafe { sys::bpf(&mut attr) }?;
        if info.kind != sys::BPF_LINK_TYPE_NETKIT {
            return Err(NetkitError::NotNetkit { kind: info.kind });
        }
        Ok(NetkitLinkInfo {
            id: info.id,
            program_id: info.prog_id,
            ifindex: Some(info.ifindex).filter(|index| *index != 0),
            attach_type: NetkitAttachType::from_raw(info.attach_type),
        })
    }
}

/// A descriptor, as bpf(2) takes it; one that is open is never negative.
fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd() as u32
}

fn c_path(path: &Path) -> Result<CString, NetkitError> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}
