// SPDX-License-Identifier: GPL-2.0

//! A private area that wants to be aligned better than the memory is.
//!
//! expect: E0080 align_of

use crate::net::device::{DeviceType, Tables};
use kernel::prelude::*;
use pin_init::Zeroable;

#[repr(C, align(64))]
#[derive(Zeroable)]
struct Private(u64);

struct Driver;

impl DeviceType for Driver {
    type Private = Private;

    const NAME: &'static CStr = c"driver";

    fn tables() -> &'static Tables<Self> {
        loop {}
    }
}

const _: () = Tables::<Driver>::PRIVATE_FITS;
