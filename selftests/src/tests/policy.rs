// SPDX-License-Identifier: GPL-2.0
//! The default policy of each side: forward, or blackhole, whose drops are counted.

use anyhow::Result;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::NEXT;
use crate::netkit::PASS;
use crate::traffic;

tests![
    forward_both,
    blackhole_primary,
    blackhole_peer,
    blackhole_both,
    blackhole_counts,
    next_overrides_blackhole,
    policy_back_after_detach,
];

/// Whether datagrams get from the host to the pod and back, for each policy.
fn reaches(t: &Ctx, policy: i32, peer_policy: i32) -> Result<()> {
    for spec in [Spec::l2(), Spec::l3()] {
        let duo = t.duo(spec.policy(policy).peer_policy(peer_policy))?;
        // In L2 mode ARP must get both ways before anything gets one way.
        let l2 = !duo.host.link("nk0")?.has(libc::IFF_NOARP);
        let both = policy == PASS && peer_policy == PASS;
        let out = if l2 { both } else { policy == PASS };
        let back = if l2 { both } else { peer_policy == PASS };
        let there = traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), out)?;
        check::equal("host to pod", there, out)?;
        let here = traffic::udp_arrives(&duo.pod, &duo.host, HOST4.into(), back)?;
        check::equal("pod to host", here, back)?;
        duo.host.del_link(duo.pair.primary)?;
    }
    Ok(())
}

fn forward_both(t: &Ctx) -> Result<()> {
    reaches(t, PASS, PASS)
}

fn blackhole_primary(t: &Ctx) -> Result<()> {
    reaches(t, DROP, PASS)
}

fn blackhole_peer(t: &Ctx) -> Result<()> {
    reaches(t, PASS, DROP)
}

fn blackhole_both(t: &Ctx) -> Result<()> {
    reaches(t, DROP, DROP)
}

fn blackhole_counts(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3().policy(DROP).peer_policy(DROP))?;
    for _ in 0..3 {
        traffic::udp_send(&duo.host, POD4.into(), 100)?;
    }
    traffic::udp_send(&duo.pod, HOST4.into(), 100)?;
    let primary = duo.host.stats(duo.pair.primary)?;
    let peer = duo.pod.stats(duo.pair.peer)?;
    check::equal("drops of the primary", primary.tx_dropped, 3)?;
    check::equal("drops of the peer", peer.tx_dropped, 1)?;
    t.same("primary", format!("{primary:?}"));
    t.same("peer", format!("{peer:?}"));
    Ok(())
}

/// The last program's word counts, and next means on with it: not the policy.
fn next_overrides_blackhole(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3().policy(DROP).peer_policy(DROP))?;
    let next = Prog::returning(NEXT)?;
    for hook in [PRIMARY, PEER] {
        mprog::attach(&next, duo.pair.primary, hook, Place::default())?;
    }
    let there = traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), true)?;
    check::equal("host to pod", there, true)?;
    let here = traffic::udp_arrives(&duo.pod, &duo.host, HOST4.into(), true)?;
    check::equal("pod to host", here, true)
}

fn policy_back_after_detach(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3().policy(DROP))?;
    let pass = Prog::returning(PASS)?;
    let index = duo.pair.primary;
    mprog::attach(&pass, index, PRIMARY, Place::default())?;
    let there = traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), true)?;
    check::equal("with a program", there, true)?;
    mprog::detach(Some(&pass), index, PRIMARY, Place::default())?;
    let there = traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), false)?;
    check::equal("without", there, false)
}
