// SPDX-License-Identifier: GPL-2.0

//! The declarations of C that bindgen made from `bindings/bindings.h`.
//!
//! The wrappers (`net`, `bpf`, `klp`) and `builtin` use them. The driver uses only numbers, in two files: those of its
//! user-space interface (`netkit/uapi.rs`), and the layout of `struct netkit` (`netkit/mod.rs`). The types come from
//! the kernel's headers; [`layout`] asserts, at compile time, that they agree with the BTF of the kernel that the module
//! is built for.

#![allow(
    clippy::all,
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    improper_ctypes,
    unreachable_pub,
    unknown_lints,
    unnecessary_transmutes,
    unsafe_op_in_unsafe_fn
)]
#![allow(
    clippy::as_underscore,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks
)]

use kernel::ffi;
use pin_init::{MaybeZeroable, Zeroable};

type __kernel_size_t = usize;
type __kernel_ssize_t = isize;
type __kernel_ptrdiff_t = isize;

// SAFETY: `__BindgenBitfieldUnit<Storage>` is a newtype around `Storage`.
unsafe impl<Storage> Zeroable for __BindgenBitfieldUnit<Storage> where Storage: Zeroable {}

include!(concat!(env!("NETKIT_RS_GENERATED"), "/bindings.rs"));

/// Struct layouts from the BTF of the kernel that this module is built for.
///
/// The `mirror` lines of `bindings/layouts` become constants. The `struct` lines become assertions about the types that
/// bindgen made from the headers.
pub mod layout {
    use core::mem::{offset_of, size_of};

    include!(concat!(env!("NETKIT_RS_GENERATED"), "/layout.rs"));
}
