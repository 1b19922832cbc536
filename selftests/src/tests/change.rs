// SPDX-License-Identifier: GPL-2.0
//! Changing a pair that exists: policies through the primary, nothing else.

use anyhow::Result;
use nix::errno::Errno;

use crate::check;
use crate::ctx::Ctx;
use crate::netkit;
use crate::netkit::Pair;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::PASS;
use crate::nl::attr;
use crate::nl::attr::Attrs;
use crate::nl::link::linkinfo;
use crate::nl::Answer;

tests![
    policies_through_the_primary,
    policies_while_up,
    peer_may_not,
    fixed_attributes,
    first_fixed_attribute_is_named,
    bad_policy_changes_nothing,
    bad_peer_policy_after_good_policy,
    other_kind,
    empty_data,
];

fn change(t: &Ctx, index: u32, fill: impl FnOnce(&mut Attrs) -> &mut Attrs) -> Answer<()> {
    let mut data = Attrs::new();
    fill(&mut data);
    t.host.set_link(index, &linkinfo(netkit::KIND, Some(&data)))
}

/// The policies of primary and peer, as the primary shows them.
fn policies(t: &Ctx, pair: Pair) -> Result<(Option<u32>, Option<u32>)> {
    let data = t.host.link_by_index(pair.primary)?.data();
    let value = |kind| attr::find(&data, kind).and_then(|attr| attr.u32());
    Ok((value(netkit::POLICY), value(netkit::PEER_POLICY)))
}

fn policies_through_the_primary(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    for (own, peer) in [(DROP, PASS), (PASS, DROP), (DROP, DROP), (PASS, PASS)] {
        let (own, peer) = (own as u32, peer as u32);
        change(t, pair.primary, |data| {
            data.u32(netkit::POLICY, own).u32(netkit::PEER_POLICY, peer)
        })?;
        check::equal("policies", policies(t, pair)?, (Some(own), Some(peer)))?;
    }
    change(t, pair.primary, |data| data.u32(netkit::PEER_POLICY, 2))?;
    check::equal("policies", policies(t, pair)?, (Some(0), Some(2)))
}

fn policies_while_up(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    change(t, duo.pair.primary, |data| data.u32(netkit::POLICY, 2))?;
    let arrives = crate::traffic::udp_arrives(&duo.host, &duo.pod, crate::ctx::POD4.into(), false)?;
    check::equal("arrives", arrives, false)?;
    change(t, duo.pair.primary, |data| data.u32(netkit::POLICY, 0))?;
    let arrives = crate::traffic::udp_arrives(&duo.host, &duo.pod, crate::ctx::POD4.into(), true)?;
    check::equal("arrives", arrives, true)
}

fn peer_may_not(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    for attr in [netkit::POLICY, netkit::PEER_POLICY, netkit::MODE] {
        let answer = change(t, pair.peer, |data| data.u32(attr, 0));
        let text = "netkit link settings can be changed only through the primary device";
        check::refused("through the peer", answer, Errno::EACCES, Some(text), None)?;
    }
    Ok(())
}

fn fixed_attributes(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let fixed: [(u16, &str, usize); 6] = [
        (netkit::MODE, "operating mode", 4),
        (netkit::SCRUB, "scrubbing", 4),
        (netkit::PEER_SCRUB, "peer scrubbing", 4),
        (netkit::HEADROOM, "headroom", 2),
        (netkit::TAILROOM, "tailroom", 2),
        (netkit::PAIRING, "pairing", 4),
    ];
    for (attr, name, len) in fixed {
        // Also with the value that it has.
        let answer = change(t, pair.primary, |data| data.put(attr, &[0; 4][..len]));
        let text = format!("netkit link {name} cannot be changed after device creation");
        t.same(name, format!("{answer:?}"));
        check::refused(name, answer, Errno::EACCES, Some(&text), Some(attr))?;
    }
    let answer = change(t, pair.primary, |data| {
        data.put(netkit::PEER_INFO, &[0; 16])
    });
    let text = "netkit link peer info cannot be changed after device creation";
    let at = Some(netkit::PEER_INFO);
    check::refused("peer info", answer, Errno::EACCES, Some(text), at)
}

/// Several changes in one request: the driver applies them in its own order, not in that of the request.
fn first_fixed_attribute_is_named(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let answer = change(t, pair.primary, |data| {
        data.u32(netkit::POLICY, 2)
            .u32(netkit::PAIRING, 0)
            .u16(netkit::HEADROOM, 0)
            .u32(netkit::SCRUB, 0)
    });
    let text = "netkit link scrubbing cannot be changed after device creation";
    let at = Some(netkit::SCRUB);
    check::refused("several", answer, Errno::EACCES, Some(text), at)?;
    check::equal("policies", policies(t, pair)?, (Some(0), Some(0)))
}

fn bad_policy_changes_nothing(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let answer = change(t, pair.primary, |data| {
        data.u32(netkit::POLICY, 7).u32(netkit::PEER_POLICY, 2)
    });
    let text = "Provided default xmit policy not supported";
    let at = Some(netkit::POLICY);
    check::refused("policy 7", answer, Errno::EINVAL, Some(text), at)?;
    check::equal("policies", policies(t, pair)?, (Some(0), Some(0)))
}

/// C has taken over the first policy when it finds the second one wrong.
fn bad_peer_policy_after_good_policy(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let answer = change(t, pair.primary, |data| {
        data.u32(netkit::POLICY, 2).u32(netkit::PEER_POLICY, 7)
    });
    let text = "Provided default xmit policy not supported";
    let at = Some(netkit::PEER_POLICY);
    check::refused("peer policy 7", answer, Errno::EINVAL, Some(text), at)?;
    check::equal("policies", policies(t, pair)?, (Some(2), Some(0)))
}

fn other_kind(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let mut data = Attrs::new();
    data.u32(1, 1);
    let answer = t
        .host
        .set_link(pair.primary, &linkinfo("dummy", Some(&data)));
    t.same("as a dummy", format!("{answer:?}"));
    check::that("refused", answer.is_err())
}

fn empty_data(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    change(t, pair.primary, |data| data)?;
    let answer = change(t, pair.peer, |data| data);
    let text = "netkit link settings can be changed only through the primary device";
    check::refused("through the peer", answer, Errno::EACCES, Some(text), None)
}
