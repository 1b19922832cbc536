// SPDX-License-Identifier: GPL-2.0

//! Other livepatches, as they come and go.
//!
//! A cumulative livepatch ("replace") ends all others when its transition is over, and calls none of their callbacks
//! (Documentation/livepatch/cumulative-patches.rst). Whether a livepatch is one shows only once its module has run its
//! initialisation. So a module that has something to put right makes way before that, for any livepatch.
//!
//! C headers: [`include/linux/module.h`](srctree/include/linux/module.h), `kernel/livepatch/core.h`

use super::{
    AnyPatch,
    Livepatch, //
};
use crate::bindings;
use core::{
    cell::UnsafeCell,
    ffi::c_void,
    marker::PhantomData,
    ptr, //
};
use kernel::{
    container_of,
    error::to_result,
    ffi::{c_int, c_ulong},
    prelude::*,
    sync::atomic::{Atomic, Full}, //
};

/// `klp_mutex`, held until the guard is dropped.
struct Core;

impl Core {
    fn lock() -> Self {
        // SAFETY: `klp_mutex` is initialised at build time; the callers may sleep, and hold nothing that its holders wait for.
        unsafe { bindings::netkit_rs_mutex_lock(&raw mut bindings::klp_mutex) };
        Self
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // SAFETY: Taken in `lock()`.
        unsafe { bindings::netkit_rs_mutex_unlock(&raw mut bindings::klp_mutex) };
    }
}

/// Whether the patch is enabled, in transition or not.
pub(super) fn is_enabled(patch: &'static AnyPatch) -> bool {
    let _core = Core::lock();
    // SAFETY: The patch is static, and `klp_mutex` protects the field.
    unsafe { (*patch.as_ptr()).enabled }
}

/// Whether the patch is enabled and no cumulative one is about to take its place.
fn stays(patch: &'static AnyPatch) -> bool {
    let _core = Core::lock();
    let patch = patch.as_ptr();
    // SAFETY: The patch is static. `klp_mutex` protects `enabled` and `klp_patches`; an enabled patch is on that list, the
    // entries of which are the `list` members of patches, in the order in which they came.
    unsafe {
        if !(*patch).enabled {
            return false;
        }
        let mut entry = (*patch).list.next;
        while !ptr::eq(entry, &raw const bindings::klp_patches) {
            if (*container_of!(entry, bindings::klp_patch, list)).replace {
                return false;
            }
            entry = (*entry).next;
        }
    }
    true
}

/// The livepatch module that is between its coming and the end of its initialisation, as an address; 0 if none is.
/// Of several the last one: it decides.
static COMING: Atomic<usize> = Atomic::new(0);

/// The registration of a module notifier for a livepatch. There is one per module.
///
/// # Invariants
///
/// The block is registered, and stays where it is.
pub(super) struct Registration<T: Livepatch>(KBox<Block>, PhantomData<fn() -> T>);

/// `struct notifier_block`, which the chain writes to.
struct Block(UnsafeCell<bindings::notifier_block>);

// SAFETY: `register_module_notifier()` gives the block to `module_notify_list`, which protects it with its `rwsem`.
unsafe impl Send for Block {}
// SAFETY: As above: nothing here uses the block but the calls that register and unregister it.
unsafe impl Sync for Block {}

impl<T: Livepatch> Registration<T> {
    /// `register_module_notifier()`.
    pub(super) fn new() -> Result<Self> {
        let mut block: bindings::notifier_block = pin_init::zeroed();
        block.notifier_call = Some(Self::call);
        let block = KBox::new(Block(UnsafeCell::new(block)), GFP_KERNEL)?;
        // SAFETY: The block lies in a box, which is freed after `unregister_module_notifier()` in `drop()`.
        to_result(unsafe { bindings::register_module_notifier(block.0.get()) })?;
        // INVARIANT: Registered just now.
        Ok(Self(block, PhantomData))
    }

    /// # Safety
    ///
    /// `module` must be the module that the event is about.
    unsafe extern "C" fn call(
        _block: *mut bindings::notifier_block,
        event: c_ulong,
        module: *mut c_void,
    ) -> c_int {
        let module: *mut bindings::module = module.cast();
        // SAFETY: By the function's safety requirement; `__this_module` is this module.
        let another = unsafe {
            bindings::netkit_rs_is_livepatch_module(module)
                && !ptr::eq(module, &raw const bindings::__this_module)
        };
        if another {
            Self::changed(event as u32, module as usize);
        }
        bindings::NOTIFY_DONE as c_int
    }

    fn changed(event: u32, module: usize) {
        match event {
            bindings::module_state_MODULE_STATE_COMING => {
                COMING.xchg(module, Full);
                T::another_comes();
            }
            bindings::module_state_MODULE_STATE_LIVE
            | bindings::module_state_MODULE_STATE_GOING => {
                // One that is in already goes while another one comes: the latter decides.
                if COMING
                    .cmpxchg(module, 0, Full)
                    .is_err_and(|coming| coming != 0)
                {
                    return;
                }
                if stays(T::patch()) {
                    T::stays();
                }
            }
            _ => {}
        }
    }
}

impl<T: Livepatch> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. It waits for calls that are under way, and cannot fail for a registered block.
        unsafe { bindings::unregister_module_notifier(self.0 .0.get()) };
    }
}
