// SPDX-License-Identifier: GPL-2.0

//! The entry points through which the bpf(2) system call reaches the netkit driver.
//!
//! C header: [`include/net/netkit.h`](srctree/include/net/netkit.h)

use super::{
    attr::{LinkRequest, ProgRequest, QueryRequest},
    prog::Prog, //
};
use crate::{
    bindings,
    klp, //
};
use core::marker::PhantomData;
use kernel::{
    error::from_result,
    ffi::c_int,
    prelude::*, //
};

/// A driver whose devices take programs from the bpf(2) system call.
///
/// All run in the context of the system call, which may sleep, without RTNL.
pub(crate) trait Syscall {
    /// `BPF_PROG_ATTACH`.
    fn prog_attach(request: &ProgRequest<'_>, prog: &Prog) -> Result;

    /// `BPF_PROG_DETACH`.
    fn prog_detach(request: &ProgRequest<'_>, prog: Option<&Prog>) -> Result;

    /// `BPF_PROG_QUERY`.
    fn prog_query(request: &QueryRequest<'_>) -> Result;

    /// `BPF_LINK_CREATE`: the new file descriptor.
    fn link_attach(request: &LinkRequest<'_>, prog: &Prog) -> Result<c_int>;
}

/// The functions that take the place of the built-in driver's.
pub(crate) struct Adapter<T>(PhantomData<T>);

impl<T: Syscall> Adapter<T> {
    pub(crate) const FUNCS: [klp::Func; 4] = {
        // SAFETY: Each function has the signature of the one of the same name in include/net/netkit.h, which
        // kernel/bpf/syscall.c calls (`bpf_prog_attach()`, `bpf_prog_detach()`, `bpf_prog_query()`, `link_create()`).
        unsafe {
            [
                klp::Func::new(c"netkit_prog_attach", Self::prog_attach as *const ()),
                klp::Func::new(c"netkit_prog_detach", Self::prog_detach as *const ()),
                klp::Func::new(c"netkit_prog_query", Self::prog_query as *const ()),
                klp::Func::new(c"netkit_link_attach", Self::link_attach as *const ()),
            ]
        }
    };

    /// # Safety
    ///
    /// `attr` must hold a request of this kind, `prog` be a program with a reference that the callee takes over on
    /// success.
    unsafe extern "C" fn prog_attach(
        attr: *const bindings::bpf_attr,
        prog: *mut bindings::bpf_prog,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let (request, program) = unsafe { (ProgRequest::from_raw(attr), Prog::from_raw_opt(prog)) };
        from_result(|| {
            T::prog_attach(&request, program.ok_or(EINVAL)?)?;
            // SAFETY: The reference that `bpf_prog_attach()` got from `bpf_prog_get_type()`: it puts it only on an
            // error. The array has taken one of its own.
            unsafe { bindings::bpf_prog_put(prog) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `attr` must hold a request of this kind, `prog` be null or a valid program.
    unsafe extern "C" fn prog_detach(
        attr: *const bindings::bpf_attr,
        prog: *mut bindings::bpf_prog,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let (request, prog) = unsafe { (ProgRequest::from_raw(attr), Prog::from_raw_opt(prog)) };
        from_result(|| T::prog_detach(&request, prog).map(|()| 0))
    }

    /// # Safety
    ///
    /// `attr` must hold a request of this kind, `uattr` be where user space has it.
    unsafe extern "C" fn prog_query(
        attr: *const bindings::bpf_attr,
        uattr: *mut bindings::bpf_attr,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let request = unsafe { QueryRequest::from_raw(attr, uattr) };
        from_result(|| T::prog_query(&request).map(|()| 0))
    }

    /// # Safety
    ///
    /// `attr` must hold a request of this kind, `prog` be a program with a reference that the callee takes over on
    /// success.
    unsafe extern "C" fn link_attach(
        attr: *const bindings::bpf_attr,
        prog: *mut bindings::bpf_prog,
    ) -> c_int {
        // SAFETY: By the function's safety requirement.
        let (request, program) = unsafe { (LinkRequest::from_raw(attr), Prog::from_raw_opt(prog)) };
        from_result(|| {
            let fd = T::link_attach(&request, program.ok_or(EINVAL)?)?;
            // SAFETY: The reference that `link_create()` got from `bpf_prog_get()`: it puts it only on an error. The
            // link has taken one of its own.
            unsafe { bindings::bpf_prog_put(prog) };
            Ok(fd)
        })
    }
}
