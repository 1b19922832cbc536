// SPDX-License-Identifier: GPL-2.0
//! Several threads that manage one device: two writers that use revisions, and readers.

use std::collections::BTreeSet;

use anyhow::bail;
use anyhow::ensure;
use anyhow::Result;
use nix::errno::Errno;

use super::arena::race;
use super::arena::Actor;
use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::Answer;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::netkit;
use crate::netkit::Spec;
use crate::netkit::NEXT;
use crate::nl::attr::Attrs;
use crate::nl::link::linkinfo;
use crate::tests::tests;

tests![
    two_writers,
    readers_beside_writers,
    settings_beside_programs
];

/// Whether it was done; it was not if somebody else came in between.
fn done(answer: Answer<()>) -> Result<u64> {
    match answer {
        Ok(()) => Ok(1),
        Err(Errno::ESTALE) => Ok(0),
        Err(other) => bail!("with a revision: {other}"),
    }
}

/// A writer that gives the expected revision, except when it cleans up. Returns the number of its changes.
fn write(index: u32, mine: &Prog, other: &Prog) -> Result<u64> {
    let seen = || -> Result<Place> {
        Ok(Place::default().revision(mprog::query(index, PRIMARY)?.revision))
    };
    let link = Link::create(mine, index, PRIMARY, seen()?);
    // Made, and taken away by closing.
    let mut changes = 2 * done(link.map(drop))?;
    if done(mprog::attach(mine, index, PRIMARY, seen()?))? == 0 {
        return Ok(changes);
    }
    let replace = Place::replace(mine).revision(seen()?.revision);
    let replaced = done(mprog::attach(other, index, PRIMARY, replace))?;
    let there = if replaced == 1 { other } else { mine };
    changes += 1 + replaced;
    if done(mprog::detach(Some(there), index, PRIMARY, seen()?))? == 0 {
        mprog::detach(Some(there), index, PRIMARY, Place::default())?;
    }
    Ok(changes + 1)
}

/// A program that stays: a hook without programs shows revision 1, whatever it has behind it.
fn anchor(index: u32) -> Result<Prog> {
    let prog = Prog::returning(NEXT)?;
    mprog::attach(&prog, index, PRIMARY, Place::default())?;
    Ok(prog)
}

/// Each change increments the revision by one, and no change with an old revision was made.
fn two_writers(t: &Ctx) -> Result<()> {
    let index = Spec::l3().create(&t.host, &t.host)?.primary;
    let anchor = anchor(index)?;
    let before = mprog::query(index, PRIMARY)?.revision;
    let mut made = [0, 0, 0];
    let mut actors = Vec::new();
    for (name, made) in ["one", "two", "three"].into_iter().zip(&mut made) {
        actors.push(Actor::new(name, move |turn| {
            let [mine, other] = [Prog::returning(NEXT)?, Prog::returning(NEXT)?];
            turn.repeat(|| {
                *made += write(index, &mine, &other)?;
                Ok(())
            })
        }));
    }
    t.note(race(t.race, actors)?);
    let query = mprog::query(index, PRIMARY)?;
    check::equal("programs", query.progs, [anchor.id])?;
    let made = made.iter().sum::<u64>();
    t.note(format!("{made} changes"));
    check::that("changes were made", made > 0)?;
    check::equal("revision", query.revision, before + made)
}

/// What a reader sees is whole: no program twice, as many as are said, and no way back for the revision.
fn look(index: u32, hook: u32, newest: &mut u64) -> Result<()> {
    let query = mprog::query(index, hook)?;
    let programs: BTreeSet<_> = query.progs.iter().collect();
    ensure!(
        programs.len() == query.count as usize && !programs.contains(&0),
        "a torn view: {query:?}"
    );
    ensure!(
        query.revision >= *newest,
        "revision went from {newest} to {}",
        query.revision
    );
    *newest = query.revision;
    Ok(())
}

fn readers_beside_writers(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let index = pair.primary;
    let _anchor = anchor(index)?;
    let [first, second] = [Prog::returning(NEXT)?, Prog::returning(NEXT)?];
    let known = [first.id, second.id];
    let link = Link::create(&first, index, PEER, Place::default())?;
    let host = t.host.ticket()?;
    let (link, first, second) = (&link, &first, &second);
    let actors = vec![
        Actor::new("queries", move |turn| {
            let (mut primary, mut peer) = (0, 0);
            turn.repeat(|| {
                look(index, PRIMARY, &mut primary)?;
                look(index, PEER, &mut peer)
            })
        }),
        Actor::new("programs", move |turn| {
            turn.repeat(|| {
                for hook in [PRIMARY, PEER] {
                    let progs: Vec<_> = (0..4).map(|_| Prog::returning(NEXT)).collect();
                    for prog in &progs {
                        let prog = prog.as_ref().map_err(|errno| *errno)?;
                        mprog::attach(prog, index, hook, Place::flags(mprog::BEFORE))?;
                    }
                    for prog in progs.iter().flatten() {
                        mprog::detach(Some(prog), index, hook, Place::default())?;
                    }
                }
                Ok(())
            })
        }),
        Actor::new("updates", move |turn| {
            turn.repeat(|| {
                link.update(second, Some(first))?;
                Ok(link.update(first, Some(second))?)
            })
        }),
        Actor::new("infos", move |turn| {
            turn.repeat(|| {
                let info = link.info()?;
                ensure!(known.contains(&info.prog_id), "program {}", info.prog_id);
                ensure!(info.ifindex == pair.peer, "ifindex {}", info.ifindex);
                let text = link.fdinfo()?;
                ensure!(text.contains("(peer)"), "fdinfo: {text}");
                drop(Link::by_id(link.id)?);
                Ok(())
            })
        }),
        Actor::new("dumps", move |turn| {
            let host = host.enter()?;
            turn.repeat(|| check::equal("devices", netkit::devices(&host)?.len(), 2))
        }),
    ];
    t.note(race(t.race, actors)?);
    let query = mprog::query(index, PEER)?;
    check::equal("programs", query.progs, [first.id])
}

/// The device's settings and its programs are changed through different system calls.
fn settings_beside_programs(t: &Ctx) -> Result<()> {
    let pair = Spec::l2().create(&t.host, &t.host)?;
    let index = pair.primary;
    let host = t.host.ticket()?;
    let actors = vec![
        Actor::new("settings", move |turn| {
            let host = host.enter()?;
            let mut round = 0;
            turn.repeat(|| {
                round += 1;
                let policy = [netkit::PASS, netkit::DROP][round as usize % 2] as u32;
                let mut data = Attrs::new();
                data.u32(netkit::POLICY, policy)
                    .u32(netkit::PEER_POLICY, policy);
                host.set_link(index, &linkinfo(netkit::KIND, Some(&data)))?;
                host.set_mtu(index, 1400 + round % 100)?;
                let link = host.link_by_index(index)?;
                let data = netkit::data_text(&link);
                ensure!(
                    data.contains(&format!("policy/4: {policy}")),
                    "settings: {data}"
                );
                Ok(())
            })
        }),
        Actor::new("links", move |turn| {
            let prog = Prog::returning(NEXT)?;
            turn.repeat(|| {
                let primary = Link::create(&prog, index, PRIMARY, Place::default())?;
                let peer = Link::create(&prog, index, PEER, Place::default())?;
                primary.detach()?;
                peer.detach()?;
                Ok(())
            })
        }),
    ];
    t.note(race(t.race, actors)?);
    Ok(())
}
