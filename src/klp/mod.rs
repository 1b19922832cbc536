// SPDX-License-Identifier: GPL-2.0

//! Livepatching: functions of this module replace functions of the kernel.
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

/// Marks the module as a livepatch (`MODULE_INFO(livepatch, "Y")`). Otherwise the loader would not resolve its
/// livepatch relocations.
#[link_section = ".modinfo"]
#[used(compiler)]
static LIVEPATCH: [u8; 12] = *b"livepatch=Y\0";

/// A function of vmlinux, and its replacement (`struct klp_func`).
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Func(bindings::klp_func);

impl Func {
    /// The function `name`, which must be in kallsyms exactly once, and its replacement.
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

/// Ends a replacement that returns nothing: prevents the compiler from turning the last call into a jump.
///
/// The livepatch core looks for the addresses of replacements on the stacks of all tasks (`klp_check_stack_func()`). A
/// replacement that has jumped to another function of the module leaves no address there: the module could be unloaded
/// while a task sleeps in that function. modtool refuses a module with such a replacement.
#[inline(always)]
pub(crate) fn stay_on_stack() {
    compiler_fence(Ordering::SeqCst);
}

/// A set of replacements that are enabled together (`struct klp_patch`): a writable static.
pub(crate) struct Patch<const N: usize>(UnsafeCell<Inner<N>>);

#[repr(C)]
struct Inner<const N: usize> {
    patch: bindings::klp_patch,
    /// vmlinux, and an empty entry that ends the table.
    objects: [bindings::klp_object; 2],
    funcs: [Func; N],
    end: Func,
}

// SAFETY: Before `klp_enable_patch()`, only `enable()` writes the structures, and it runs once. From then on, only
// `klp_enable_patch()` and the rest of the livepatch core write them, under `klp_mutex`.
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
        /// `klp_enable_patch()`: enables the replacements, for each task at a moment when it is not inside one of the
        /// functions.
        ///
        /// `EBUSY` while another patch is in transition, `EINVAL` if the kernel lacks one of the functions.
        ///
        /// # Safety
        ///
        /// Must be called once, as the last step of the initialisation of `module`, which succeeds if this call
        /// succeeds.
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
            // SAFETY: By the function's safety requirement nobody else knows of the structures yet. The functions form
            // an array that ends with an empty entry, as `klp_enable_patch()` expects.
            unsafe {
                (*inner).objects[0].funcs = (&raw mut (*inner).funcs).cast();
                (*inner).objects[0].callbacks = callbacks;
                (*inner).patch.mod_ = module.as_ptr().cast();
                (*inner).patch.objs = (&raw mut (*inner).objects).cast();
                to_result(bindings::klp_enable_patch(&raw mut (*inner).patch))
            }
        }

        fn as_ptr(&'static self) -> *mut bindings::klp_patch {
            // SAFETY: The static exists as long as the module. Only the address of its field `patch` is computed,
            // nothing is read.
            unsafe { &raw mut (*self.0.get()).patch }
        }
    }
}

/// A patch of any size.
pub(crate) type AnyPatch = dyn private::Enable;

/// What a livepatch module does besides patching.
pub(crate) trait Livepatch: Sized + Send + Sync + 'static {
    /// All of the module's initialisation before the patch. Dropping the result undoes it: if the patch cannot be
    /// enabled, and when the module is unloaded.
    fn prepare() -> Result<Self>;

    /// The module's patch.
    fn patch() -> &'static AnyPatch;

    /// Every task runs the patch's functions (`klp_callbacks::post_patch`).
    ///
    /// Runs with `klp_mutex` held, for which the loading of any module waits. So this must not wait for a lock whose
    /// holder may load a module.
    fn patched();

    /// Every task still runs the patch's functions, and will switch back (`klp_callbacks::pre_unpatch`). The rule for
    /// locks is that of [`Self::patched`].
    fn unpatching();

    /// Another livepatch is about to be loaded, or replaces this livepatch, in whole or in part. A cumulative livepatch
    /// does so without [`Self::unpatching`]. May be called several times.
    fn another_comes();

    /// The other livepatch is loaded, or removed again, and all of this patch is in force. May be called several times.
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
    /// None: `klp_complete_transition()` passes the patch's object, which is not used.
    unsafe extern "C" fn post_patch(_object: *mut bindings::klp_object) {
        // `klp_mutex` is held: no other patch is in transition, and none can begin one.
        if others::is_one_coming() {
            T::another_comes();
        } else {
            T::stays();
        }
        T::patched();
        // Its module may have come in the meantime. It cannot enable its patch before this returns.
        if others::is_one_coming() {
            T::another_comes();
        }
    }

    /// # Safety
    ///
    /// None: `__klp_disable_patch()` passes the patch's object, which is not used.
    unsafe extern "C" fn pre_unpatch(_object: *mut bindings::klp_object) {
        T::unpatching();
    }
}

/// A module that is a livepatch.
///
/// After its initialisation, the module cannot be unloaded until the patch is disabled through sysfs and every task has
/// switched back to the kernel's own functions.
pub(crate) struct Live<T: Livepatch> {
    // Dropped in this order, after `drop()`.
    _others: others::Registration<T>,
    _prepared: T,
}

impl<T: Livepatch> kernel::Module for Live<T> {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let prepared = T::prepare()?;
        let others = others::Registration::new()?;
        // SAFETY: `do_init_module()` calls this once, and this is the last step: nothing after `klp_enable_patch()` can
        // fail.
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
    /// The livepatch core holds a reference to the module as long as tasks may be inside its functions, and forever
    /// once a transition was forced. Only `rmmod -f` calls this before the reference is put: then the module has to
    /// stay.
    fn drop(&mut self) {
        let mut told = false;
        // SAFETY: `__this_module` is this module; `module_refcount()` reads its `refcnt`, which is negative once the
        // module cannot be used any more (`try_release_module_ref()`).
        while unsafe { bindings::module_refcount(&raw mut bindings::__this_module) } > 0 {
            if !told {
                pr_emerg!("forced removal while the livepatch is in use: the module stays until it is disabled\n");
                told = true;
            }
            fsleep(Delta::from_secs(1));
        }
    }
}
