// SPDX-License-Identifier: GPL-2.0
//! The place of a new program among those that are attached already.

use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;

use aya::programs::links::LinkError;
use aya::programs::MultiProgLink;
use aya::programs::MultiProgram;
use aya::programs::ProgramError;

use crate::sys;

/// The place of a program in the order of execution.
///
/// aya's [`LinkOrder`](aya::programs::LinkOrder), with two things more: links can be named by their id, so that what another
/// process attached can be named, too; and a program or link that is named by itself stays borrowed, so that its descriptor
/// is open when the kernel looks at it.
///
/// ```no_run
/// # use aya::programs::{ProgramError, SchedClassifier};
/// # use netkit_aya::{AttachNetkit as _, NetkitAttachType, NetkitLink, NetkitOrder};
/// # fn example(program: &SchedClassifier, there: &NetkitLink) -> Result<(), Box<dyn std::error::Error>> {
/// program.attach_netkit("nk0", NetkitAttachType::Peer, NetkitOrder::before_link(there)?)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NetkitOrder<'a> {
    reference: Reference<'a>,
    flags: u32,
}

#[derive(Clone, Copy, Debug)]
enum Reference<'a> {
    None,
    Id(u32),
    Fd(BorrowedFd<'a>),
}

/// Behind all others, as in aya.
impl Default for NetkitOrder<'_> {
    fn default() -> Self {
        Self::last()
    }
}

impl<'a> NetkitOrder<'a> {
    const fn new(flags: u32, reference: Reference<'a>) -> Self {
        Self { reference, flags }
    }

    /// In front of all others.
    pub const fn first() -> Self {
        Self::new(sys::BPF_F_BEFORE, Reference::None)
    }

    /// Behind all others.
    pub const fn last() -> Self {
        Self::new(sys::BPF_F_AFTER, Reference::None)
    }

    /// In front of this link.
    pub fn before_link<L: MultiProgLink>(link: &'a L) -> Result<Self, LinkError> {
        let fd = Reference::Fd(link.fd()?);
        Ok(Self::new(sys::BPF_F_BEFORE | sys::BPF_F_LINK, fd))
    }

    /// Behind this link.
    pub fn after_link<L: MultiProgLink>(link: &'a L) -> Result<Self, LinkError> {
        let fd = Reference::Fd(link.fd()?);
        Ok(Self::new(sys::BPF_F_AFTER | sys::BPF_F_LINK, fd))
    }

    /// In front of the link with this id.
    pub const fn before_link_id(id: u32) -> Self {
        let flags = sys::BPF_F_BEFORE | sys::BPF_F_LINK | sys::BPF_F_ID;
        Self::new(flags, Reference::Id(id))
    }

    /// Behind the link with this id.
    pub const fn after_link_id(id: u32) -> Self {
        let flags = sys::BPF_F_AFTER | sys::BPF_F_LINK | sys::BPF_F_ID;
        Self::new(flags, Reference::Id(id))
    }

    /// In front of this program.
    pub fn before_program<P: MultiProgram>(program: &'a P) -> Result<Self, ProgramError> {
        let fd = Reference::Fd(program.fd()?);
        Ok(Self::new(sys::BPF_F_BEFORE, fd))
    }

    /// Behind this program.
    pub fn after_program<P: MultiProgram>(program: &'a P) -> Result<Self, ProgramError> {
        let fd = Reference::Fd(program.fd()?);
        Ok(Self::new(sys::BPF_F_AFTER, fd))
    }

    /// In front of the program with this id.
    pub const fn before_program_id(id: u32) -> Self {
        Self::new(sys::BPF_F_BEFORE | sys::BPF_F_ID, Reference::Id(id))
    }

    /// Behind the program with this id.
    pub const fn after_program_id(id: u32) -> Self {
        Self::new(sys::BPF_F_AFTER | sys::BPF_F_ID, Reference::Id(id))
    }

    /// The flags, and the id or descriptor that they speak of.
    pub(crate) fn to_raw(self) -> (u32, u32) {
        let reference = match self.reference {
            Reference::None => 0,
            Reference::Id(id) => id,
            Reference::Fd(fd) => fd.as_raw_fd() as u32,
        };
        (self.flags, reference)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn an_id_is_flagged_as_one() {
        assert_eq!(NetkitOrder::first().to_raw(), (0x8, 0));
        assert_eq!(NetkitOrder::default().to_raw(), (0x10, 0));
        assert_eq!(NetkitOrder::before_program_id(7).to_raw(), (0x28, 7));
        assert_eq!(NetkitOrder::after_program_id(8).to_raw(), (0x30, 8));
        assert_eq!(NetkitOrder::before_link_id(9).to_raw(), (0x2028, 9));
        assert_eq!(NetkitOrder::after_link_id(9).to_raw(), (0x2030, 9));
    }

    struct Open(File);

    impl MultiProgLink for Open {
        fn fd(&self) -> Result<BorrowedFd<'_>, LinkError> {
            Ok(self.0.as_fd())
        }
    }

    impl MultiProgram for Open {
        fn fd(&self) -> Result<BorrowedFd<'_>, ProgramError> {
            Ok(self.0.as_fd())
        }
    }

    #[test]
    fn a_descriptor_is_not() -> Result<(), Box<dyn std::error::Error>> {
        let open = Open(File::open("/dev/null")?);
        let fd = open.0.as_raw_fd() as u32;
        assert_eq!(NetkitOrder::before_link(&open)?.to_raw(), (0x2008, fd));
        assert_eq!(NetkitOrder::after_link(&open)?.to_raw(), (0x2010, fd));
        assert_eq!(NetkitOrder::before_program(&open)?.to_raw(), (0x8, fd));
        assert_eq!(NetkitOrder::after_program(&open)?.to_raw(), (0x10, fd));
        Ok(())
    }
}
