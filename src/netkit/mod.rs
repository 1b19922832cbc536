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
//! | `link.rs` | `netkit_link_lops`: what a BPF link does |
//! | `queue.rs` | `netkit_queue_mgmt_ops`, `netkit_xsk()`: leased queues |
//! | `notifier.rs` | `netkit_notifier()`: devices that come and go |
//! | `module.rs` | the module's life: which driver has the devices |

#![forbid(unsafe_code)]

mod device;
mod link;
mod manage;
mod module;
mod notifier;
mod pair;
mod queue;
mod settings;
mod xmit;

use crate::{
    bindings::{self, layout},
    bpf::mprog::{HasMprog, Mprog},
    net::{
        once::Once,
        ops::Ops,
        rcu::RcuDevice, //
    }, //
};
use core::mem::offset_of;
use kernel::prelude::*;

pub(crate) use module::{Devices, Module, TakeoverState};
pub(crate) use notifier::Notifier;

/// `netkit_netdev_ops`, `netkit_ethtool_ops`, `netkit_queue_mgmt_ops`.
static OPS: Ops<Netkit> = Ops::new();

/// A device's private area: `struct netkit`, field by field, so that C's functions find what they expect.
#[repr(C)]
#[derive(Zeroable)]
pub(crate) struct Netkit {
    /// The other device of the pair.
    pub(crate) peer: RcuDevice<Netkit>,
    /// `active`, `policy` and `scrub`, and the program arrays.
    mprog: Mprog<Transit>,
    mode: Once<u32>,
    pair: Once<u32>,
    primary: Once<bool>,
    /// What this device wants in front of packets, in bytes. The pair gets the larger of the two.
    headroom: Once<u32>,
}

/// What the fast path reads of a device's settings.
#[repr(C)]
#[derive(Zeroable)]
pub(crate) struct Transit {
    policy: Once<u32>,
    scrub: Once<u32>,
}

impl HasMprog for Netkit {
    type Between = Transit;

    #[inline(always)]
    fn mprog(&self) -> &Mprog<Transit> {
        &self.mprog
    }
}

const _: () = {
    use layout::netkit as c;
    assert!(size_of::<Netkit>() == c::SIZE);
    assert!(offset_of!(Netkit, peer) == c::PEER);
    assert!(offset_of!(Netkit, mprog.active) == c::ACTIVE);
    assert!(offset_of!(Netkit, mprog.between.policy) == c::POLICY);
    assert!(offset_of!(Netkit, mprog.between.scrub) == c::SCRUB);
    assert!(offset_of!(Netkit, mprog.bundle) == c::BUNDLE);
    assert!(offset_of!(Netkit, mode) == c::MODE);
    assert!(offset_of!(Netkit, pair) == c::PAIR);
    assert!(offset_of!(Netkit, primary) == c::PRIMARY);
    assert!(offset_of!(Netkit, headroom) == c::HEADROOM);
};

/// What happens to a packet: the answer of a program, or the policy (`enum netkit_action`).
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Action {
    /// Ask the next program; after the last one, pass.
    Next = bindings::netkit_action_NETKIT_NEXT,
    /// The peer receives it.
    Pass = bindings::netkit_action_NETKIT_PASS,
    /// It is freed, and counted.
    Drop = bindings::netkit_action_NETKIT_DROP,
    /// It goes where the program said.
    Redirect = bindings::netkit_action_NETKIT_REDIRECT,
}

// A program may be written for netkit or for tcx.
const _: () = {
    assert!(Action::Next as i32 == bindings::tcx_action_base_TCX_NEXT);
    assert!(Action::Pass as i32 == bindings::tcx_action_base_TCX_PASS);
    assert!(Action::Drop as i32 == bindings::tcx_action_base_TCX_DROP);
    assert!(Action::Redirect as i32 == bindings::tcx_action_base_TCX_REDIRECT);
};

/// Whether the devices have addresses (`enum netkit_mode`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They are Ethernet devices.
    L2 = bindings::netkit_mode_NETKIT_L2 as isize,
    /// They pass packets without addresses.
    L3 = bindings::netkit_mode_NETKIT_L3 as isize,
}

/// What a packet loses on its way to another namespace (`enum netkit_scrub`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scrub {
    /// What every device takes away.
    None = bindings::netkit_scrub_NETKIT_SCRUB_NONE as isize,
    /// Mark and priority too.
    Default = bindings::netkit_scrub_NETKIT_SCRUB_DEFAULT as isize,
}

/// How many devices are made (`enum netkit_pairing`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pairing {
    /// A primary and its peer.
    Pair = bindings::netkit_pairing_NETKIT_DEVICE_PAIR as isize,
    /// A primary alone.
    Single = bindings::netkit_pairing_NETKIT_DEVICE_SINGLE as isize,
}

impl Netkit {
    fn transit(&self) -> &Transit {
        &self.mprog.between
    }

    fn is(&self, mode: Mode) -> bool {
        self.mode.get() == mode as u32
    }

    fn is_single(&self) -> bool {
        self.pair.get() == Pairing::Single as u32
    }
}
