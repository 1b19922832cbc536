// SPDX-License-Identifier: GPL-2.0

//! The namespace of the current task is used outside a system call, where the task may have none.
//!
//! expect: E0133 call to unsafe function

use crate::net::namespace::SystemCall;

fn in_a_timer() -> bool {
    let call = SystemCall::assume();
    call.net().is(call.net())
}
