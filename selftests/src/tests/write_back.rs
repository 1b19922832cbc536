// SPDX-License-Identifier: GPL-2.0
//! What a device shows of itself (IFLA_LINKINFO of a dump), given back as a change or as a new device.
//!
//! A manager that saves and restores devices does this. The built-in driver takes policies only. The Rust driver takes all
//! that it can change.

use anyhow::Result;
use nix::errno::Errno;

use crate::check;
use crate::ctx::Ctx;
use crate::module;
use crate::netkit;
use crate::netkit::Spec;
use crate::netkit::CHANGEABLE;
use crate::netkit::DEV_SWITCH;
use crate::netkit::DROP;
use crate::netkit::SCRUB_NONE;
use crate::nl::attr;
use crate::nl::attr::Attr;
use crate::nl::attr::Attrs;
use crate::nl::link::linkinfo;
use crate::nl::Answer;

tests![
    as_it_is,
    each_attribute_of_the_primary,
    each_attribute_of_the_peer,
    each_attribute_of_a_single_device,
    all_that_can_be_changed,
    to_another_pair,
    as_a_new_pair,
    as_a_new_single_device,
    dev_switch,
];

const THROUGH_THE_PRIMARY: &str =
    "netkit link settings can be changed only through the primary device";

/// A pair with other settings than the usual ones.
fn special() -> Spec {
    Spec::l2()
        .policy(DROP)
        .peer_policy(DROP)
        .scrub(SCRUB_NONE)
        .peer_scrub(SCRUB_NONE)
        .headroom(120)
        .tailroom(16)
}

/// The driver's attributes of a device, in the order of the dump.
fn dumped(t: &Ctx, index: u32) -> Result<Vec<Attr>> {
    Ok(t.host.link_by_index(index)?.data())
}

fn shown(t: &Ctx, index: u32) -> Result<String> {
    Ok(netkit::data_text(&t.host.link_by_index(index)?))
}

/// Attributes of a dump, as those of a request.
fn request(dump: &[Attr], leave_out: &[u16]) -> Attrs {
    let mut attrs = Attrs::new();
    for attr in dump {
        if !leave_out.contains(&attr.kind) {
            attrs.put(attr.kind, &attr.payload);
        }
    }
    attrs
}

fn give(t: &Ctx, index: u32, data: &Attrs) -> Answer<()> {
    t.host.set_link(index, &linkinfo(netkit::KIND, Some(data)))
}

/// Refused at the attribute that no request may have, whatever the device.
fn as_it_is(t: &Ctx) -> Result<()> {
    let pair = special().create(&t.host, &t.host)?;
    let single = Spec::l3().create_single("single", &t.host)?;
    for index in [pair.primary, pair.peer, single] {
        let before = shown(t, index)?;
        let link = t.host.link_by_index(index)?;
        let info = link.attr(libc::IFLA_LINKINFO).cloned();
        let mut attrs = Attrs::new();
        attrs.put(
            libc::IFLA_LINKINFO,
            &info.map_or(vec![], |info| info.payload),
        );
        check::refused(
            "the dump",
            t.host.set_link(index, &attrs),
            Errno::EINVAL,
            Some("Primary attribute is read-only"),
            Some(netkit::IS_PRIMARY),
        )?;
        check::equal("shown", shown(t, index)?, before)?;
    }
    Ok(())
}

/// Each attribute that a device shows, given back alone. It has that value already, so nothing changes.
fn each_attribute(
    t: &Ctx,
    index: u32,
    expected: impl Fn(u16) -> Result<(), (Errno, Option<String>)>,
) -> Result<()> {
    let before = shown(t, index)?;
    for attr in dumped(t, index)? {
        let what = format!("attribute {}", attr.kind);
        let mut data = Attrs::new();
        data.put(attr.kind, &attr.payload);
        let answer = give(t, index, &data);
        if !CHANGEABLE.contains(&attr.kind) {
            t.same(&what, format!("{answer:?}"));
        }
        let answer = answer.map_err(|refusal| (refusal.errno, refusal.text));
        let expected = if attr.kind == netkit::IS_PRIMARY {
            let text = "Primary attribute is read-only";
            Err((Errno::EINVAL, Some(text.to_owned())))
        } else {
            expected(attr.kind)
        };
        check::equal(&what, answer, expected)?;
        check::equal("shown", shown(t, index)?, before.clone())?;
    }
    Ok(())
}

/// The refusal of an attribute that a driver cannot change.
fn fixed(attr: u16) -> Result<(), (Errno, Option<String>)> {
    let name = match attr {
        netkit::MODE => "operating mode",
        netkit::SCRUB => "scrubbing",
        netkit::PEER_SCRUB => "peer scrubbing",
        netkit::HEADROOM => "headroom",
        netkit::TAILROOM => "tailroom",
        netkit::PAIRING => "pairing",
        _ => return Ok(()),
    };
    let text = format!("netkit link {name} cannot be changed after device creation");
    Err((Errno::EACCES, Some(text)))
}

fn each_attribute_of_the_primary(t: &Ctx) -> Result<()> {
    let pair = special().create(&t.host, &t.host)?;
    each_attribute(t, pair.primary, |attr| {
        if module::is_loaded() && CHANGEABLE.contains(&attr) {
            Ok(())
        } else {
            fixed(attr)
        }
    })
}

fn each_attribute_of_the_peer(t: &Ctx) -> Result<()> {
    let pair = special().create(&t.host, &t.host)?;
    each_attribute(t, pair.peer, |_| {
        Err((Errno::EACCES, Some(THROUGH_THE_PRIMARY.to_owned())))
    })
}

/// A single device shows a policy, which cannot be given to it.
fn each_attribute_of_a_single_device(t: &Ctx) -> Result<()> {
    let index = Spec::l2()
        .headroom(120)
        .tailroom(16)
        .create_single("single", &t.host)?;
    each_attribute(t, index, |attr| match attr {
        netkit::POLICY => Err((Errno::EOPNOTSUPP, None)),
        attr if module::is_loaded() && CHANGEABLE.contains(&attr) => Ok(()),
        attr => fixed(attr),
    })
}

/// What is left of a dump without what no driver can change.
fn changeable(t: &Ctx, index: u32) -> Result<Attrs> {
    let fixed = [netkit::IS_PRIMARY, netkit::MODE, netkit::PAIRING];
    Ok(request(&dumped(t, index)?, &fixed))
}

/// Accepted by the Rust driver, and refused by the built-in one at the first that it cannot change.
fn accepted_by_the_rust_driver(answer: Answer<()>) -> Result<()> {
    if module::is_loaded() {
        return Ok(answer?);
    }
    let text = "netkit link scrubbing cannot be changed after device creation";
    let at = Some(netkit::SCRUB);
    check::refused("on C", answer, Errno::EACCES, Some(text), at)
}

fn all_that_can_be_changed(t: &Ctx) -> Result<()> {
    let pair = special().create(&t.host, &t.host)?;
    let before = [shown(t, pair.primary)?, shown(t, pair.peer)?];
    let data = changeable(t, pair.primary)?;
    accepted_by_the_rust_driver(give(t, pair.primary, &data))?;
    let after = [shown(t, pair.primary)?, shown(t, pair.peer)?];
    check::equal("shown", after, before)
}

/// The other pair has the same settings then, as far as they can be changed.
fn to_another_pair(t: &Ctx) -> Result<()> {
    let pair = special().create(&t.host, &t.host)?;
    let other = Spec::l2().create_as("a", "b", &t.host, &t.host)?;
    let before = shown(t, other.primary)?;
    let data = changeable(t, pair.primary)?;
    accepted_by_the_rust_driver(give(t, other.primary, &data))?;
    let expected = if module::is_loaded() {
        shown(t, pair.primary)?
    } else {
        before
    };
    check::equal("shown", shown(t, other.primary)?, expected)?;
    if module::is_loaded() {
        check::equal("the peer", shown(t, other.peer)?, shown(t, pair.peer)?)?;
    }
    // What C changes, too.
    let policies = request(
        &dumped(t, pair.primary)?,
        &[
            &CHANGEABLE[..],
            &[netkit::IS_PRIMARY, netkit::MODE, netkit::PAIRING],
        ]
        .concat(),
    );
    give(t, other.primary, &policies)?;
    let policy = |index| -> Result<_> {
        let data = dumped(t, index)?;
        let value = |kind| attr::find(&data, kind).and_then(|attr| attr.u32());
        Ok((value(netkit::POLICY), value(netkit::PEER_POLICY)))
    };
    check::equal("policies", policy(other.primary)?, policy(pair.primary)?)
}

/// A new device from all that another one has shown.
fn copied(t: &Ctx, index: u32, name: &str) -> Result<u32> {
    let spec = Spec {
        data: request(&dumped(t, index)?, &[netkit::IS_PRIMARY]),
        ..Spec::new()
    };
    spec.name(name).try_create(&t.host)?;
    let copy = t.host.link(name)?.index;
    check::equal("shown", shown(t, copy)?, shown(t, index)?)?;
    Ok(copy)
}

fn as_a_new_pair(t: &Ctx) -> Result<()> {
    for (number, spec) in [special(), Spec::l3(), Spec::new()].into_iter().enumerate() {
        let (one, two) = (format!("a{number}"), format!("b{number}"));
        let pair = spec.create_as(&one, &two, &t.host, &t.host)?;
        let copy = copied(t, pair.primary, &format!("copy{number}"))?;
        let peer = t.host.link_by_index(copy)?.u32(libc::IFLA_LINK);
        let peer = peer.unwrap_or_default();
        check::equal("the peer", shown(t, peer)?, shown(t, pair.peer)?)?;
    }
    Ok(())
}

fn as_a_new_single_device(t: &Ctx) -> Result<()> {
    let index = Spec::l2().headroom(64).create_single("single", &t.host)?;
    copied(t, index, "copy").map(drop)
}

/// The built-in driver does not show the option, and passes it over in a request.
fn dev_switch(t: &Ctx) -> Result<()> {
    const AFTER: u32 = 1;
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let mut data = Attrs::new();
    data.u32(DEV_SWITCH, AFTER);
    give(t, pair.primary, &data)?;
    let before = dumped(t, pair.primary)?;
    let option = attr::find(&before, DEV_SWITCH).and_then(|attr| attr.u32());
    check::equal("shown", option, module::is_loaded().then_some(AFTER))?;
    accepted_by_the_rust_driver(give(t, pair.primary, &changeable(t, pair.primary)?))?;
    check::equal("shown", dumped(t, pair.primary)?, before)?;
    let other = Spec::l3().create_as("a", "b", &t.host, &t.host)?;
    let only = request(
        &dumped(t, pair.primary)?,
        &(1..DEV_SWITCH).collect::<Vec<_>>(),
    );
    give(t, other.primary, &only)?;
    check::equal(
        "the other",
        shown(t, other.primary)?,
        shown(t, pair.primary)?,
    )
}
