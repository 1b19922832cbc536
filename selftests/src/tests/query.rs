// SPDX-License-Identifier: GPL-2.0
//! BPF_PROG_QUERY: its results, and its errno when the buffers are too small.

use anyhow::Result;
use nix::errno::Errno;

use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::netkit::Spec;
use crate::netkit::NEXT;

tests![
    empty,
    contents,
    too_small,
    count_only,
    flags,
    revision_counts_changes,
    other_hooks
];

fn empty(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    for hook in [PRIMARY, PEER] {
        let query = mprog::query(pair.primary, hook)?;
        check::equal("count", query.count, 0)?;
        check::equal("revision", query.revision, 1)?;
        t.same(&format!("hook {hook}"), format!("{query:?}"));
    }
    Ok(())
}

fn contents(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let (one, two) = (Prog::returning(NEXT)?, Prog::returning(NEXT)?);
    mprog::attach(&one, pair.primary, PEER, Place::default())?;
    let link = Link::create(&two, pair.primary, PEER, Place::default())?;
    let query = mprog::query(pair.primary, PEER)?;
    check::equal("programs", query.progs, [one.id, two.id])?;
    check::equal("links", query.links, [0, link.id])?;
    check::equal(
        "flags",
        (query.prog_flags, query.link_flags),
        (vec![0, 0], vec![0, 0]),
    )?;
    check::equal("revision", query.revision, 3)?;
    check::equal("attach flags", query.attach_flags, 0)
}

fn too_small(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let progs = [
        Prog::returning(NEXT)?,
        Prog::returning(NEXT)?,
        Prog::returning(NEXT)?,
    ];
    for prog in &progs {
        mprog::attach(prog, pair.primary, PRIMARY, Place::default())?;
    }
    for room in [1, 2] {
        let query = mprog::query_room(pair.primary, PRIMARY, room);
        check::equal("result", query.result, Err(Errno::ENOSPC))?;
        // What fits is given, with the number of all.
        check::equal("count", query.count, 3)?;
        let expected: Vec<u32> = progs[..room].iter().map(|prog| prog.id).collect();
        check::equal("programs", query.progs, expected)?;
    }
    let query = mprog::query_room(pair.primary, PRIMARY, 3);
    check::equal("room for all", query.result, Ok(()))
}

fn count_only(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let prog = Prog::returning(NEXT)?;
    mprog::attach(&prog, pair.primary, PRIMARY, Place::default())?;
    let query = mprog::query_room(pair.primary, PRIMARY, 0);
    check::equal("result", query.result, Ok(()))?;
    check::equal("count", query.count, 1)?;
    check::equal("revision", query.revision, 2)
}

fn flags(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    for flags in [1, 2, 1 << 31] {
        let answer = mprog::query_flags(pair.primary, PRIMARY, 4, flags);
        check::equal("flags", answer.result, Err(Errno::EINVAL))?;
    }
    Ok(())
}

fn revision_counts_changes(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let (one, two) = (Prog::returning(NEXT)?, Prog::returning(NEXT)?);
    let mut told = Vec::new();
    let index = pair.primary;
    let mut tell = |what: &str| -> Result<()> {
        let query = mprog::query(index, PRIMARY)?;
        told.push(format!(
            "{what}: count {} revision {}",
            query.count, query.revision
        ));
        Ok(())
    };
    for _ in 0..3 {
        mprog::attach(&one, index, PRIMARY, Place::default())?;
        tell("attached")?;
        mprog::attach(&two, index, PRIMARY, Place::replace(&one))?;
        tell("replaced")?;
        mprog::detach(Some(&two), index, PRIMARY, Place::default())?;
        tell("detached")?;
        let link = Link::create(&one, index, PRIMARY, Place::default())?;
        tell("linked")?;
        link.update(&two, None)?;
        tell("updated")?;
        link.detach()?;
        tell("link detached")?;
    }
    t.same("revisions", told.join("\n"));
    Ok(())
}

/// tcx and netkit are asked with the same call and keep apart.
fn other_hooks(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let prog = Prog::returning(NEXT)?;
    mprog::attach(&prog, pair.primary, PRIMARY, Place::default())?;
    for hook in [crate::bpf::TCX_INGRESS, crate::bpf::TCX_EGRESS, PEER] {
        check::equal("count", mprog::query(pair.primary, hook)?.count, 0)?;
    }
    Ok(())
}
