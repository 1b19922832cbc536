// SPDX-License-Identifier: GPL-2.0

//! The BPF network context, in which redirect helpers store their request.
//!
//! C header: [`include/linux/filter.h`](srctree/include/linux/filter.h)

use crate::{
    bindings,
    net::rcu::BhDisabled, //
};
use core::mem::MaybeUninit;
use kernel::types::NotThreadSafe;

/// Evidence that the current task has a BPF network context.
///
/// # Invariants
///
/// `current->bpf_net_context` is set while a value is reachable.
pub(crate) struct NetContext(NotThreadSafe);

/// The context that was set, and must be cleared; null inside another context.
struct Set(*mut bindings::bpf_net_context);

impl Drop for Set {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: `bpf_net_ctx_set()` has returned the pointer; null is ignored.
        unsafe { bindings::netkit_rs_bpf_net_ctx_clear(self.0) };
    }
}

/// Runs `f` in a BPF network context (`bpf_net_ctx_set()`, `bpf_net_ctx_clear()`): that of the caller, or a new
/// one on the stack.
///
/// No other user of the context preempts `f`, as bottom halves are disabled.
#[inline(always)]
pub(crate) fn with_net_context<R>(_bh: &BhDisabled, f: impl FnOnce(&NetContext) -> R) -> R {
    let mut context = MaybeUninit::uninit();
    // SAFETY: The memory lives until `_set` is dropped, which removes it from the task. `bpf_net_ctx_set()` initialises
    // each field that is read before it is written.
    let _set = Set(unsafe { bindings::netkit_rs_bpf_net_ctx_set(context.as_mut_ptr()) });
    // INVARIANT: There was a context, or there is one now, until `f` returns.
    f(&NetContext(NotThreadSafe))
}
