// SPDX-License-Identifier: GPL-2.0

//! Other livepatches that are loaded and removed.
//!
//! A cumulative livepatch ("replace") ends all other livepatches when its transition is over, and calls none of their
//! callbacks (Documentation/livepatch/cumulative-patches.rst). Whether a livepatch is cumulative is known only after
//! its module has run its initialisation. So a module that has work to do before it is replaced does this work before
//! that, for any livepatch.
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
    sync::{
        atomic::{Atomic, Full, Relaxed},
        Mutex, //
    }, //
};

/// `klp_mutex`, held until the guard is dropped.
struct Core;

impl Core {
    fn lock() -> Self {
        // SAFETY: `klp_mutex` is initialised at build time; the callers may sleep, and hold no lock for which a holder
        // of `klp_mutex` waits.
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

/// Whether the patch is enabled, and no later patch takes precedence: a cumulative patch, or a patch that replaces one
/// of the same functions (`klp_ftrace_handler()` uses the latest patch).
fn is_in_force(patch: &'static AnyPatch) -> bool {
    let _core = Core::lock();
    let patch = patch.as_ptr();
    // SAFETY: The patch is static. `klp_mutex` protects `enabled` and `klp_patches`. An enabled patch is on that list,
    // whose entries are the `list` members of patches, in the order in which the patches were enabled.
    unsafe {
        (*patch).enabled
            && entries(&raw mut (*patch).list, &raw mut bindings::klp_patches).all(|entry| {
                let other = container_of!(entry, bindings::klp_patch, list);
                !(*other).replace
                    && !functions(other).any(|func| functions(patch).any(|own| own == func))
            })
    }
}

/// The functions of vmlinux that a patch replaces, as addresses.
///
/// # Safety
///
/// The patch must be on `klp_patches`, and `klp_mutex` held while the iterator is used.
unsafe fn functions(patch: *mut bindings::klp_patch) -> impl Iterator<Item = usize> {
    // SAFETY: By the function's safety requirement the lists do not change (`klp_add_object_nops()` and similar
    // functions run under `klp_mutex`). The entries are the `node` members of objects, and of functions; an object
    // without a name is vmlinux.
    unsafe {
        let objects = &raw mut (*patch).obj_list;
        entries(objects, objects)
            .map(|entry| container_of!(entry, bindings::klp_object, node))
            .filter(|object| (**object).name.is_null())
            .flat_map(|object| {
                let funcs = &raw mut (*object).func_list;
                entries(funcs, funcs)
            })
            .map(|entry| (*container_of!(entry, bindings::klp_func, node)).old_func as usize)
    }
}

/// The entries of a list after `from`, up to its end, which is `head`.
///
/// # Safety
///
/// `from` must be on the list, and the list must not change while the iterator is used.
unsafe fn entries(
    from: *mut bindings::list_head,
    head: *mut bindings::list_head,
) -> impl Iterator<Item = *mut bindings::list_head> {
    let mut entry = from;
    core::iter::from_fn(move || {
        // SAFETY: By the function's safety requirement.
        entry = unsafe { (*entry).next };
        (!ptr::eq(entry, head)).then_some(entry)
    })
}

/// The addresses of the livepatch modules that are being loaded and have not finished their initialisation. (If there
/// are more than eight at a time, the ninth is not seen until its initialisation is over.)
static COMING: [Atomic<usize>; 8] = [const { Atomic::new(0) }; 8];

/// Whether another livepatch is being loaded.
pub(super) fn is_one_coming() -> bool {
    COMING.iter().any(|slot| slot.load(Relaxed) != 0)
}

/// Replaces `old` by `new`. Fully ordered.
fn exchange_coming(old: usize, new: usize) {
    let _full = COMING
        .iter()
        .any(|slot| slot.cmpxchg(old, new, Full).is_ok());
}

/// The registration of a module notifier for a livepatch. There is one per module.
///
/// # Invariants
///
/// The block is registered, and stays where it is.
pub(super) struct Registration<T: Livepatch>(Pin<KBox<Block>>, PhantomData<fn() -> T>);

/// What is given to the chain of notifiers.
#[pin_data]
#[repr(C)]
struct Block {
    /// `struct notifier_block`, which the chain writes to.
    c: UnsafeCell<bindings::notifier_block>,
    /// Held from a decision until it is carried out: several livepatches may come and go at the same time.
    #[pin]
    decision: Mutex<()>,
}

// SAFETY: `register_module_notifier()` gives the block to `module_notify_list`, which protects it with its `rwsem`; the
// mutex may be used by any thread.
unsafe impl Send for Block {}
// SAFETY: As above: only the calls that register and unregister the block use `c`.
unsafe impl Sync for Block {}

impl<T: Livepatch> Registration<T> {
    /// `register_module_notifier()`.
    pub(super) fn new() -> Result<Self> {
        let c = bindings::notifier_block {
            notifier_call: Some(Self::call),
            ..pin_init::zeroed()
        };
        let init = pin_init!(Block {
            c: UnsafeCell::new(c),
            decision <- kernel::new_mutex!((), "netkit_rs::klp"),
        });
        let block = KBox::pin_init(init, GFP_KERNEL)?;
        // SAFETY: The block is in a box, which is freed after `unregister_module_notifier()` in `drop()`.
        to_result(unsafe { bindings::register_module_notifier(block.c.get()) })?;
        // INVARIANT: Registered just now.
        Ok(Self(block, PhantomData))
    }

    /// # Safety
    ///
    /// `block` must be that of a `Registration`, and `module` the module that the event is about.
    unsafe extern "C" fn call(
        block: *mut bindings::notifier_block,
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
            // SAFETY: By the function's safety requirement; it is the first field of a `Block`, which stays until
            // `unregister_module_notifier()` has waited for this call.
            let block: &Block = unsafe { &*block.cast() };
            block.changed::<T>(event as u32, module as usize);
        }
        bindings::NOTIFY_DONE as c_int
    }
}

impl Block {
    fn changed<T: Livepatch>(&self, event: u32, module: usize) {
        match event {
            bindings::module_state_MODULE_STATE_COMING => exchange_coming(0, module),
            bindings::module_state_MODULE_STATE_LIVE
            | bindings::module_state_MODULE_STATE_GOING => exchange_coming(module, 0),
            _ => return,
        }
        let _deciding = self.decision.lock();
        if !is_one_coming() && is_in_force(T::patch()) {
            T::stays();
        } else {
            T::another_comes();
        }
    }
}

impl<T: Livepatch> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. The call waits for calls of the notifier that have begun, and cannot fail for
        // a registered block.
        unsafe { bindings::unregister_module_notifier(self.0.c.get()) };
    }
}
