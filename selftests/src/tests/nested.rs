// SPDX-License-Identifier: GPL-2.0
//! A program redirects a packet into another pair, whose program redirects the packet again: in one call, until the stack's
//! limit of recursion ends it.
//!
//! The limit is `XMIT_RECURSION_LIMIT`, 8. A redirect and the sending device count one level each. So the programs of five
//! pairs run, at the levels 1, 3, 5, 7 and 9, and the redirect of the fifth program fails.

use anyhow::Result;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::steer::Order;
use crate::bpf::steer::Steer;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::netkit::Pair;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::PASS;
use crate::netns::Ns;
use crate::nl::link::Stats;
use crate::traffic;

tests![
    chain_at_home,
    chain_through_namespaces,
    chain_of_clones,
    clones_of_a_dropped_packet,
    two_pairs_in_turn,
    from_pod_to_pod,
    redirect_inside_a_redirect,
];

/// How many programs run, one inside the other.
const DEEPEST: usize = 5;

/// Pairs, of which each one's program sends on to the next one. The last program lets the packet pass.
struct Chain {
    links: Vec<Link>,
}

struct Link {
    near: Ns,
    far: Ns,
    pair: Pair,
    steer: Steer,
}

impl Link {
    fn new(near: &Ns, far: &Ns, number: usize) -> Result<Self> {
        let (name, peer) = (format!("a{number}"), format!("b{number}"));
        let pair = Spec::l3().create_as(&name, &peer, near, far)?;
        near.up(pair.primary)?;
        far.up(pair.peer)?;
        near.running(pair.primary)?;
        far.running(pair.peer)?;
        let steer = Steer::load()?;
        near.run(|| {
            let prog = steer.fd()?;
            Ok(mprog::attach(
                prog,
                pair.primary,
                PRIMARY,
                Place::default(),
            )?)
        })?;
        Ok(Self {
            near: near.clone(),
            far: far.clone(),
            pair,
            steer,
        })
    }

    fn sent(&self) -> Result<Stats> {
        Ok(self.near.stats(self.pair.primary)?)
    }

    fn received(&self) -> Result<u64> {
        Ok(self.far.stats(self.pair.peer)?.rx_packets)
    }
}

impl Chain {
    /// `len` pairs; where each one's ends are. A packet for [`POD4`] that `t.host` sends meets the first one.
    fn new(
        t: &Ctx,
        len: usize,
        ends: impl Fn(usize) -> (Ns, Ns),
        send_on: fn(u32) -> Order,
    ) -> Result<Self> {
        let mut links: Vec<Link> = Vec::new();
        for number in 0..len {
            let (near, far) = ends(number);
            let mut link = Link::new(&near, &far, number)?;
            link.steer.order(Order::Verdict(PASS))?;
            if let Some(before) = links.last_mut() {
                before.steer.order(send_on(link.pair.primary))?;
            }
            links.push(link);
        }
        t.host
            .add_address(links[0].pair.primary, HOST4.into(), 24)?;
        Ok(Self { links })
    }

    fn at_home(t: &Ctx, len: usize, send_on: fn(u32) -> Order) -> Result<Self> {
        Self::new(t, len, |_| (t.host.clone(), t.host.clone()), send_on)
    }

    fn map<T>(&self, f: impl FnMut(&Link) -> Result<T>) -> Result<Vec<T>> {
        self.links.iter().map(f).collect()
    }

    /// How often the programs have run, and what the far ends have received, after one packet.
    fn send(&self, t: &Ctx) -> Result<(Vec<u32>, Vec<u64>)> {
        traffic::udp_send(&t.host, POD4.into(), 64)?;
        let runs = self.map(|link| link.steer.count())?;
        Ok((runs, self.map(Link::received)?))
    }
}

/// One for the first `count`, nothing for the rest.
fn first<T: From<u8>>(count: usize, len: usize) -> Vec<T> {
    (0..len).map(|n| u8::from(n < count).into()).collect()
}

/// One for the last, if it is reached.
fn last(len: usize) -> Vec<u64> {
    (1..=len)
        .map(|n| (n == len && n <= DEEPEST).into())
        .collect()
}

fn runs_to_its_end(t: &Ctx, chain: &Chain) -> Result<()> {
    let len = chain.links.len();
    let (runs, received) = chain.send(t)?;
    check::equal("runs", runs, first::<u32>(DEEPEST, len))?;
    check::equal("received", received, last(len))?;
    // A redirect is a packet sent, also if it fails.
    let sent = chain.map(|link| Ok(link.sent()?.tx_packets))?;
    check::equal("sent", sent, first::<u64>(DEEPEST, len))?;
    let dropped = chain.map(|link| Ok(link.sent()?.tx_dropped))?;
    check::equal("dropped", dropped, vec![0; len])
}

fn chain_at_home(t: &Ctx) -> Result<()> {
    for len in [2, DEEPEST, DEEPEST + 1] {
        let chain = Chain::at_home(t, len, Order::Egress)?;
        runs_to_its_end(t, &chain)?;
        for link in &chain.links {
            t.host.del_link(link.pair.primary)?;
        }
    }
    Ok(())
}

/// Each program looks for the next pair in the namespace to which its own pair leads.
fn chain_through_namespaces(t: &Ctx) -> Result<()> {
    for len in [DEEPEST, DEEPEST + 1] {
        let mut spaces = vec![t.host.clone()];
        for _ in 0..len {
            spaces.push(t.ns()?);
        }
        let ends = |n: usize| (spaces[n].clone(), spaces[n + 1].clone());
        let chain = Chain::new(t, len, ends, Order::Egress)?;
        runs_to_its_end(t, &chain)?;
        for link in &chain.links {
            link.near.del_link(link.pair.primary)?;
        }
    }
    Ok(())
}

/// The programs run inside `bpf_clone_redirect()`, which answers 0 when the copy was sent: pass, for netkit.
fn chain_of_clones(t: &Ctx) -> Result<()> {
    let chain = Chain::at_home(t, DEEPEST, Order::Clone)?;
    let (runs, received) = chain.send(t)?;
    check::equal("runs", runs, vec![1; DEEPEST])?;
    check::equal("received", received, vec![1; DEEPEST])
}

/// The copy that cannot be sent makes the helper fail. Its answer is no verdict: the pair drops the packet, and tells that to
/// the helper of the program before.
fn clones_of_a_dropped_packet(t: &Ctx) -> Result<()> {
    let mut chain = Chain::at_home(t, DEEPEST + 1, Order::Clone)?;
    let (runs, received) = chain.send(t)?;
    check::equal("runs", runs, first::<u32>(DEEPEST, DEEPEST + 1))?;
    check::equal("received", received, vec![0; DEEPEST + 1])?;
    let dropped = chain.map(|link| Ok(link.sent()?.tx_dropped))?;
    check::equal("dropped", dropped, first::<u64>(DEEPEST, DEEPEST + 1))?;
    // The same if a program drops the copy.
    chain.links[2].steer.order(Order::Verdict(DROP))?;
    let (_, received) = chain.send(t)?;
    check::equal("received", received, vec![0; DEEPEST + 1])
}

/// Two pairs that send to each other.
fn two_pairs_in_turn(t: &Ctx) -> Result<()> {
    let mut chain = Chain::at_home(t, 2, Order::Egress)?;
    let back = Order::Egress(chain.links[0].pair.primary);
    chain.links[1].steer.order(back)?;
    let (runs, received) = chain.send(t)?;
    check::equal("runs", runs, vec![3, 2])?;
    check::equal("received", received, vec![0, 0])
}

/// The program of a pod's pair sends into another pod, whose program sends on to a third one.
fn from_pod_to_pod(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let (second, third) = (t.ns()?, t.ns()?);
    let mut links = [
        Link::new(&t.host, &second, 1)?,
        Link::new(&second, &third, 2)?,
    ];
    let mut steer = Steer::load()?;
    mprog::attach(steer.fd()?, duo.pair.primary, PEER, Place::default())?;
    steer.order(Order::Egress(links[0].pair.primary))?;
    let onwards = Order::Egress(links[1].pair.primary);
    links[0].steer.order(onwards)?;
    links[1].steer.order(Order::Verdict(PASS))?;
    third.add_address(links[1].pair.peer, HOST4.into(), 24)?;
    let came = traffic::udp_arrives(&duo.pod, &third, HOST4.into(), true)?;
    check::equal("arrives in the third pod", came, true)?;
    check::equal(
        "received",
        (links[0].received()?, links[1].received()?),
        (0, 1),
    )
}

/// The requests of programs inside one another are kept in one place. A redirect that the outer program has asked for is lost
/// when a program inside it redirects as well.
fn redirect_inside_a_redirect(t: &Ctx) -> Result<()> {
    let mut sinks = [0; 2];
    for (sink, name) in sinks.iter_mut().zip(["sink0", "sink1"]) {
        *sink = t.host.add_device(name, "dummy")?;
        t.host.up(*sink)?;
    }
    let mut chain = Chain::at_home(t, 2, Order::Egress)?;
    let inner = chain.links[1].pair.primary;
    let outer = Order::EgressThenClone(sinks[0], inner);
    for (inside, sent) in [
        (Order::Verdict(PASS), [1, 0]),
        (Order::Egress(sinks[1]), [0, 1]),
    ] {
        chain.links[0].steer.order(outer)?;
        chain.links[1].steer.order(inside)?;
        let before = sinks.map(|sink| t.host.stats(sink));
        traffic::udp_send(&t.host, POD4.into(), 64)?;
        check::equal("the clone", chain.links[0].steer.clone_answer()?, 0)?;
        for ((sink, before), sent) in sinks.into_iter().zip(before).zip(sent) {
            let counted = t.host.stats(sink)?.since(&before?);
            check::equal("sent by a sink", counted.tx_packets, sent)?;
        }
    }
    // Without programs, the inner pair leaves the outer request alone.
    mprog::detach(None, inner, PRIMARY, Place::default())?;
    let before = t.host.stats(sinks[0])?;
    traffic::udp_send(&t.host, POD4.into(), 64)?;
    let counted = t.host.stats(sinks[0])?.since(&before);
    check::equal("sent by the first sink", counted.tx_packets, 1)
}
