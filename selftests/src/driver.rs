// SPDX-License-Identifier: GPL-2.0
//! The two drivers that the suite runs on.

use std::fmt;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Driver {
    /// The kernel's own, built in.
    C,
    /// netkit_rs.ko.
    Rust,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Driver::C => "c",
            Driver::Rust => "rust",
        })
    }
}
