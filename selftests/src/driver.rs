// SPDX-License-Identifier: GPL-2.0
//! What the suite runs on: two drivers, and devices that went from one to the other.

use std::fmt;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Driver {
    /// The kernel's own, built in.
    C,
    /// netkit_rs.ko.
    Rust,
    /// netkit_rs.ko, with devices that the built-in driver has made.
    Adopted,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Driver::C => "c",
            Driver::Rust => "rust",
            Driver::Adopted => "adopt",
        })
    }
}
