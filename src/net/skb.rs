// SPDX-License-Identifier: GPL-2.0

//! Packets on their way through a driver's xmit routine.
//!
//! A packet is an owned value: dropping it frees it, a verdict consumes it.
//!
//! C headers: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h),
//! [`include/linux/etherdevice.h`](srctree/include/linux/etherdevice.h)

use super::{
    device::NetDevice,
    rcu::ReadSide, //
};
use crate::{
    bindings,
    bpf::context::NetContext, //
};
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};

/// The room in front of a packet that drivers leave if nobody asks for more, in bytes (`NET_SKB_PAD`).
pub(crate) fn default_headroom() -> u32 {
    // SAFETY: A constant.
    let bytes = unsafe { bindings::netkit_rs_net_skb_pad() };
    bytes as u32
}

/// A packet (`struct sk_buff`), owned.
///
/// # Invariants
///
/// The pointer is a valid packet, and nobody else uses this `sk_buff` (its data may be shared).
pub(crate) struct SkBuff(NonNull<bindings::sk_buff>);

impl SkBuff {
    /// # Safety
    ///
    /// `skb` must be a valid packet that the caller owns; the value owns it from now on.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(skb: *mut bindings::sk_buff) -> Self {
        // SAFETY: A valid pointer is not null.
        // INVARIANT: By the function's safety requirement.
        Self(unsafe { NonNull::new_unchecked(skb) })
    }

    #[inline(always)]
    pub(crate) fn as_ptr(&mut self) -> *mut bindings::sk_buff {
        self.0.as_ptr()
    }

    /// Gives the packet away without freeing it.
    #[inline(always)]
    fn into_raw(self) -> *mut bindings::sk_buff {
        ManuallyDrop::new(self).0.as_ptr()
    }

    /// The length of the packet in bytes.
    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        // SAFETY: The packet is valid.
        unsafe { self.0.as_ref().len }
    }

    /// The packet as an Ethernet frame: the header is where the CPU can read it (`pskb_may_pull(ETH_HLEN)`).
    ///
    /// None, and the packet is freed, if it is shorter than a header or memory is short.
    #[inline(always)]
    pub(crate) fn into_frame(mut self) -> Option<Frame> {
        // SAFETY: The packet is valid.
        if !unsafe { bindings::netkit_rs_pskb_may_pull(self.as_ptr(), bindings::ETH_HLEN) } {
            return None;
        }
        // INVARIANT: The header was just made linear.
        Some(Frame(self))
    }
}

impl Drop for SkBuff {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: The packet is valid and owned.
        unsafe { bindings::netkit_rs_kfree_skb(self.as_ptr()) };
    }
}

/// A packet that starts with an Ethernet header.
///
/// # Invariants
///
/// `skb->data` has `ETH_HLEN` linear bytes.
pub(crate) struct Frame(SkBuff);

impl Frame {
    #[inline(always)]
    pub(crate) fn as_ptr(&mut self) -> *mut bindings::sk_buff {
        self.0.as_ptr()
    }

    #[inline(always)]
    fn fields(&mut self) -> *mut bindings::sk_buff__bindgen_ty_4__bindgen_ty_1 {
        // SAFETY: The packet is valid; the union's only other member is the same struct by its name.
        unsafe { (&raw mut (*self.as_ptr()).__bindgen_anon_4).cast() }
    }

    /// Copies what of the packet user space still owns (`skb_orphan_frags(GFP_ATOMIC)`). False if memory is short.
    #[inline(always)]
    pub(crate) fn orphan_frags(&mut self) -> bool {
        // SAFETY: The packet is valid.
        let err =
            unsafe { bindings::netkit_rs_skb_orphan_frags(self.as_ptr(), bindings::GFP_ATOMIC) };
        err == 0
    }

    /// Forgets what the packet knows of where it came from, but keeps what may go along to another namespace
    /// (`skb_scrub_packet(false)`).
    #[inline(always)]
    pub(crate) fn scrub(&mut self) {
        // SAFETY: The packet is valid.
        unsafe { bindings::skb_scrub_packet(self.as_ptr(), false) };
    }

    /// Keeps netfilter's egress hook from seeing the packet twice (`nf_skip_egress(true)`).
    #[inline(always)]
    pub(crate) fn skip_egress(&mut self) {
        // SAFETY: The packet is valid.
        unsafe { bindings::netkit_rs_nf_skip_egress(self.as_ptr(), true) };
    }

    /// `skb_clear_tstamp()`.
    #[inline(always)]
    pub(crate) fn clear_tstamp(&mut self) {
        // SAFETY: The packet is valid.
        unsafe { bindings::netkit_rs_skb_clear_tstamp(self.as_ptr()) };
    }

    /// `skb->priority`.
    #[inline(always)]
    pub(crate) fn set_priority(&mut self, priority: u32) {
        // SAFETY: The packet is valid and owned.
        unsafe { (*self.fields()).priority = priority };
    }

    /// `skb->mark`.
    #[inline(always)]
    pub(crate) fn set_mark(&mut self, mark: u32) {
        // SAFETY: The packet is valid and owned; the union holds plain numbers.
        unsafe { (*self.fields()).__bindgen_anon_4.mark = mark };
    }

    /// The packet changes over to `dev`: its header is that of what the device receives (`skb_reset_mac_header()`).
    /// Is it for it, for all, or for another host (`eth_skb_pkt_type()`)? Then `skb->dev`.
    ///
    /// The packet must not outlive the device, which holds as long as the read-side lock does.
    #[inline(always)]
    pub(crate) fn enter(mut self, dev: &NetDevice, _read_side: &impl ReadSide) -> Arrival {
        // SAFETY: The packet is valid; the header that is found and read is linear by the type invariant.
        unsafe {
            bindings::netkit_rs_skb_reset_mac_header(self.as_ptr());
            bindings::netkit_rs_eth_skb_pkt_type(self.as_ptr(), dev.as_ptr());
        }
        // SAFETY: The packet is valid and owned.
        unsafe {
            (*self.as_ptr())
                .__bindgen_anon_1
                .__bindgen_anon_1
                .__bindgen_anon_1
                .dev = dev.as_ptr()
        };
        // INVARIANT: The header was just found where the type invariant has it.
        Arrival(self.0)
    }
}

/// A packet at the device that is to receive it, its Ethernet header not taken off yet.
///
/// # Invariants
///
/// `skb->mac_header` lies inside the buffer, with `ETH_HLEN` linear bytes behind it. (The BPF helpers that move a
/// packet's start keep it so.)
pub(crate) struct Arrival(SkBuff);

impl Arrival {
    #[inline(always)]
    pub(crate) fn as_ptr(&mut self) -> *mut bindings::sk_buff {
        self.0.as_ptr()
    }

    /// Takes the Ethernet header off (`eth_skb_pull_mac()`, `skb_postpull_rcsum()`) and hands the packet to the
    /// stack as received by its device (`__netif_rx()`). False if the stack had no room; then it freed it.
    #[inline(always)]
    pub(crate) fn receive(mut self, _read_side: &impl ReadSide) -> bool {
        // SAFETY: The packet is valid; the pull checks the length, and the header stays in the buffer.
        unsafe {
            bindings::netkit_rs_eth_skb_pull_mac(self.as_ptr());
            let header = bindings::netkit_rs_eth_hdr(self.as_ptr());
            bindings::netkit_rs_skb_postpull_rcsum(
                self.as_ptr(),
                header.cast(),
                bindings::ETH_HLEN,
            );
        }
        // SAFETY: The packet is valid and given away; xmit runs with bottom halves disabled.
        let verdict = unsafe { bindings::__netif_rx(self.0.into_raw()) };
        verdict == bindings::NET_RX_SUCCESS as i32
    }

    /// Sends the packet where the BPF program said, or frees it (`skb_do_redirect()`).
    #[inline(always)]
    pub(crate) fn redirect(self, _context: &NetContext, _read_side: &impl ReadSide) {
        // SAFETY: The packet is valid and given away. What the program wanted is kept in the BPF network context,
        // which is there; the devices that it names are valid under RCU.
        unsafe { bindings::skb_do_redirect(self.0.into_raw()) };
    }
}
