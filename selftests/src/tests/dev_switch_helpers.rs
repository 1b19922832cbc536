// SPDX-License-Identifier: GPL-2.0
//! What helpers answer in the programs of a pair with either setting of `IFLA_NETKIT_DEV_SWITCH`. They look for routes and
//! devices in the namespace of the device where the packet is; cookies are those of its socket.

use std::net::Ipv4Addr;

use anyhow::Result;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Probes;
use crate::bpf::steer::Order;
use crate::bpf::steer::Steer;
use crate::bpf::steer::EGRESS;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::module;
use crate::netkit::Spec;
use crate::netns::Ns;
use crate::traffic;

use super::dev_switch::change;
use super::dev_switch::AFTER;
use super::dev_switch::BEFORE;
use super::redirect_peer;
use super::Test;

tests![routes, routes_for_frames, cookies, redirect_peer_to_egress];

pub fn all() -> Vec<Test> {
    let mut tests = tests();
    for test in &mut tests {
        if test.name.ends_with("redirect_peer_to_egress") {
            test.lacks = redirect_peer::no_egress_flag;
        }
    }
    tests
}

const FAR: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 9);

/// Whether the primary's packets are still in the host when its programs run.
fn in_host(setting: u32) -> bool {
    setting == AFTER && module::is_loaded()
}

/// A way to `FAR` for packets that a namespace forwards, and the device at its beginning.
fn way(ns: &Ns) -> Result<u32> {
    let device = ns.add_device("way", "dummy")?;
    ns.up(device)?;
    ns.add_route(FAR.into(), 32, device, None)?;
    ns.add_neighbour(device, FAR.into(), &[2, 0, 0, 0, 0, 7])?;
    ns.sysctl("net/ipv4/ip_forward", "1")?;
    Ok(device)
}

/// A pair with a program on a hook that asks for the route to `FAR`, and the ways of the host and of the pod.
fn duo_with_ways(t: &Ctx, spec: Spec, hook: u32) -> Result<(Duo, Steer, u32, u32)> {
    t.host.add_device("other", "dummy")?;
    let duo = t.duo(spec)?;
    let (host, pod) = (way(&duo.host)?, way(&duo.pod)?);
    check::that("numbers differ", host != pod)?;
    let mut steer = Steer::load()?;
    steer.order(Order::Fib(FAR))?;
    mprog::attach(steer.fd()?, duo.pair.primary, hook, Place::default())?;
    Ok((duo, steer, host, pod))
}

fn routes(t: &Ctx) -> Result<()> {
    let (duo, steer, host, pod) = duo_with_ways(t, Spec::l3(), PRIMARY)?;
    for setting in [BEFORE, AFTER, BEFORE] {
        change(t, duo.pair.primary, setting)?;
        traffic::udp_send(&duo.host, POD4.into(), 64)?;
        let expected = if in_host(setting) { host } else { pod };
        check::equal("answer, device", steer.route()?, (0, expected))?;
    }
    Ok(())
}

/// The frames of AF_PACKET come without `rcu_read_lock()`, which the helper needs: a kernel that checks RCU complains if the
/// driver does not take it.
fn routes_for_frames(t: &Ctx) -> Result<()> {
    for hook in [PRIMARY, PEER] {
        let (duo, steer, host, pod) = duo_with_ways(t, Spec::l2(), hook)?;
        for setting in [BEFORE, AFTER] {
            change(t, duo.pair.primary, setting)?;
            let (from, device) = if hook == PRIMARY {
                (&duo.host, duo.pair.primary)
            } else {
                (&duo.pod, duo.pair.peer)
            };
            let frame = traffic::udp_frame(&[2, 0, 0, 0, 0, 7], HOST4, POD4, b"netkit")?;
            traffic::send_frame(from, device, &frame)?;
            let expected = if hook == PEER || in_host(setting) {
                host
            } else {
                pod
            };
            check::equal("answer, device", steer.route()?, (0, expected))?;
        }
        t.host.del_link(duo.pair.primary)?;
        for name in ["way", "other"] {
            t.host.del_link(t.host.link(name)?.index)?;
        }
    }
    Ok(())
}

/// Those of the sender's socket, wherever the packet is.
fn cookies(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let mut probes = Probes::load(1)?;
    mprog::attach(probes.fd(0)?, duo.pair.primary, PRIMARY, Place::default())?;
    let _receiver = traffic::udp_receiver(&duo.pod, POD4.into())?;
    let sender = traffic::udp_sender(&duo.host, POD4.into())?;
    let mut seen = Vec::new();
    for setting in [BEFORE, AFTER] {
        change(t, duo.pair.primary, setting)?;
        probes.reset()?;
        sender.send(&[0; 64])?;
        let packet = probes.seen(0)?;
        check::equal("packets", packet.count, 1)?;
        check::that("a socket", packet.socket_cookie != 0)?;
        check::equal("family", packet.family, libc::AF_INET as u32)?;
        seen.push((
            packet.socket_cookie,
            packet.netns_cookie,
            packet.ingress_ifindex,
        ));
    }
    check::equal("after", seen[1], seen[0])
}

/// Into a second pod of the host, and out of it again, from the primary's program.
fn redirect_peer_to_egress(t: &Ctx) -> Result<()> {
    for name in ["d0", "d1", "d2", "d3"] {
        t.host.add_device(name, "dummy")?;
    }
    let duo = t.duo(Spec::l3())?;
    let second = t.ns()?;
    let other = Spec::l3().create_as("s0", "s1", &t.host, &second)?;
    t.host.up(other.primary)?;
    second.up(other.peer)?;
    t.host.running(other.primary)?;
    second.running(other.peer)?;
    let mut steer = Steer::load()?;
    mprog::attach(steer.fd()?, duo.pair.primary, PRIMARY, Place::default())?;
    for target in [other.primary, duo.pair.primary] {
        check::that("none in the pod", duo.pod.link_by_index(target).is_err())?;
        for setting in [BEFORE, AFTER] {
            change(t, duo.pair.primary, setting)?;
            steer.order(Order::PeerFlags(target, EGRESS))?;
            let before = t.host.stats(target)?;
            traffic::udp_send(&duo.host, POD4.into(), 64)?;
            check::equal("the program ran", steer.count()?, 1)?;
            let counted = t.host.stats(target)?.since(&before).rx_packets;
            let what = format!("device {target}, setting {setting}");
            check::equal(&what, counted, u64::from(in_host(setting)))?;
        }
    }
    Ok(())
}
