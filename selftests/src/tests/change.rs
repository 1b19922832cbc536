// SPDX-License-Identifier: GPL-2.0
//! Changing a pair that exists, through the primary: policies, and with the Rust driver more.

use anyhow::anyhow;
use anyhow::Result;
use nix::errno::Errno;

use crate::check;
use crate::ctx::Ctx;
use crate::module;
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
    changed_by_the_rust_driver_alone,
    scrubbing_of_a_single_device,
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
    let fixed: [(u16, &str, &[u8]); 3] = [
        (netkit::MODE, "operating mode", &[0; 4]),
        (netkit::PEER_INFO, "peer info", &[0; 16]),
        (netkit::PAIRING, "pairing", &[0; 4]),
    ];
    for (attr, name, value) in fixed {
        // Also with the value that it has.
        let answer = change(t, pair.primary, |data| data.put(attr, value));
        t.same(name, format!("{answer:?}"));
        refused_as_fixed(name, answer, attr)?;
    }
    Ok(())
}

fn refused_as_fixed(name: &str, answer: Answer<()>, attr: u16) -> Result<()> {
    let text = fixed_text(name);
    check::refused(name, answer, Errno::EACCES, Some(&text), Some(attr))
}

fn fixed_text(name: &str) -> String {
    format!("netkit link {name} cannot be changed after device creation")
}

/// Several at once: the order is the driver's, not the request's.
fn first_fixed_attribute_is_named(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let answer = change(t, pair.primary, |data| {
        data.u32(netkit::POLICY, 2)
            .u32(netkit::PAIRING, 0)
            .u32(netkit::MODE, 0)
    });
    let text = fixed_text("operating mode");
    let at = Some(netkit::MODE);
    check::refused("several", answer, Errno::EACCES, Some(&text), at)?;
    check::equal("policies", policies(t, pair)?, (Some(0), Some(0)))
}

/// What the Rust driver can change, and the built-in driver cannot: each with the value that it is given, and how the
/// primary shows it.
fn changed_by_the_rust_driver_alone(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let changes: [(u16, &str, &[u8]); 4] = [
        (
            netkit::SCRUB,
            "scrubbing",
            &netkit::SCRUB_NONE.to_ne_bytes(),
        ),
        (
            netkit::PEER_SCRUB,
            "peer scrubbing",
            &netkit::SCRUB_NONE.to_ne_bytes(),
        ),
        (netkit::HEADROOM, "headroom", &300u16.to_ne_bytes()),
        (netkit::TAILROOM, "tailroom", &24u16.to_ne_bytes()),
    ];
    for (attr, name, value) in changes {
        let before = shown(t, pair.primary, attr)?;
        let answer = change(t, pair.primary, |data| data.put(attr, value));
        if module::is_loaded() {
            answer?;
            check::equal(name, shown(t, pair.primary, attr)?.as_slice(), value)?;
        } else {
            refused_as_fixed(name, answer, attr)?;
            check::equal(name, shown(t, pair.primary, attr)?, before)?;
        }
        let text = "netkit link settings can be changed only through the primary device";
        let answer = change(t, pair.peer, |data| data.put(attr, value));
        check::refused("through the peer", answer, Errno::EACCES, Some(text), None)?;
    }
    // Both ends have the room.
    if module::is_loaded() {
        let peer = (
            shown(t, pair.peer, netkit::HEADROOM)?,
            shown(t, pair.peer, netkit::TAILROOM)?,
        );
        let expected = (300u16.to_ne_bytes().to_vec(), 24u16.to_ne_bytes().to_vec());
        check::equal("the peer's room", peer, expected)?;
    }
    Ok(())
}

/// The bytes of an attribute as a device shows it.
fn shown(t: &Ctx, index: u32, kind: u16) -> Result<Vec<u8>> {
    let data = t.host.link_by_index(index)?.data();
    let attr = attr::find(&data, kind).ok_or_else(|| anyhow!("attribute {kind} is not shown"))?;
    Ok(attr.payload.clone())
}

/// Refused together: a device without a peer has no scrubbing, and nothing of the request is done.
fn scrubbing_of_a_single_device(t: &Ctx) -> Result<()> {
    let index = Spec::l3().create_single("single", &t.host)?;
    for attr in [netkit::SCRUB, netkit::PEER_SCRUB] {
        let answer = change(t, index, |data| {
            data.u32(attr, netkit::SCRUB_NONE).u16(netkit::HEADROOM, 99)
        });
        t.same(&format!("attribute {attr}"), format!("{answer:?}"));
        check::equal(
            "errno",
            answer.err().map(|refusal| refusal.errno),
            Some(Errno::EACCES),
        )?;
        check::equal("headroom", shown(t, index, netkit::HEADROOM)?, vec![0, 0])?;
    }
    Ok(())
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
