// SPDX-License-Identifier: GPL-2.0

//! Livepatching: functions of this module in the place of the kernel's.
//!
//! C header: [`include/linux/livepatch.h`](srctree/include/linux/livepatch.h)

mod others;

use crate::bindings;
use core::{
    cell::UnsafeCell,
    ffi::CStr,
    marker::PhantomData,
    sync::atomic::{compiler_fence, Ordering}, //
};
use kernel::{
    error::to_result,
    prelude::*,
    str::as_char_ptr_in_const_context,
    time::{delay::fsleep, Delta}, //
};

/// Marks the module as a livepatch, without which the loader would not resolve its livepatch relocations
/// (`MODULE_INFO(livepatch, "Y")`).
#[link_section = ".modinfo"]
#[used(compiler)]
static LIVEPATCH: [u8; 12] = *b"livepatch=Y\0";

/// A function of vmlinux, and the one that takes its place (`struct klp_func`).
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Func(bindings::klp_func);

impl Func {
    /// The function `name`, which must stand in kallsyms once, and its replacement.
    ///
    /// # Safety
    ///
    /// `replacement` must be a function with the signature, and the duties, of the kernel's function `name`.
    pub(crate) const unsafe fn new(name: &'static CStr, replacement: *const ()) -> Self {
        let mut func: bindings::klp_func = pin_init::zeroed();
        func.old_name = as_char_ptr_in_const_context(name);
        func.new_func = replacement.cast_mut().cast();
        Self(func)
    }

    /// The entry that ends a table.
    const END: Self = Self(pin_init::zeroed());

    /// A table of several parts; `N` is the number of functions.
    pub(crate) const fn table<const N: usize>(parts: &[&[Self]]) -> [Self; N] {
        let mut table = [Self::END; N];
        let (mut part, mut i, mut filled) = (0, 0, 0);
        while part < parts.len() {
            if i < parts[part].len() {
                table[filled] = parts[part][i];
                filled += 1;
                i += 1;
            } else {
                part += 1;
                i = 0;
            }
        }
        assert!(filled == N);
        table
    }
}

/// Ends a replacement that returns nothing: what it calls is called, not jumped to.
///
/// The livepatch core looks for tasks inside the replacements on their stacks (`klp_check_stack_func()`). Of one that has jumped to
/// another function of the module nothing is left there: the module could be unloaded while a task sleeps in it.
/// modtool refuses a module in which a replacement does so.
#[inline(always)]
pub(crate) fn stay_on_stack() {
    compiler_fence(Ordering::SeqCst);
}

/// A set of functions that is put in place as a whole (`struct klp_patch`): a writable static.
pub(crate) struct Patch<const N: usize>(UnsafeCell<Inner<N>>);

#[repr(C)]
struct Inner<const N: usize> {
    patch: bindings::klp_patch,
    /// vmlinux, and an empty entry that ends the table.
    objects: [bindings::klp_object; 2],
    funcs: [Func; N],
    end: Func,
}

// SAFETY: `klp_enable_patch()` is the only one to write the structures from then on, under `klp_mutex`; before it,
// `enable()` is, which runs once.
unsafe impl<const N: usize> Sync for Patch<N> {}

impl<const N: usize> Patch<N> {
    pub(crate) const fn new(funcs: [Func; N]) -> Self {
        Self(UnsafeCell::new(Inner {
            patch: pin_init::zeroed(),
            objects: [pin_init::zeroed(), pin_init::zeroed()],
            funcs,
            end: Func::END,
        }))
    }
}

mod private {
    use super::*;

    /// [`Patch`], whatever its size.
    pub(crate) trait Enable {
        /// `klp_enable_patch()`: puts the functions in place, for each task when it is not inside one of them.
        ///
        /// `EBUSY` while another patch is in transition, `EINVAL` where the kernel has not all of the functions.
        ///
        /// # Safety
        ///
        /// To be called once, as the last step of the initialisation of `module`, which succeeds if this does.
        unsafe fn enable(
            &'static self,
            module: &'static ThisModule,
            callbacks: bindings::klp_callbacks,
        ) -> Result;

        /// The C struct.
        fn as_ptr(&'static self) -> *mut bindings::klp_patch;
    }

    impl<const N: usize> Enable for Patch<N> {
        unsafe fn enable(
            &'static self,
            module: &'static ThisModule,
            callbacks: bindings::klp_callbacks,
        ) -> Result {
            let inner = self.0.get();
            // SAFETY: By the function's safety requirement nobody else knows of the structures yet. The functions
            // lie one behind the other, with an empty one at the end, as the core expects.
            unsafe {
                (*inner).objects[0].funcs = (&raw mut (*inner).funcs).cast();
                (*inner).objects[0].callbacks = callbacks;
                (*inner).patch.mod_ = module.as_ptr().cast();
                (*inner).patch.objs = (&raw mut (*inner).objects).cast();
                to_result(bindings::klp_enable_patch(&raw mut (*inner).patch))
            }
        }

        fn as_ptr(&'static self) -> *mut bindings::klp_patch {
            // SAFETY: The static is there as long as the module; the address of its field `patch` is taken, nothing read.
            unsafe { &raw mut (*self.0.get()).patch }
        }
    }
}

/// A patch of any size.
pub(crate) type AnyPatch = dyn private::Enable;

/// What a module does besides patching.
pub(crate) trait Livepatch: Sized + Send + Sync + 'static {
    /// All of the module's initialisation that comes before the patch. What it did is undone by dropping the
    /// result: if the patch cannot be enabled, and when the module is unloaded.
    fn prepare() -> Result<Self>;

    /// The module's patch.
    fn patch() -> &'static AnyPatch;

    /// Every task runs the patch's functions (`klp_callbacks::post_patch`).
    ///
    /// Runs with `klp_mutex` held, which the loading of any module waits for: no lock may be waited for here whose holder may
    /// load a module.
    fn patched();

    /// Every task runs the patch's functions, for the last time (`klp_callbacks::pre_unpatch`). As [`Self::patched`].
    fn unpatching();

    /// Another livepatch is about to be loaded, or takes the place of this one, in whole or in part. A cumulative one does so
    /// without [`Self::unpatching`]. May be told again.
    fn another_comes();

    /// The other livepatch is in, or out again, and all of this patch is in force. May be told again.
    fn stays();
}

/// The callbacks of a livepatch.
struct Callbacks<T>(PhantomData<T>);

impl<T: Livepatch> Callbacks<T> {
    const TABLE: bindings::klp_callbacks = bindings::klp_callbacks {
        post_patch: Some(Self::post_patch),
        pre_unpatch: Some(Self::pre_unpatch),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// None: `klp_complete_transition()` passes the patch's object, which is not looked at.
    unsafe extern "C" fn post_patch(_object: *mut bindings::klp_object) {
        // `klp_mutex` is held, so that no other patch is in transition or comes to be.
        if others::is_one_coming() {
            T::another_comes();
        } else {
            T::stays();
        }
        T::patched();
    }

    /// # Safety
    ///
    /// None: `__klp_disable_patch()` passes the patch's object, which is not looked at.
    unsafe extern "C" fn pre_unpatch(_object: *mut bindings::klp_object) {
        T::unpatching();
    }
}

/// A module that is a livepatch.
///
/// From the end of its initialisation on it cannot be unloaded until the patch was disabled through sysfs, and the
/// kernel's own functions are back for every task.
pub(crate) struct Live<T: Livepatch> {
    // Dropped in this order, after `drop()`.
    _others: others::Registration<T>,
    _prepared: T,
}

impl<T: Livepatch> kernel::Module for Live<T> {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let prepared = T::prepare()?;
        let others = others::Registration::new()?;
        // SAFETY: `do_init_module()` calls this once, and it is the last step: what follows `klp_enable_patch()`
        // cannot fail.
        unsafe { T::patch().enable(module, Callbacks::<T>::TABLE) }.inspect_err(|err| {
            pr_err!(
                "cannot livepatch the kernel ({}): is another livepatch in transition?\n",
                err.to_errno()
            );
        })?;
        Ok(Self {
            _others: others,
            _prepared: prepared,
        })
    }
}

impl<T: Livepatch> Drop for Live<T> {
    /// The livepatch core holds a reference to the module as long as tasks may be inside its functions, and for good once a
    /// transition was forced. Only `rmmod -f` gets here before: then the module has to stay.
    fn drop(&mut self) {
        let mut told = false;
        // SAFETY: `__this_module` is this module; `module_refcount()` reads its `refcnt`. It is negative once the module cannot
        // be used any more (`try_release_module_ref()`).
        while unsafe { bindings::module_refcount(&raw mut bindings::__this_module) } > 0 {
            if !told {
                pr_emerg!("forced removal while the livepatch is in use: the module stays until it is disabled\n");
                told = true;
            }
            fsleep(Delta::from_secs(1));
        }
    }
}
