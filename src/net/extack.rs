// SPDX-License-Identifier: GPL-2.0

//! Extended acknowledgements: the text that explains an errno.
//!
//! C header: [`include/linux/netlink.h`](srctree/include/linux/netlink.h)

use crate::bindings;
use kernel::{
    fmt,
    prelude::*,
    str::CString, //
};

/// `struct netlink_ext_ack *`, which may be null: the kernel's own calls have no user to send a text to.
///
/// # Invariants
///
/// The pointer is null or valid and exclusive while the value exists.
pub(crate) struct ExtAck(*mut bindings::netlink_ext_ack);

impl ExtAck {
    /// # Safety
    ///
    /// While the value exists, `extack` must be null or valid, and nobody else may use it.
    pub(crate) unsafe fn from_raw(extack: *mut bindings::netlink_ext_ack) -> Self {
        // INVARIANT: By the function's safety requirement.
        Self(extack)
    }

    pub(crate) fn as_ptr(&mut self) -> *mut bindings::netlink_ext_ack {
        self.0
    }

    /// `NL_SET_ERR_MSG()`: sets the text, and returns `err` for the caller to pass on.
    ///
    /// The text is copied (at most 79 bytes), because the message may be read after the module is unloaded.
    pub(crate) fn error(&mut self, err: Error, text: &CStr) -> Error {
        // SAFETY: Null or valid by the type invariant; the text is NUL-terminated.
        unsafe { bindings::netkit_rs_nl_set_err_msg(self.0, text.as_char_ptr()) };
        err
    }

    /// `NL_SET_ERR_MSG_FMT()`. If memory is short, there is no text, only the errno.
    pub(crate) fn error_fmt(&mut self, err: Error, text: fmt::Arguments<'_>) -> Error {
        match CString::try_from_fmt(text) {
            Ok(text) => self.error(err, &text),
            Err(_) => err,
        }
    }
}
