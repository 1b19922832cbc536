// SPDX-License-Identifier: GPL-2.0
//! Requests that must be refused, each with its errno, text and attribute.

use anyhow::Result;
use nix::errno::Errno;

use crate::check;
use crate::ctx::Ctx;
use crate::netkit;
use crate::netkit::Spec;

tests![
    bad_policy,
    bad_peer_policy,
    bad_mode,
    bad_scrub,
    bad_peer_scrub,
    bad_pairing,
    primary_is_read_only,
    short_attributes,
    unknown_attribute,
    short_peer_info,
    broken_peer_attribute,
    bad_peer_name,
    missing_peer_namespace,
    every_policy_value,
];

const BAD_POLICY: &str = "Provided default xmit policy not supported";

/// Sends the request, reports the answer, and checks that nothing was created.
fn refused(t: &Ctx, label: &str, spec: Spec) -> Result<crate::nl::Refusal> {
    let answer = spec.try_create(&t.host);
    let Err(refusal) = answer else {
        anyhow::bail!("{label} was accepted");
    };
    t.same(label, &refusal);
    check::equal("devices", netkit::devices(&t.host)?.len(), 0)?;
    Ok(refusal)
}

/// Verdicts that cannot be a policy, put into `attr` by `with`.
fn bad_policies(t: &Ctx, label: &str, attr: u16, with: fn(Spec, i32) -> Spec) -> Result<()> {
    for value in [1, 3, 7, -1] {
        let no = refused(t, &format!("{label} {value}"), with(Spec::new(), value))?;
        let (no, text) = (Err::<(), _>(no), Some(BAD_POLICY));
        check::refused("policy", no, Errno::EINVAL, text, Some(attr))?;
    }
    Ok(())
}

fn bad_policy(t: &Ctx) -> Result<()> {
    bad_policies(t, "policy", netkit::POLICY, Spec::policy)
}

fn bad_peer_policy(t: &Ctx) -> Result<()> {
    bad_policies(t, "peer policy", netkit::PEER_POLICY, Spec::peer_policy)
}

/// A value beyond the attribute's maximum, which the attribute policy refuses.
fn beyond(t: &Ctx, attr: u16, max: u32) -> Result<()> {
    for value in [max + 1, u32::MAX] {
        let spec = Spec::new().with_data(|data| data.u32(attr, value));
        let no = refused(t, &format!("attribute {attr} = {value}"), spec)?;
        let text = Some("integer out of range");
        check::refused("value", Err::<(), _>(no), Errno::ERANGE, text, Some(attr))?;
    }
    Ok(())
}

fn bad_mode(t: &Ctx) -> Result<()> {
    beyond(t, netkit::MODE, netkit::L3)
}

fn bad_scrub(t: &Ctx) -> Result<()> {
    beyond(t, netkit::SCRUB, netkit::SCRUB_DEFAULT)
}

fn bad_peer_scrub(t: &Ctx) -> Result<()> {
    beyond(t, netkit::PEER_SCRUB, netkit::SCRUB_DEFAULT)
}

fn bad_pairing(t: &Ctx) -> Result<()> {
    beyond(t, netkit::PAIRING, netkit::SINGLE)
}

fn primary_is_read_only(t: &Ctx) -> Result<()> {
    let spec = Spec::new().with_data(|data| data.u8(netkit::IS_PRIMARY, 1));
    let no = refused(t, "primary", spec)?;
    let text = Some("Primary attribute is read-only");
    let at = Some(netkit::IS_PRIMARY);
    check::refused("primary", Err::<(), _>(no), Errno::EINVAL, text, at)
}

fn short_attributes(t: &Ctx) -> Result<()> {
    for attr in [
        netkit::MODE,
        netkit::POLICY,
        netkit::PEER_POLICY,
        netkit::SCRUB,
    ] {
        let spec = Spec::new().with_data(|data| data.u16(attr, 0));
        let no = refused(t, &format!("two bytes for attribute {attr}"), spec)?;
        check::equal("errno", no.errno, Errno::ERANGE)?;
    }
    for attr in [netkit::HEADROOM, netkit::TAILROOM] {
        let spec = Spec::new().with_data(|data| data.u8(attr, 0));
        let no = refused(t, &format!("one byte for attribute {attr}"), spec)?;
        check::equal("errno", no.errno, Errno::ERANGE)?;
    }
    Ok(())
}

/// Nested attributes of a link's data are parsed leniently: unknown ones are ignored.
fn unknown_attribute(t: &Ctx) -> Result<()> {
    let spec = Spec::new().with_data(|data| data.u32(99, 1));
    spec.try_create(&t.host)?;
    check::equal("devices", netkit::devices(&t.host)?.len(), 2)
}

fn short_peer_info(t: &Ctx) -> Result<()> {
    let spec = Spec::new().with_data(|data| data.put(netkit::PEER_INFO, &[0; 8]));
    refused(t, "eight bytes of peer info", spec).map(drop)
}

fn broken_peer_attribute(t: &Ctx) -> Result<()> {
    let spec = Spec::new().with_peer(|peer| peer.put(libc::IFLA_MTU, &[1]));
    refused(t, "one byte of peer MTU", spec).map(drop)
}

fn bad_peer_name(t: &Ctx) -> Result<()> {
    for name in ["", "a/b", "with space", "."] {
        refused(t, &format!("peer name '{name}'"), Spec::new().peer(name))?;
    }
    refused(t, "long peer name", Spec::new().peer("a-name-beyond-16")).map(drop)
}

fn missing_peer_namespace(t: &Ctx) -> Result<()> {
    let spec = Spec::new().with_peer(|peer| peer.u32(libc::IFLA_NET_NS_FD, 9999));
    refused(t, "no such namespace", spec).map(drop)
}

/// The whole small range of both policies, by errno.
fn every_policy_value(t: &Ctx) -> Result<()> {
    for value in -2..10 {
        let name = format!("p{}", value + 2);
        let answer = Spec::new().policy(value).name(&name).try_create(&t.host);
        let text = answer.map_or_else(|no| no.to_string(), |()| "accepted".into());
        check::equal("accepted", text == "accepted", value == 0 || value == 2)?;
        t.same(&format!("policy {value}"), text);
    }
    Ok(())
}
