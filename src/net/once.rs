// SPDX-License-Identifier: GPL-2.0

//! Fields that C reads with `READ_ONCE()` and writes with `WRITE_ONCE()`.
//!
//! C header: [`include/asm-generic/rwonce.h`](srctree/include/asm-generic/rwonce.h)

use core::cell::UnsafeCell;
use kernel::prelude::*;

mod private {
    pub(crate) trait Sealed {}
}

/// A type that a machine word access reads and writes whole.
///
/// # Safety
///
/// Every bit pattern that [`Once`] can hold, zero included, must be a value of the type, and its size must be
/// one that the machine loads and stores at once.
pub(crate) unsafe trait Word: Copy + Zeroable + private::Sealed {}

impl private::Sealed for u32 {}
// SAFETY: All bit patterns are values of `u32`, and 4 aligned bytes are loaded at once, as READ_ONCE() relies on it.
unsafe impl Word for u32 {}

impl private::Sealed for bool {}
// SAFETY: Zero is `false`, only values of `bool` are ever stored, and a byte is loaded at once.
unsafe impl Word for bool {}

/// A shared field, read and written whole, with no ordering.
///
/// # Invariants
///
/// Accessed through volatile loads and stores only.
#[repr(transparent)]
#[derive(Zeroable)]
pub(crate) struct Once<T: Word>(Shared<T>);

/// `UnsafeCell` with the traits that it lacks.
#[repr(transparent)]
struct Shared<T>(UnsafeCell<T>);

// SAFETY: `UnsafeCell<T>` has the layout of `T`, for which zero is valid.
unsafe impl<T: Zeroable> Zeroable for Shared<T> {}
// SAFETY: A `Word` is plain data, and `Once` accesses it with single loads and stores, as the kernel's memory
// model wants data that is shared without a lock to be accessed.
unsafe impl<T: Word> Sync for Shared<T> {}

impl<T: Word> Once<T> {
    /// `READ_ONCE()`.
    #[inline(always)]
    pub(crate) fn get(&self) -> T {
        // SAFETY: The pointer comes from a live reference; the type invariant makes the load whole.
        unsafe { self.0 .0.get().read_volatile() }
    }

    /// `WRITE_ONCE()`.
    #[inline(always)]
    pub(crate) fn set(&self, value: T) {
        // SAFETY: The pointer comes from a live reference; the type invariant makes the store whole.
        unsafe { self.0 .0.get().write_volatile(value) }
    }
}
