// SPDX-License-Identifier: GPL-2.0
//! Devices that are created, deleted, moved, and brought up and down under traffic, or while links are attached to
//! them.

use std::cell::Cell;
use std::sync::mpsc::channel;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::thread::sleep;
use std::time::Duration;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;

use super::arena::race;
use super::arena::Actor;
use super::arena::Turn;
use super::flood;
use super::flood::Flood;
use super::got_through;
use super::settled;
use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::netkit::Pair;
use crate::netkit::Spec;
use crate::netkit::NEXT;
use crate::netns::Ns;
use crate::nl::Answer;
use crate::tests::tests;

tests![
    deleted_under_traffic,
    moved_under_traffic,
    namespace_deleted_under_traffic,
    toggled_under_traffic,
    link_closed_while_the_device_goes,
    creators_of_one_name,
];

/// A pair that carries, as far as it can without waiting.
pub fn set_up(spec: Spec, host: &Ns, pod: &Ns) -> Result<Pair> {
    let pair = spec.create(host, pod)?;
    serve(host, pair.primary, true)?;
    serve(pod, pair.peer, false)?;
    Ok(pair)
}

fn serve(ns: &Ns, index: u32, host: bool) -> Result<()> {
    let address = if host { HOST4 } else { POD4 };
    ns.add_address(index, address.into(), 24)?;
    Ok(ns.up(index)?)
}

fn a_moment() {
    sleep(Duration::from_millis(10));
}

/// Waits until the device sends, by its counter. The threads that make it send may have ended in the
/// meantime.
fn sending(turn: &Turn<'_>, ns: &Ns, index: u32, busy: &Cell<u32>) -> Result<()> {
    check::soon("the device sends", || {
        let sends = ns.stats(index)?.tx_packets > 0;
        busy.set(busy.get() + u32::from(sends));
        Ok(sends || !turn.goes_on())
    })
}

fn gone(link: &Link) -> Result<()> {
    check::equal(
        "ifindex of a link whose device is gone",
        link.info()?.ifindex,
        0,
    )?;
    check::equal("detaching it", link.detach(), Ok(()))
}

fn deleted_under_traffic(t: &Ctx) -> Result<()> {
    let pod = t.ns()?;
    let flood = Flood::default();
    let mut actors = flood.datagrams(&t.host, &pod)?;
    let tickets = (t.host.ticket()?, pod.ticket()?);
    actors.push(Actor::new("pairs", move |turn| {
        let (pod, host) = (tickets.1.enter()?, tickets.0.enter()?);
        let [prog, other] = [Prog::returning(NEXT)?, Prog::returning(NEXT)?];
        let mut round = 0;
        let busy = Cell::new(0);
        turn.repeat(|| {
            round += 1;
            let spec = if round % 4 < 2 {
                Spec::l3()
            } else {
                Spec::l2()
            };
            let pair = set_up(spec, &host, &pod)?;
            let link = Link::create(&prog, pair.primary, PRIMARY, Place::default())?;
            let peer = Link::create(&prog, pair.primary, PEER, Place::default())?;
            mprog::attach(&other, pair.primary, PEER, Place::default())?;
            sending(turn, &host, pair.primary, &busy)?;
            sending(turn, &pod, pair.peer, &busy)?;
            if round % 2 == 0 {
                host.del_link(pair.primary)?;
            } else {
                pod.del_link(pair.peer)?;
            }
            gone(&link)?;
            gone(&peer)
        })?;
        check::that("devices went while they sent", busy.get() > 0)
    }));
    t.note(race(t.race, actors)?);
    t.note(format!("{} datagrams got away", flood.total()));
    Ok(())
}

fn moved_under_traffic(t: &Ctx) -> Result<()> {
    let (pod, other) = (t.ns()?, t.ns()?);
    let flood = Flood::default();
    let mut actors = flood.datagrams(&t.host, &pod)?;
    let tickets = (t.host.ticket()?, pod.ticket()?, other.ticket()?);
    let pair = set_up(Spec::l3(), &t.host, &pod)?;
    let prog = Prog::returning(NEXT)?;
    let link = Link::create(&prog, pair.primary, PRIMARY, Place::default())?;
    actors.push(Actor::new("moves", move |turn| {
        let (host, pod, other) = (tickets.0.enter()?, tickets.1.enter()?, tickets.2.enter()?);
        let there_and_back = |home: &Ns, name: &str| -> Result<()> {
            home.move_to(home.link(name)?.index, &other)?;
            let away = other.link(name)?.index;
            other.up(away)?;
            a_moment();
            other.move_to(away, home)?;
            serve(home, home.link(name)?.index, name == "nk0")?;
            a_moment();
            Ok(())
        };
        turn.repeat(|| {
            there_and_back(&pod, "nk1")?;
            there_and_back(&host, "nk0")
        })
    }));
    t.note(race(t.race, actors)?);
    let pair = Pair {
        primary: t.host.link("nk0")?.index,
        peer: pod.link("nk1")?.index,
    };
    check::equal("the link's device", link.info()?.ifindex, pair.primary)?;
    t.host.running(pair.primary)?;
    pod.running(pair.peer)?;
    let host = t.host.clone();
    let sent = host.stats(pair.primary)?.tx_packets + pod.stats(pair.peer)?.tx_packets;
    check::that("the pair carried something meanwhile", sent > 0)?;
    settled(t, &Duo { host, pod, pair })
}

/// The namespace of one device is deleted, while the other device sends into it.
fn namespace_deleted_under_traffic(t: &Ctx) -> Result<()> {
    let pod = t.ns()?;
    let flood = Flood::default();
    let mut actors = flood.datagrams(&t.host, &pod)?;
    let tickets = (t.host.ticket()?, pod.ticket()?);
    actors.push(Actor::new("namespaces", move |turn| {
        let (pod, host) = (tickets.1.enter()?, tickets.0.enter()?);
        let prog = Prog::returning(NEXT)?;
        let mut round = 0;
        let busy = Cell::new(0);
        turn.repeat(|| {
            round += 1;
            let leaves = Ns::new()?;
            let primary_stays = round % 2 == 0;
            let ends = if primary_stays {
                (&host, &leaves)
            } else {
                (&leaves, &pod)
            };
            let pair = set_up(Spec::l3(), ends.0, ends.1)?;
            let link = ends
                .0
                .run(|| Ok(Link::create(&prog, pair.primary, PEER, Place::default())?))?;
            let (stays, index) = if primary_stays {
                (&host, pair.primary)
            } else {
                (&pod, pair.peer)
            };
            sending(turn, stays, index, &busy)?;
            drop(leaves);
            check::soon("the pair goes with the namespace of one", || {
                Ok(stays.link_by_index(index).is_err())
            })?;
            gone(&link)
        })?;
        check::that("devices went while they sent", busy.get() > 0)
    }));
    t.note(race(t.race, actors)?);
    t.note(format!("{} datagrams got away", flood.total()));
    Ok(())
}

fn toggled_under_traffic(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let flood = Flood::default();
    let mut actors = flood.datagrams(&duo.host, &duo.pod)?;
    actors.push(flood::stream(&duo.host, &duo.pod)?);
    for (name, ns, index) in [
        ("primary's toggles", duo.host.ticket()?, duo.pair.primary),
        ("peer's toggles", duo.pod.ticket()?, duo.pair.peer),
    ] {
        actors.push(Actor::new(name, move |turn| {
            let ns = ns.enter()?;
            turn.repeat(|| {
                ns.down(index)?;
                ns.up(index)?;
                a_moment();
                Ok(())
            })
        }));
    }
    t.note(race(t.race, actors)?);
    got_through(&flood)?;
    duo.up()?;
    settled(t, &duo)
}

/// A thread that closes, detaches or updates the links that it receives.
fn closer(turn: &Turn<'_>, links: &Receiver<Link>, closed: &Sender<()>) -> Result<()> {
    let prog = Prog::returning(NEXT)?;
    for (round, link) in links.iter().enumerate() {
        match round % 3 {
            0 => drop(link),
            1 => check::equal("detaching", link.detach(), Ok(()))?,
            _ => {
                let answer = link.update(&prog, None);
                let known = matches!(answer, Ok(()) | Err(Errno::ENOLINK));
                check::that(&format!("updating answers {answer:?}"), known)?;
            }
        }
        turn.step();
        if closed.send(()).is_err() {
            break;
        }
    }
    Ok(())
}

fn link_closed_while_the_device_goes(t: &Ctx) -> Result<()> {
    let host = t.host.ticket()?;
    let (give, take) = channel();
    let (say, hear) = channel();
    let actors = vec![
        Actor::new("links", move |turn| closer(turn, &take, &say)),
        Actor::new("devices", move |turn| {
            let host = host.enter()?;
            let prog = Prog::returning(NEXT)?;
            let mut round = 0u32;
            turn.repeat(|| {
                round += 1;
                let pair = Spec::l3().create(&host, &host)?;
                let hook = if round % 2 == 0 { PRIMARY } else { PEER };
                let link = Link::create(&prog, pair.primary, hook, Place::default())?;
                give.send(link).context("nobody takes the link")?;
                // From before the other's start to after its end, as chance has it.
                for _ in 0..(round * 37) % 400 {
                    std::hint::spin_loop();
                }
                host.del_link(pair.primary)?;
                hear.recv().context("nobody has closed the link")
            })
        }),
    ];
    t.note(race(t.race, actors)?);
    Ok(())
}

/// One of the two gets the name; the other must get a certain errno.
fn creators_of_one_name(t: &Ctx) -> Result<()> {
    fn known(answer: Answer<()>) -> Result<()> {
        let errno = answer.err().map(|no| no.errno);
        ensure!(
            matches!(errno, None | Some(Errno::EEXIST | Errno::ENODEV)),
            "answered {errno:?}"
        );
        Ok(())
    }
    let mut actors = Vec::new();
    for name in ["one", "two"] {
        let host = t.host.ticket()?;
        actors.push(Actor::new(name, move |turn| {
            let host = host.enter()?;
            turn.repeat(|| {
                known(Spec::l2().name("nk0").peer("nk1").try_create(&host))?;
                known(host.link("nk1").and_then(|link| host.del_link(link.index)))
            })
        }));
    }
    t.note(race(t.race, actors)?);
    Ok(())
}
