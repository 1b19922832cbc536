// SPDX-License-Identifier: GPL-2.0

//! Packets that a BPF program redirects.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

use super::context::NetContext;
use crate::{
    bindings,
    net::{
        rcu::BhDisabled,
        skb::Arrival, //
    }, //
};

impl Arrival {
    /// Sends the packet where the BPF program said, or frees it (`skb_do_redirect()`).
    #[inline(always)]
    pub(crate) fn redirect(self, _context: &NetContext, _bh: &BhDisabled) {
        // SAFETY: The packet is valid and given away. The program's request is in the BPF network context, which
        // `_context` shows to exist; the devices that the request names are valid under RCU, which `_bh` shows.
        unsafe { bindings::skb_do_redirect(self.into_raw()) };
    }
}
