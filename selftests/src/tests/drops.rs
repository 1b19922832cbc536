// SPDX-License-Identifier: GPL-2.0
//! Why a packet is dropped, as the tracepoint `skb:kfree_skb` shows it to dropwatch, perf and pwru.
//!
//! The built-in driver gives no reason. The Rust driver gives the core's reason that fits. Both are
//! asserted, so that a change of the built-in driver is noticed.

use anyhow::anyhow;
use anyhow::Result;
use nix::errno::Errno;

use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Redirect;
use crate::bpf::probe::Way;
use crate::bpf::prog::Prog;
use crate::bpf::steer::Order;
use crate::bpf::steer::Steer;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::bpf::TCX_INGRESS;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::faults::probe::Probe;
use crate::module;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::tracefs::Instance;
use crate::traffic;
use crate::vhost::Vhost;

use super::lengths;
use super::xdp::BPF_XDP;
use super::xdp::XDP_FLAGS_SKB_MODE;
use super::xdp::XDP_TX;

tests![
    by_program,
    unknown_verdict,
    by_policy,
    without_peer,
    peer_is_down,
    too_short,
    user_memory,
];

/// What the built-in driver says of each drop.
const NO_REASON: &str = "NOT_SPECIFIED";

/// A trace of the tracepoint `skb:kfree_skb`.
struct Drops(Instance);

impl Drops {
    fn new() -> Result<Self> {
        let mut instance = Instance::new()?;
        instance.enable("skb/kfree_skb")?;
        Ok(Self(instance))
    }

    /// The reasons of the packets that a netkit driver has freed, each once, in the order of their first drop.
    fn reasons(&self) -> Result<Vec<String>> {
        let mut reasons = Vec::new();
        for line in self.0.trace()?.lines() {
            // As in: kfree_skb: skbaddr=… rx_sk=… protocol=2048 location=netkit_xmit+0x1c4/0x3e0 reason: NOT_SPECIFIED
            let Some(location) = word_after(line, "location=") else {
                continue;
            };
            let reason =
                word_after(line, "reason: ").ok_or_else(|| anyhow!("no reason: {line}"))?;
            if location.starts_with("netkit_") && !reasons.iter().any(|known| known == reason) {
                reasons.push(reason.to_owned());
            }
        }
        Ok(reasons)
    }
}

fn word_after<'a>(line: &'a str, what: &str) -> Option<&'a str> {
    line.split_once(what)?.1.split_whitespace().next()
}

/// The one reason that was given is this one on the Rust driver.
fn reason_is(drops: &Drops, reason: &str) -> Result<()> {
    let expected = if module::is_loaded() {
        reason
    } else {
        NO_REASON
    };
    check::equal("reasons", drops.reasons()?, vec![expected])
}

/// A pair whose host sends one datagram, which does not arrive.
fn dropped(t: &Ctx, duo: &Duo, reason: &str) -> Result<()> {
    let drops = Drops::new()?;
    let came = traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), false)?;
    check::equal("arrived", came, false)?;
    reason_is(&drops, reason)?;
    t.host.del_link(duo.pair.primary)?;
    Ok(())
}

fn with_verdict(t: &Ctx, verdict: i32) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let prog = Prog::returning(verdict)?;
    mprog::attach(&prog, duo.pair.primary, PRIMARY, Place::default())?;
    dropped(t, &duo, "TC_EGRESS")
}

fn by_program(t: &Ctx) -> Result<()> {
    with_verdict(t, DROP)
}

fn unknown_verdict(t: &Ctx) -> Result<()> {
    with_verdict(t, 100)
}

fn by_policy(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3().policy(DROP))?;
    dropped(t, &duo, "TAP_TXFILTER")
}

/// A single device has nobody to send to.
fn without_peer(t: &Ctx) -> Result<()> {
    let single = Spec::l2().create_single("single", &t.host)?;
    t.host.up(single)?;
    let drops = Drops::new()?;
    // The sender of a frame is told of the drop on either driver.
    check::errno(
        "sending",
        traffic::send_frame(&t.host, single, &[0xff; 60]),
        Errno::ENOBUFS,
    )?;
    reason_is(&drops, "NO_TX_TARGET")?;
    t.host.del_link(single)?;
    Ok(())
}

/// The primary has no carrier then, and the stack sends nothing by it. Generic XDP does, without a look at the carrier.
fn peer_is_down(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l2())?;
    let third = t.ns()?;
    let other = Duo {
        host: duo.host.clone(),
        pair: Spec::l2().create_as("s0", "s1", &duo.host, &third)?,
        pod: third,
    };
    other.up()?;
    // What another pod sends comes in at the primary, and goes back from there.
    let inward = Redirect::load(Way::Ingress, duo.pair.primary, POD4, None)?;
    mprog::attach(inward.fd()?, other.pair.primary, PEER, Place::default())?;
    let xdp = Prog::load(libbpf_sys::BPF_PROG_TYPE_XDP, BPF_XDP, XDP_TX)?;
    let place = Place::flags(XDP_FLAGS_SKB_MODE);
    let _link = Link::create(&xdp, duo.pair.primary, BPF_XDP, place)?;
    duo.pod.down(duo.pair.peer)?;
    let drops = Drops::new()?;
    let frame = traffic::udp_frame(&[2, 0, 0, 0, 0, 7], HOST4, POD4, b"netkit")?;
    traffic::send_frame(&other.pod, other.pair.peer, &frame)?;
    check::soon("a drop", || Ok(!drops.reasons()?.is_empty()))?;
    reason_is(&drops, "DEV_READY")?;
    let peer = duo.pod.stats(duo.pair.peer)?;
    check::equal("dropped by the peer", peer.rx_dropped, 0)?;
    t.host.del_link(duo.pair.primary)?;
    Ok(())
}

/// tc hands a tun device's packets to the primary as they are.
fn too_short(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l2())?;
    let mut tun = lengths::tun_before(&duo, "redirect")?;
    let drops = Drops::new()?;
    tun.write(libc::ETH_P_IP as u16, &[0x45; 13])?;
    check::soon("a drop", || Ok(!drops.reasons()?.is_empty()))?;
    reason_is(&drops, "PKT_TOO_SMALL")?;
    t.host.del_link(duo.pair.primary)?;
    Ok(())
}

/// The bytes of a packet are a virtual machine's, and cannot be copied (`skb_orphan_frags()`).
fn user_memory(t: &Ctx) -> Result<()> {
    let probe = Probe::load(t)?;
    let duo = t.duo(Spec::l2())?;
    let card = Vhost::open("tap0")?;
    let from = t.host.link("tap0")?.index;
    t.host.up(from)?;
    let mut inward = Steer::load()?;
    inward.order(Order::Egress(duo.pair.primary))?;
    mprog::attach(inward.fd()?, from, TCX_INGRESS, Place::default())?;
    let before = duo.host.stats(duo.pair.primary)?;
    let drops = Drops::new()?;
    probe.arm_for_all("skb_copy_ubufs", 0, -i64::from(libc::ENOMEM))?;
    let mac = [2, 0, 0, 0, 0, 7];
    card.send(&traffic::udp_frame(&mac, HOST4, POD4, &[0x11; 1300])?)?;
    check::soon("its memory is given back", || Ok(card.is_done()))?;
    check::that("the copy failed", probe.fired()?)?;
    probe.disarm()?;
    reason_is(&drops, "SKB_UCOPY_FAULT")?;
    let counted = duo.host.stats(duo.pair.primary)?.since(&before);
    check::equal("dropped", counted.tx_dropped, 1)?;
    probe.unload()
}
