// SPDX-License-Identifier: GPL-2.0
//! netkit links for [aya](https://aya-rs.dev).
//!
//! A netkit device is a pair: the *primary* in the host, its *peer* in a container or a VM. BPF programs of the type
//! [`SchedClassifier`](aya::programs::SchedClassifier) run on the packets that leave either of them, and both are managed
//! from the primary, out of the container's reach. aya (0.13) knows tc and tcx links but no netkit links; this crate adds
//! them: attach to primary or peer, at a place among the programs that are there, update, detach, pin, and query.
//!
//! ```no_run
//! use aya::programs::SchedClassifier;
//! use aya::Ebpf;
//! use netkit_aya::NetkitAttachType;
//! use netkit_aya::NetkitLink;
//! use netkit_aya::NetkitOptions;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let object = netkit_aya::aya_object(std::fs::read("filter.bpf.o")?)?;
//! let mut ebpf = Ebpf::load(&object)?;
//! let program: &mut SchedClassifier = ebpf.program_mut("filter").ok_or("no such program")?.try_into()?;
//! program.load()?;
//! let link = NetkitLink::attach(program.fd()?, "nk0", NetkitAttachType::Peer, NetkitOptions::default())?;
//! link.pin("/sys/fs/bpf/filter")?;
//! # Ok(())
//! # }
//! ```

mod link;
mod options;
mod query;
mod sections;
mod sys;

use std::ffi::CString;
use std::io;

use thiserror::Error;

pub use link::NetkitLink;
pub use link::NetkitLinkInfo;
pub use options::NetkitOptions;
pub use options::NetkitOrder;
pub use query::query;
pub use query::NetkitProgram;
pub use query::NetkitQuery;
pub use sections::aya_object;
pub use sections::programs;
pub use sections::ProgramSymbol;

/// The side of the pair whose outgoing packets a program sees.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum NetkitAttachType {
    /// What the host sends into the pod.
    Primary,
    /// What the pod sends to the host.
    Peer,
}

impl NetkitAttachType {
    fn to_raw(self) -> u32 {
        match self {
            Self::Primary => sys::BPF_NETKIT_PRIMARY,
            Self::Peer => sys::BPF_NETKIT_PEER,
        }
    }

    fn from_raw(raw: u32) -> Option<Self> {
        match raw {
            sys::BPF_NETKIT_PRIMARY => Some(Self::Primary),
            sys::BPF_NETKIT_PEER => Some(Self::Peer),
            _ => None,
        }
    }
}

/// What can go wrong here.
#[derive(Debug, Error)]
pub enum NetkitError {
    /// There is no device of this name in the network namespace of the calling thread.
    #[error("there is no device {name} in this network namespace")]
    NoDevice {
        /// The name.
        name: String,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },

    /// A system call failed.
    #[error("{call} failed")]
    Syscall {
        /// The call, with its command.
        call: &'static str,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },

    /// The link behind a pin or an id belongs to something else than a netkit device.
    #[error("it is a link of another kind (type {kind}), not a netkit link")]
    NotNetkit {
        /// `enum bpf_link_type`.
        kind: u32,
    },

    /// A path that contains a NUL byte.
    #[error("a path contains a NUL byte")]
    Path(#[from] std::ffi::NulError),

    /// An object file that cannot be read.
    #[error("it is not a BPF object file: {0}")]
    Object(String),
}

impl NetkitError {
    /// The errno, if a system call failed.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::NoDevice { source, .. } | Self::Syscall { source, .. } => source.raw_os_error(),
            Self::NotNetkit { .. } | Self::Path(_) | Self::Object(_) => None,
        }
    }
}

/// The index of a device in the network namespace of the calling thread.
fn ifindex(name: &str) -> Result<u32, NetkitError> {
    let c_name = CString::new(name)?;
    // SAFETY: a C string that outlives the call.
    match unsafe { libc::if_nametoindex(c_name.as_ptr()) } {
        0 => Err(NetkitError::NoDevice {
            name: name.to_owned(),
            source: io::Error::last_os_error(),
        }),
        index => Ok(index),
    }
}
