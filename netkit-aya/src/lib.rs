// SPDX-License-Identifier: GPL-2.0
//! netkit links for [aya](https://aya-rs.dev).
//!
//! A netkit device is a pair: the *primary* in the host, its *peer* in a container or a VM. BPF programs of the type
//! [`SchedClassifier`] run on the packets that leave either of them, and both are managed from the primary, out of the
//! container's reach. aya (0.13) knows tc and tcx links but no netkit links; this crate adds them, with aya's names, traits
//! and errors.
//!
//! ```no_run
//! use aya::programs::SchedClassifier;
//! use aya::Ebpf;
//! use netkit_aya::AttachNetkit as _;
//! use netkit_aya::NetkitAttachType;
//! use netkit_aya::NetkitOptions;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let object = netkit_aya::aya_object(std::fs::read("filter.bpf.o")?)?;
//! let mut ebpf = Ebpf::load(&object)?;
//! let program: &mut SchedClassifier = ebpf.program_mut("filter").ok_or("no such program")?.try_into()?;
//! program.load()?;
//! let link = program.attach_netkit("nk0", NetkitAttachType::Peer, NetkitOptions::default())?;
//! link.pin("/sys/fs/bpf/filter")?;
//! # Ok(())
//! # }
//! ```
//!
//! | what | where |
//! |---|---|
//! | attach by a link, at a place in the order | [`AttachNetkit::attach_netkit`], [`NetkitOptions`], [`NetkitOrder`] |
//! | another program behind the link; detach; information | [`NetkitLink`] |
//! | pin, open a pin, unpin | [`NetkitLink::pin`], [`PinnedNetkitLink`] |
//! | attach without a link, as `bpf_prog_attach` does | [`mprog`] |
//! | which programs run, and in which order | [`query`] |
//! | object files with libbpf's section names | [`aya_object`] |
//!
//! # Minimum kernel version
//!
//! netkit is there since 6.7; the order of programs and the revision came with it.

#![warn(missing_docs)]

mod attach;
mod link;
pub mod mprog;
mod order;
mod query;
mod sections;
mod sys;

pub use attach::AttachNetkit;
pub use attach::NetkitAttachType;
pub use attach::NetkitOptions;
pub use attach::NetworkInterface;
pub use link::NetkitLink;
pub use link::NetkitLinkId;
pub use link::NetkitLinkInfo;
pub use link::PinnedNetkitLink;
pub use order::NetkitOrder;
pub use query::query;
pub use query::NetkitProgram;
pub use query::NetkitQuery;
pub use sections::aya_object;
pub use sections::programs;
pub use sections::ObjectError;
pub use sections::ProgramSymbol;

#[cfg(doc)]
use aya::programs::SchedClassifier;
