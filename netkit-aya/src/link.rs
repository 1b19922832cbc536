// SPDX-License-Identifier: GPL-2.0
//! A netkit link: the bond between one program and one side of a pair.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::path::PathBuf;

use aya::pin::PinError;
use aya::programs::links::LinkError;
use aya::programs::Link;
use aya::programs::MultiProgLink;
use aya::programs::ProgramError;

use crate::sys;
use crate::NetkitAttachType;
use crate::NetkitOptions;
use crate::NetworkInterface;

/// An open netkit link.
///
/// The program runs as long as the link lives: until [`detach`](Link::detach), or until the last descriptor is closed (as
/// dropping does) and the last pin removed. The device does not depend on the link: when the device goes, the link stays
/// behind, defunct.
#[derive(Debug)]
pub struct NetkitLink {
    fd: OwnedFd,
}

/// Tells the links of this process apart, as aya's `FdLinkId`. The kernel's own id is [`NetkitLinkInfo::id`].
#[derive(Debug, Eq, Hash, PartialEq)]
pub struct NetkitLinkId(RawFd);

/// The kernel's information about a netkit link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct NetkitLinkInfo {
    /// The link's id.
    pub id: u32,
    /// The id of its program.
    pub program_id: u32,
    /// The device whose packets the program sees, by its index in its own network namespace: the peer's for a link on the
    /// peer. `None` when the device has gone or the link is detached.
    pub if_index: Option<u32>,
    /// The side of the pair; `None` for one that this crate does not know.
    pub attach_type: Option<NetkitAttachType>,
}

impl AsFd for NetkitLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A link can be the reference for the place of another:
/// [`NetkitOrder::before_link`](crate::NetkitOrder::before_link).
impl MultiProgLink for NetkitLink {
    fn fd(&self) -> Result<BorrowedFd<'_>, LinkError> {
        Ok(self.fd.as_fd())
    }
}

impl Link for NetkitLink {
    type Id = NetkitLinkId;

    fn id(&self) -> NetkitLinkId {
        NetkitLinkId(self.fd.as_raw_fd())
    }

    /// Takes the program off the device at once (`BPF_LINK_DETACH`), whoever else has the link open or pinned: for these it
    /// is left without a device.
    fn detach(self) -> Result<(), ProgramError> {
        let mut attr = sys::LinkDetach {
            link_fd: raw(self.fd.as_fd()),
        };
        // SAFETY: no addresses.
        unsafe { sys::bpf(&mut attr) }?;
        Ok(())
    }
}

impl NetkitLink {
    /// Attaches a loaded program, given by its descriptor; see
    /// [`AttachNetkit::attach_netkit`](crate::AttachNetkit::attach_netkit), also for the errors.
    pub fn attach<'a>(
        program: impl AsFd,
        interface: impl Into<NetworkInterface<'a>>,
        attach_type: NetkitAttachType,
        options: impl Into<NetkitOptions<'a>>,
    ) -> Result<Self, ProgramError> {
        let options = options.into();
        let (flags, relative) = options.order.to_raw();
        let mut attr = sys::LinkCreate {
            prog_fd: raw(program.as_fd()),
            target_ifindex: interface.into().if_index()?,
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

    /// Opens a link by the kernel's id for it.
    ///
    /// # Errors
    ///
    /// [`LinkError::InvalidLink`] if it is a link of another kind.
    pub fn from_id(id: u32) -> Result<Self, LinkError> {
        let mut attr = sys::LinkGetFdById(sys::Id {
            id,
            ..Default::default()
        });
        // SAFETY: no addresses; a new descriptor is the answer.
        let fd = unsafe { sys::bpf_fd(&mut attr) }?;
        Self::from_fd(fd)
    }

    /// Takes over a descriptor, of which it is not known yet what it is.
    fn from_fd(fd: OwnedFd) -> Result<Self, LinkError> {
        // The same command describes programs and maps: their numbers must not be mistaken for that of a
        // link.
        let what = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).map_err(|error| {
            aya::sys::SyscallError {
                call: "readlink",
                io_error: error,
            }
        })?;
        let link = Self { fd };
        match what.as_os_str().as_bytes() {
            b"anon_inode:bpf_link" | b"anon_inode:bpf-link" => link.info().map(|_| link),
            _ => Err(LinkError::InvalidLink),
        }
    }

    /// Replaces the program of the link, in one step and at the same place.
    ///
    /// # Errors
    ///
    /// The kernel refuses a link without a device (`ENOLINK`), a program that is attached there already (`EEXIST`) and one of
    /// another type (`EINVAL`).
    pub fn update(&self, program: impl AsFd) -> Result<(), LinkError> {
        self.update_raw(program.as_fd(), None)
    }

    /// [`update`](Self::update), but only if `old` is the program of the link (otherwise `EPERM`).
    pub fn replace(&self, old: impl AsFd, new: impl AsFd) -> Result<(), LinkError> {
        self.update_raw(new.as_fd(), Some(old.as_fd()))
    }

    fn update_raw(
        &self,
        new: BorrowedFd<'_>,
        old: Option<BorrowedFd<'_>>,
    ) -> Result<(), LinkError> {
        let mut attr = sys::LinkUpdate {
            link_fd: raw(self.fd.as_fd()),
            new_prog_fd: raw(new),
            flags: old.map_or(0, |_| sys::BPF_F_REPLACE),
            old_prog_fd: old.map_or(0, raw),
        };
        // SAFETY: no addresses.
        unsafe { sys::bpf(&mut attr) }?;
        Ok(())
    }

    /// Gives the link a name in a BPF file system, where it outlives this process.
    pub fn pin<P: AsRef<Path>>(self, path: P) -> Result<PinnedNetkitLink, PinError> {
        let path = path.as_ref();
        let c_path = c_path(path).map_err(|error| PinError::InvalidPinPath {
            path: path.to_owned(),
            error,
        })?;
        let mut attr = sys::ObjPin(sys::Object {
            pathname: c_path.as_ptr() as u64,
            bpf_fd: raw(self.fd.as_fd()),
            ..Default::default()
        });
        // SAFETY: the path is a C string that outlives the call.
        unsafe { sys::bpf(&mut attr) }?;
        Ok(PinnedNetkitLink {
            link: self,
            path: path.to_owned(),
        })
    }

    /// Asks the kernel about the link.
    ///
    /// # Errors
    ///
    /// [`LinkError::InvalidLink`] if it is a link of another kind.
    pub fn info(&self) -> Result<NetkitLinkInfo, LinkError> {
        let mut info = sys::LinkInfo::default();
        let mut attr = sys::Info {
            bpf_fd: raw(self.fd.as_fd()),
            info_len: size_of_val(&info) as u32,
            info: (&raw mut info) as u64,
        };
        // SAFETY: `info` is valid for the `info_len` bytes that the kernel may write, and any bytes are a value of it.
        unsafe { sys::bpf(&mut attr) }?;
        if info.kind != sys::BPF_LINK_TYPE_NETKIT {
            return Err(LinkError::InvalidLink);
        }
        Ok(NetkitLinkInfo {
            id: info.id,
            program_id: info.prog_id,
            if_index: Some(info.ifindex).filter(|index| *index != 0),
            attach_type: NetkitAttachType::from_raw(info.attach_type),
        })
    }
}

/// A netkit link that has a name in a BPF file system.
///
/// Dropping it leaves the program attached, as long as the name is there.
#[derive(Debug)]
pub struct PinnedNetkitLink {
    link: NetkitLink,
    path: PathBuf,
}

impl PinnedNetkitLink {
    /// Opens the link that is pinned at `path`.
    ///
    /// # Errors
    ///
    /// [`LinkError::InvalidLink`] if something else is pinned there.
    pub fn from_pin<P: AsRef<Path>>(path: P) -> Result<Self, LinkError> {
        let path = path.as_ref();
        let c_path = c_path(path).map_err(|_| LinkError::InvalidLink)?;
        let mut attr = sys::ObjGet(sys::Object {
            pathname: c_path.as_ptr() as u64,
            ..Default::default()
        });
        // SAFETY: the path is a C string that outlives the call; a new descriptor is the answer.
        let fd = unsafe { sys::bpf_fd(&mut attr) }?;
        Ok(Self {
            link: NetkitLink::from_fd(fd)?,
            path: path.to_owned(),
        })
    }

    /// The link itself.
    pub fn link(&self) -> &NetkitLink {
        &self.link
    }

    /// Where it is pinned.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the name; the link lives on as what is returned.
    pub fn unpin(self) -> Result<NetkitLink, io::Error> {
        fs::remove_file(&self.path)?;
        Ok(self.link)
    }
}

/// The pin stays.
impl From<PinnedNetkitLink> for NetkitLink {
    fn from(pinned: PinnedNetkitLink) -> Self {
        pinned.link
    }
}

/// A descriptor, as bpf(2) takes it; one that is open is never negative.
pub(crate) fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd() as u32
}

fn c_path(path: &Path) -> Result<CString, std::ffi::NulError> {
    CString::new(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    /// Any descriptor: what it is is looked at before the kernel is asked.
    #[test]
    fn a_file_is_no_link() -> io::Result<()> {
        let fd = OwnedFd::from(File::open("/dev/null")?);
        let error = NetkitLink::from_fd(fd);
        assert!(matches!(error, Err(LinkError::InvalidLink)), "{error:?}");
        Ok(())
    }

    #[test]
    fn a_path_with_a_nul_byte() -> io::Result<()> {
        let error = PinnedNetkitLink::from_pin("/sys/fs/bpf/a\0b");
        assert!(matches!(error, Err(LinkError::InvalidLink)), "{error:?}");
        let link = NetkitLink {
            fd: File::open("/dev/null")?.into(),
        };
        let error = link.pin("/sys/fs/bpf/a\0b");
        assert!(
            matches!(error, Err(PinError::InvalidPinPath { .. })),
            "{error:?}"
        );
        Ok(())
    }
}
