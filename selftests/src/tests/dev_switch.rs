// SPDX-License-Identifier: GPL-2.0
//! When packets change devices (`IFLA_NETKIT_DEV_SWITCH`): before the programs of the primary run, or after.
//!
//! The built-in driver of 7.3 does not know the attribute, and passes it over. So its programs always see the peer.

use anyhow::Result;
use nix::errno::Errno;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Probes;
use crate::bpf::probe::Redirect;
use crate::bpf::probe::Way;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::module;
use crate::netkit;
use crate::netkit::Spec;
use crate::netkit::DEV_SWITCH;
use crate::nl::attr;
use crate::nl::attr::Attrs;
use crate::nl::link::linkinfo;
use crate::nl::Answer;
use crate::traffic;

tests![
    shown,
    changed,
    out_of_range,
    single,
    through_the_peer,
    what_programs_see,
    changed_under_traffic,
    redirect_to_a_device_of_the_host,
    traffic_of_every_kind,
];

pub const BEFORE: u32 = 0;
pub const AFTER: u32 = 1;

pub fn spec(value: u32) -> Spec {
    Spec::l3().with_data(|data| data.u32(DEV_SWITCH, value))
}

pub fn change(t: &Ctx, index: u32, value: u32) -> Answer<()> {
    let mut data = Attrs::new();
    data.u32(DEV_SWITCH, value);
    t.host.set_link(index, &linkinfo(netkit::KIND, Some(&data)))
}

/// What a device shows of the option. The default is not shown.
pub fn dumped(t: &Ctx, index: u32) -> Result<Option<u32>> {
    let data = t.host.link_by_index(index)?.data();
    Ok(attr::find(&data, DEV_SWITCH).and_then(|attr| attr.u32()))
}

/// `AFTER` with the Rust driver, nothing with the built-in one.
fn after() -> Option<u32> {
    module::is_loaded().then_some(AFTER)
}

fn shown(t: &Ctx) -> Result<()> {
    let pair = spec(AFTER).create(&t.host, &t.host)?;
    check::equal("after", dumped(t, pair.primary)?, after())?;
    check::equal("the peer", dumped(t, pair.peer)?, None)?;
    t.host.del_link(pair.primary)?;
    let pair = spec(BEFORE).create(&t.host, &t.host)?;
    check::equal("before", dumped(t, pair.primary)?, None)
}

fn changed(t: &Ctx) -> Result<()> {
    let pair = Spec::l2().create(&t.host, &t.host)?;
    for (value, expected) in [
        (AFTER, after()),
        (AFTER, after()),
        (BEFORE, None),
        (AFTER, after()),
    ] {
        change(t, pair.primary, value)?;
        check::equal("shown", dumped(t, pair.primary)?, expected)?;
    }
    // With another change in the same request, which fails: nothing has changed.
    let mut data = Attrs::new();
    data.u32(DEV_SWITCH, BEFORE).u32(netkit::POLICY, 7);
    let answer = t
        .host
        .set_link(pair.primary, &linkinfo(netkit::KIND, Some(&data)));
    let text = "Provided default xmit policy not supported";
    check::refused(
        "policy 7",
        answer,
        Errno::EINVAL,
        Some(text),
        Some(netkit::POLICY),
    )?;
    check::equal("shown", dumped(t, pair.primary)?, after())
}

fn out_of_range(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    if module::is_loaded() {
        let text = Some("integer out of range");
        let at = Some(DEV_SWITCH);
        check::refused(
            "changed",
            change(t, pair.primary, 2),
            Errno::ERANGE,
            text,
            at,
        )?;
        check::equal("shown", dumped(t, pair.primary)?, None)?;
        let answer = spec(2).name("new").try_create(&t.host);
        check::refused("created", answer, Errno::ERANGE, text, at)?;
        let answer = Spec::l3()
            .with_data(|data| data.put(DEV_SWITCH, &[1, 0]))
            .name("new")
            .try_create(&t.host);
        let text = Some("Attribute failed policy validation");
        check::refused("too short", answer, Errno::ERANGE, text, at)
    } else {
        change(t, pair.primary, 2)?;
        check::equal("shown", dumped(t, pair.primary)?, None)
    }
}

fn single(t: &Ctx) -> Result<()> {
    let answer = spec(AFTER)
        .pairing(netkit::SINGLE)
        .name("single")
        .try_create(&t.host);
    if module::is_loaded() {
        check::equal(
            "created",
            answer.err().map(|refusal| refusal.errno),
            Some(Errno::EOPNOTSUPP),
        )?;
        let index = Spec::l3().create_single("single", &t.host)?;
        let answer = change(t, index, AFTER);
        check::equal(
            "changed",
            answer.err().map(|refusal| refusal.errno),
            Some(Errno::EOPNOTSUPP),
        )
    } else {
        Ok(answer?)
    }
}

fn through_the_peer(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let text = "netkit link settings can be changed only through the primary device";
    let answer = change(t, pair.peer, AFTER);
    check::refused("through the peer", answer, Errno::EACCES, Some(text), None)
}

/// The device that the programs of the primary see in `skb->ifindex`.
pub fn seen(duo: &Duo, probes: &mut Probes) -> Result<u32> {
    probes.reset()?;
    check::that(
        "arrives",
        traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), true)?,
    )?;
    Ok(probes.seen(0)?.ifindex)
}

fn what_programs_see(t: &Ctx) -> Result<()> {
    // The two namespaces count devices by themselves: the indexes must differ to tell.
    t.host.add_device("other", "dummy")?;
    let duo = t.duo(Spec::l3())?;
    let mut probes = Probes::load(2)?;
    mprog::attach(probes.fd(0)?, duo.pair.primary, PRIMARY, Place::default())?;
    mprog::attach(probes.fd(1)?, duo.pair.primary, PEER, Place::default())?;
    check::that("indexes differ", duo.pair.primary != duo.pair.peer)?;
    check::equal("before", seen(&duo, &mut probes)?, duo.pair.peer)?;
    change(t, duo.pair.primary, AFTER)?;
    let expected = if module::is_loaded() {
        duo.pair.primary
    } else {
        duo.pair.peer
    };
    check::equal("after", seen(&duo, &mut probes)?, expected)?;
    // What the peer sends is as ever.
    check::that(
        "back",
        traffic::udp_arrives(&duo.pod, &duo.host, HOST4.into(), true)?,
    )?;
    check::equal(
        "the peer's program",
        probes.seen(1)?.ifindex,
        duo.pair.primary,
    )?;
    change(t, duo.pair.primary, BEFORE)?;
    check::equal("before again", seen(&duo, &mut probes)?, duo.pair.peer)
}

fn changed_under_traffic(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let probes = Probes::load(1)?;
    mprog::attach(probes.fd(0)?, duo.pair.primary, PRIMARY, Place::default())?;
    for round in 0..20 {
        change(t, duo.pair.primary, round % 2)?;
        traffic::tcp_exchange(&duo.host, &duo.pod, POD4.into(), 100_000)?;
        traffic::udp_exchange(&duo.pod, &duo.host, HOST4.into(), 500)?;
    }
    Ok(())
}

/// A program names a device of the host. With the packet at the peer, that number is looked up in the pod's namespace.
fn redirect_to_a_device_of_the_host(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let sink = t.host.add_device("sink", "dummy")?;
    t.host.up(sink)?;
    check::that(
        "the pod has no such device",
        duo.pod.link_by_index(sink).is_err(),
    )?;
    let redirect = Redirect::load(Way::Egress, sink, POD4, None)?;
    mprog::attach(redirect.fd()?, duo.pair.primary, PRIMARY, Place::default())?;
    for (value, expected) in [(BEFORE, 0), (AFTER, u64::from(module::is_loaded()))] {
        change(t, duo.pair.primary, value)?;
        let before = t.host.stats(sink)?;
        let ran = redirect.count()?;
        traffic::udp_send(&duo.host, POD4.into(), 64)?;
        check::equal("the program ran", redirect.count()?, ran + 1)?;
        check::equal(
            "sent by the sink",
            t.host.stats(sink)?.since(&before).tx_packets,
            expected,
        )?;
    }
    Ok(())
}

fn traffic_of_every_kind(t: &Ctx) -> Result<()> {
    for spec in [spec(AFTER), spec(AFTER).mode(netkit::L2)] {
        let duo = t.duo(spec)?;
        let probes = Probes::load(1)?;
        mprog::attach(probes.fd(0)?, duo.pair.primary, PRIMARY, Place::default())?;
        let before = duo.pod.stats(duo.pair.peer)?;
        traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 1000)?;
        traffic::tcp_exchange(&duo.host, &duo.pod, POD4.into(), 300_000)?;
        check::that("echo", traffic::ping(&duo.host, POD4.into(), true)?)?;
        check::that(
            "counted",
            duo.pod.stats(duo.pair.peer)?.since(&before).rx_packets > 3,
        )?;
        duo.host.del_link(duo.pair.primary)?;
    }
    Ok(())
}
