// SPDX-License-Identifier: GPL-2.0
//! The drivers on which the suite runs: C, ours, and devices that were made by C and taken over by ours.

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
