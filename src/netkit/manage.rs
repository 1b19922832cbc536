// SPDX-License-Identifier: GPL-2.0

//! Attaching, detaching and querying programs and links by the bpf(2) system call.

#![forbid(unsafe_code)]

use super::{
    uapi::AttachType,
    Netkit, //
};
use crate::{
    bpf::{
        attr::{LinkRequest, ProgRequest, QueryRequest},
        link::PrimedLink,
        prog::Prog,
        syscall::SyscallDriver, //
    },
    errno::EOPNOTSUPP,
    net::{
        device::{Device, NetDevice},
        namespace::SystemCall,
        rtnl::Rtnl, //
    }, //
};
use kernel::{
    ffi::c_int,
    prelude::*, //
};

/// The device of a request (`netkit_dev_fetch()`): the primary with this index, or its peer.
///
/// `EINVAL` for another attach type, `ENODEV` if the device does not exist, `ENXIO` if it is not a netkit device,
/// `EACCES` if it is a peer, `EOPNOTSUPP` if it has no peer.
fn dev_fetch<'a>(
    call: &SystemCall,
    ifindex: u32,
    which: u32,
    rtnl: &'a Rtnl,
) -> Result<&'a Device<Netkit>> {
    let which = AttachType::from_number(which).ok_or(EINVAL)?;
    let dev = NetDevice::by_index(call.net(), ifindex, rtnl).ok_or(ENODEV)?;
    let dev = dev.downcast::<Netkit>().ok_or(ENXIO)?;
    let nk = dev.private();
    if !nk.is_primary() {
        return Err(EACCES);
    }
    if nk.is_single() {
        return Err(EOPNOTSUPP);
    }
    if which == AttachType::Peer {
        return nk.peer.rtnl_dereference(rtnl).ok_or(ENODEV);
    }
    Ok(dev)
}

impl SyscallDriver for Netkit {
    /// `netkit_prog_attach()`.
    fn prog_attach(call: &SystemCall, request: &ProgRequest<'_>, prog: &Prog) -> Result {
        let rtnl = Rtnl::lock();
        let dev = dev_fetch(call, request.target_ifindex(), request.attach_type(), &rtnl)?;
        let replace = match request.replace_bpf_fd() {
            Some(fd) => Some(prog.same_type_by_fd(fd)?),
            None => None,
        };
        dev.mprog()
            .attach(prog, replace.as_deref(), &request.place(), &rtnl)
    }

    /// `netkit_prog_detach()`.
    fn prog_detach(call: &SystemCall, request: &ProgRequest<'_>, prog: Option<&Prog>) -> Result {
        let rtnl = Rtnl::lock();
        let dev = dev_fetch(call, request.target_ifindex(), request.attach_type(), &rtnl)?;
        dev.mprog().detach(prog, &request.place(), &rtnl)
    }

    /// `netkit_prog_query()`.
    fn prog_query(call: &SystemCall, request: &QueryRequest<'_>) -> Result {
        let rtnl = Rtnl::lock();
        let dev = dev_fetch(call, request.target_ifindex(), request.attach_type(), &rtnl)?;
        dev.mprog().query(request, &rtnl)
    }

    /// `netkit_link_attach()`.
    fn link_attach(call: &SystemCall, request: &LinkRequest<'_>, prog: &Prog) -> Result<c_int> {
        let rtnl = Rtnl::lock();
        let dev = dev_fetch(call, request.target_ifindex(), request.attach_type(), &rtnl)?;
        PrimedLink::new(prog, request.attach_type())?.attach(dev, &request.place(), &rtnl)
    }
}
