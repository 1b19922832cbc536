// SPDX-License-Identifier: GPL-2.0
//! What programs on each hook of a pair see of one packet: tcx egress of the sending device, netkit, and tcx ingress of the
//! receiving device.

use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;
use nix::sched::setns;
use nix::sched::CloneFlags;
use socket2::SockRef;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Probes;
use crate::bpf::probe::Rule;
use crate::bpf::probe::Seen;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::bpf::TCX_EGRESS;
use crate::bpf::TCX_INGRESS;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::netkit::Spec;
use crate::netkit::NEXT;
use crate::netkit::SCRUB_NONE;
use crate::netns::Ns;
use crate::traffic;

tests![of_the_host, of_the_pod, forwarded, at_home, control_buffer,];

const MARK: u32 = 42;
/// Slots of the probes, in the order in which a packet meets them.
const SENT: u32 = 0;
const CROSSING: u32 = 1;
const RECEIVED: u32 = 2;

/// A number of a socket that getsockopt() tells.
fn number(socket: &UdpSocket, option: libc::c_int) -> Result<u64> {
    let mut value = 0u64;
    let mut len = size_of_val(&value) as u32;
    // SAFETY: value and length outlive the call, and the length is that of the value.
    let ret = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw mut value).cast(),
            &raw mut len,
        )
    };
    Errno::result(ret).context("getsockopt")?;
    Ok(value)
}

/// Cookies of a sender: its own, and its namespace's.
#[derive(Debug, PartialEq)]
struct Cookies {
    socket: u64,
    netns: u64,
}

impl Cookies {
    fn of(socket: &UdpSocket) -> Result<Self> {
        Ok(Self {
            socket: number(socket, libc::SO_COOKIE)?,
            netns: number(socket, libc::SO_NETNS_COOKIE)?,
        })
    }

    fn seen(seen: &Seen) -> Self {
        Self {
            socket: seen.socket_cookie,
            netns: seen.netns_cookie,
        }
    }

    /// Of a packet without a socket: the cookie of the machine's first namespace.
    fn none() -> Result<Self> {
        let home = File::open("/proc/thread-self/ns/net")?;
        setns(File::open("/proc/1/ns/net")?, CloneFlags::CLONE_NEWNET)?;
        let socket = UdpSocket::bind("127.0.0.1:0");
        setns(home, CloneFlags::CLONE_NEWNET)?;
        Ok(Self {
            socket: 0,
            netns: Self::of(&socket?)?.netns,
        })
    }
}

/// The probes on the way from one end of a pair to the other.
fn probes_on_the_way(
    from: &Ns,
    to: &Ns,
    devices: [u32; 2],
    primary: &Ns,
    hook: u32,
) -> Result<Probes> {
    let probes = Probes::load(3)?;
    let [near, far] = devices;
    let index = if hook == PRIMARY { near } else { far };
    let attach = |slot, ns: &Ns, index, hook| {
        let prog = probes.fd(slot)?;
        ns.run(|| Ok(mprog::attach(prog, index, hook, Place::default())?))
    };
    attach(SENT, from, near, TCX_EGRESS)?;
    attach(CROSSING, primary, index, hook)?;
    attach(RECEIVED, to, far, TCX_INGRESS)?;
    Ok(probes)
}

/// (ifindex, ingress_ifindex) and the mark, hook by hook.
fn devices_and_mark(probes: &mut Probes, slot: u32) -> Result<(u32, u32, u32)> {
    let seen = probes.seen(slot)?;
    check::equal("packets", seen.count, 1)?;
    Ok((seen.ifindex, seen.ingress_ifindex, seen.mark))
}

/// Sends one marked datagram, and checks what the three probes see.
fn from_a_socket(duo: &Duo, hook: u32, kept: u32) -> Result<()> {
    let (host, pod, pair) = (&duo.host, &duo.pod, &duo.pair);
    let (from, to, ip, near, far) = if hook == PRIMARY {
        (host, pod, POD4, pair.primary, pair.peer)
    } else {
        (pod, host, HOST4, pair.peer, pair.primary)
    };
    let mut probes = probes_on_the_way(from, to, [near, far], host, hook)?;
    let _receiver = traffic::udp_receiver(to, ip.into())?;
    let sender = traffic::udp_sender(from, ip.into())?;
    SockRef::from(&sender).set_mark(MARK)?;
    sender.send(&[0; 64])?;
    check::soon("received", || Ok(probes.seen(RECEIVED)?.count == 1))?;
    let order = probes.order()?;
    check::equal("order", order, vec![SENT, CROSSING, RECEIVED])?;

    check::equal(
        "sent",
        devices_and_mark(&mut probes, SENT)?,
        (near, 0, MARK),
    )?;
    let crossing = devices_and_mark(&mut probes, CROSSING)?;
    check::equal("crossing", crossing, (far, 0, kept))?;
    let received = devices_and_mark(&mut probes, RECEIVED)?;
    check::equal("received", received, (far, far, kept))?;
    // The packet belongs to its sender until it is received.
    let cookies = Cookies::of(&sender)?;
    for slot in [SENT, CROSSING, RECEIVED] {
        let seen = probes.seen(slot)?;
        let what = format!("slot {slot}");
        check::equal(&what, seen.family, libc::AF_INET as u32)?;
        check::equal(&what, &Cookies::seen(&seen), &cookies)?;
    }
    Ok(())
}

/// Other indexes in the host than in the pod.
fn duo(t: &Ctx, spec: Spec) -> Result<Duo> {
    t.host.add_device("other", "dummy")?;
    let duo = t.duo(spec)?;
    check::that("indexes differ", duo.pair.primary != duo.pair.peer)?;
    Ok(duo)
}

fn of_the_host(t: &Ctx) -> Result<()> {
    let duo = duo(t, Spec::l3())?;
    from_a_socket(&duo, PRIMARY, 0)
}

fn of_the_pod(t: &Ctx) -> Result<()> {
    let duo = duo(t, Spec::l3().peer_scrub(SCRUB_NONE))?;
    from_a_socket(&duo, PEER, MARK)
}

/// From pod to pod: where the packet has come from is known until it crosses, and it has no socket.
fn forwarded(t: &Ctx) -> Result<()> {
    let duo = duo(t, Spec::l3())?;
    let second = t.ns()?;
    let pair = Spec::l3().create_as("s0", "s1", &t.host, &second)?;
    t.host.add_address(pair.primary, [10, 2, 0, 1].into(), 24)?;
    second.add_address(pair.peer, [10, 2, 0, 2].into(), 24)?;
    t.host.up(pair.primary)?;
    second.up(pair.peer)?;
    t.host.running(pair.primary)?;
    second.running(pair.peer)?;
    let gateway = Some([10, 2, 0, 1].into());
    second.add_route([10, 1, 0, 0].into(), 24, pair.peer, gateway)?;
    t.host.sysctl("net/ipv4/ip_forward", "1")?;

    let (near, far) = (duo.pair.primary, duo.pair.peer);
    let mut probes = probes_on_the_way(&t.host, &duo.pod, [near, far], &t.host, PRIMARY)?;
    let came = traffic::udp_arrives(&second, &duo.pod, POD4.into(), true)?;
    check::equal("arrives", came, true)?;
    let sent = devices_and_mark(&mut probes, SENT)?;
    check::equal("sent", sent, (near, pair.primary, 0))?;
    let crossing = devices_and_mark(&mut probes, CROSSING)?;
    check::equal("crossing", crossing, (far, 0, 0))?;
    let received = devices_and_mark(&mut probes, RECEIVED)?;
    check::equal("received", received, (far, far, 0))?;
    let none = Cookies::none()?;
    for slot in [SENT, CROSSING, RECEIVED] {
        let seen = probes.seen(slot)?;
        check::equal("family", seen.family, 0)?;
        check::equal("cookies", &Cookies::seen(&seen), &none)?;
    }
    Ok(())
}

/// Both ends in one namespace: the mark stays, too.
fn at_home(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let duo = Duo {
        host: t.host.clone(),
        pod: t.host.clone(),
        pair,
    };
    duo.host.add_address(pair.primary, HOST4.into(), 24)?;
    duo.up()?;
    from_a_socket(&duo, PRIMARY, MARK)
}

/// `skb->cb`: what one program writes, the next one reads, on every hook and across the pair.
fn control_buffer(t: &Ctx) -> Result<()> {
    const WRITTEN: u32 = 0x1000;
    let duo = t.duo(Spec::l3())?;
    let mut probes = Probes::load(4)?;
    let write = Rule {
        verdict: NEXT,
        set_cb: WRITTEN,
        ..Rule::default()
    };
    let primary = duo.pair.primary;
    mprog::attach(probes.fd(0)?, primary, TCX_EGRESS, Place::default())?;
    mprog::attach(probes.fd(1)?, primary, PRIMARY, Place::default())?;
    mprog::attach(probes.fd(2)?, primary, PRIMARY, Place::default())?;
    duo.attach_in_pod(probes.fd(3)?, TCX_INGRESS)?;
    let numbers = |first: u32| [0, 1, 2, 3, 4].map(|n| first + n);
    for writer in 0..3 {
        for slot in 0..4 {
            probes.verdict(slot, NEXT)?;
        }
        probes.rule(writer, write)?;
        probes.reset()?;
        traffic::udp_send(&duo.host, POD4.into(), 64)?;
        check::soon("received", || Ok(probes.seen(3)?.count == 1))?;
        for reader in writer + 1..4 {
            let what = format!("written by {writer}, read by {reader}");
            check::equal(&what, probes.seen(reader)?.cb, numbers(WRITTEN))?;
        }
    }
    // What the stack has left there, if no program writes.
    probes.verdict(2, NEXT)?;
    probes.reset()?;
    traffic::udp_send(&duo.host, POD4.into(), 64)?;
    check::soon("received", || Ok(probes.seen(3)?.count == 1))?;
    for slot in 0..4 {
        t.same(
            &format!("slot {slot}"),
            format!("{:x?}", probes.seen(slot)?.cb),
        );
    }
    Ok(())
}
