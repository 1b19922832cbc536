// SPDX-License-Identifier: GPL-2.0

//! Packets that a BPF program sends elsewhere.
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
        // SAFETY: The packet is valid and given away. What the program wanted is kept in the BPF network context,
        // which is there; the devices that it names are valid under RCU, which `_bh` shows.
        unsafe { bindings::skb_do_redirect(self.into_raw()) };
    }
}
