// SPDX-License-Identifier: GPL-2.0
//! Where a program is attached: a device, one of its two sides, a place in the order.

use std::ffi::CString;
use std::io;

use aya::programs::ProgramError;
use aya::programs::SchedClassifier;

use crate::sys;
use crate::NetkitLink;
use crate::NetkitOrder;

/// The side of the pair whose outgoing packets a program sees.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum NetkitAttachType {
    /// What the host sends into the pod.
    Primary,
    /// What the pod sends to the host.
    Peer,
}

impl NetkitAttachType {
    pub(crate) fn to_raw(self) -> u32 {
        match self {
            Self::Primary => sys::BPF_NETKIT_PRIMARY,
            Self::Peer => sys::BPF_NETKIT_PEER,
        }
    }

    pub(crate) fn from_raw(raw: u32) -> Option<Self> {
        match raw {
            sys::BPF_NETKIT_PRIMARY => Some(Self::Primary),
            sys::BPF_NETKIT_PEER => Some(Self::Peer),
            _ => None,
        }
    }
}

/// A network interface of the calling thread's network namespace, by name or by index.
///
/// For netkit this is the primary of the pair, for programs of both sides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NetworkInterface<'a> {
    /// The name, such as `nk0`.
    Name(&'a str),
    /// The index.
    Index(u32),
}

impl<'a> From<&'a str> for NetworkInterface<'a> {
    fn from(name: &'a str) -> Self {
        Self::Name(name)
    }
}

impl From<u32> for NetworkInterface<'_> {
    fn from(index: u32) -> Self {
        Self::Index(index)
    }
}

impl NetworkInterface<'_> {
    pub(crate) fn if_index(self) -> Result<u32, ProgramError> {
        let name = match self {
            Self::Index(index) => return Ok(index),
            Self::Name(name) => name,
        };
        let unknown = || ProgramError::UnknownInterface {
            name: name.to_owned(),
        };
        let c_name = CString::new(name).map_err(|_| unknown())?;
        // SAFETY: a C string that outlives the call.
        match unsafe { libc::if_nametoindex(c_name.as_ptr()) } {
            0 => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ENODEV) => Err(unknown()),
                error => Err(ProgramError::IOError(error)),
            },
            index => Ok(index),
        }
    }
}

/// How to attach.
#[derive(Clone, Copy, Debug, Default)]
pub struct NetkitOptions<'a> {
    /// The place among the programs that are there.
    pub order: NetkitOrder<'a>,
    /// Refuse (`ESTALE`) unless the programs of this side are at this revision, as [`query`](crate::query()) told it: nobody
    /// has changed them since.
    pub expected_revision: Option<u64>,
}

impl<'a> From<NetkitOrder<'a>> for NetkitOptions<'a> {
    fn from(order: NetkitOrder<'a>) -> Self {
        Self {
            order,
            expected_revision: None,
        }
    }
}

/// Attaching to netkit, for aya's [`SchedClassifier`].
pub trait AttachNetkit {
    /// Attaches the program to one side of the pair whose primary is `interface`.
    ///
    /// Unlike aya's own `attach`, the link is the caller's from the start, as after
    /// [`take_link`](SchedClassifier::take_link): the program runs as long as the link lives.
    ///
    /// # Errors
    ///
    /// [`ProgramError::NotLoaded`] before [`load`](SchedClassifier::load), [`ProgramError::UnknownInterface`] for a name that
    /// there is not, and [`ProgramError::SyscallError`] with the kernel's refusal: a peer is named instead of its primary
    /// (`EACCES`), a device of another kind (`ENXIO`), a place next to a program that is not there (`ENOENT`), a revision that
    /// has passed (`ESTALE`), no room (`ERANGE`).
    fn attach_netkit<'a>(
        &self,
        interface: impl Into<NetworkInterface<'a>>,
        attach_type: NetkitAttachType,
        options: impl Into<NetkitOptions<'a>>,
    ) -> Result<NetkitLink, ProgramError>;
}

impl AttachNetkit for SchedClassifier {
    fn attach_netkit<'a>(
        &self,
        interface: impl Into<NetworkInterface<'a>>,
        attach_type: NetkitAttachType,
        options: impl Into<NetkitOptions<'a>>,
    ) -> Result<NetkitLink, ProgramError> {
        NetkitLink::attach(self.fd()?, interface, attach_type, options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_needs_no_lookup() {
        assert!(matches!(NetworkInterface::from(7).if_index(), Ok(7)));
    }

    #[test]
    fn a_name_that_there_is_not() {
        for name in ["no-such-device", "nul\0inside"] {
            let error = NetworkInterface::from(name).if_index();
            assert!(
                matches!(&error, Err(ProgramError::UnknownInterface { name: told }) if told == name),
                "{error:?}"
            );
        }
    }

    #[test]
    fn sides() {
        for side in [NetkitAttachType::Primary, NetkitAttachType::Peer] {
            assert_eq!(NetkitAttachType::from_raw(side.to_raw()), Some(side));
        }
        assert_eq!(NetkitAttachType::from_raw(sys::BPF_NETKIT_PEER + 1), None);
    }
}
