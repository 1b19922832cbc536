// SPDX-License-Identifier: GPL-2.0

//! The RTNL mutex.
//!
//! C header: [`include/linux/rtnetlink.h`](srctree/include/linux/rtnetlink.h)

use crate::bindings;
use core::ops::Deref;
use kernel::types::NotThreadSafe;

/// Evidence that the current thread holds RTNL.
///
/// Taken by every function whose C counterpart says `ASSERT_RTNL()`. Callbacks that the networking core calls
/// under RTNL get one; everyone else takes [`Rtnl::lock`].
///
/// # Invariants
///
/// RTNL is held by the current thread while a value is reachable.
pub(crate) struct Rtnl(NotThreadSafe);

impl Rtnl {
    /// `rtnl_lock()`. Sleeps; the guard unlocks.
    pub(crate) fn lock() -> RtnlGuard {
        // SAFETY: `rtnl_lock()` takes the mutex `rtnl_mutex` in process context, which the driver's system calls, its
        // module functions and its link operations run in; the guard releases it.
        unsafe { bindings::rtnl_lock() };
        // INVARIANT: RTNL was taken just now, and is released when the guard is dropped.
        RtnlGuard(Rtnl(NotThreadSafe))
    }

    /// The evidence inside a callback that the networking core calls under RTNL.
    ///
    /// # Safety
    ///
    /// The current thread must hold RTNL until the value is dropped.
    #[inline]
    pub(crate) unsafe fn assume() -> Self {
        // INVARIANT: By the function's safety requirement.
        Self(NotThreadSafe)
    }
}

/// RTNL, held until the guard is dropped.
pub(crate) struct RtnlGuard(Rtnl);

impl Deref for RtnlGuard {
    type Target = Rtnl;

    fn deref(&self) -> &Rtnl {
        &self.0
    }
}

impl Drop for RtnlGuard {
    fn drop(&mut self) {
        // SAFETY: Taken in `Rtnl::lock()`. The call frees the devices that were unregistered in the meantime. So every
        // reference to a device is bounded by the borrow of the evidence.
        unsafe { bindings::rtnl_unlock() };
    }
}
