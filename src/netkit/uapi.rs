// SPDX-License-Identifier: GPL-2.0

//! The numbers of netkit's user-space interface.
//!
//! C header: [`include/uapi/linux/if_link.h`](srctree/include/uapi/linux/if_link.h)

#![forbid(unsafe_code)]

use crate::{
    bindings,
    net::netlink::AttrType, //
};

/// The attributes of the link type (`IFLA_NETKIT_*`).
#[derive(Clone, Copy)]
pub(crate) enum Attr {
    PeerInfo = bindings::IFLA_NETKIT_PEER_INFO as isize,
    Primary = bindings::IFLA_NETKIT_PRIMARY as isize,
    Policy = bindings::IFLA_NETKIT_POLICY as isize,
    PeerPolicy = bindings::IFLA_NETKIT_PEER_POLICY as isize,
    Mode = bindings::IFLA_NETKIT_MODE as isize,
    Scrub = bindings::IFLA_NETKIT_SCRUB as isize,
    PeerScrub = bindings::IFLA_NETKIT_PEER_SCRUB as isize,
    Headroom = bindings::IFLA_NETKIT_HEADROOM as isize,
    Tailroom = bindings::IFLA_NETKIT_TAILROOM as isize,
    Pairing = bindings::IFLA_NETKIT_PAIRING as isize,
}

impl AttrType for Attr {
    const COUNT: usize = bindings::__IFLA_NETKIT_MAX as usize;

    fn number(self) -> u32 {
        self as u32
    }
}

/// `IFLA_NETKIT_DEV_SWITCH`, which upstream works on: a u32 of [`DevSwitch`]. The kernel's policy does not know the type, and
/// passes it over.
pub(super) const DEV_SWITCH: u16 = 11;

/// When a packet of the primary becomes one of the peer (`enum netkit_dev_switch`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum DevSwitch {
    /// Before the programs run: they see the peer as `skb->dev`.
    BeforeProg = 0,
    /// When the programs have let it pass: they see the primary.
    AfterProg = 1,
}

/// Which packets a program sees: those that the primary sends, or those that the peer sends (`enum bpf_attach_type`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AttachType {
    Primary = bindings::bpf_attach_type_BPF_NETKIT_PRIMARY as isize,
    Peer = bindings::bpf_attach_type_BPF_NETKIT_PEER as isize,
}

impl AttachType {
    /// `None` for another attach type.
    pub(super) fn from_number(number: u32) -> Option<Self> {
        [Self::Primary, Self::Peer]
            .into_iter()
            .find(|&this| this as u32 == number)
    }
}

/// What happens to a packet: the verdict of a program, or the policy (`enum netkit_action`).
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Action {
    /// Run the next program; after the last program, pass.
    Next = bindings::netkit_action_NETKIT_NEXT,
    /// The peer receives it.
    Pass = bindings::netkit_action_NETKIT_PASS,
    /// The packet is freed, and counted.
    Drop = bindings::netkit_action_NETKIT_DROP,
    /// The packet is sent where the program said.
    Redirect = bindings::netkit_action_NETKIT_REDIRECT,
}

// A program may be written for netkit or for tcx.
const _: () = {
    assert!(Action::Next as i32 == bindings::tcx_action_base_TCX_NEXT);
    assert!(Action::Pass as i32 == bindings::tcx_action_base_TCX_PASS);
    assert!(Action::Drop as i32 == bindings::tcx_action_base_TCX_DROP);
    assert!(Action::Redirect as i32 == bindings::tcx_action_base_TCX_REDIRECT);
};

/// Whether the devices have MAC addresses (`enum netkit_mode`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The devices are Ethernet devices.
    L2 = bindings::netkit_mode_NETKIT_L2 as isize,
    /// The devices pass packets without MAC addresses.
    L3 = bindings::netkit_mode_NETKIT_L3 as isize,
}

/// What is cleared of a packet on its way to another namespace (`enum netkit_scrub`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scrub {
    /// What every pair of devices clears.
    None = bindings::netkit_scrub_NETKIT_SCRUB_NONE as isize,
    /// Mark and priority, too.
    Default = bindings::netkit_scrub_NETKIT_SCRUB_DEFAULT as isize,
}

/// How many devices are made (`enum netkit_pairing`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pairing {
    /// A primary and its peer.
    Pair = bindings::netkit_pairing_NETKIT_DEVICE_PAIR as isize,
    /// A primary without a peer.
    Single = bindings::netkit_pairing_NETKIT_DEVICE_SINGLE as isize,
}
