// SPDX-License-Identifier: GPL-2.0
//! What a packet loses on its way into a pod, through the pair and by `bpf_redirect_peer()`: its type, and its connection in the
//! tables of netfilter (`skb_scrub_packet()`). And what it keeps.

use anyhow::Context;
use anyhow::Result;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Probes;
use crate::bpf::probe::Redirect;
use crate::bpf::probe::Rule;
use crate::bpf::probe::Way;
use crate::bpf::TCX_EGRESS;
use crate::bpf::TCX_INGRESS;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::inject;
use crate::netkit::Spec;
use crate::netkit::NEXT;
use crate::netkit::SCRUB_NONE;
use crate::netns::Ns;
use crate::nl::nft;
use crate::traffic;

use super::packet::PACKET_HOST;
use super::packet::PACKET_OTHERHOST;

tests![
    type_and_mark_through_the_pair,
    type_and_mark_by_redirect,
    connection_through_the_pair,
    connection_by_redirect,
];

const MARK: u32 = 77;
const CB: u32 = 0x100;
/// The index of every namespace's first device.
const LOOPBACK: u32 = 1;

/// What the first of two probes does to a packet, for the second one to see.
fn marked() -> Rule {
    Rule {
        verdict: NEXT,
        set_mark: MARK,
        set_type: PACKET_OTHERHOST,
        set_cb: CB,
        ..Rule::default()
    }
}

/// The second probe, inside the pod, has seen this.
fn arrives_with(probes: &mut Probes, duo: &Duo, mark: u32) -> Result<()> {
    check::soon("seen in the pod", || Ok(probes.seen(1)?.count == 1))?;
    let seen = probes.seen(1)?;
    check::equal("type", seen.pkt_type, PACKET_HOST)?;
    check::equal("mark", seen.mark, mark)?;
    check::equal("cb", seen.cb, [0, 1, 2, 3, 4].map(|n| CB + n))?;
    let devices = (seen.ifindex, seen.ingress_ifindex);
    check::equal("devices", devices, (duo.pair.peer, duo.pair.peer))
}

fn type_and_mark_through_the_pair(t: &Ctx) -> Result<()> {
    for (spec, mark) in [(Spec::l3(), 0), (Spec::l3().scrub(SCRUB_NONE), MARK)] {
        let duo = t.duo(spec)?;
        let mut probes = Probes::load(2)?;
        probes.rule(0, marked())?;
        mprog::attach(
            probes.fd(0)?,
            duo.pair.primary,
            TCX_EGRESS,
            Place::default(),
        )?;
        duo.attach_in_pod(probes.fd(1)?, TCX_INGRESS)?;
        traffic::udp_send(&duo.host, POD4.into(), 64)?;
        arrives_with(&mut probes, &duo, mark)?;
        t.host.del_link(duo.pair.primary)?;
    }
    Ok(())
}

/// The host sends to an address that both itself and the pod have: the packet goes by the loopback device, from where a program
/// sends it into the pod. The loopback device scrubs nothing.
fn by_loopback(t: &Ctx) -> Result<(Duo, Redirect)> {
    let duo = t.duo(Spec::l3())?;
    t.host.add_address(LOOPBACK, POD4.into(), 32)?;
    let redirect = Redirect::load(Way::Peer, duo.pair.primary, POD4, None)?;
    Ok((duo, redirect))
}

/// The sender's address is the host's other one.
fn send_by_loopback(t: &Ctx) -> Result<()> {
    let sender = t.host.run(|| Ok(std::net::UdpSocket::bind((HOST4, 0))?))?;
    sender
        .send_to(&[0x5a; 64], (POD4, 4242))
        .context("sending")?;
    Ok(())
}

/// Neither the mark nor the control buffer is scrubbed by the helper.
fn type_and_mark_by_redirect(t: &Ctx) -> Result<()> {
    let (duo, redirect) = by_loopback(t)?;
    let mut probes = Probes::load(2)?;
    probes.rule(0, marked())?;
    mprog::attach(probes.fd(0)?, LOOPBACK, TCX_INGRESS, Place::default())?;
    mprog::attach(redirect.fd()?, LOOPBACK, TCX_INGRESS, Place::default())?;
    duo.attach_in_pod(probes.fd(1)?, TCX_INGRESS)?;
    send_by_loopback(t)?;
    arrives_with(&mut probes, &duo, MARK)?;
    check::equal("redirected", redirect.count()?, 1)
}

/// How many connections netfilter of a namespace knows.
fn connections(ns: &Ns) -> Result<u32> {
    let text = ns.run(|| {
        let file = "/proc/sys/net/netfilter/nf_conntrack_count";
        std::fs::read_to_string(file).context(file)
    })?;
    text.trim().parse().context("not a number")
}

/// Has netfilter follow the connections of both namespaces.
fn track(duo: &Duo) -> Result<()> {
    inject::modprobe("nft_ct")?;
    nft::track_connections(&duo.host)?;
    nft::track_connections(&duo.pod)?;
    check::equal("connections", connections(&duo.pod)?, 0)
}

/// A packet that kept the host's connection would be none of the pod's.
fn known_to_both(duo: &Duo) -> Result<()> {
    check::equal("the host's connections", connections(&duo.host)?, 1)?;
    check::soon("the pod's connections", || Ok(connections(&duo.pod)? == 1))
}

fn connection_through_the_pair(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    track(&duo)?;
    let came = traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), true)?;
    check::equal("arrives", came, true)?;
    known_to_both(&duo)
}

fn connection_by_redirect(t: &Ctx) -> Result<()> {
    let (duo, redirect) = by_loopback(t)?;
    mprog::attach(redirect.fd()?, LOOPBACK, TCX_INGRESS, Place::default())?;
    track(&duo)?;
    let receiver = traffic::udp_receiver(&duo.pod, POD4.into())?;
    receiver.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    send_by_loopback(t)?;
    check::equal("received", receiver.recv(&mut [0; 100])?, 64)?;
    known_to_both(&duo)
}
