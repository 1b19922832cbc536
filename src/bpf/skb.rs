// SPDX-License-Identifier: GPL-2.0

//! Packets that BPF programs see, and send elsewhere.
//!
//! C headers: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h),
//! [`include/net/tcx.h`](srctree/include/net/tcx.h)

use super::context::NetContext;
use crate::{
    bindings,
    net::{
        rcu::BhDisabled,
        skb::Arrival, //
    }, //
};

impl Arrival {
    /// The packet stands at the egress of a device, whatever hook it has come from (`tcx_set_ingress(false)`).
    ///
    /// `__dev_queue_xmit()` says so of each packet. Generic XDP (`XDP_TX`) calls a driver without it, with a packet that
    /// still counts as one at tc's ingress. Then `skb_do_redirect()` returns `-EAGAIN` for `bpf_redirect_peer()`, and neither
    /// sends nor frees the packet, and helpers of BPF put the Ethernet header in front that is there already.
    #[inline(always)]
    pub(crate) fn leave_ingress(&mut self) {
        // SAFETY: By the type invariant the packet is valid and owned; `tcx_set_ingress()` writes one of its bits.
        unsafe { bindings::netkit_rs_tcx_set_ingress(self.as_ptr(), false) };
    }

    /// Sends the packet where the BPF program said, or frees it (`skb_do_redirect()`).
    #[inline(always)]
    pub(crate) fn redirect(self, _context: &NetContext, _bh: &BhDisabled) {
        // SAFETY: The packet is valid and given away. The program's request is in the BPF network context, which
        // `_context` shows to exist; the devices that the request names are valid under RCU, which `_bh` shows.
        unsafe { bindings::skb_do_redirect(self.into_raw()) };
    }
}
