// SPDX-License-Identifier: GPL-2.0

//! BPF programs.
//!
//! C header: [`include/linux/bpf.h`](srctree/include/linux/bpf.h)

use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    error::from_err_ptr,
    prelude::*,
    sync::aref::{ARef, AlwaysRefCounted},
    types::Opaque, //
};

/// A BPF program (`struct bpf_prog`), reference counted.
///
/// # Invariants
///
/// Points at a program on which somebody holds a reference as long as the Rust reference lives.
#[repr(transparent)]
pub(crate) struct Prog(Opaque<bindings::bpf_prog>);

// SAFETY: `bpf_prog_inc()` and `bpf_prog_put()` count the references; the last one frees the program after a
// grace period.
unsafe impl AlwaysRefCounted for Prog {
    fn inc_ref(&self) {
        // SAFETY: By the type invariant somebody holds a reference, which `bpf_prog_inc()` requires: it must not take
        // the first one.
        unsafe { bindings::netkit_rs_bpf_prog_inc(self.as_ptr()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: By the function's safety requirement the caller gives up a reference.
        unsafe { bindings::bpf_prog_put(obj.as_ptr().cast()) };
    }
}

impl Prog {
    /// # Safety
    ///
    /// `prog` must be null, or point at a program that is referenced for `'a`.
    pub(crate) unsafe fn from_raw_opt<'a>(prog: *mut bindings::bpf_prog) -> Option<&'a Self> {
        // SAFETY: By the function's safety requirement; `Prog` is transparent.
        unsafe { prog.cast::<Self>().as_ref() }
    }

    /// The program behind a file descriptor of the current task, if it is of the same type as `self`
    /// (`bpf_prog_get_type()`). `EBADF`, `EINVAL`.
    pub(crate) fn same_type_by_fd(&self, fd: u32) -> Result<ARef<Self>> {
        // SAFETY: By the type invariant the program is valid; `bpf_prog_load()` sets `prog->type` before anybody can
        // get the program.
        let type_ = unsafe { (*self.as_ptr()).type_ };
        // SAFETY: `bpf_prog_get_type()` searches the descriptors of the current task, and checks any number. It may be
        // called in process context, in which system calls run.
        let prog = from_err_ptr(unsafe { bindings::netkit_rs_bpf_prog_get_type(fd, type_) })?;
        let prog = NonNull::new(prog.cast()).ok_or(EBADF)?;
        // SAFETY: `bpf_prog_get_type()` has not returned an error, so it has returned a program with a reference. The
        // value takes over the reference.
        Ok(unsafe { ARef::from_raw(prog) })
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::bpf_prog {
        self.0.get()
    }

    /// The id of the program in user space.
    pub(crate) fn id(&self) -> u32 {
        // SAFETY: The program is valid, and so is its `aux`, whose id was set before the program was published.
        unsafe { (*(*self.as_ptr()).aux).id }
    }

    /// Whether the program runs on packets (`BPF_PROG_TYPE_SCHED_CLS`).
    pub(super) fn is_sched_cls(&self) -> bool {
        // SAFETY: By the type invariant the program is valid; `bpf_prog_load()` sets `prog->type` before anybody can
        // reach the program.
        unsafe { (*self.as_ptr()).type_ == bindings::bpf_prog_type_BPF_PROG_TYPE_SCHED_CLS }
    }
}
