// SPDX-License-Identifier: GPL-2.0
//! The programs of bpf/bench.c, and attaching them.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;

use anyhow::Context;
use anyhow::Result;
use aya::include_bytes_aligned;
use aya::programs::SchedClassifier;
use aya::Ebpf;
use aya::EbpfLoader;
use nix::errno::Errno;

pub const NETKIT_PRIMARY: u32 = libbpf_sys::BPF_NETKIT_PRIMARY;
pub const NETKIT_PEER: u32 = libbpf_sys::BPF_NETKIT_PEER;
pub const TCX_INGRESS: u32 = libbpf_sys::BPF_TCX_INGRESS;

/// A loaded program.
pub struct Prog {
    object: Ebpf,
    name: &'static str,
}

impl Prog {
    /// `target` is the interface index for the redirects.
    pub fn load(name: &'static str, target: u32) -> Result<Self> {
        let bytes = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench.o"));
        // No program here needs the kernel's types, and reading them takes a second under emulation.
        let mut loader = EbpfLoader::new();
        loader.btf(None).set_global("target", &target, true);
        let mut object = loader.load(bytes).context("bench.o")?;
        let program = object.program_mut(name);
        let program: &mut SchedClassifier = program.context(name)?.try_into()?;
        program.load().with_context(|| format!("loading {name}"))?;
        Ok(Self { object, name })
    }

    pub fn fd(&self) -> Result<BorrowedFd<'_>> {
        let program: &SchedClassifier = self
            .object
            .program(self.name)
            .context(self.name)?
            .try_into()?;
        Ok(program.fd()?.as_fd())
    }

    /// Attaches the program after those that are attached already.
    pub fn attach(&self, ifindex: u32, hook: u32) -> Result<()> {
        let opts = libbpf_sys::bpf_prog_attach_opts {
            sz: size_of::<libbpf_sys::bpf_prog_attach_opts>() as _,
            ..Default::default()
        };
        let fd = self.fd()?.as_raw_fd();
        // SAFETY: the options outlive the call.
        let ret = unsafe { libbpf_sys::bpf_prog_attach_opts(fd, ifindex as i32, hook, &opts) };
        check(ret).with_context(|| format!("attaching {}", self.name))?;
        Ok(())
    }

    pub fn detach(&self, ifindex: u32, hook: u32) -> Result<()> {
        let opts = libbpf_sys::bpf_prog_detach_opts {
            sz: size_of::<libbpf_sys::bpf_prog_detach_opts>() as _,
            ..Default::default()
        };
        let fd = self.fd()?.as_raw_fd();
        // SAFETY: the options outlive the call.
        let ret = unsafe { libbpf_sys::bpf_prog_detach_opts(fd, ifindex as i32, hook, &opts) };
        check(ret).with_context(|| format!("detaching {}", self.name))?;
        Ok(())
    }

    /// A link; it detaches the program when it is closed.
    pub fn link(&self, ifindex: u32, hook: u32) -> Result<Link> {
        let opts = libbpf_sys::bpf_link_create_opts {
            sz: size_of::<libbpf_sys::bpf_link_create_opts>() as _,
            ..Default::default()
        };
        let fd = self.fd()?.as_raw_fd();
        // SAFETY: the options outlive the call.
        let ret = unsafe { libbpf_sys::bpf_link_create(fd, ifindex as i32, hook, &opts) };
        let fd = check(ret).with_context(|| format!("linking {}", self.name))?;
        // SAFETY: bpf(2) has just made this descriptor for us; nobody else owns it.
        Ok(Link(unsafe { OwnedFd::from_raw_fd(fd) }))
    }
}

pub struct Link(OwnedFd);

impl Link {
    pub fn update(&self, prog: &Prog) -> Result<()> {
        let opts = libbpf_sys::bpf_link_update_opts {
            sz: size_of::<libbpf_sys::bpf_link_update_opts>() as _,
            ..Default::default()
        };
        let new = prog.fd()?.as_raw_fd();
        // SAFETY: the options outlive the call.
        check(unsafe { libbpf_sys::bpf_link_update(self.0.as_raw_fd(), new, &opts) })
            .context("updating a link")?;
        Ok(())
    }

    /// The interface that the link says it is on; only netkit's links are asked.
    pub fn ifindex(&self) -> Result<u32> {
        let mut info = libbpf_sys::bpf_link_info::default();
        let mut length = size_of_val(&info) as u32;
        let fd = self.0.as_raw_fd();
        // SAFETY: the answer is valid for the length given.
        check(unsafe { libbpf_sys::bpf_link_get_info_by_fd(fd, &mut info, &mut length) })
            .context("asking a link")?;
        // SAFETY: whichever member the kernel wrote, all of them are plain numbers.
        Ok(unsafe { info.__bindgen_anon_1.netkit.ifindex })
    }
}

/// How many programs a hook says it has.
pub fn query(ifindex: u32, hook: u32) -> Result<u32> {
    let mut ids = [0; 64];
    let mut flags = [0; 64];
    let mut opts = libbpf_sys::bpf_prog_query_opts {
        sz: size_of::<libbpf_sys::bpf_prog_query_opts>() as _,
        prog_ids: ids.as_mut_ptr(),
        prog_attach_flags: flags.as_mut_ptr(),
        ..Default::default()
    };
    opts.__bindgen_anon_1.count = ids.len() as u32;
    // SAFETY: the two arrays hold `count` elements each and outlive the call.
    let ret = unsafe { libbpf_sys::bpf_prog_query_opts(ifindex as i32, hook, &mut opts) };
    check(ret).context("querying programs")?;
    // SAFETY: both members of the union are the same u32.
    Ok(unsafe { opts.__bindgen_anon_1.count })
}

/// libbpf answers a negative errno.
fn check(ret: i32) -> Result<i32, Errno> {
    if ret < 0 {
        Err(Errno::from_raw(-ret))
    } else {
        Ok(ret)
    }
}
