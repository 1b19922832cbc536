// SPDX-License-Identifier: GPL-2.0

//! Module parameters that compute their value when they are read, and act when they are written.
//!
//! The parameters that the `module!` macro of 7.3 makes are not visible in sysfs.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

use crate::bindings;
use core::{
    ffi::CStr,
    fmt::Write,
    marker::PhantomData, //
};
use kernel::{
    error::from_result,
    ffi::{c_char, c_int},
    fmt,
    page::PAGE_SIZE,
    prelude::*,
    str::{as_char_ptr_in_const_context, Formatter}, //
};

/// A file under /sys/module/NAME/parameters.
///
/// Both functions run in process context, and may sleep. `kernel_param_lock()` excludes other readers and writers of
/// this module's parameters.
pub(crate) trait Parameter: 'static {
    /// The value that a reader gets.
    fn show() -> impl fmt::Display;

    /// Stores the text of a writer, without the white space at its ends. Also called for `insmod MODULE NAME=TEXT`.
    fn store(text: &[u8]) -> Result;
}

/// `struct kernel_param`, for a static in the section `__param`.
#[repr(transparent)]
pub(crate) struct KernelParam(bindings::kernel_param);

// SAFETY: `struct kernel_param` is only read (`__start___param` is an array of const), and its pointers are to statics.
unsafe impl Sync for KernelParam {}

impl KernelParam {
    /// The parameter `name`, with the permissions `perm` in sysfs.
    pub(crate) const fn new<T: Parameter>(name: &'static CStr, perm: u16) -> Self {
        let mut param: bindings::kernel_param = pin_init::zeroed();
        param.name = as_char_ptr_in_const_context(name);
        param.mod_ = &raw mut bindings::__this_module;
        param.ops = &raw const *const { &Adapter::<T>::OPS };
        param.perm = perm;
        param.level = -1;
        Self(param)
    }
}

/// The callbacks that C calls.
struct Adapter<T>(PhantomData<T>);

impl<T: Parameter> Adapter<T> {
    const OPS: bindings::kernel_param_ops = bindings::kernel_param_ops {
        set: Some(Self::set),
        get: Some(Self::get),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `text` must be null or a string.
    unsafe extern "C" fn set(text: *const c_char, _param: *const bindings::kernel_param) -> c_int {
        if text.is_null() {
            return EINVAL.to_errno();
        }
        // SAFETY: By the function's safety requirement.
        let text = unsafe { CStr::from_char_ptr(text) };
        from_result(|| T::store(text.to_bytes().trim_ascii()).map(|()| 0))
    }

    /// # Safety
    ///
    /// `buffer` must have a page of room.
    unsafe extern "C" fn get(buffer: *mut c_char, _param: *const bindings::kernel_param) -> c_int {
        // SAFETY: By the function's safety requirement: `param_attr_show()` passes sysfs's page.
        let page = unsafe { core::slice::from_raw_parts_mut(buffer.cast(), PAGE_SIZE) };
        let mut out = Formatter::new(page);
        match out.write_fmt(fmt!("{}\n", T::show())) {
            Ok(()) => out.bytes_written() as c_int,
            Err(fmt::Error) => ENOSPC.to_errno(),
        }
    }
}

/// The bytes of a text.
pub(crate) const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let mut i = 0;
    while i < N {
        bytes[i] = text.as_bytes()[i];
        i += 1;
    }
    bytes
}

/// Declares the module's parameters, each with the text that `modinfo` shows: `NAME: TYPE, PERMISSIONS, "TEXT";`.
macro_rules! module_parameters {
    ($($name:ident: $type:ty, $perm:expr, $text:literal;)*) => {$(
        const _: () = {
            const NAME: &CStr = match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => panic!("a name with NUL"),
            };
            #[link_section = "__param"]
            #[used(compiler)]
            static PARAM: $crate::param::KernelParam =
                $crate::param::KernelParam::new::<$type>(NAME, $perm);

            const PARM: &str = concat!("parm=", stringify!($name), ":", $text, "\0");
            #[link_section = ".modinfo"]
            #[used(compiler)]
            static INFO: [u8; PARM.len()] = $crate::param::bytes(PARM);
        };
    )*};
}
pub(crate) use module_parameters;
