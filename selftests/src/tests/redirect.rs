// SPDX-License-Identifier: GPL-2.0
//! Redirects, as Cilium uses them: from a host device straight into the pod
//! (bpf_redirect_peer), from the pod out with the neighbour filled in
//! (bpf_redirect_neigh), and to any other device.

use std::fs;
use std::net::Ipv4Addr;

use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::SndBufForce;

use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Probes;
use crate::bpf::probe::Redirect;
use crate::bpf::probe::Way;
use crate::bpf::prog::Prog;
use crate::bpf::steer::Order;
use crate::bpf::steer::Steer;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::bpf::TCX_EGRESS;
use crate::bpf::TCX_INGRESS;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::inject;
use crate::module;
use crate::netkit::Pair;
use crate::netkit::Spec;
use crate::netns::Ns;
use crate::nl::nft;
use crate::traffic;

use super::xdp::BPF_XDP;
use super::xdp::XDP_FLAGS_SKB_MODE;
use super::xdp::XDP_TX;

tests![
    peer_into_the_pod_and_neigh_out_l3,
    peer_into_the_pod_and_neigh_out_l2,
    peer_counts_at_the_receiver,
    peer_skips_the_programs,
    peer_down,
    peer_in_the_same_namespace,
    peer_to_a_device_without_one,
    peer_from_egress,
    to_the_primary,
    from_the_pod_to_another_device,
    past_egress_rules,
    copies_past_egress_rules,
    ingress_of_another_device,
    clone_to_another_device,
    to_nowhere,
    into_itself,
    out_by_itself,
    peer_from_netkit_program,
    peer_after_generic_xdp,
];

const POD: Ipv4Addr = Ipv4Addr::new(10, 5, 0, 2);
const POD_GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 5, 0, 1);
const WORLD: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 2);
const NODE: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 1);

/// The world behind a veth named phys, a host that does not forward, and a pod.
struct Node {
    host: Ns,
    world: Ns,
    pod: Ns,
    pair: Pair,
    phys: u32,
}

fn node(t: &Ctx, spec: Spec) -> Result<Node> {
    let (world, pod) = (t.ns()?, t.ns()?);
    t.host.add_veth("phys", "eth0")?;
    t.host.move_to(t.host.link("eth0")?.index, &world)?;
    let phys = t.host.link("phys")?.index;
    let eth0 = world.link("eth0")?.index;
    t.host.add_address(phys, NODE.into(), 24)?;
    world.add_address(eth0, WORLD.into(), 24)?;
    t.host.up(phys)?;
    world.up(eth0)?;
    t.host.running(phys)?;
    world.running(eth0)?;
    world.add_route([10, 5, 0, 0].into(), 24, eth0, Some(NODE.into()))?;

    let pair = spec.create(&t.host, &pod)?;
    t.host.add_address(pair.primary, POD_GATEWAY.into(), 24)?;
    pod.add_address(pair.peer, POD.into(), 24)?;
    t.host.up(pair.primary)?;
    pod.up(pair.peer)?;
    t.host.running(pair.primary)?;
    pod.running(pair.peer)?;
    pod.add_route(
        [192, 168, 7, 0].into(),
        24,
        pair.peer,
        Some(POD_GATEWAY.into()),
    )?;
    Ok(Node {
        host: t.host.clone(),
        world,
        pod,
        pair,
        phys,
    })
}

impl Node {
    /// What a program must write as destination for the pod to take a packet.
    fn pod_mac(&self) -> Result<Vec<u8>> {
        Ok(self.pod.link("nk1")?.mac())
    }

    fn inward_to_pod(&self, way: Way, ifindex: u32) -> Result<Redirect> {
        let mac = self.pod_mac()?;
        let redirect = Redirect::load(way, ifindex, POD, Some(&mac))?;
        mprog::attach(redirect.fd()?, self.phys, TCX_INGRESS, Place::default())?;
        Ok(redirect)
    }

    /// The pod's traffic to the outside leaves by phys, with the address of the neighbour filled in.
    fn out_of_pod(&self) -> Result<Redirect> {
        let redirect = Redirect::load(Way::Neigh, self.phys, WORLD, None)?;
        mprog::attach(redirect.fd()?, self.pair.primary, PEER, Place::default())?;
        Ok(redirect)
    }

    fn arrives(&self, expected: bool) -> Result<()> {
        let came = traffic::udp_arrives(&self.world, &self.pod, POD.into(), expected)?;
        check::equal("arrives in the pod", came, expected)
    }
}

fn cilium(t: &Ctx, spec: Spec) -> Result<()> {
    let node = node(t, spec)?;
    let inward = node.inward_to_pod(Way::Peer, node.pair.primary)?;
    let outward = node.out_of_pod()?;
    traffic::udp_exchange(&node.world, &node.pod, POD.into(), 500)?;
    traffic::tcp_exchange(&node.world, &node.pod, POD.into(), 300_000)?;
    traffic::tcp_exchange(&node.pod, &node.world, WORLD.into(), 300_000)?;
    check::equal(
        "echo reply",
        traffic::ping(&node.world, POD.into(), true)?,
        true,
    )?;
    check::that("went in by redirect", inward.count()? > 3)?;
    check::that("went out by redirect", outward.count()? > 3)
}

fn peer_into_the_pod_and_neigh_out_l3(t: &Ctx) -> Result<()> {
    cilium(t, Spec::l3())
}

fn peer_into_the_pod_and_neigh_out_l2(t: &Ctx) -> Result<()> {
    cilium(t, Spec::l2())
}

fn peer_counts_at_the_receiver(t: &Ctx) -> Result<()> {
    let node = node(t, Spec::l3())?;
    let _inward = node.inward_to_pod(Way::Peer, node.pair.primary)?;
    let _receiver = traffic::udp_receiver(&node.pod, POD.into())?;
    for _ in 0..3 {
        traffic::udp_send(&node.world, POD.into(), 100)?;
    }
    let (primary, peer) = (
        node.host.stats(node.pair.primary)?,
        node.pod.stats(node.pair.peer)?,
    );
    check::equal("received by the peer", peer.rx_packets, 3)?;
    check::equal("sent by the primary", primary.tx_packets, 0)?;
    t.same("primary", format!("{primary:?}"));
    t.same("peer", format!("{peer:?}"));
    Ok(())
}

/// The packet does not cross the pair: programs and policies of netkit do not count.
fn peer_skips_the_programs(t: &Ctx) -> Result<()> {
    let node = node(t, Spec::l3().policy(crate::netkit::DROP))?;
    let mut probes = Probes::load(1)?;
    mprog::attach(probes.fd(0)?, node.pair.primary, PRIMARY, Place::default())?;
    let _inward = node.inward_to_pod(Way::Peer, node.pair.primary)?;
    node.arrives(true)?;
    check::equal("program ran", probes.seen(0)?.count, 0)
}

fn peer_down(t: &Ctx) -> Result<()> {
    let node = node(t, Spec::l3())?;
    let inward = node.inward_to_pod(Way::Peer, node.pair.primary)?;
    node.pod.down(node.pair.peer)?;
    node.arrives(false)?;
    check::equal("redirected", inward.count()?, 1)?;
    check::equal("received", node.pod.stats(node.pair.peer)?.rx_packets, 0)
}

/// bpf_redirect_peer is for another namespace only.
fn peer_in_the_same_namespace(t: &Ctx) -> Result<()> {
    let node = node(t, Spec::l3())?;
    let home = Spec::l3().create_as("h0", "h1", &t.host, &t.host)?;
    t.host.up(home.primary)?;
    t.host.up(home.peer)?;
    t.host.running(home.primary)?;
    let inward = node.inward_to_pod(Way::Peer, home.primary)?;
    node.arrives(false)?;
    check::equal("redirected", inward.count()?, 1)?;
    check::equal("received", t.host.stats(home.peer)?.rx_packets, 0)
}

fn peer_to_a_device_without_one(t: &Ctx) -> Result<()> {
    let node = node(t, Spec::l3())?;
    let dummy = t.host.add_device("dummy0", "dummy")?;
    t.host.up(dummy)?;
    let inward = node.inward_to_pod(Way::Peer, dummy)?;
    node.arrives(false)?;
    check::equal("redirected", inward.count()?, 1)
}

/// The helper works at ingress only; at egress the packet is dropped.
fn peer_from_egress(t: &Ctx) -> Result<()> {
    let node = node(t, Spec::l3())?;
    let dummy = t.host.add_device("dummy0", "dummy")?;
    t.host.add_address(dummy, [10, 9, 0, 1].into(), 24)?;
    t.host.up(dummy)?;
    let to = Ipv4Addr::new(10, 9, 0, 2);
    t.host
        .add_neighbour(dummy, to.into(), &[2, 0, 0, 0, 0, 7])?;
    let redirect = Redirect::load(Way::Peer, node.pair.primary, to, None)?;
    mprog::attach(redirect.fd()?, dummy, TCX_EGRESS, Place::default())?;
    traffic::udp_send(&t.host, to.into(), 10)?;
    check::equal("redirected", redirect.count()?, 1)?;
    t.same("pod", format!("{:?}", node.pod.stats(node.pair.peer)?));
    Ok(())
}

/// Through the pair: as if the host had sent it, programs and all.
fn to_the_primary(t: &Ctx) -> Result<()> {
    let node = node(t, Spec::l3())?;
    let mut probes = Probes::load(1)?;
    mprog::attach(probes.fd(0)?, node.pair.primary, PRIMARY, Place::default())?;
    let _inward = node.inward_to_pod(Way::Egress, node.pair.primary)?;
    node.arrives(true)?;
    check::equal("program ran", probes.seen(0)?.count, 1)?;
    let primary = node.host.stats(node.pair.primary)?;
    check::equal(
        "sent by the primary",
        (primary.tx_packets, primary.tx_bytes),
        (1, 106),
    )
}

/// Straight out of another device, with addresses from the program.
fn from_the_pod_to_another_device(t: &Ctx) -> Result<()> {
    let node = node(t, Spec::l3())?;
    let mac = node.world.link("eth0")?.mac();
    let redirect = Redirect::load(Way::Egress, node.phys, WORLD, Some(&mac))?;
    mprog::attach(redirect.fd()?, node.pair.primary, PEER, Place::default())?;
    let came = traffic::udp_arrives(&node.pod, &node.world, WORLD.into(), true)?;
    check::equal("arrives in the world", came, true)?;
    // A redirect is a packet sent, and the host's end has received nothing.
    let (peer, primary) = (
        node.pod.stats(node.pair.peer)?,
        node.host.stats(node.pair.primary)?,
    );
    check::equal(
        "sent by the pod",
        (peer.tx_packets, peer.tx_bytes, peer.tx_dropped),
        (1, 106, 0),
    )?;
    check::equal("received by the host", primary.rx_packets, 0)
}

/// A device of the host whose egress rules drop everything, and a program that sends the pod's packets there.
fn past_rules(t: &Ctx, way: Way) -> Result<()> {
    let node = node(t, Spec::l3())?;
    let sink = t.host.add_device("sink", "dummy")?;
    t.host.up(sink)?;
    inject::modprobe("nf_tables")?;
    nft::drop_egress(&t.host, "sink")?;
    // The rules are for whatever else leaves by that device.
    let frame = traffic::udp_frame(&[2, 0, 0, 0, 0, 7], POD, WORLD, b"netkit")?;
    let dropped = traffic::send_frame(&t.host, sink, &frame);
    check::errno("sent by the device itself", dropped, Errno::ENOBUFS)?;
    check::equal("sent", t.host.stats(sink)?.tx_packets, 0)?;

    let redirect = Redirect::load(way, sink, WORLD, None)?;
    mprog::attach(redirect.fd()?, node.pair.primary, PEER, Place::default())?;
    traffic::udp_send(&node.pod, WORLD.into(), 64)?;
    check::equal("redirected", redirect.count()?, 1)?;
    check::equal("sent", t.host.stats(sink)?.tx_packets, 1)
}

/// Netfilter's egress rules of the target are not for packets that a program redirects (`nf_skip_egress()`).
fn past_egress_rules(t: &Ctx) -> Result<()> {
    past_rules(t, Way::Egress)
}

/// Nor for the copy that a program sends.
fn copies_past_egress_rules(t: &Ctx) -> Result<()> {
    past_rules(t, Way::Clone)
}

fn ingress_of_another_device(t: &Ctx) -> Result<()> {
    let node = node(t, Spec::l3())?;
    let mut probes = Probes::load(1)?;
    mprog::attach(probes.fd(0)?, node.phys, TCX_INGRESS, Place::default())?;
    let redirect = Redirect::load(Way::Ingress, node.phys, WORLD, None)?;
    mprog::attach(redirect.fd()?, node.pair.primary, PEER, Place::default())?;
    traffic::udp_send(&node.pod, WORLD.into(), 64)?;
    check::soon("seen at the device", || Ok(probes.seen(0)?.count == 1))?;
    let seen = probes.seen(0)?;
    check::equal("length", seen.len, 106)?;
    check::equal("device", seen.ifindex, node.phys)
}

/// The original continues; a copy leaves by the other device.
fn clone_to_another_device(t: &Ctx) -> Result<()> {
    let node = node(t, Spec::l3())?;
    node.host.sysctl("net/ipv4/ip_forward", "1")?;
    let before = node.host.stats(node.phys)?;
    let redirect = Redirect::load(Way::Clone, node.phys, WORLD, None)?;
    mprog::attach(redirect.fd()?, node.pair.primary, PEER, Place::default())?;
    let came = traffic::udp_arrives(&node.pod, &node.world, WORLD.into(), true)?;
    check::equal("the original arrives", came, true)?;
    check::equal("the helper's answer", redirect.last()?, 0)?;
    let counted = node.host.stats(node.phys)?.since(&before);
    check::that("two left", counted.tx_packets >= 2)
}

fn to_nowhere(t: &Ctx) -> Result<()> {
    let node = node(t, Spec::l3())?;
    let redirect = Redirect::load(Way::Egress, 9999, WORLD, None)?;
    mprog::attach(redirect.fd()?, node.pair.primary, PEER, Place::default())?;
    traffic::udp_send(&node.pod, WORLD.into(), 64)?;
    let peer = node.pod.stats(node.pair.peer)?;
    check::equal("sent, dropped", (peer.tx_packets, peer.tx_dropped), (1, 0))
}

/// Back to the pod which sent it, around and around: the stack's recursion limit ends it.
fn into_itself(t: &Ctx) -> Result<()> {
    let node = node(t, Spec::l3())?;
    let redirect = Redirect::load(Way::Egress, node.pair.primary, WORLD, None)?;
    mprog::attach(redirect.fd()?, node.pair.primary, PEER, Place::default())?;
    traffic::udp_send(&node.pod, WORLD.into(), 64)?;
    check::equal("redirected", redirect.count()?, 1)?;
    let peer = node.pod.stats(node.pair.peer)?;
    check::equal("came back to the pod", peer.rx_packets, 1)
}

/// Out by the sending device again: a device that the stack locked while it sends would drop the packet the first time.
fn out_by_itself(t: &Ctx) -> Result<()> {
    let home = Spec::l3().create_as("h0", "h1", &t.host, &t.host)?;
    t.host.add_address(home.primary, HOST4.into(), 24)?;
    t.host.up(home.primary)?;
    t.host.up(home.peer)?;
    t.host.running(home.primary)?;
    let mut steer = Steer::load()?;
    steer.order(Order::Egress(home.primary))?;
    mprog::attach(steer.fd()?, home.primary, PRIMARY, Place::default())?;
    traffic::udp_send(&t.host, POD4.into(), 64)?;
    let runs = steer.count()?;
    t.same("runs", runs);
    check::that("sent again, until the stack's limit ends it", runs > 1)
}

/// From netkit's own hook the helper finds no ingress of tc and drops.
fn peer_from_netkit_program(t: &Ctx) -> Result<()> {
    let node = node(t, Spec::l3())?;
    let other = t.ns()?;
    let second = Spec::l3().create_as("s0", "s1", &t.host, &other)?;
    t.host.up(second.primary)?;
    other.up(second.peer)?;
    t.host.running(second.primary)?;
    let redirect = Redirect::load(Way::Peer, second.primary, WORLD, None)?;
    mprog::attach(redirect.fd()?, node.pair.primary, PEER, Place::default())?;
    traffic::udp_send(&node.pod, WORLD.into(), 64)?;
    t.same("helper", redirect.last()?);
    t.same("second pod", format!("{:?}", other.stats(second.peer)?));
    t.same(
        "first pod",
        format!("{:?}", node.pod.stats(node.pair.peer)?),
    );
    check::equal("redirected", redirect.count()?, 1)
}

/// How many packets the kernel has allocated.
fn packets() -> Result<i64> {
    let slabs = fs::read_to_string("/proc/slabinfo").context("/proc/slabinfo")?;
    let line = slabs
        .lines()
        .find(|line| line.starts_with("skbuff_head_cache "));
    let count = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(count.context("no skbuff_head_cache")?.parse()?)
}

/// A packet that tcx has redirected into the pod, that generic XDP of the pod sends back, and that a program of the pair
/// redirects into another pod: there is no way to do that. The built-in driver neither sends nor frees it.
fn peer_after_generic_xdp(t: &Ctx) -> Result<()> {
    const SENT: u64 = 2000;
    // What else the kernel frees or keeps meanwhile.
    const OTHERS: i64 = 100;
    let node = node(t, Spec::l3())?;
    let third = t.ns()?;
    let other = Spec::l3().create_as("s0", "s1", &t.host, &third)?;
    t.host.up(other.primary)?;
    third.up(other.peer)?;
    let inward = node.inward_to_pod(Way::Peer, node.pair.primary)?;
    let again = Redirect::load(Way::Peer, other.primary, POD, None)?;
    mprog::attach(again.fd()?, node.pair.primary, PEER, Place::default())?;
    let xdp = Prog::load(libbpf_sys::BPF_PROG_TYPE_XDP, BPF_XDP, XDP_TX)?;
    let place = Place::flags(XDP_FLAGS_SKB_MODE);
    let _link = node
        .pod
        .run(|| Ok(Link::create(&xdp, node.pair.peer, BPF_XDP, place)?))?;

    let sender = traffic::udp_sender(&node.world, POD.into())?;
    // A packet that leaks stays charged to its sender.
    setsockopt(&sender, SndBufForce, &(16 << 20))?;
    let mut sent = 0;
    let mut send = |count: u64| -> Result<()> {
        for _ in 0..count {
            sender.send(&[0x5a; 64])?;
        }
        sent += count;
        check::soon("the programs have run", || Ok(again.count()? == sent))
    };
    // What the kernel keeps for later is there after the first packets.
    send(200)?;
    let before = packets()?;
    send(SENT)?;
    let more = packets()? - before;
    t.note(format!("{more} packets more after {SENT} were sent"));
    check::equal("redirected into the pod", inward.count()?, 200 + SENT)?;
    if module::is_loaded() {
        check::that(&format!("{more} packets are left"), more < OTHERS)
    } else {
        check::that(
            &format!("the built-in driver leaks {more} packets"),
            more >= SENT as i64 * 9 / 10,
        )
    }
}
