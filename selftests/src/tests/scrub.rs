// SPDX-License-Identifier: GPL-2.0
//! Which marks of a packet reach the other side: none across namespaces, unless the pair was created without scrubbing;
//! all of them within a namespace.

use anyhow::Context;
use anyhow::Result;
use socket2::SockRef;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Probes;
use crate::bpf::probe::Seen;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::bpf::TCX_INGRESS;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::netkit::Spec;
use crate::netkit::SCRUB_DEFAULT;
use crate::netkit::SCRUB_NONE;
use crate::traffic;

tests![
    default_across,
    none_across,
    each_side_by_itself,
    same_namespace_keeps,
    moved_into_one_namespace,
    mark_set_by_program_survives,
    ingress_device,
];

const MARK: u32 = 42;
const PRIORITY: u32 = 0xeb9f;

/// Sends a marked datagram from one end.
fn send_marked(from: &crate::netns::Ns, device: &str, to: std::net::Ipv4Addr) -> Result<()> {
    let socket = from.run(|| Ok(std::net::UdpSocket::bind("0.0.0.0:0")?))?;
    from.run(|| {
        let options = SockRef::from(&socket);
        options.bind_device(Some(device.as_bytes()))?;
        options.set_mark(MARK)?;
        nix::sys::socket::setsockopt(
            &socket,
            nix::sys::socket::sockopt::Priority,
            &(PRIORITY as i32),
        )?;
        Ok(())
    })
    .context("marks")?;
    socket.send_to(&[0; 10], (to, 4242))?;
    Ok(())
}

/// What the programs on both hooks see of a marked packet sent through them.
fn seen(t: &Ctx, spec: Spec) -> Result<[(u32, u32); 2]> {
    let duo = t.duo(spec)?;
    let mut probes = Probes::load(2)?;
    mprog::attach(probes.fd(0)?, duo.pair.primary, PRIMARY, Place::default())?;
    mprog::attach(probes.fd(1)?, duo.pair.primary, PEER, Place::default())?;
    send_marked(&duo.host, "nk0", POD4)?;
    let out = probes.seen(0)?;
    check::that("primary's program ran", out.count >= 1)?;
    // The answer of the pod was an error message without marks: start again.
    probes.reset()?;
    send_marked(&duo.pod, "nk1", HOST4)?;
    let back = probes.seen(1)?;
    check::that("peer's program ran", back.count >= 1)?;
    duo.host.del_link(duo.pair.primary)?;
    let marks = |seen: Seen| (seen.mark, seen.priority);
    Ok([marks(out), marks(back)])
}

fn default_across(t: &Ctx) -> Result<()> {
    check::equal("unsaid", seen(t, Spec::l3())?, [(0, 0), (0, 0)])?;
    let spec = Spec::l3().scrub(SCRUB_DEFAULT).peer_scrub(SCRUB_DEFAULT);
    check::equal("said", seen(t, spec)?, [(0, 0), (0, 0)])
}

fn none_across(t: &Ctx) -> Result<()> {
    let spec = Spec::l3().scrub(SCRUB_NONE).peer_scrub(SCRUB_NONE);
    check::equal("kept", seen(t, spec)?, [(MARK, PRIORITY), (MARK, PRIORITY)])
}

fn each_side_by_itself(t: &Ctx) -> Result<()> {
    let spec = Spec::l3().scrub(SCRUB_NONE);
    check::equal("primary kept", seen(t, spec)?, [(MARK, PRIORITY), (0, 0)])?;
    let spec = Spec::l3().peer_scrub(SCRUB_NONE);
    check::equal("peer kept", seen(t, spec)?, [(0, 0), (MARK, PRIORITY)])
}

/// The marks that a program on nk0 sees when both ends are in the host's namespace.
fn seen_at_home(t: &Ctx, index: u32) -> Result<(u32, u32)> {
    t.host.add_address(index, HOST4.into(), 24)?;
    let mut probes = Probes::load(1)?;
    mprog::attach(probes.fd(0)?, index, PRIMARY, Place::default())?;
    send_marked(&t.host, "nk0", POD4)?;
    let seen = probes.seen(0)?;
    check::equal("packets", seen.count, 1)?;
    Ok((seen.mark, seen.priority))
}

fn same_namespace_keeps(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    t.host.up(pair.primary)?;
    t.host.up(pair.peer)?;
    t.host.running(pair.primary)?;
    check::equal("kept", seen_at_home(t, pair.primary)?, (MARK, PRIORITY))
}

/// The rule is about where the ends are now, not about where they were made.
fn moved_into_one_namespace(t: &Ctx) -> Result<()> {
    let pod = t.ns()?;
    let pair = Spec::l3().create(&t.host, &pod)?;
    pod.move_to(pair.peer, &t.host)?;
    t.host.up(pair.primary)?;
    t.host.up(t.host.link("nk1")?.index)?;
    t.host.running(pair.primary)?;
    check::equal("kept", seen_at_home(t, pair.primary)?, (MARK, PRIORITY))
}

/// Programs run behind the scrubbing, so what they set arrives.
fn mark_set_by_program_survives(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let mut probes = Probes::load(2)?;
    probes.rule(
        0,
        crate::bpf::probe::Rule {
            verdict: crate::netkit::PASS,
            set_mark: 77,
            ..Default::default()
        },
    )?;
    mprog::attach(probes.fd(0)?, duo.pair.primary, PRIMARY, Place::default())?;
    duo.attach_in_pod(probes.fd(1)?, TCX_INGRESS)?;
    send_marked(&duo.host, "nk0", POD4)?;
    check::equal("mark at the other side", probes.seen(1)?.mark, 77)
}

/// skb->dev is the peer already while the primary's programs run.
fn ingress_device(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let dummy = t.host.add_device("dummy0", "dummy")?;
    check::that("indexes differ", dummy != duo.pair.peer)?;
    let mut probes = Probes::load(1)?;
    mprog::attach(probes.fd(0)?, duo.pair.primary, PRIMARY, Place::default())?;
    traffic::udp_send(&duo.host, POD4.into(), 10)?;
    let seen = probes.seen(0)?;
    check::equal("ifindex", seen.ifindex, duo.pair.peer)?;
    t.same("ingress_ifindex", seen.ingress_ifindex);
    Ok(())
}
