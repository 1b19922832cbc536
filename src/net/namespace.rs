// SPDX-License-Identifier: GPL-2.0

//! Network namespaces.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use crate::bindings;
use kernel::types::{
    NotThreadSafe,
    Opaque, //
};

/// A network namespace (`struct net`).
///
/// # Invariants
///
/// Points at a namespace that lives as long as the reference.
#[repr(transparent)]
pub(crate) struct Net(Opaque<bindings::net>);

impl Net {
    /// # Safety
    ///
    /// `net` must point at a namespace that lives for `'a`.
    #[inline(always)]
    pub(crate) unsafe fn from_raw<'a>(net: *mut bindings::net) -> &'a Self {
        // SAFETY: By the function's safety requirement; `Net` is transparent.
        unsafe { &*net.cast() }
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::net {
        self.0.get()
    }

    /// `net_eq()`.
    #[inline(always)]
    pub(crate) fn is(&self, other: &Net) -> bool {
        // SAFETY: `net_eq()` compares the two addresses.
        unsafe { bindings::netkit_rs_net_eq(self.as_ptr(), other.as_ptr()) }
    }
}

/// Evidence that the current task is in a system call.
///
/// # Invariants
///
/// The current task is in a system call as long as the value exists. So the task is not exiting, and has a namespace.
pub(crate) struct SystemCall(NotThreadSafe);

impl SystemCall {
    /// The evidence inside a callback of a system call.
    ///
    /// # Safety
    ///
    /// The current task must be in a system call until the value is dropped: `current->nsproxy` is set.
    pub(crate) unsafe fn assume() -> Self {
        // INVARIANT: By the function's safety requirement.
        Self(NotThreadSafe)
    }

    /// The namespace of the current task (`current->nsproxy->net_ns`).
    pub(crate) fn net(&self) -> &Net {
        // SAFETY: By the type invariant the task is in a system call: `exit_task_namespaces()` has not cleared its `nsproxy`.
        let net = unsafe { bindings::netkit_rs_current_net() };
        // SAFETY: Only the task itself leaves a namespace, by another system call. Until then its `nsproxy` holds the namespace.
        unsafe { Net::from_raw(net) }
    }
}
