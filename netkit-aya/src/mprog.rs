// SPDX-License-Identifier: GPL-2.0
//! Programs on a netkit device without a link, as `bpf_prog_attach` of libbpf does it.
//!
//! Such a program belongs to the device: it runs until somebody detaches it or the device goes, whatever becomes of the
//! process that attached it. A link is the better choice for a process that stays: nobody takes it off by mistake.

use std::os::fd::AsFd;
use std::os::fd::OwnedFd;

use aya::programs::ProgramError;

use crate::link::raw;
use crate::sys;
use crate::NetkitAttachType;
use crate::NetkitOptions;
use crate::NetworkInterface;

/// Attaches a loaded program to one side of the pair whose primary is `interface`.
///
/// # Errors
///
/// As for [`attach_netkit`](crate::AttachNetkit::attach_netkit), and `EEXIST` for a program that is there already.
pub fn attach<'a>(
    program: impl AsFd,
    interface: impl Into<NetworkInterface<'a>>,
    attach_type: NetkitAttachType,
    options: impl Into<NetkitOptions<'a>>,
) -> Result<(), ProgramError> {
    let options = options.into();
    let (flags, relative) = options.order.to_raw();
    let mut attr = sys::ProgAttach(sys::Attachment {
        target_ifindex: interface.into().if_index()?,
        prog_fd: raw(program.as_fd()),
        attach_type: attach_type.to_raw(),
        flags,
        relative,
        expected_revision: options.expected_revision.unwrap_or(0),
        ..Default::default()
    });
    // SAFETY: no addresses.
    unsafe { sys::bpf(&mut attr) }?;
    Ok(())
}

/// Replaces `old` with another program, in one step.
///
/// # Errors
///
/// The kernel refuses an `old` that is not attached there (`ENOENT`), and one that is held by a link (`EBUSY`): a link's
/// program is changed through the link.
pub fn replace<'a>(
    old: impl AsFd,
    new: impl AsFd,
    interface: impl Into<NetworkInterface<'a>>,
    attach_type: NetkitAttachType,
    expected_revision: Option<u64>,
) -> Result<(), ProgramError> {
    let mut attr = sys::ProgAttach(sys::Attachment {
        target_ifindex: interface.into().if_index()?,
        prog_fd: raw(new.as_fd()),
        attach_type: attach_type.to_raw(),
        flags: sys::BPF_F_REPLACE,
        replace_fd: raw(old.as_fd()),
        expected_revision: expected_revision.unwrap_or(0),
        ..Default::default()
    });
    // SAFETY: no addresses.
    unsafe { sys::bpf(&mut attr) }?;
    Ok(())
}

/// Takes a program off one side of a pair.
///
/// # Errors
///
/// The kernel refuses a program that is not attached there (`ENOENT`), and one that is held by a link (`EBUSY`).
pub fn detach<'a>(
    program: impl AsFd,
    interface: impl Into<NetworkInterface<'a>>,
    attach_type: NetkitAttachType,
    expected_revision: Option<u64>,
) -> Result<(), ProgramError> {
    let mut attr = sys::ProgDetach(sys::Attachment {
        target_ifindex: interface.into().if_index()?,
        prog_fd: raw(program.as_fd()),
        attach_type: attach_type.to_raw(),
        expected_revision: expected_revision.unwrap_or(0),
        ..Default::default()
    });
    // SAFETY: no addresses.
    unsafe { sys::bpf(&mut attr) }?;
    Ok(())
}

/// Opens a program by the kernel's id of it, as [`query`](crate::query()) returns it.
pub fn program_by_id(id: u32) -> Result<OwnedFd, ProgramError> {
    let mut attr = sys::ProgGetFdById(sys::Id {
        id,
        ..Default::default()
    });
    // SAFETY: no addresses; a new descriptor is the answer.
    Ok(unsafe { sys::bpf_fd(&mut attr) }?)
}
