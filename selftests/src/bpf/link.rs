// SPDX-License-Identifier: GPL-2.0
//! bpf_link: create, update, detach, pin, look at.

use std::fs;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::c_path;
use super::check;
use super::check_fd;
use super::mprog::Place;
use super::mprog::REPLACE;
use super::Answer;

/// An open link.
pub struct Link {
    fd: OwnedFd,
    pub id: u32,
}

/// The result of BPF_OBJ_GET_INFO_BY_FD for a netkit link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Info {
    pub kind: u32,
    pub id: u32,
    pub prog_id: u32,
    pub ifindex: u32,
    pub attach_type: u32,
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Link {
    /// A link of any kind.
    pub fn from_fd(fd: OwnedFd) -> Answer<Self> {
        let id = info(fd.as_fd())?.id;
        Ok(Self { fd, id })
    }

    pub fn create(prog: impl AsFd, ifindex: u32, hook: u32, place: Place) -> Answer<Self> {
        Self::from_fd(create_fd(prog, ifindex, hook, place)?)
    }

    pub fn by_id(id: u32) -> Answer<Self> {
        // SAFETY: a call without pointers.
        Self::from_fd(check_fd(unsafe { libbpf_sys::bpf_link_get_fd_by_id(id) })?)
    }

    pub fn open_pin(path: &Path) -> Answer<Self> {
        let path = c_path(path)?;
        // SAFETY: `path` is a C string that outlives the call.
        Self::from_fd(check_fd(unsafe { libbpf_sys::bpf_obj_get(path.as_ptr()) })?)
    }

    pub fn pin(&self, path: &Path) -> Answer<()> {
        super::pin(&self.fd, path)
    }

    /// Puts another program behind the link; with `old`, only if that one is there.
    pub fn update(&self, new: impl AsFd, old: Option<&dyn AsFd>) -> Answer<()> {
        let opts = libbpf_sys::bpf_link_update_opts {
            sz: size_of::<libbpf_sys::bpf_link_update_opts>() as _,
            flags: old.map_or(0, |_| REPLACE),
            old_prog_fd: old.map_or(0, |old| old.as_fd().as_raw_fd() as u32),
            ..Default::default()
        };
        let new = new.as_fd().as_raw_fd();
        // SAFETY: the options outlive the call.
        check(unsafe { libbpf_sys::bpf_link_update(self.fd.as_raw_fd(), new, &opts) }).map(drop)
    }

    pub fn detach(&self) -> Answer<()> {
        // SAFETY: a call without pointers.
        check(unsafe { libbpf_sys::bpf_link_detach(self.fd.as_raw_fd()) }).map(drop)
    }

    pub fn info(&self) -> Answer<Info> {
        info(self.fd.as_fd())
    }

    /// The text of /proc/self/fdinfo, less what is not the link's.
    pub fn fdinfo(&self) -> std::io::Result<String> {
        fs::read_to_string(format!("/proc/self/fdinfo/{}", self.fd.as_raw_fd()))
    }
}

/// Creates a link and returns only its descriptor, without querying the link.
pub fn create_fd(prog: impl AsFd, ifindex: u32, hook: u32, place: Place) -> Answer<OwnedFd> {
    let mut opts = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as _,
        flags: place.flags,
        ..Default::default()
    };
    opts.__bindgen_anon_1.netkit.relative_fd = place.relative;
    opts.__bindgen_anon_1.netkit.expected_revision = place.revision;
    let fd = prog.as_fd().as_raw_fd();
    // SAFETY: the options outlive the call.
    let fd = unsafe { libbpf_sys::bpf_link_create(fd, ifindex as i32, hook, &opts) };
    check_fd(fd)
}

fn info(fd: BorrowedFd<'_>) -> Answer<Info> {
    let mut info = libbpf_sys::bpf_link_info::default();
    let mut len = size_of_val(&info) as u32;
    // SAFETY: `info` is valid for the `len` bytes that the kernel may write.
    check(unsafe { libbpf_sys::bpf_link_get_info_by_fd(fd.as_raw_fd(), &mut info, &mut len) })?;
    // SAFETY: zeroed before the call, and every bit pattern of the member is valid.
    let netkit = unsafe { info.__bindgen_anon_1.netkit };
    Ok(Info {
        kind: info.type_,
        id: info.id,
        prog_id: info.prog_id,
        ifindex: netkit.ifindex,
        attach_type: netkit.attach_type,
    })
}
