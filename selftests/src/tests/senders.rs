// SPDX-License-Identifier: GPL-2.0
//! Redirects in the context of a process: a local sender's own sendmsg() runs the programs, and is told what the device has
//! answered. And a redirect to a number whose device is gone.

use std::net::Ipv4Addr;

use anyhow::Result;
use nix::errno::Errno;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Probes;
use crate::bpf::steer::Order;
use crate::bpf::steer::Steer;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::bpf::TCX_INGRESS;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::NEXT;
use crate::netns::Ns;
use crate::nl::link::ifinfomsg;
use crate::nl::link::linkinfo;
use crate::nl::link::Stats;
use crate::traffic;

tests![
    redirects_of_the_hosts_sender,
    redirects_of_the_pods_sender,
    redirects_of_a_forwarded_packet,
    stale_index,
];

/// The destination of all packets. Programs find a route to it in the namespace where their packet is.
const TO: Ipv4Addr = Ipv4Addr::new(10, 3, 0, 9);
const NET: Ipv4Addr = Ipv4Addr::new(10, 3, 0, 0);
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

/// A pair, a program on one of its hooks, and a device to which the program may send.
struct Rig {
    duo: Duo,
    /// The sending namespace and its device.
    from: (Ns, u32),
    /// Where the program's packet is, and so where the targets of redirects are looked for.
    place: Ns,
    steer: Steer,
    sink: u32,
    /// What the sink receives.
    probes: Probes,
}

impl Rig {
    fn new(t: &Ctx, hook: u32) -> Result<Self> {
        let duo = t.duo(Spec::l2())?;
        let (host, pod) = (duo.host.clone(), duo.pod.clone());
        let (from, place) = if hook == PRIMARY {
            ((host, duo.pair.primary), pod)
        } else {
            ((pod, duo.pair.peer), host)
        };
        from.0.add_route(NET.into(), 24, from.1, None)?;
        from.0.add_neighbour(from.1, TO.into(), &MAC)?;
        let mut steer = Steer::load()?;
        steer.order(Order::Verdict(NEXT))?;
        mprog::attach(steer.fd()?, duo.pair.primary, hook, Place::default())?;
        let sink = place.add_device("sink", "dummy")?;
        let mut rig = Self {
            duo,
            from,
            place,
            steer,
            sink,
            probes: Probes::load(1)?,
        };
        rig.to(sink)?;
        Ok(rig)
    }

    /// Makes this device the sink.
    fn to(&mut self, sink: u32) -> Result<()> {
        self.sink = sink;
        self.place.up(sink)?;
        self.place.add_route(NET.into(), 24, sink, None)?;
        self.place.add_neighbour(sink, TO.into(), &MAC)?;
        let prog = self.probes.fd(0)?;
        let attach = || Ok(mprog::attach(prog, sink, TCX_INGRESS, Place::default())?);
        self.place.run(attach)
    }

    /// A frame from AF_PACKET, whose sender is told of a drop.
    fn send_frame(&self) -> Result<Option<Errno>> {
        let frame = traffic::udp_frame(&MAC, HOST4, TO, b"netkit")?;
        Ok(traffic::send_frame(&self.from.0, self.from.1, &frame).err())
    }

    /// A datagram, whose sender is not told.
    fn send_datagram(&self) -> Result<Option<Errno>> {
        traffic::udp_send(&self.from.0, TO.into(), 64)?;
        Ok(None)
    }

    fn counts(&self) -> Result<[Stats; 2]> {
        let device = self.from.0.stats(self.from.1)?;
        Ok([device, self.place.stats(self.sink)?])
    }

    /// Follows an order with one packet.
    fn one(&mut self, order: Order, send: impl Fn(&Self) -> Result<Option<Errno>>) -> Result<Told> {
        self.steer.order(order)?;
        self.probes.reset()?;
        let before = self.counts()?;
        let errno = send(self)?;
        check::soon("the program has run", || Ok(self.steer.count()? == 1))?;
        if matches!(order, Order::Ingress(index) if index == self.sink) {
            check::soon("received", || Ok(self.probes.seen(0)?.count == 1))?;
        }
        let after = self.counts()?;
        let [device, sink] = [0, 1].map(|n| after[n].since(&before[n]));
        let counted = [device.tx_packets, device.tx_dropped];
        let received = self.probes.seen(0)?.count;
        Ok((errno, counted, [sink.tx_packets, received]))
    }
}

/// The answer to the sender; what the sending device has counted as sent and as dropped; what the sink has sent and received.
type Told = (Option<Errno>, [u64; 2], [u64; 2]);

/// An order, and what comes of it. A redirect that fails is no error for the sender; a drop is one.
fn cases(sink: u32) -> Vec<(&'static str, Order, Told)> {
    let dropped = (Some(Errno::ENOBUFS), [0, 1], [0, 0]);
    let gone = (None, [1, 0], [0, 0]);
    let sent = (None, [1, 0], [1, 0]);
    vec![
        ("drop", Order::Verdict(DROP), dropped),
        ("egress", Order::Egress(sink), sent),
        ("ingress", Order::Ingress(sink), (None, [1, 0], [0, 1])),
        ("neigh", Order::Neigh(sink), sent),
        // The original goes on to the peer.
        ("clone", Order::Clone(sink), sent),
        ("egress nowhere", Order::Egress(9999), gone),
        ("ingress nowhere", Order::Ingress(9999), gone),
        ("neigh nowhere", Order::Neigh(9999), gone),
        ("peer nowhere", Order::Peer(9999), gone),
        ("peer of a device without", Order::Peer(sink), gone),
        // The helper's error is the program's verdict, and no known one.
        ("clone nowhere", Order::Clone(9999), dropped),
    ]
}

fn from_sendmsg(t: &Ctx, hook: u32) -> Result<()> {
    let mut rig = Rig::new(t, hook)?;
    for (what, order, expected) in cases(rig.sink) {
        check::equal(what, rig.one(order, Rig::send_frame)?, expected)?;
        let (_, counted, sink) = expected;
        let told = rig.one(order, Rig::send_datagram)?;
        check::equal(what, told, (None, counted, sink))?;
    }
    Ok(())
}

fn redirects_of_the_hosts_sender(t: &Ctx) -> Result<()> {
    from_sendmsg(t, PRIMARY)
}

fn redirects_of_the_pods_sender(t: &Ctx) -> Result<()> {
    from_sendmsg(t, PEER)
}

/// As above, and the packet comes from the backlog of the CPU: there is no process.
fn redirects_of_a_forwarded_packet(t: &Ctx) -> Result<()> {
    const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
    let mut rig = Rig::new(t, PRIMARY)?;
    let client = t.ns()?;
    t.host.add_veth("left", "right")?;
    t.host.move_to(t.host.link("right")?.index, &client)?;
    let (left, right) = (t.host.link("left")?.index, client.link("right")?.index);
    t.host.add_address(left, GATEWAY.into(), 24)?;
    client.add_address(right, [10, 2, 0, 2].into(), 24)?;
    t.host.up(left)?;
    client.up(right)?;
    t.host.running(left)?;
    client.running(right)?;
    client.add_route(NET.into(), 24, right, Some(GATEWAY.into()))?;
    t.host.sysctl("net/ipv4/ip_forward", "1")?;
    for (what, order, (_, counted, sink)) in cases(rig.sink) {
        let told = rig.one(order, |_| {
            traffic::udp_send(&client, TO.into(), 64)?;
            Ok(None)
        })?;
        check::equal(what, told, (None, counted, sink))?;
    }
    Ok(())
}

/// A program has the number of a device that was deleted. Another device does not take its place, unless it gets that number.
fn stale_index(t: &Ctx) -> Result<()> {
    let orders: [fn(u32) -> Order; 4] = [Order::Egress, Order::Ingress, Order::Neigh, Order::Clone];
    for hook in [PRIMARY, PEER] {
        let mut rig = Rig::new(t, hook)?;
        let stale = rig.sink;
        rig.place.del_link(stale)?;
        let another = rig.place.add_device("another", "dummy")?;
        check::that("another number", another != stale)?;
        rig.to(another)?;
        for order in orders {
            let (_, _, sink) = rig.one(order(stale), Rig::send_frame)?;
            check::equal("gone", sink, [0, 0])?;
        }
        // A device is created with the number that was used before.
        let mut attrs = linkinfo("dummy", None);
        attrs.str(libc::IFLA_IFNAME, "sink");
        rig.place.new_link(&ifinfomsg(stale, 0, 0), &attrs)?;
        rig.to(stale)?;
        let told = rig.one(Order::Egress(stale), Rig::send_frame)?;
        check::equal("back", told, (None, [1, 0], [1, 0]))?;
        t.host.del_link(rig.duo.pair.primary)?;
    }
    Ok(())
}
