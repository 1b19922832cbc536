// SPDX-License-Identifier: GPL-2.0
//! Creating pairs: names, defaults, modes, the peer's own namespace.

use anyhow::Result;
use nix::errno::Errno;

use crate::check;
use crate::ctx::Ctx;
use crate::netkit;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::PASS;

tests![
    defaults,
    named_pair,
    enumerated_names,
    peer_named_only,
    peer_in_other_namespace,
    policies_of_each_side,
    name_taken,
    peer_name_taken,
    duplicate_index,
    wanted_index,
];

fn names(t: &Ctx) -> Result<Vec<String>> {
    Ok(netkit::devices(&t.host)?
        .iter()
        .map(|link| link.name())
        .collect())
}

fn defaults(t: &Ctx) -> Result<()> {
    Spec::new().try_create(&t.host)?;
    let links = netkit::devices(&t.host)?;
    check::equal("devices", links.len(), 2)?;
    for link in &links {
        check::that("no address in L3 mode", link.mac() == [0; 6])?;
        check::that("NOARP", link.has(libc::IFF_NOARP))?;
        check::that("down", !link.has(libc::IFF_UP))?;
        check::equal("mtu", link.u32(libc::IFLA_MTU), Some(1500))?;
        t.same(&link.name(), netkit::data_text(link));
    }
    Ok(())
}

fn named_pair(t: &Ctx) -> Result<()> {
    Spec::l2().name("left").peer("right").try_create(&t.host)?;
    let left = t.host.link("left")?;
    let right = t.host.link("right")?;
    check::equal(
        "iflink of left",
        left.u32(libc::IFLA_LINK),
        Some(right.index),
    )?;
    check::equal(
        "iflink of right",
        right.u32(libc::IFLA_LINK),
        Some(left.index),
    )?;
    // The peer is registered first.
    check::that("peer has the lower index", right.index < left.index)
}

fn enumerated_names(t: &Ctx) -> Result<()> {
    Spec::new().try_create(&t.host)?;
    Spec::new().try_create(&t.host)?;
    check::equal("names", names(t)?, ["nk0", "nk1", "nk2", "nk3"])
}

fn peer_named_only(t: &Ctx) -> Result<()> {
    Spec::new().peer("pod").try_create(&t.host)?;
    check::equal("names", names(t)?, ["pod", "nk0"])
}

fn peer_in_other_namespace(t: &Ctx) -> Result<()> {
    let pod = t.ns()?;
    let pair = Spec::l3().create(&t.host, &pod)?;
    check::equal("names here", names(t)?, ["nk0"])?;
    let peer = pod.link_by_index(pair.peer)?;
    check::equal("iflink", peer.u32(libc::IFLA_LINK), Some(pair.primary))?;
    let primary = t.host.link("nk0")?;
    check::that(
        "link-netnsid",
        primary.attr(libc::IFLA_LINK_NETNSID).is_some(),
    )
}

fn policies_of_each_side(t: &Ctx) -> Result<()> {
    for (n, (policy, peer)) in [(PASS, PASS), (PASS, DROP), (DROP, PASS), (DROP, DROP)]
        .into_iter()
        .enumerate()
    {
        let (name, other) = (format!("a{n}"), format!("b{n}"));
        let spec = Spec::new().policy(policy).peer_policy(peer);
        spec.name(&name).peer(&other).try_create(&t.host)?;
        for (name, policy, peer) in [(&name, policy, peer), (&other, peer, policy)] {
            let data = t.host.link(name)?.data();
            let value = |kind| crate::nl::attr::find(&data, kind).and_then(|attr| attr.u32());
            check::equal("policy", value(netkit::POLICY), Some(policy as u32))?;
            check::equal("peer policy", value(netkit::PEER_POLICY), Some(peer as u32))?;
        }
    }
    Ok(())
}

/// What is in use already is refused, and no device of the pair comes into being.
fn taken(t: &Ctx, what: &str, spec: &Spec) -> Result<()> {
    check::refused(what, spec.try_create(&t.host), Errno::EEXIST, None, None)?;
    check::equal("devices", names(t)?.len(), 0)
}

fn name_taken(t: &Ctx) -> Result<()> {
    t.host.add_device("left", "dummy")?;
    let spec = Spec::new().name("left").peer("right");
    taken(t, "a name in use", &spec)
}

fn peer_name_taken(t: &Ctx) -> Result<()> {
    t.host.add_device("right", "dummy")?;
    let spec = Spec::new().name("left").peer("right");
    taken(t, "a peer name in use", &spec)
}

fn duplicate_index(t: &Ctx) -> Result<()> {
    let mut spec = Spec::new().name("left").peer("right");
    spec.index = t.host.add_device("dummy0", "dummy")?;
    taken(t, "an index in use", &spec)
}

fn wanted_index(t: &Ctx) -> Result<()> {
    let mut spec = Spec::new().name("left").peer("right");
    spec.index = 77;
    spec.peer_index = 55;
    spec.try_create(&t.host)?;
    check::equal("index", t.host.link("left")?.index, 77)?;
    check::equal("peer index", t.host.link("right")?.index, 55)
}
