// SPDX-License-Identifier: GPL-2.0

//! Packets on their way through a driver's xmit routine.
//!
//! A packet is an owned value: dropping it frees it, a verdict consumes it.
//!
//! C headers: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h),
//! [`include/linux/etherdevice.h`](srctree/include/linux/etherdevice.h)

use super::{
    device::NetDevice,
    rcu::{BhDisabled, ReadSide}, //
};
use crate::bindings;
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};

/// The default room before a packet, in bytes (`NET_SKB_PAD`).
pub(crate) fn default_headroom() -> u32 {
    // SAFETY: NET_SKB_PAD is a constant; the shim takes no argument.
    let bytes = unsafe { bindings::netkit_rs_net_skb_pad() };
    bytes as u32
}

/// Why a packet is freed (`enum skb_drop_reason`). The tracepoint `skb:kfree_skb` shows it to dropwatch, perf and pwru.
#[derive(Clone, Copy)]
pub(crate) struct DropReason(bindings::skb_drop_reason);

impl DropReason {
    /// There is no device to send to.
    pub(crate) const NO_TX_TARGET: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_NO_TX_TARGET);
    /// The device is down.
    pub(crate) const DEV_READY: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_DEV_READY);
    /// The part of the packet that user space owns could not be copied.
    pub(crate) const SKB_UCOPY_FAULT: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_SKB_UCOPY_FAULT);
    /// A BPF program of the device that sends (a tc program by type) dropped the packet.
    pub(crate) const TC_EGRESS: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_TC_EGRESS);
    /// A filter of the driver itself dropped the packet.
    pub(crate) const TAP_TXFILTER: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_TAP_TXFILTER);
}

/// A packet (`struct sk_buff`), owned.
///
/// # Invariants
///
/// The pointer is a valid packet, and nobody else changes this `sk_buff` (its data may be shared; pktgen keeps a reference).
pub(crate) struct SkBuff(NonNull<bindings::sk_buff>);

impl SkBuff {
    /// # Safety
    ///
    /// `skb` must be a valid packet that the caller owns; the value owns it from now on.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(skb: *mut bindings::sk_buff) -> Self {
        // SAFETY: By the function's safety requirement the pointer is valid, so it is not null.
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
        // SAFETY: By the type invariant the packet is valid; nobody else writes `skb->len`.
        unsafe { self.0.as_ref().len }
    }

    /// The packet as an Ethernet frame: the header is where the CPU can read it (`pskb_may_pull_reason(ETH_HLEN)`).
    ///
    /// None, and the packet is freed, if it is shorter than a header (`PKT_TOO_SMALL`) or memory is short (`NOMEM`).
    #[inline(always)]
    pub(crate) fn into_frame(mut self) -> Option<Frame> {
        // SAFETY: By the type invariant the packet is valid. `pskb_expand_head()` behind `pskb_may_pull_reason()` insists on
        // `skb->users` being 1; it is not called for a packet of pktgen, whose header is linear.
        let reason =
            unsafe { bindings::netkit_rs_pskb_may_pull_reason(self.as_ptr(), bindings::ETH_HLEN) };
        if reason != bindings::skb_drop_reason_SKB_NOT_DROPPED_YET {
            self.free(DropReason(reason));
            return None;
        }
        // INVARIANT: The header was just made linear.
        Some(Frame(self))
    }

    /// Frees the packet, and says why (`kfree_skb_reason()`).
    #[inline(always)]
    pub(crate) fn free(self, reason: DropReason) {
        // SAFETY: By the type invariant the packet is valid and owned, and it is given away: `kfree_skb_reason()` drops
        // the owner's reference.
        unsafe { bindings::netkit_rs_kfree_skb_reason(self.into_raw(), reason.0) };
    }
}

impl Drop for SkBuff {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: By the type invariant the packet is valid and owned: `kfree_skb()` drops the owner's reference.
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
        // SAFETY: By the type invariant the packet is valid; `headers` and the anonymous struct are one by
        // `struct_group()` in `struct sk_buff`.
        unsafe { (&raw mut (*self.as_ptr()).__bindgen_anon_4).cast() }
    }

    /// Copies the parts of the packet that user space still owns (`skb_orphan_frags(GFP_ATOMIC)`). False if memory is
    /// short.
    #[inline(always)]
    pub(crate) fn orphan_frags(&mut self) -> bool {
        // SAFETY: By the type invariant the packet is valid and owned; `skb_orphan_frags()` replaces its frags by
        // copies (`skb_copy_ubufs()`).
        let err =
            unsafe { bindings::netkit_rs_skb_orphan_frags(self.as_ptr(), bindings::GFP_ATOMIC) };
        err == 0
    }

    /// Clears what the packet carries about its origin, except for what may be carried to another namespace
    /// (`skb_scrub_packet(false)`).
    #[inline(always)]
    pub(crate) fn scrub(&mut self) {
        // SAFETY: By the type invariant the packet is valid and owned; `skb_scrub_packet()` drops its references to
        // other objects, and does not touch its data.
        unsafe { bindings::skb_scrub_packet(self.as_ptr(), false) };
    }

    /// [`SkBuff::free()`].
    #[inline(always)]
    pub(crate) fn free(self, reason: DropReason) {
        self.0.free(reason);
    }

    /// `skb_clear_tstamp()`.
    #[inline(always)]
    pub(crate) fn clear_tstamp(&mut self) {
        // SAFETY: By the type invariant the packet is valid and owned; `skb_clear_tstamp()` writes its `tstamp`.
        unsafe { bindings::netkit_rs_skb_clear_tstamp(self.as_ptr()) };
    }

    /// `skb->priority`.
    #[inline(always)]
    pub(crate) fn set_priority(&mut self, priority: u32) {
        // SAFETY: By the type invariant the packet is valid and owned, and so is `skb->priority`.
        unsafe { (*self.fields()).priority = priority };
    }

    /// `skb->mark`.
    #[inline(always)]
    pub(crate) fn set_mark(&mut self, mark: u32) {
        // SAFETY: By the type invariant the packet is valid and owned; `mark` and `reserved_tailroom`, which share a
        // word, are plain numbers.
        unsafe { (*self.fields()).__bindgen_anon_4.mark = mark };
    }

    /// The packet is one of `dev` from now on: the place of its header (`skb_reset_mac_header()`), and `skb->dev`.
    ///
    /// The packet must not outlive the device, which holds as long as the read-side lock does.
    #[inline(always)]
    pub(crate) fn at(mut self, dev: &NetDevice, _read_side: &impl ReadSide) -> Arrival {
        // SAFETY: By the type invariant the packet is valid and owned; `skb_reset_mac_header()` writes where the header is.
        unsafe { bindings::netkit_rs_skb_reset_mac_header(self.as_ptr()) };
        // INVARIANT: `mac_header` was just set to the header.
        let mut this = Arrival(self.0);
        this.set_dev(dev);
        this
    }
}

/// A packet at a device, with its Ethernet header not removed yet.
///
/// # Invariants
///
/// `skb->mac_header` is inside the buffer, and `ETH_HLEN` linear bytes begin there. (The BPF helpers that move the
/// start of a packet preserve this.)
pub(crate) struct Arrival(SkBuff);

impl Arrival {
    #[inline(always)]
    pub(crate) fn as_ptr(&mut self) -> *mut bindings::sk_buff {
        self.0.as_ptr()
    }

    #[inline(always)]
    fn set_dev(&mut self, dev: &NetDevice) {
        // SAFETY: By the type invariant the packet is valid and owned. It is on no queue, so its union of `dev` and
        // `dev_scratch` holds `dev`.
        unsafe {
            (*self.as_ptr())
                .__bindgen_anon_1
                .__bindgen_anon_1
                .__bindgen_anon_1
                .dev = dev.as_ptr()
        };
    }

    /// Makes the packet one that `dev` receives: its type, which says whether it is for this host, for all, or for another
    /// host (`eth_skb_pkt_type()`), and `skb->dev`.
    ///
    /// The packet must not outlive the device, which holds as long as the read-side lock does.
    #[inline(always)]
    pub(crate) fn enter(&mut self, dev: &NetDevice, _read_side: &impl ReadSide) {
        // SAFETY: The packet is valid; the header that `eth_skb_pkt_type()` reads is linear by the type invariant.
        unsafe { bindings::netkit_rs_eth_skb_pkt_type(self.as_ptr(), dev.as_ptr()) };
        self.set_dev(dev);
    }

    /// Whether netfilter's egress hook of the next device is skipped (`nf_skip_egress()`).
    #[inline(always)]
    pub(crate) fn skip_egress(&mut self, skip: bool) {
        // SAFETY: By the type invariant the packet is valid and owned; `nf_skip_egress()` writes one of its bits.
        unsafe { bindings::netkit_rs_nf_skip_egress(self.as_ptr(), skip) };
    }

    /// [`SkBuff::free()`].
    #[inline(always)]
    pub(crate) fn free(self, reason: DropReason) {
        self.0.free(reason);
    }

    /// Removes the Ethernet header (`eth_skb_pull_mac()`, `skb_postpull_rcsum()`), and passes the packet to the stack
    /// as received by its device (`__netif_rx()`). False if the stack had no room, and freed the packet.
    #[inline(always)]
    pub(crate) fn receive(mut self, _bh: &BhDisabled) -> bool {
        // SAFETY: By the type invariant ETH_HLEN linear bytes begin at `mac_header`; `skb_pull_inline()` checks
        // `skb->len`, and leaves the header in the buffer for `skb_postpull_rcsum()`.
        unsafe {
            bindings::netkit_rs_eth_skb_pull_mac(self.as_ptr());
            let header = bindings::netkit_rs_eth_hdr(self.as_ptr());
            bindings::netkit_rs_skb_postpull_rcsum(
                self.as_ptr(),
                header.cast(),
                bindings::ETH_HLEN,
            );
        }
        // SAFETY: By the type invariant the packet is valid, and it is given away: `__netif_rx()` frees a packet that
        // it does not queue. It requires disabled bottom halves (its `lockdep_assert_once()`), which `_bh` shows.
        let verdict = unsafe { bindings::__netif_rx(self.into_raw()) };
        verdict == bindings::NET_RX_SUCCESS as i32
    }

    /// Gives the packet away without freeing it.
    #[inline(always)]
    pub(crate) fn into_raw(self) -> *mut bindings::sk_buff {
        self.0.into_raw()
    }
}
