// SPDX-License-Identifier: GPL-2.0

//! Programs and links are attached, detached and queried through the bpf(2) system call.

#![forbid(unsafe_code)]

use super::Netkit;
use crate::{
    bindings::*,
    bpf::{
        attr::{LinkRequest, ProgRequest, QueryRequest},
        link::PrimedLink,
        prog::Prog,
        syscall::Syscall, //
    },
    errno::EOPNOTSUPP,
    net::{
        device::Device,
        namespace,
        rtnl::Rtnl, //
    }, //
};
use kernel::{
    ffi::c_int,
    prelude::*, //
};

/// The device that a request means (`netkit_dev_fetch()`): the primary with this index, or its peer.
///
/// `EINVAL` for another attach type, `ENODEV` for no such device, `ENXIO` for one that is no netkit device,
/// `EACCES` through the peer, `EOPNOTSUPP` for a device without a peer.
fn dev_fetch(ifindex: u32, which: u32, rtnl: &Rtnl) -> Result<&Device<Netkit>> {
    if which != bpf_attach_type_BPF_NETKIT_PRIMARY && which != bpf_attach_type_BPF_NETKIT_PEER {
        return Err(EINVAL);
    }
    let dev = namespace::with_current(|net| net.device_by_index(ifindex, rtnl)).ok_or(ENODEV)?;
    let dev = dev.downcast::<Netkit>().ok_or(ENXIO)?;
    let nk = dev.private();
    if !nk.primary.get() {
        return Err(EACCES);
    }
    if nk.is_single() {
        return Err(EOPNOTSUPP);
    }
    if which == bpf_attach_type_BPF_NETKIT_PEER {
        return nk.peer.rtnl_dereference(rtnl).ok_or(ENODEV);
    }
    Ok(dev)
}

impl Syscall for Netkit {
    /// `netkit_prog_attach()`.
    fn prog_attach(request: &ProgRequest<'_>, prog: &Prog) -> Result {
        let rtnl = Rtnl::lock();
        let dev = dev_fetch(request.target_ifindex(), request.attach_type(), &rtnl)?;
        let replace = match request.replace_bpf_fd() {
            Some(fd) => Some(prog.same_type_by_fd(fd)?),
            None => None,
        };
        dev.mprog()
            .attach(prog, replace.as_deref(), &request.place(), &rtnl)
    }

    /// `netkit_prog_detach()`.
    fn prog_detach(request: &ProgRequest<'_>, prog: Option<&Prog>) -> Result {
        let rtnl = Rtnl::lock();
        let dev = dev_fetch(request.target_ifindex(), request.attach_type(), &rtnl)?;
        dev.mprog().detach(prog, &request.place(), &rtnl)
    }

    /// `netkit_prog_query()`.
    fn prog_query(request: &QueryRequest<'_>) -> Result {
        let rtnl = Rtnl::lock();
        let dev = dev_fetch(request.target_ifindex(), request.attach_type(), &rtnl)?;
        dev.mprog().query(request, &rtnl)
    }

    /// `netkit_link_attach()`.
    fn link_attach(request: &LinkRequest<'_>, prog: &Prog) -> Result<c_int> {
        let rtnl = Rtnl::lock();
        let dev = dev_fetch(request.target_ifindex(), request.attach_type(), &rtnl)?;
        PrimedLink::new(prog, request.attach_type())?.attach(dev, &request.place(), &rtnl)
    }
}
