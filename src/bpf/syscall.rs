// SPDX-License-Identifier: GPL-2.0

//! The entry points through which the bpf(2) system call reaches a driver of network devices.
//!
//! C source: `kernel/bpf/syscall.c`

use super::{
    attr::{LinkRequest, ProgRequest, QueryRequest},
    prog::Prog, //
};
use crate::{
    bindings,
    net::namespace::SystemCall, //
};
use core::marker::PhantomData;
use kernel::{
    error::from_result,
    ffi::c_int,
    prelude::*, //
};

/// A driver to whose devices the bpf(2) system call attaches programs.
///
/// All callbacks run in the context of the system call, which may sleep, without RTNL.
pub(crate) trait SyscallDriver {
    /// `BPF_PROG_ATTACH`.
    fn prog_attach(call: &SystemCall, request: &ProgRequest<'_>, prog: &Prog) -> Result;

    /// `BPF_PROG_DETACH`.
    fn prog_detach(call: &SystemCall, request: &ProgRequest<'_>, prog: Option<&Prog>) -> Result;

    /// `BPF_PROG_QUERY`.
    fn prog_query(call: &SystemCall, request: &QueryRequest<'_>) -> Result;

    /// `BPF_LINK_CREATE`. Returns the new file descriptor.
    fn link_attach(call: &SystemCall, request: &LinkRequest<'_>, prog: &Prog) -> Result<c_int>;
}

/// The functions that C calls, in process context.
pub(crate) struct SyscallAdapter<T>(PhantomData<T>);

impl<T: SyscallDriver> SyscallAdapter<T> {
    /// # Safety
    ///
    /// `attr` must hold a request of this kind, `prog` must be a program with a reference that the callee takes over on
    /// success; the caller must be a bpf(2) system call.
    pub(crate) unsafe extern "C" fn prog_attach(
        attr: *const bindings::bpf_attr,
        prog: *mut bindings::bpf_prog,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let (request, program) = unsafe { (ProgRequest::from_raw(attr), Prog::from_raw_opt(prog)) };
        // SAFETY: By the function's safety requirement.
        let call = unsafe { SystemCall::assume() };
        from_result(|| {
            T::prog_attach(&call, &request, program.ok_or(EINVAL)?)?;
            // SAFETY: This puts the reference that `bpf_prog_attach()` got from `bpf_prog_get_type()`.
            // `bpf_prog_attach()` itself puts it only on an error. The array has taken its own reference.
            unsafe { bindings::bpf_prog_put(prog) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `attr` must hold a request of this kind, `prog` must be null or a valid program; the caller must be a bpf(2)
    /// system call.
    pub(crate) unsafe extern "C" fn prog_detach(
        attr: *const bindings::bpf_attr,
        prog: *mut bindings::bpf_prog,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let (request, prog) = unsafe { (ProgRequest::from_raw(attr), Prog::from_raw_opt(prog)) };
        // SAFETY: By the function's safety requirement.
        let call = unsafe { SystemCall::assume() };
        from_result(|| T::prog_detach(&call, &request, prog).map(|()| 0))
    }

    /// # Safety
    ///
    /// `attr` must hold a request of this kind, `uattr` must be its address in user space; the caller must be a bpf(2)
    /// system call.
    pub(crate) unsafe extern "C" fn prog_query(
        attr: *const bindings::bpf_attr,
        uattr: *mut bindings::bpf_attr,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let request = unsafe { QueryRequest::from_raw(attr, uattr) };
        // SAFETY: By the function's safety requirement.
        let call = unsafe { SystemCall::assume() };
        from_result(|| T::prog_query(&call, &request).map(|()| 0))
    }

    /// # Safety
    ///
    /// `attr` must hold a request of this kind, `prog` must be a program with a reference that the callee takes over on
    /// success; the caller must be a bpf(2) system call.
    pub(crate) unsafe extern "C" fn link_attach(
        attr: *const bindings::bpf_attr,
        prog: *mut bindings::bpf_prog,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let (request, program) = unsafe { (LinkRequest::from_raw(attr), Prog::from_raw_opt(prog)) };
        // SAFETY: By the function's safety requirement.
        let call = unsafe { SystemCall::assume() };
        from_result(|| {
            let fd = T::link_attach(&call, &request, program.ok_or(EINVAL)?)?;
            // SAFETY: This puts the reference that `link_create()` got from `bpf_prog_get()`. `link_create()` itself
            // puts it only on an error. The link has taken its own reference.
            unsafe { bindings::bpf_prog_put(prog) };
            Ok(fd)
        })
    }
}
