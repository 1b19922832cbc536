// SPDX-License-Identifier: GPL-2.0
//! Attaching and detaching programs: which requests the kernel refuses, and what holds when a request has returned.

use std::thread;
use std::time::Duration;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;

use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::mprog::AFTER;
use crate::bpf::mprog::BEFORE;
use crate::bpf::prog::Prog;
use crate::bpf::slow::Slow;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::bpf::TCX_INGRESS;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::POD4;
use crate::inject;
use crate::netkit::Spec;
use crate::netkit::NEXT;
use crate::traffic;

tests![
    through_the_peer,
    wrong_device,
    no_such_device,
    other_namespace,
    peer_in_other_namespace,
    program_types,
    expected_attach_type,
    twice,
    revision_mismatch,
    detach_what_is_not_there,
    detach_flags,
    unknown_flags,
    sixty_three,
    sixty_three_links,
    tcx_beside_netkit,
    attach_to_pair_that_is_down,
    detach_ends_runs,
    link_detach_ends_runs,
];

/// Attach, link, detach and query, all on one ifindex and hook.
fn everything(prog: &Prog, index: u32, hook: u32) -> [Option<Errno>; 4] {
    [
        mprog::attach(prog, index, hook, Place::default()).err(),
        Link::create(prog, index, hook, Place::default()).err(),
        mprog::detach(Some(prog), index, hook, Place::default()).err(),
        mprog::query(index, hook).err(),
    ]
}

fn through_the_peer(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let prog = Prog::returning(NEXT)?;
    for hook in [PRIMARY, PEER] {
        let answers = everything(&prog, pair.peer, hook);
        check::equal("through the peer", answers, [Some(Errno::EACCES); 4])?;
    }
    Ok(())
}

fn wrong_device(t: &Ctx) -> Result<()> {
    let dummy = t.host.add_device("dummy0", "dummy")?;
    let prog = Prog::returning(NEXT)?;
    for index in [1, dummy] {
        for hook in [PRIMARY, PEER] {
            let answers = everything(&prog, index, hook);
            check::equal("no netkit", answers, [Some(Errno::ENXIO); 4])?;
        }
    }
    Ok(())
}

fn no_such_device(_: &Ctx) -> Result<()> {
    let prog = Prog::returning(NEXT)?;
    for index in [0, 999, i32::MAX as u32] {
        let answers = everything(&prog, index, PRIMARY);
        check::equal("nothing there", answers, [Some(Errno::ENODEV); 4])?;
    }
    Ok(())
}

fn other_namespace(t: &Ctx) -> Result<()> {
    let other = t.ns()?;
    let pair = Spec::l3().create(&other, &other)?;
    let prog = Prog::returning(NEXT)?;
    let answers = everything(&prog, pair.primary, PRIMARY);
    check::equal("from outside", answers, [Some(Errno::ENODEV); 4])?;
    other.run(|| {
        Ok(mprog::attach(
            &prog,
            pair.primary,
            PRIMARY,
            Place::default(),
        )?)
    })?;
    let query = other.run(|| Ok(mprog::query(pair.primary, PRIMARY)?))?;
    check::equal("programs", query.progs, [prog.id])
}

/// The peer hook is managed where the primary is, wherever the peer is.
fn peer_in_other_namespace(t: &Ctx) -> Result<()> {
    let pod = t.ns()?;
    let pair = Spec::l3().create(&t.host, &pod)?;
    let prog = Prog::returning(NEXT)?;
    mprog::attach(&prog, pair.primary, PEER, Place::default())?;
    let answers = pod.run(|| Ok(everything(&prog, pair.peer, PEER)))?;
    check::equal("from the pod", answers, [Some(Errno::EACCES); 4])?;
    let query = mprog::query(pair.primary, PEER)?;
    check::equal("programs", query.progs, [prog.id])
}

fn program_types(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let types = [
        ("xdp", libbpf_sys::BPF_PROG_TYPE_XDP),
        ("sched_act", libbpf_sys::BPF_PROG_TYPE_SCHED_ACT),
        ("socket_filter", libbpf_sys::BPF_PROG_TYPE_SOCKET_FILTER),
        ("cgroup_skb", libbpf_sys::BPF_PROG_TYPE_CGROUP_SKB),
    ];
    for (name, kind) in types {
        let prog = Prog::load(kind, 0, 0)?;
        for hook in [PRIMARY, PEER] {
            let answer = mprog::attach(&prog, pair.primary, hook, Place::default());
            check::errno(name, answer, Errno::EINVAL)?;
            let answer = Link::create(&prog, pair.primary, hook, Place::default());
            check::errno(name, answer.map(drop), Errno::EINVAL)?;
        }
    }
    check::equal("count", mprog::query(pair.primary, PRIMARY)?.count, 0)
}

/// What a tc program was said to be for at its loading does not bind it.
fn expected_attach_type(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    for (said, hook) in [
        (PRIMARY, PRIMARY),
        (PEER, PEER),
        (TCX_INGRESS, PEER),
        (PRIMARY, PEER),
    ] {
        let prog = Prog::load(libbpf_sys::BPF_PROG_TYPE_SCHED_CLS, said, NEXT)?;
        let answer = mprog::attach(&prog, pair.primary, hook, Place::default());
        t.same(&format!("{said} on {hook}"), format!("{answer:?}"));
        check::that("attached", answer.is_ok())?;
        mprog::detach(Some(&prog), pair.primary, hook, Place::default())?;
    }
    Ok(())
}

fn twice(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let prog = Prog::returning(NEXT)?;
    mprog::attach(&prog, pair.primary, PRIMARY, Place::default())?;
    let again = mprog::attach(&prog, pair.primary, PRIMARY, Place::default());
    check::errno("again", again, Errno::EEXIST)?;
    let link = Link::create(&prog, pair.primary, PRIMARY, Place::default());
    check::errno("as a link", link.map(drop), Errno::EEXIST)?;
    let replace = mprog::attach(&prog, pair.primary, PRIMARY, Place::replace(&prog));
    check::errno("by itself", replace, Errno::EEXIST)?;
    check::equal("revision", mprog::query(pair.primary, PRIMARY)?.revision, 2)
}

fn revision_mismatch(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let (one, two) = (Prog::returning(NEXT)?, Prog::returning(NEXT)?);
    let at = |revision| Place::default().revision(revision);
    let index = pair.primary;
    check::errno(
        "too new",
        mprog::attach(&one, index, PRIMARY, at(2)),
        Errno::ESTALE,
    )?;
    mprog::attach(&one, index, PRIMARY, at(1))?;
    check::errno(
        "too old",
        mprog::attach(&two, index, PRIMARY, at(1)),
        Errno::ESTALE,
    )?;
    let link = Link::create(&two, index, PRIMARY, at(1));
    check::errno("link, too old", link.map(drop), Errno::ESTALE)?;
    let link = Link::create(&two, index, PRIMARY, at(2))?;
    let late = mprog::detach(Some(&one), index, PRIMARY, at(2));
    check::errno("detach, too old", late, Errno::ESTALE)?;
    mprog::detach(Some(&one), index, PRIMARY, at(3))?;
    check::equal("revision", mprog::query(index, PRIMARY)?.revision, 4)?;
    drop(link);
    // No programs: the result for a hook without an entry, and for the next attachment.
    t.same("empty again", mprog::query(index, PRIMARY)?.revision);
    mprog::attach(&one, index, PRIMARY, Place::default())?;
    t.same("attached again", mprog::query(index, PRIMARY)?.revision);
    Ok(())
}

fn detach_what_is_not_there(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let (one, two) = (Prog::returning(NEXT)?, Prog::returning(NEXT)?);
    let index = pair.primary;
    let answer = mprog::detach(Some(&one), index, PRIMARY, Place::default());
    check::errno("from nothing", answer, Errno::ENOENT)?;
    let answer = mprog::detach(None, index, PRIMARY, Place::default());
    check::errno("any from nothing", answer, Errno::ENOENT)?;
    mprog::attach(&one, index, PRIMARY, Place::default())?;
    let answer = mprog::detach(Some(&two), index, PRIMARY, Place::default());
    check::errno("another", answer, Errno::ENOENT)?;
    mprog::detach(Some(&one), index, PRIMARY, Place::default())?;
    let answer = mprog::detach(Some(&one), index, PRIMARY, Place::default());
    check::errno("again", answer, Errno::ENOENT)
}

fn detach_flags(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let progs = [Prog::returning(NEXT)?, Prog::returning(NEXT)?];
    for prog in &progs {
        mprog::attach(prog, pair.primary, PRIMARY, Place::default())?;
    }
    for flags in [mprog::REPLACE, 1, 2, 1 << 20, mprog::ID, BEFORE | AFTER] {
        let place = Place::flags(flags);
        let answer = mprog::detach(Some(&progs[0]), pair.primary, PRIMARY, place);
        check::that("refused", answer.is_err())?;
        t.same(&format!("flags {flags}"), format!("{answer:?}"));
    }
    check::equal("count", mprog::query(pair.primary, PRIMARY)?.count, 2)
}

fn unknown_flags(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let prog = Prog::returning(NEXT)?;
    for bit in 0..32 {
        let place = Place::flags(1 << bit);
        let attach = mprog::attach(&prog, pair.primary, PRIMARY, place);
        if attach.is_ok() {
            mprog::detach(Some(&prog), pair.primary, PRIMARY, Place::default())?;
        }
        let link = Link::create(&prog, pair.primary, PRIMARY, place).map(drop);
        t.same(
            &format!("flag {bit}"),
            format!("attach {attach:?}, link {link:?}"),
        );
        check::equal(
            "attached",
            attach.is_ok(),
            matches!(1 << bit, BEFORE | AFTER),
        )?;
    }
    Ok(())
}

fn sixty_three(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let progs: Result<Vec<_>, _> = (0..64).map(|_| Prog::returning(NEXT)).collect();
    let progs = progs?;
    for prog in &progs[..63] {
        mprog::attach(prog, pair.primary, PRIMARY, Place::flags(BEFORE))?;
    }
    let answer = mprog::attach(&progs[63], pair.primary, PRIMARY, Place::default());
    check::errno("the 64th", answer, Errno::ERANGE)?;
    let link = Link::create(&progs[63], pair.primary, PRIMARY, Place::default());
    check::errno("as a link", link.map(drop), Errno::ERANGE)?;
    // Replacing needs no free place, and the other hook has its own places.
    mprog::attach(&progs[63], pair.primary, PRIMARY, Place::replace(&progs[5]))?;
    mprog::attach(&progs[5], pair.primary, PEER, Place::default())?;
    let query = mprog::query(pair.primary, PRIMARY)?;
    check::equal("count", query.count, 63)?;
    let mut expected: Vec<u32> = progs[..63].iter().rev().map(|prog| prog.id).collect();
    expected[57] = progs[63].id;
    check::equal("programs", query.progs, expected)
}

fn sixty_three_links(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let progs: Result<Vec<_>, _> = (0..64).map(|_| Prog::returning(NEXT)).collect();
    let progs = progs?;
    let create = |prog| Link::create(prog, pair.primary, PEER, Place::default());
    let links: Result<Vec<_>, _> = progs[..63].iter().map(create).collect();
    let mut links = links?;
    check::errno("the 64th", create(&progs[63]).map(drop), Errno::ERANGE)?;
    links.remove(30);
    links.push(create(&progs[63])?);
    let expected: Vec<u32> = links.iter().map(|link| link.id).collect();
    check::equal("links", mprog::query(pair.primary, PEER)?.links, expected)
}

fn tcx_beside_netkit(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let prog = Prog::returning(NEXT)?;
    for index in [pair.primary, pair.peer] {
        mprog::attach(&prog, index, TCX_INGRESS, Place::default())?;
        check::equal("tcx", mprog::query(index, TCX_INGRESS)?.progs, [prog.id])?;
    }
    mprog::attach(&prog, pair.primary, PRIMARY, Place::default())?;
    check::equal(
        "netkit",
        mprog::query(pair.primary, PRIMARY)?.progs,
        [prog.id],
    )
}

fn attach_to_pair_that_is_down(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let prog = Prog::returning(NEXT)?;
    mprog::attach(&prog, pair.primary, PRIMARY, Place::default())?;
    t.host.up(pair.primary)?;
    t.host.down(pair.primary)?;
    check::equal("count", mprog::query(pair.primary, PRIMARY)?.count, 1)
}

/// Whoever has detached a program may take away what it works on: the call returns when no run of it is left.
fn ends_runs(
    t: &Ctx,
    attach: impl Fn(&Slow, u32) -> Result<Option<Link>>,
    detach: impl Fn(&Slow, u32, Option<Link>) -> Result<()>,
) -> Result<()> {
    // On a busy machine a run may have ended before the program is detached.
    const TRIES: u32 = 20;
    const RUN: Duration = Duration::from_millis(500);
    let duo = t.duo(Spec::l3())?;
    let index = duo.pair.primary;
    inject::stay_on_cpu(0)?;
    for _ in 0..TRIES {
        let slow = Slow::load(RUN)?;
        let link = attach(&slow, index)?;
        let sender = traffic::udp_sender(&duo.host, POD4.into())?;
        let (before, after) = thread::scope(|scope| {
            let sending = scope.spawn(move || -> Result<()> {
                inject::stay_on_cpu(1)?;
                sender.send(b"netkit")?;
                Ok(())
            });
            check::soon("a run begins", || Ok(slow.runs()?.begun == 1))?;
            let before = slow.runs()?;
            detach(&slow, index, link)?;
            let after = slow.runs()?;
            match sending.join() {
                Ok(sent) => sent?,
                Err(_) => bail!("the sending thread panicked"),
            }
            anyhow::Ok((before, after))
        })?;
        check::equal("runs that have ended", after.ended, 1)?;
        if before.ended == 0 {
            return Ok(());
        }
    }
    bail!("no program was detached while it ran")
}

fn detach_ends_runs(t: &Ctx) -> Result<()> {
    ends_runs(
        t,
        |slow, index| {
            mprog::attach(slow.fd()?, index, PRIMARY, Place::default())?;
            Ok(None)
        },
        |slow, index, _| {
            let fd = slow.fd()?;
            Ok(mprog::detach(Some(&fd), index, PRIMARY, Place::default())?)
        },
    )
}

fn link_detach_ends_runs(t: &Ctx) -> Result<()> {
    ends_runs(
        t,
        |slow, index| {
            let link = Link::create(slow.fd()?, index, PRIMARY, Place::default())?;
            Ok(Some(link))
        },
        |_, _, link| Ok(link.context("no link")?.detach()?),
    )
}
