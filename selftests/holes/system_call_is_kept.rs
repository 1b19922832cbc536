// SPDX-License-Identifier: GPL-2.0

//! The evidence of a system call is kept by a thread that outlives it.
//!
//! expect: E0277 cannot be sent between threads safely

use crate::net::namespace::SystemCall;

fn keep<T: Send>() {}

fn kept() {
    keep::<SystemCall>();
}
