// SPDX-License-Identifier: GPL-2.0
//! Where a new program goes among those that are attached already.

use crate::sys;

/// The place of a program in the order of execution.
///
/// Like aya's `LinkOrder`, by ids throughout: what another process attached can be named, too.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum NetkitOrder {
    /// In front of all others.
    First,
    /// Behind all others.
    #[default]
    Last,
    /// In front of the program with this id.
    BeforeProgram(u32),
    /// Behind the program with this id.
    AfterProgram(u32),
    /// In front of the link with this id.
    BeforeLink(u32),
    /// Behind the link with this id.
    AfterLink(u32),
}

impl NetkitOrder {
    /// The flags, and the id that they speak of.
    pub(crate) fn to_raw(self) -> (u32, u32) {
        use sys::BPF_F_AFTER as AFTER;
        use sys::BPF_F_BEFORE as BEFORE;
        use sys::BPF_F_ID as ID;
        use sys::BPF_F_LINK as LINK;
        match self {
            Self::First => (BEFORE, 0),
            Self::Last => (AFTER, 0),
            Self::BeforeProgram(id) => (BEFORE | ID, id),
            Self::AfterProgram(id) => (AFTER | ID, id),
            Self::BeforeLink(id) => (BEFORE | ID | LINK, id),
            Self::AfterLink(id) => (AFTER | ID | LINK, id),
        }
    }
}

/// How to attach.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NetkitOptions {
    /// The place among the programs that are there.
    pub order: NetkitOrder,
    /// Refuse (`ESTALE`) unless the device's programs are at this revision, as [`query`](crate::query) told it: nobody has
    /// changed them since.
    pub expected_revision: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_flagged_as_one() {
        assert_eq!(NetkitOrder::First.to_raw(), (0x8, 0));
        assert_eq!(NetkitOrder::default().to_raw(), (0x10, 0));
        assert_eq!(NetkitOrder::BeforeProgram(7).to_raw(), (0x28, 7));
        assert_eq!(NetkitOrder::AfterLink(9).to_raw(), (0x2030, 9));
    }
}
