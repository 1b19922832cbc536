// SPDX-License-Identifier: GPL-2.0
//! The life of a bpf_link on a pair: one contract, for both hooks.

use std::path::Path;

use anyhow::Result;
use nix::errno::Errno;

use crate::bpf::ids::Ids;
use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::POD4;
use crate::netkit::Pair;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::NEXT;
use crate::netkit::PASS;
use crate::runner::BPFFS;
use crate::traffic;

tests![
    info,
    fdinfo,
    by_id,
    close_detaches,
    detach,
    detach_twice,
    update,
    update_with_old,
    update_with_wrong_old,
    update_to_itself,
    update_to_attached,
    update_of_wrong_type,
    update_keeps_its_place,
    update_after_detach,
    update_under_traffic,
    pinned,
    device_deleted,
    device_deleted_through_the_peer,
    namespace_deleted,
    programs_go_with_the_device,
    moved_primary_keeps_links,
    peer_index_in_info,
];

fn pair(t: &Ctx) -> Result<Pair> {
    Spec::l3().create(&t.host, &t.host)
}

fn create(prog: &Prog, pair: Pair, hook: u32) -> Result<Link> {
    Ok(Link::create(prog, pair.primary, hook, Place::default())?)
}

/// fdinfo with what differs from run to run named instead of numbered.
fn fdinfo_text(link: &Link, prog: &Prog) -> Result<String> {
    let text = link.fdinfo()?;
    let lines = text.lines().map(|line| match line.split_once(":\t") {
        Some(("link_id", id)) if id == link.id.to_string() => "link_id:\tthis".into(),
        Some(("prog_id", id)) if id == prog.id.to_string() => "prog_id:\tthis".into(),
        Some((key @ ("mnt_id" | "ino"), _)) => format!("{key}:\t?"),
        _ => line.to_owned(),
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn info(t: &Ctx) -> Result<()> {
    let pair = pair(t)?;
    let prog = Prog::returning(NEXT)?;
    for (hook, device) in [(PRIMARY, pair.primary), (PEER, pair.peer)] {
        let link = create(&prog, pair, hook)?;
        let info = link.info()?;
        check::equal("type", info.kind, libbpf_sys::BPF_LINK_TYPE_NETKIT)?;
        check::equal("program", info.prog_id, prog.id)?;
        check::equal("ifindex", info.ifindex, device)?;
        check::equal("hook", info.attach_type, hook)?;
    }
    Ok(())
}

fn fdinfo(t: &Ctx) -> Result<()> {
    let pair = pair(t)?;
    let prog = Prog::returning(NEXT)?;
    for (hook, name) in [(PRIMARY, "primary"), (PEER, "peer")] {
        let link = create(&prog, pair, hook)?;
        let text = fdinfo_text(&link, &prog)?;
        let line = format!("attach_type:\t{hook} ({name})");
        check::that(&line, text.lines().any(|l| l == line))?;
        t.same(name, &text);
        link.detach()?;
        let text = fdinfo_text(&link, &prog)?;
        check::that("ifindex 0", text.lines().any(|l| l == "ifindex:\t0"))?;
        t.same(&format!("{name}, detached"), text);
    }
    Ok(())
}

fn by_id(t: &Ctx) -> Result<()> {
    let pair = pair(t)?;
    let prog = Prog::returning(NEXT)?;
    let link = create(&prog, pair, PRIMARY)?;
    let other = Link::by_id(link.id)?;
    let id = link.id;
    drop(link);
    check::equal(
        "still attached",
        mprog::query(pair.primary, PRIMARY)?.count,
        1,
    )?;
    check::equal("program", other.info()?.prog_id, prog.id)?;
    drop(other);
    check::soon("detached", || {
        Ok(mprog::query(pair.primary, PRIMARY)?.count == 0)
    })?;
    check::soon("id gone", || Ok(!Ids::now().links.contains(&id)))
}

fn close_detaches(t: &Ctx) -> Result<()> {
    let pair = pair(t)?;
    let prog = Prog::returning(NEXT)?;
    for hook in [PRIMARY, PEER] {
        let link = create(&prog, pair, hook)?;
        check::equal("attached", mprog::query(pair.primary, hook)?.count, 1)?;
        drop(link);
        check::soon("detached", || {
            Ok(mprog::query(pair.primary, hook)?.count == 0)
        })?;
    }
    Ok(())
}

fn detach(t: &Ctx) -> Result<()> {
    let pair = pair(t)?;
    let prog = Prog::returning(NEXT)?;
    for hook in [PRIMARY, PEER] {
        let link = create(&prog, pair, hook)?;
        link.detach()?;
        check::equal("count", mprog::query(pair.primary, hook)?.count, 0)?;
        let info = link.info()?;
        check::equal("ifindex", info.ifindex, 0)?;
        check::equal("program", info.prog_id, prog.id)?;
        check::equal("hook", info.attach_type, hook)?;
        // Its place is free again.
        drop(create(&prog, pair, hook)?);
    }
    Ok(())
}

fn detach_twice(t: &Ctx) -> Result<()> {
    let pair = pair(t)?;
    let prog = Prog::returning(NEXT)?;
    let link = create(&prog, pair, PRIMARY)?;
    link.detach()?;
    let again = link.detach();
    t.same("again", format!("{again:?}"));
    check::equal("again", again, Ok(()))
}

fn update(t: &Ctx) -> Result<()> {
    let pair = pair(t)?;
    let (one, two) = (Prog::returning(NEXT)?, Prog::returning(NEXT)?);
    for hook in [PRIMARY, PEER] {
        let link = create(&one, pair, hook)?;
        link.update(&two, None)?;
        check::equal("program", link.info()?.prog_id, two.id)?;
        let query = mprog::query(pair.primary, hook)?;
        check::equal("programs", query.progs, [two.id])?;
        check::equal("links", query.links, [link.id])?;
        check::equal("revision", query.revision, 3)?;
    }
    Ok(())
}

fn update_with_old(t: &Ctx) -> Result<()> {
    let pair = pair(t)?;
    let (one, two) = (Prog::returning(NEXT)?, Prog::returning(NEXT)?);
    let link = create(&one, pair, PRIMARY)?;
    link.update(&two, Some(&one))?;
    check::equal("program", link.info()?.prog_id, two.id)
}

fn update_with_wrong_old(t: &Ctx) -> Result<()> {
    let pair = pair(t)?;
    let (one, two) = (Prog::returning(NEXT)?, Prog::returning(NEXT)?);
    let link = create(&one, pair, PRIMARY)?;
    check::errno(
        "wrong old program",
        link.update(&two, Some(&two)),
        Errno::EPERM,
    )?;
    check::equal("program", link.info()?.prog_id, one.id)?;
    check::equal("revision", mprog::query(pair.primary, PRIMARY)?.revision, 2)
}

fn update_to_itself(t: &Ctx) -> Result<()> {
    let pair = pair(t)?;
    let prog = Prog::returning(NEXT)?;
    let link = create(&prog, pair, PRIMARY)?;
    link.update(&prog, None)?;
    link.update(&prog, Some(&prog))?;
    let query = mprog::query(pair.primary, PRIMARY)?;
    check::equal("programs", query.progs, [prog.id])?;
    check::equal("revision", query.revision, 2)
}

fn update_to_attached(t: &Ctx) -> Result<()> {
    let pair = pair(t)?;
    let (one, two) = (Prog::returning(NEXT)?, Prog::returning(NEXT)?);
    let link = create(&one, pair, PRIMARY)?;
    mprog::attach(&two, pair.primary, PRIMARY, Place::default())?;
    check::errno(
        "a program that is there",
        link.update(&two, None),
        Errno::EEXIST,
    )?;
    check::equal("program", link.info()?.prog_id, one.id)
}

fn update_of_wrong_type(t: &Ctx) -> Result<()> {
    let pair = pair(t)?;
    let prog = Prog::returning(NEXT)?;
    let xdp = Prog::load(libbpf_sys::BPF_PROG_TYPE_XDP, 0, 2)?;
    let link = create(&prog, pair, PRIMARY)?;
    let answer = link.update(&xdp, None);
    t.same("an XDP program", format!("{answer:?}"));
    check::that("refused", answer.is_err())?;
    check::equal("program", link.info()?.prog_id, prog.id)
}

fn update_keeps_its_place(t: &Ctx) -> Result<()> {
    let pair = pair(t)?;
    let progs: Result<Vec<_>, _> = (0..4).map(|_| Prog::returning(NEXT)).collect();
    let progs = progs?;
    let _first = create(&progs[0], pair, PRIMARY)?;
    let middle = create(&progs[1], pair, PRIMARY)?;
    mprog::attach(&progs[2], pair.primary, PRIMARY, Place::default())?;
    middle.update(&progs[3], None)?;
    let ids = [progs[0].id, progs[3].id, progs[2].id];
    check::equal("programs", mprog::query(pair.primary, PRIMARY)?.progs, ids)
}

fn update_after_detach(t: &Ctx) -> Result<()> {
    let pair = pair(t)?;
    let (one, two) = (Prog::returning(NEXT)?, Prog::returning(NEXT)?);
    let link = create(&one, pair, PRIMARY)?;
    link.detach()?;
    check::errno("detached", link.update(&two, None), Errno::ENOLINK)?;
    check::errno("with old", link.update(&two, Some(&one)), Errno::ENOLINK)?;
    check::equal("program", link.info()?.prog_id, one.id)
}

fn update_under_traffic(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let (pass, drop) = (Prog::returning(PASS)?, Prog::returning(DROP)?);
    let link = create(&pass, duo.pair, PRIMARY)?;
    let _receiver = traffic::udp_receiver(&duo.pod, POD4.into())?;
    let sender = traffic::udp_sender(&duo.host, POD4.into())?;
    for round in 0..20 {
        sender.send(&[0; 10])?;
        link.update(if round % 2 == 0 { &drop } else { &pass }, None)?;
    }
    let counted = duo.host.stats(duo.pair.primary)?;
    check::equal(
        "passed and dropped",
        (counted.tx_packets, counted.tx_dropped),
        (10, 10),
    )
}

fn pinned(t: &Ctx) -> Result<()> {
    let pair = pair(t)?;
    let prog = Prog::returning(NEXT)?;
    let path = Path::new(BPFFS).join("netkit-link");
    let link = create(&prog, pair, PEER)?;
    let id = link.id;
    link.pin(&path)?;
    drop(link);
    check::equal(
        "attached by its pin",
        mprog::query(pair.primary, PEER)?.links,
        [id],
    )?;
    let link = Link::open_pin(&path)?;
    check::equal("id", link.id, id)?;
    std::fs::remove_file(&path)?;
    check::equal("attached by us", mprog::query(pair.primary, PEER)?.count, 1)?;
    drop(link);
    check::soon("detached", || {
        Ok(mprog::query(pair.primary, PEER)?.count == 0)
    })
}

/// A link of a deleted device can be queried and closed, nothing else.
fn defunct(link: &Link, prog: &Prog, other: &Prog) -> Result<()> {
    check::equal("ifindex", link.info()?.ifindex, 0)?;
    check::equal("program", link.info()?.prog_id, prog.id)?;
    check::errno("update", link.update(other, None), Errno::ENOLINK)?;
    check::equal("detach", link.detach(), Ok(()))?;
    let text = fdinfo_text(link, prog)?;
    check::that("fdinfo", text.lines().any(|line| line == "ifindex:\t0"))
}

fn deleted(t: &Ctx, through_peer: bool) -> Result<()> {
    let pair = pair(t)?;
    let (one, two) = (Prog::returning(NEXT)?, Prog::returning(NEXT)?);
    let links = [create(&one, pair, PRIMARY)?, create(&one, pair, PEER)?];
    let path = Path::new(BPFFS).join("orphan");
    links[0].pin(&path)?;
    t.host.del_link(if through_peer {
        pair.peer
    } else {
        pair.primary
    })?;
    for link in &links {
        defunct(link, &one, &two)?;
    }
    drop(links);
    let pinned = Link::open_pin(&path)?;
    defunct(&pinned, &one, &two)?;
    std::fs::remove_file(&path)?;
    Ok(())
}

fn device_deleted(t: &Ctx) -> Result<()> {
    deleted(t, false)
}

fn device_deleted_through_the_peer(t: &Ctx) -> Result<()> {
    deleted(t, true)
}

fn namespace_deleted(t: &Ctx) -> Result<()> {
    let pod = crate::netns::Ns::new()?;
    let pair = Spec::l3().create(&t.host, &pod)?;
    let (one, two) = (Prog::returning(NEXT)?, Prog::returning(NEXT)?);
    let links = [create(&one, pair, PRIMARY)?, create(&one, pair, PEER)?];
    drop(pod);
    check::soon("device gone", || {
        Ok(t.host.link_by_index(pair.primary).is_err())
    })?;
    for link in &links {
        defunct(link, &one, &two)?;
    }
    Ok(())
}

fn programs_go_with_the_device(t: &Ctx) -> Result<()> {
    let pair = pair(t)?;
    let mut ids = Vec::new();
    for hook in [PRIMARY, PEER] {
        for _ in 0..3 {
            let prog = Prog::returning(NEXT)?;
            ids.push(prog.id);
            mprog::attach(&prog, pair.primary, hook, Place::default())?;
        }
    }
    check::that(
        "held by the device",
        ids.iter().all(|id| Ids::now().progs.contains(id)),
    )?;
    t.host.del_link(pair.peer)?;
    check::soon("gone", || {
        Ok(ids.iter().all(|id| !Ids::now().progs.contains(id)))
    })
}

fn moved_primary_keeps_links(t: &Ctx) -> Result<()> {
    let other = t.ns()?;
    let pair = pair(t)?;
    let prog = Prog::returning(NEXT)?;
    let link = create(&prog, pair, PRIMARY)?;
    t.host.move_to(pair.primary, &other)?;
    let index = other.link("nk0")?.index;
    check::equal("ifindex", link.info()?.ifindex, index)?;
    let query = other.run(|| Ok(mprog::query(index, PRIMARY)?))?;
    check::equal("links", query.links, [link.id])?;
    link.detach()?;
    let query = other.run(|| Ok(mprog::query(index, PRIMARY)?))?;
    check::equal("count", query.count, 0)
}

/// The index that a peer link shows counts in the peer's namespace.
fn peer_index_in_info(t: &Ctx) -> Result<()> {
    let pod = t.ns()?;
    for n in 0..3 {
        pod.add_device(&format!("dummy{n}"), "dummy")?;
    }
    let pair = Spec::l3().create(&t.host, &pod)?;
    check::that("indexes differ", pair.peer != pair.primary)?;
    let prog = Prog::returning(NEXT)?;
    let link = create(&prog, pair, PEER)?;
    check::equal("ifindex", link.info()?.ifindex, pair.peer)
}
