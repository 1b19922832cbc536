// SPDX-License-Identifier: GPL-2.0

//! The netkit driver: a pair of network devices whose xmit routine runs BPF programs.
//!
//! The primary stays in the namespace of the manager of the pair. The peer goes into another namespace, that of a pod.
//! The programs of both devices are attached through the primary. A packet that one device sends is received by the
//! other device, if the programs of the sender allow it.
//!
//! | file | the part of drivers/net/netkit.c |
//! |---|---|
//! | `xmit.rs` | the packet path: `netkit_xmit()` and its helpers |
//! | `device.rs` | the other `ndo_*` operations |
//! | `settings.rs` | parses a request for a new pair |
//! | `pair.rs` | `netkit_link_ops`: create, change, dump, delete |
//! | `manage.rs` | `netkit_prog_attach()`, `…_detach()`, `…_query()`, `netkit_link_attach()` |
//! | `bpf_link.rs` | `netkit_link_lops`: the operations of a BPF link |
//! | `queue.rs` | `netkit_queue_mgmt_ops`, `netkit_xsk()`: leased queues |
//! | `notifier.rs` | `netkit_notifier()`: events about network devices |
//! | `uapi.rs` | the numbers of include/uapi/linux/if_link.h |
//! | `module.rs` | loading and unloading: which driver serves the devices |

#![forbid(unsafe_code)]

mod bpf_link;
mod device;
mod manage;
mod module;
mod notifier;
mod pair;
mod queue;
mod settings;
pub(crate) mod uapi;
mod xmit;

use crate::{
    bindings::layout,
    bpf::mprog::{Active, Bundle},
    net::{
        device::Tables,
        rcu::RcuDevice, //
    }, //
};
use core::mem::offset_of;
use kernel::sync::atomic::{Atomic, Relaxed};
use uapi::{Mode, Pairing};

pub(crate) use module::{Devices, Module, TakeoverState};
pub(crate) use notifier::Notifier;

/// `netkit_netdev_ops`, `netkit_ethtool_ops`, `netkit_queue_mgmt_ops`.
static TABLES: Tables<Netkit> = Tables::new();

/// The private area of a device: `struct netkit`, field by field, because C's functions use it as well.
#[repr(C)]
pub(crate) struct Netkit {
    /// The other device of the pair.
    pub(crate) peer: RcuDevice<Netkit>,
    /// The programs in use.
    pub(crate) active: Active,
    policy: Atomic<u32>,
    scrub: Atomic<u32>,
    /// The two arrays of programs.
    pub(crate) bundle: Bundle,
    mode: Atomic<u32>,
    pair: Atomic<u32>,
    primary: Atomic<bool>,
    /// The headroom that was requested from this device, in bytes. Both devices of the pair get the larger one.
    headroom: Atomic<u32>,
}

const _: () = {
    use layout::netkit as c;
    assert!(size_of::<Netkit>() == c::SIZE);
    assert!(offset_of!(Netkit, peer) == c::PEER);
    assert!(offset_of!(Netkit, active) == c::ACTIVE);
    assert!(offset_of!(Netkit, policy) == c::POLICY);
    assert!(offset_of!(Netkit, scrub) == c::SCRUB);
    assert!(offset_of!(Netkit, bundle) == c::BUNDLE);
    assert!(offset_of!(Netkit, mode) == c::MODE);
    assert!(offset_of!(Netkit, pair) == c::PAIR);
    assert!(offset_of!(Netkit, primary) == c::PRIMARY);
    assert!(offset_of!(Netkit, headroom) == c::HEADROOM);
};

impl Netkit {
    fn is(&self, mode: Mode) -> bool {
        self.mode.load(Relaxed) == mode as u32
    }

    fn is_primary(&self) -> bool {
        self.primary.load(Relaxed)
    }

    fn is_single(&self) -> bool {
        self.pair.load(Relaxed) == Pairing::Single as u32
    }
}
