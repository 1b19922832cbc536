// SPDX-License-Identifier: GPL-2.0

//! The packet path.
//!
//! A packet that a device sends is changed so that it looks as if the peer had received it. Then the programs of the
//! sending device run. By their verdict, the packet is passed to the stack of the peer, freed, or redirected.

#![forbid(unsafe_code)]

use super::{
    uapi::{Action, Scrub},
    Netkit, //
};
use crate::{
    bpf::context::with_net_context,
    net::{
        device::Device,
        ops::Transmit,
        rcu::BhDisabled,
        skb::{DropReason, Frame, SkBuff}, //
    }, //
};
use kernel::sync::atomic::Relaxed;

/// The packet was freed, and is not counted yet.
struct Dropped;

/// `netkit_xmit()`.
///
/// C takes `rcu_read_lock()` here. This is not needed: senders have bottom halves disabled, which is an RCU read-side
/// critical section already.
///
/// With `SWITCH_AFTER` the packet changes devices after the programs have run ([`DevSwitch::AfterProg`]).
///
/// [`DevSwitch::AfterProg`]: super::uapi::DevSwitch::AfterProg
#[inline(always)]
pub(super) fn xmit<const SWITCH_AFTER: bool>(
    skb: SkBuff,
    dev: &Device<Netkit>,
    bh: &BhDisabled,
) -> Transmit {
    match forward::<SWITCH_AFTER>(skb, dev, bh) {
        Ok(()) => Transmit::Success,
        Err(Dropped) => {
            dev.count_tx_dropped();
            Transmit::Drop
        }
    }
}

#[inline(always)]
fn forward<const SWITCH_AFTER: bool>(
    skb: SkBuff,
    dev: &Device<Netkit>,
    bh: &BhDisabled,
) -> Result<(), Dropped> {
    let nk = dev.private();
    let len = skb.len();

    let peer = match nk.peer.dereference(bh) {
        Some(peer) if peer.is_up() => peer,
        Some(_) => {
            skb.free(DropReason::DEV_READY);
            return Err(Dropped);
        }
        None => {
            skb.free(DropReason::NO_TX_TARGET);
            return Err(Dropped);
        }
    };
    let mut frame = skb.into_frame().ok_or(Dropped)?;
    if !frame.orphan_frags() {
        frame.free(DropReason::SKB_UCOPY_FAULT);
        return Err(Dropped);
    }

    prep_forward(&mut frame, dev, peer);
    let mut frame = frame.at(dev, bh);
    if !SWITCH_AFTER {
        frame.enter(peer, bh);
    }

    let mut verdict = nk.policy.load(Relaxed) as i32;
    let mut reason = DropReason::TAP_TXFILTER;
    // C sets up the context for every packet. Only programs use it, and the redirect that a program requests.
    if let Some(programs) = nk.active.programs(bh) {
        reason = DropReason::TC_EGRESS;
        frame.leave_ingress();
        // What a program sends elsewhere, the packet or a copy, netfilter's egress hook has seen.
        frame.skip_egress(true);
        let rest = with_net_context(bh, |context| {
            verdict = programs.run(&mut frame, verdict, Action::Next as i32, bh);
            if verdict != Action::Redirect as i32 {
                return Some(frame);
            }
            dev.count_tx(len);
            frame.redirect(context, bh);
            None
        });
        match rest {
            Some(rest) => frame = rest,
            None => return Ok(()),
        }
    }

    // `Action::Drop`, and any other number that a program returns.
    if verdict != Action::Next as i32 && verdict != Action::Pass as i32 {
        frame.free(reason);
        return Err(Dropped);
    }
    if SWITCH_AFTER {
        frame.enter(peer, bh);
    }
    // C leaves the mark on the packet. Then the egress rules of the card behind do not see what the stack forwards there.
    frame.skip_egress(false);
    if !frame.receive(bh) {
        return Err(Dropped);
    }
    dev.count_tx(len);
    peer.count_rx(len);
    Ok(())
}

/// Clears what a packet must not carry to the peer. A packet to another namespace loses more.
#[inline(always)]
fn prep_forward(frame: &mut Frame, dev: &Device<Netkit>, peer: &Device<Netkit>) {
    frame.scrub();
    if dev.net().is(peer.net()) {
        return;
    }
    frame.clear_tstamp();
    if dev.private().scrub.load(Relaxed) != Scrub::None as u32 {
        frame.set_priority(0);
        frame.set_mark(0);
    }
}
