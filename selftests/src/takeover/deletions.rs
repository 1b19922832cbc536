// SPDX-License-Identifier: GPL-2.0
//! Pairs that one driver makes and the other driver deletes, by either device; and pairs that are being deleted while
//! the devices change drivers.

use std::thread;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;

use super::hold::Hold;
use super::states;
use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::module;
use crate::netkit;
use crate::netkit::Pair;
use crate::netkit::Spec;
use crate::netkit::NEXT;
use crate::netns::Ns;
use crate::tests::module::built_in_works;
use crate::tests::module::joined;
use crate::tests::tests;
use crate::traffic;

tests![
    by_the_other_driver,
    made_before_a_load_or_an_unload,
    held_by_somebody,
    in_a_dying_namespace,
];

/// What ends a pair.
#[derive(Clone, Copy, Debug)]
enum End {
    Primary,
    Peer,
    /// The primary, after the test has moved both devices to other namespaces.
    Moved,
    NamespaceOfPrimary,
    NamespaceOfPeer,
}

const ENDS: [End; 5] = [
    End::Primary,
    End::Peer,
    End::Moved,
    End::NamespaceOfPrimary,
    End::NamespaceOfPeer,
];

/// A pair that carries traffic, with programs and links on it.
struct Victim {
    host: Option<Ns>,
    pod: Option<Ns>,
    pair: Pair,
    links: Vec<Link>,
}

impl Victim {
    /// Its namespaces are not the test's: they go with it.
    fn new(spec: Spec) -> Result<Self> {
        let (host, pod) = (Ns::new()?, Ns::new()?);
        let pair = spec.create(&host, &pod)?;
        for (ns, index, ip) in [(&host, pair.primary, HOST4), (&pod, pair.peer, POD4)] {
            ns.add_address(index, ip.into(), 24)?;
            ns.up(index)?;
        }
        host.running(pair.primary)?;
        pod.running(pair.peer)?;
        let mut links = Vec::new();
        host.run(|| {
            for hook in [PRIMARY, PEER] {
                let index = pair.primary;
                mprog::attach(Prog::returning(NEXT)?, index, hook, Place::default())?;
                let prog = Prog::returning(NEXT)?;
                links.push(Link::create(prog, index, hook, Place::default())?);
            }
            Ok(())
        })?;
        traffic::udp_exchange(&host, &pod, POD4.into(), 100)?;
        Ok(Self {
            host: Some(host),
            pod: Some(pod),
            pair,
            links,
        })
    }

    fn end(mut self, end: End) -> Result<()> {
        let (host, pod) = (self.host.take(), self.pod.take());
        let (host, pod) = (host.context("the host")?, pod.context("the pod")?);
        traffic::udp_exchange(&host, &pod, POD4.into(), 100)?;
        match end {
            End::Primary => host.del_link(self.pair.primary)?,
            End::Peer => pod.del_link(self.pair.peer)?,
            End::Moved => {
                let other = Ns::new()?;
                host.move_to(self.pair.primary, &other)?;
                pod.move_to(self.pair.peer, &host)?;
                other.del_link(other.link("nk0")?.index)?;
            }
            End::NamespaceOfPrimary => drop(host),
            End::NamespaceOfPeer => drop(pod),
        }
        for link in &self.links {
            check::soon(
                "the link's device is gone",
                || Ok(link.info()?.ifindex == 0),
            )?;
            check::equal("detach", link.detach(), Ok(()))?;
        }
        Ok(())
    }
}

fn by_the_other_driver(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let mut pairs = 0;
    for end in ENDS {
        for spec in [Spec::l3(), Spec::l2()] {
            for ours in [true, false] {
                if !ours {
                    module::hand_back()?;
                }
                let victim = Victim::new(spec.clone())?;
                if ours {
                    module::hand_back()?;
                } else {
                    module::take_over()?;
                }
                let outcome = victim.end(end);
                outcome.with_context(|| format!("{end:?}, made by ours: {ours}"))?;
                module::take_over()?;
                pairs += 1;
            }
        }
    }
    t.note(format!("{pairs} pairs"));
    module::unload()?;
    built_in_works(t)
}

/// The same with whole loads and unloads in between.
fn made_before_a_load_or_an_unload(t: &Ctx) -> Result<()> {
    let make = || -> Result<Vec<Victim>> { ENDS.iter().map(|_| Victim::new(Spec::l3())).collect() };
    let end = |victims: Vec<Victim>| -> Result<()> {
        let mut ends = ENDS.into_iter().zip(victims);
        ends.try_for_each(|(end, victim)| victim.end(end))
    };
    let victims = make()?;
    module::load(&t.module)?;
    end(victims)?;
    let victims = make()?;
    module::unload()?;
    end(victims)?;
    built_in_works(t)
}

/// A device that is no longer listed, but is still held: the task that has deleted it waits.
fn held_by_somebody(t: &Ctx) -> Result<()> {
    let hold = Hold::load(t)?;
    for ours in [false, true] {
        if ours {
            module::load(&t.module)?;
        }
        let pair = Spec::l3().create(&t.host, &t.host)?;
        hold.device(&t.host, "nk0")?;
        let ticket = t.host.ticket()?;
        thread::scope(|scope| {
            let deleter =
                scope.spawn(move || -> Result<()> { Ok(ticket.enter()?.del_link(pair.primary)?) });
            let gone = check::soon("the pair is listed no more", || {
                Ok(netkit::devices(&t.host)?.is_empty())
            });
            let outcome = gone.and_then(|()| {
                if ours {
                    states::hand_back()?;
                    states::take_over(t)?;
                    module::unload()
                } else {
                    module::load(&t.module)?;
                    states::all_ours(t)?;
                    module::unload()
                }
            });
            let waits = !deleter.is_finished();
            hold.let_go()?;
            joined(deleter)?;
            outcome?;
            check::that("it waited all the time", waits)
        })?;
        built_in_works(t)?;
    }
    Ok(())
}

/// A namespace that is on no list any more, while its devices live.
fn in_a_dying_namespace(t: &Ctx) -> Result<()> {
    let hold = Hold::load(t)?;
    for ours in [false, true] {
        if ours {
            module::load(&t.module)?;
        }
        let dies = Ns::new()?;
        let pair = Spec::l3().create(&t.host, &dies)?;
        Spec::l2().create_as("a", "b", &dies, &dies)?;
        hold.dying(true)?;
        drop(dies);
        hold.one_waits()?;
        if ours {
            module::hand_back()?;
            module::take_over()?;
        } else {
            module::load(&t.module)?;
        }
        // One end is in a namespace that lives.
        t.host.up(pair.primary)?;
        let prog = Prog::returning(NEXT)?;
        for hook in [PRIMARY, PEER] {
            mprog::attach(&prog, pair.primary, hook, Place::default())?;
        }
        thread::scope(|scope| {
            // The module stays as long as the namespace's devices are its own.
            let unloader = scope.spawn(module::unload);
            thread::sleep(Duration::from_secs(4));
            hold.dying(false)?;
            joined(unloader)
        })?;
        check::soon("the pair goes with the namespace", || {
            Ok(netkit::devices(&t.host)?.is_empty())
        })?;
        built_in_works(t)?;
    }
    Ok(())
}
