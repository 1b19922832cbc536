// SPDX-License-Identifier: GPL-2.0

//! The ethtool operations of a driver (`struct ethtool_ops`).
//!
//! C header: [`include/linux/ethtool.h`](srctree/include/linux/ethtool.h)

use super::device::DeviceType;
use crate::bindings;
use core::marker::PhantomData;
use kernel::prelude::*;

/// The callbacks that C calls.
pub(super) struct EthtoolAdapter<T>(PhantomData<T>);

impl<T: DeviceType> EthtoolAdapter<T> {
    pub(super) const TABLE: bindings::ethtool_ops = bindings::ethtool_ops {
        get_drvinfo: Some(Self::get_drvinfo),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `info` must be valid.
    unsafe extern "C" fn get_drvinfo(
        _dev: *mut bindings::net_device,
        info: *mut bindings::ethtool_drvinfo,
    ) {
        // SAFETY: By the function's safety requirement; the copy ends in NUL within the field.
        unsafe {
            let driver = &raw mut (*info).driver;
            bindings::sized_strscpy(driver.cast(), T::NAME.as_char_ptr(), (*driver).len());
        }
    }
}
