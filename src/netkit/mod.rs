// SPDX-License-Identifier: GPL-2.0

//! The netkit driver: a pair of network devices whose xmit routine runs BPF programs.
//!
//! The primary stays with whoever manages the pair, the peer goes into another namespace, a pod's. Programs for
//! both are attached through the primary. A packet that one of the two sends is received by the other, if the
//! programs say so.
//!
//! | file | what of drivers/net/netkit.c |
//! |---|---|
//! | `xmit.rs` | the packet path: `netkit_xmit()` and its helpers |
//! | `device.rs` | the other `ndo_*` operations |
//! | `settings.rs` | what a request for a new pair says, parsed |
//! | `pair.rs` | `netkit_link_ops`: create, change, dump, delete |
//! | `manage.rs` | `netkit_prog_attach()`, `…_detach()`, `…_query()`, `netkit_link_attach()` |
//! | `bpf_link.rs` | `netkit_link_lops`: what a BPF link does |
//! | `queue.rs` | `netkit_queue_mgmt_ops`, `netkit_xsk()`: leased queues |
//! | `notifier.rs` | `netkit_notifier()`: devices that come and go |
//! | `uapi.rs` | the numbers of include/uapi/linux/if_link.h |
//! | `module.rs` | the module's life: which driver has the devices |

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

/// A device's private area: `struct netkit`, field by field, so that C's functions find what they expect.
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
    /// What this device wants in front of packets, in bytes. The pair gets the larger of the two.
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
