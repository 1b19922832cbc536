// SPDX-License-Identifier: GPL-2.0
//! Several programs on one hook: attach, detach and query without links.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

use super::check;
use super::Answer;

pub use libbpf_sys::BPF_F_AFTER as AFTER;
pub use libbpf_sys::BPF_F_BEFORE as BEFORE;
pub use libbpf_sys::BPF_F_ID as ID;
pub use libbpf_sys::BPF_F_LINK as LINK;
pub use libbpf_sys::BPF_F_REPLACE as REPLACE;

/// Where to put a program, in the kernel's own words. With `ID` among the flags
/// `relative` is an id, without it a descriptor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    pub flags: u32,
    pub relative: u32,
    pub replace_fd: i32,
    pub revision: u64,
}

impl Place {
    pub fn flags(flags: u32) -> Self {
        Self {
            flags,
            ..Self::default()
        }
    }

    pub fn fd(flags: u32, fd: impl AsFd) -> Self {
        Self {
            flags,
            relative: fd.as_fd().as_raw_fd() as u32,
            ..Self::default()
        }
    }

    pub fn id(flags: u32, id: u32) -> Self {
        Self {
            flags: flags | ID,
            relative: id,
            ..Self::default()
        }
    }

    pub fn replace(fd: impl AsFd) -> Self {
        Self {
            flags: REPLACE,
            replace_fd: fd.as_fd().as_raw_fd(),
            ..Self::default()
        }
    }

    pub fn revision(self, revision: u64) -> Self {
        Self { revision, ..self }
    }
}

pub fn attach(prog: impl AsFd, ifindex: u32, hook: u32, place: Place) -> Answer<()> {
    let mut opts = libbpf_sys::bpf_prog_attach_opts {
        sz: size_of::<libbpf_sys::bpf_prog_attach_opts>() as _,
        flags: place.flags,
        // The same four bytes of bpf(2)'s argument as the id.
        relative_fd: place.relative as i32,
        expected_revision: place.revision,
        ..Default::default()
    };
    opts.__bindgen_anon_1.replace_fd = place.replace_fd;
    let fd = prog.as_fd().as_raw_fd();
    // SAFETY: the options outlive the call.
    check(unsafe { libbpf_sys::bpf_prog_attach_opts(fd, ifindex as i32, hook, &opts) }).map(drop)
}

/// Detaches a program; without a program, whatever is at the place.
pub fn detach(prog: Option<&dyn AsFd>, ifindex: u32, hook: u32, place: Place) -> Answer<()> {
    let opts = libbpf_sys::bpf_prog_detach_opts {
        sz: size_of::<libbpf_sys::bpf_prog_detach_opts>() as _,
        flags: place.flags,
        relative_fd: place.relative as i32,
        expected_revision: place.revision,
        ..Default::default()
    };
    let fd = prog.map_or(0, |prog| prog.as_fd().as_raw_fd());
    // SAFETY: the options outlive the call.
    check(unsafe { libbpf_sys::bpf_prog_detach_opts(fd, ifindex as i32, hook, &opts) }).map(drop)
}

/// The result of a query; `result` says whether the buffers were large enough.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Query {
    pub result: Answer<()>,
    pub count: u32,
    pub revision: u64,
    pub attach_flags: u32,
    pub progs: Vec<u32>,
    pub links: Vec<u32>,
    pub prog_flags: Vec<u32>,
    pub link_flags: Vec<u32>,
}

/// Queries with room for `room` programs.
pub fn query_room(ifindex: u32, hook: u32, room: usize) -> Query {
    query_flags(ifindex, hook, room, 0)
}

pub fn query_flags(ifindex: u32, hook: u32, room: usize, flags: u32) -> Query {
    let mut progs = vec![0; room];
    let mut links = vec![0; room];
    let mut prog_flags = vec![0; room];
    let mut link_flags = vec![0; room];
    let mut opts = libbpf_sys::bpf_prog_query_opts {
        sz: size_of::<libbpf_sys::bpf_prog_query_opts>() as _,
        query_flags: flags,
        prog_ids: progs.as_mut_ptr(),
        link_ids: links.as_mut_ptr(),
        prog_attach_flags: prog_flags.as_mut_ptr(),
        link_attach_flags: link_flags.as_mut_ptr(),
        ..Default::default()
    };
    opts.__bindgen_anon_1.count = room as u32;
    // SAFETY: the four arrays hold `count` elements each and outlive the call.
    let ret = unsafe { libbpf_sys::bpf_prog_query_opts(ifindex as i32, hook, &mut opts) };
    // SAFETY: both members of the union are the same u32.
    let count = unsafe { opts.__bindgen_anon_1.count };
    let filled = if ret == 0 || ret == -(Errno::ENOSPC as i32) {
        room.min(count as usize)
    } else {
        0
    };
    for array in [&mut progs, &mut links, &mut prog_flags, &mut link_flags] {
        array.truncate(filled);
    }
    Query {
        result: check(ret).map(drop),
        count,
        revision: opts.revision,
        attach_flags: opts.attach_flags,
        progs,
        links,
        prog_flags,
        link_flags,
    }
}

/// Queries everything (the kernel's limit is 63 programs).
pub fn query(ifindex: u32, hook: u32) -> Answer<Query> {
    let query = query_room(ifindex, hook, 64);
    query.result.map(|()| query.clone())
}
