// SPDX-License-Identifier: GPL-2.0
//! The same contract through netkit-aya, with programs that aya has loaded.

use std::error::Error;
use std::fs;
use std::path::Path;

use anyhow::bail;
use anyhow::Result;
use aya::programs::links::LinkError;
use aya::programs::Link as _;
use aya::programs::MultiProgLink as _;
use aya::programs::ProgramError;
use aya::programs::SchedClassifier;
use aya::Ebpf;
use netkit_aya::mprog;
use netkit_aya::query;
use netkit_aya::AttachNetkit as _;
use netkit_aya::NetkitAttachType;
use netkit_aya::NetkitAttachType::Peer;
use netkit_aya::NetkitAttachType::Primary;
use netkit_aya::NetkitLink;
use netkit_aya::NetkitOptions;
use netkit_aya::NetkitOrder;
use netkit_aya::PinnedNetkitLink;
use nix::errno::Errno;

use crate::bpf;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Probes;
use crate::bpf::prog::Prog;
use crate::check;
use crate::command;
use crate::ctx::Ctx;
use crate::ctx::POD4;
use crate::netkit::Spec;
use crate::netkit::NEXT;
use crate::runner::BPFFS;
use crate::traffic;

tests![
    life_of_a_link,
    places_of_links,
    places_of_programs,
    order_is_the_order_of_packets,
    revision,
    update_and_replace,
    detach_leaves_the_pin,
    pins,
    pins_of_others,
    links_of_others,
    refusals,
    without_a_link,
    sections_of_libbpf,
];

const SIDES: [NetkitAttachType; 2] = [Primary, Peer];

/// The errno that an error ends with.
fn errno(error: &(dyn Error + 'static)) -> Option<Errno> {
    netkit_rs::failure::errno(error)
}

fn refused<T, E: Error + 'static>(what: &str, got: Result<T, E>, expected: Errno) -> Result<()> {
    match got {
        Ok(_) => bail!("{what} was accepted"),
        Err(error) => check::equal(what, errno(&error), Some(expected)),
    }
}

/// The link ids of one side of nk0, in order.
fn links(side: NetkitAttachType) -> Result<Vec<u32>> {
    let programs = query("nk0", side)?.programs;
    Ok(programs.iter().filter_map(|one| one.link_id).collect())
}

fn id(link: &NetkitLink) -> Result<u32> {
    Ok(link.info()?.id)
}

fn life_of_a_link(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let probes = Probes::load(1)?;
    for (side, device) in [(Primary, pair.primary), (Peer, pair.peer)] {
        let link = probes
            .program(0)?
            .attach_netkit("nk0", side, NetkitOptions::default())?;
        let info = link.info()?;
        check::equal("program", info.program_id, probes.id(0)?)?;
        check::equal("device", info.if_index, Some(device))?;
        check::equal("side", info.attach_type, Some(side))?;
        let now = query("nk0", side)?;
        check::equal("by index", &query(pair.primary, side)?, &now)?;
        check::equal("revision", now.revision, 2)?;
        check::equal("programs", now.programs.len(), 1)?;
        check::equal("id", now.programs[0].id, probes.id(0)?)?;
        check::equal("link", now.programs[0].link_id, Some(info.id))?;
        drop(link);
        check::soon("closing detaches", || Ok(links(side)?.is_empty()))?;

        let link = NetkitLink::attach(probes.fd(0)?, pair.primary, side, NetkitOrder::first())?;
        link.detach()?;
        check::equal("detached", links(side)?, [0u32; 0])?;
    }
    Ok(())
}

fn places_of_links(t: &Ctx) -> Result<()> {
    Spec::l3().create(&t.host, &t.host)?;
    let probes = Probes::load(6)?;
    for side in SIDES {
        let attach = |slot, order: NetkitOrder<'_>| -> Result<NetkitLink> {
            Ok(probes.program(slot)?.attach_netkit("nk0", side, order)?)
        };
        let middle = attach(0, NetkitOrder::default())?;
        let first = attach(1, NetkitOrder::first())?;
        let last = attach(2, NetkitOrder::last())?;
        let before = attach(3, NetkitOrder::before_link(&middle)?)?;
        let after = attach(4, NetkitOrder::after_link(&middle)?)?;
        let by_id = attach(5, NetkitOrder::after_link_id(id(&first)?))?;
        let mut expected = Vec::new();
        for link in [&first, &by_id, &before, &middle, &after, &last] {
            expected.push(id(link)?);
        }
        check::equal("order", links(side)?, &expected[..])?;
        drop(by_id);
        check::soon("closed", || Ok(links(side)?.len() == 5))?;
        let by_id = attach(5, NetkitOrder::before_link_id(id(&last)?))?;
        check::equal("before by id", links(side)?[4], id(&by_id)?)?;
    }
    Ok(())
}

fn places_of_programs(t: &Ctx) -> Result<()> {
    Spec::l3().create(&t.host, &t.host)?;
    let probes = Probes::load(5)?;
    for side in SIDES {
        let attach = |slot, order: NetkitOrder<'_>| -> Result<()> {
            Ok(mprog::attach(probes.fd(slot)?, "nk0", side, order)?)
        };
        attach(0, NetkitOrder::default())?;
        attach(1, NetkitOrder::before_program(probes.program(0)?)?)?;
        attach(2, NetkitOrder::after_program(probes.program(0)?)?)?;
        attach(3, NetkitOrder::before_program_id(probes.id(0)?))?;
        attach(4, NetkitOrder::after_program_id(probes.id(0)?))?;
        let programs = query("nk0", side)?.programs;
        let mut expected = Vec::new();
        for slot in [1, 3, 0, 4, 2] {
            expected.push((probes.id(slot)?, None));
        }
        let ids: Vec<_> = programs.iter().map(|one| (one.id, one.link_id)).collect();
        check::equal("order", ids, &expected[..])?;
    }
    Ok(())
}

/// The result of `query` is what packets meet.
fn order_is_the_order_of_packets(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let mut probes = Probes::load(3)?;
    let last = probes
        .program(0)?
        .attach_netkit("nk0", Primary, NetkitOrder::last())?;
    let first = probes
        .program(1)?
        .attach_netkit("nk0", Primary, NetkitOrder::first())?;
    let middle =
        probes
            .program(2)?
            .attach_netkit("nk0", Primary, NetkitOrder::before_link(&last)?)?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    check::equal("order", probes.order()?, [1, 2, 0])?;
    probes.reset()?;
    for link in [last, first, middle] {
        link.detach()?;
    }
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    check::equal("nobody", probes.order()?, [0u32; 0])
}

fn revision(t: &Ctx) -> Result<()> {
    Spec::l3().create(&t.host, &t.host)?;
    let probes = Probes::load(3)?;
    for side in SIDES {
        let at = |slot, revision| {
            let options = NetkitOptions {
                expected_revision: Some(revision),
                ..NetkitOptions::default()
            };
            Ok::<_, anyhow::Error>(probes.program(slot)?.attach_netkit("nk0", side, options))
        };
        let first = query("nk0", side)?.revision;
        let _one = at(0, first)??;
        refused("a revision that has passed", at(1, first)?, Errno::ESTALE)?;
        let _two = at(1, first + 1)??;
        let stale = mprog::detach(probes.fd(2)?, "nk0", side, Some(first));
        refused("detaching at one", stale, Errno::ESTALE)?;
        check::equal("revision", query("nk0", side)?.revision, first + 2)?;
    }
    Ok(())
}

fn update_and_replace(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let probes = Probes::load(3)?;
    for side in SIDES {
        let link = probes
            .program(0)?
            .attach_netkit("nk0", side, NetkitOrder::default())?;
        link.update(probes.fd(1)?)?;
        check::equal("updated", link.info()?.program_id, probes.id(1)?)?;
        let wrong = link.replace(probes.fd(0)?, probes.fd(2)?);
        refused("a program that is not there", wrong, Errno::EPERM)?;
        link.replace(probes.fd(1)?, probes.fd(2)?)?;
        check::equal("replaced", link.info()?.program_id, probes.id(2)?)?;
        check::equal("link", links(side)?, [id(&link)?])?;
        if side == Peer {
            t.host.del_link(pair.primary)?;
            check::equal("defunct", link.info()?.if_index, None)?;
            refused(
                "without a device",
                link.update(probes.fd(0)?),
                Errno::ENOLINK,
            )?;
        }
    }
    Ok(())
}

/// `detach` is final, even if others hold the link.
fn detach_leaves_the_pin(t: &Ctx) -> Result<()> {
    Spec::l3().create(&t.host, &t.host)?;
    let probes = Probes::load(1)?;
    let path = Path::new(BPFFS).join("aya-detached");
    let link = probes
        .program(0)?
        .attach_netkit("nk0", Peer, NetkitOrder::default())?;
    let pinned = link.pin(&path)?;
    let second = NetkitLink::from_id(id(pinned.link())?)?;
    check::that(
        "two descriptors",
        second.id() != pinned.link().id() && second.fd().is_ok(),
    )?;
    second.detach()?;
    check::equal("detached", links(Peer)?, [0u32; 0])?;
    check::equal("defunct", pinned.link().info()?.if_index, None)?;
    check::that("the pin stays", path.exists())?;
    Ok(fs::remove_file(&path)?)
}

fn pins(t: &Ctx) -> Result<()> {
    Spec::l3().create(&t.host, &t.host)?;
    let probes = Probes::load(1)?;
    let path = Path::new(BPFFS).join("aya-link");
    for side in SIDES {
        let link = probes
            .program(0)?
            .attach_netkit("nk0", side, NetkitOrder::default())?;
        let number = id(&link)?;
        drop(link.pin(&path)?);
        check::equal("attached by its pin", links(side)?, [number])?;
        let pinned = PinnedNetkitLink::from_pin(&path)?;
        check::equal("path", pinned.path(), &path)?;
        let link = NetkitLink::from(pinned);
        check::that("the pin is still there", path.exists())?;
        refused("a second name there", link.pin(&path), Errno::EEXIST)?;
        let link = PinnedNetkitLink::from_pin(&path)?.unpin()?;
        check::that("unpinned", !path.exists())?;
        check::equal("attached by us", links(side)?, [number])?;
        drop(link);
        check::soon("detached", || Ok(links(side)?.is_empty()))?;
    }
    let gone = PinnedNetkitLink::from_pin(&path);
    refused("a pin that there is not", gone, Errno::ENOENT)
}

fn invalid<T>(what: &str, got: Result<T, LinkError>) -> Result<()> {
    check::that(what, matches!(got, Err(LinkError::InvalidLink)))
}

/// A map of the type whose number is that of netkit links, a program, a link of another kind.
fn pins_of_others(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let path = |name| Path::new(BPFFS).join(name);
    command::pin_map_of_maps(&path("aya-map"))?;
    invalid("a map", PinnedNetkitLink::from_pin(path("aya-map")))?;

    let prog = Prog::returning(NEXT)?;
    command::pin_program(&prog, &path("aya-program"))?;
    invalid("a program", PinnedNetkitLink::from_pin(path("aya-program")))?;

    let tcx = bpf::link::Link::create(&prog, pair.primary, bpf::TCX_INGRESS, Place::default())?;
    tcx.pin(&path("aya-tcx"))?;
    invalid("a tcx link", PinnedNetkitLink::from_pin(path("aya-tcx")))?;
    for name in ["aya-map", "aya-program", "aya-tcx"] {
        fs::remove_file(path(name))?;
    }
    Ok(())
}

fn links_of_others(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let prog = Prog::returning(NEXT)?;
    let tcx = bpf::link::Link::create(&prog, pair.primary, bpf::TCX_INGRESS, Place::default())?;
    invalid("a tcx link", NetkitLink::from_id(tcx.id))?;
    let there_is_none = NetkitLink::from_id(u32::MAX);
    refused("no link", there_is_none, Errno::ENOENT)?;
    // What another library has made is as good as what this one makes.
    let other = bpf::link::Link::create(&prog, pair.primary, bpf::PEER, Place::default())?;
    let ours = NetkitLink::from_id(other.id)?;
    check::equal("its program", ours.info()?.program_id, prog.id)?;
    ours.detach()?;
    check::equal("detached", other.info()?.ifindex, 0)
}

fn refusals(t: &Ctx) -> Result<()> {
    Spec::l3().create(&t.host, &t.host)?;
    t.host.add_device("dummy0", "dummy")?;
    let probes = Probes::load(2)?;
    let program = probes.program(0)?;
    let attach =
        |device: &str, order| program.attach_netkit(device, Primary, NetkitOptions::from(order));
    let last = NetkitOrder::last();
    refused("the peer", attach("nk1", last), Errno::EACCES)?;
    refused("another device", attach("dummy0", last), Errno::ENXIO)?;
    let nobody = NetkitOrder::before_program_id(probes.id(1)?);
    refused("nobody's neighbour", attach("nk0", nobody), Errno::ENOENT)?;
    let unknown = attach("no-such-device", last);
    check::that(
        "a name that there is not",
        matches!(unknown, Err(ProgramError::UnknownInterface { name }) if name == "no-such-device"),
    )?;
    refused("the peer, asked", query("nk1", Peer), Errno::EACCES)?;
    let _link = attach("nk0", last)?;
    let twice = mprog::attach(probes.fd(0)?, "nk0", Primary, last);
    refused("the same again", twice, Errno::EEXIST)
}

fn without_a_link(t: &Ctx) -> Result<()> {
    Spec::l3().create(&t.host, &t.host)?;
    let probes = Probes::load(3)?;
    for side in SIDES {
        mprog::attach(probes.fd(0)?, "nk0", side, NetkitOrder::default())?;
        mprog::replace(probes.fd(0)?, probes.fd(1)?, "nk0", side, Some(2))?;
        let programs = query("nk0", side)?.programs;
        check::equal("programs", programs.len(), 1)?;
        check::equal("replaced", programs[0].id, probes.id(1)?)?;
        check::equal("no link", programs[0].link_id, None)?;
        let gone = mprog::detach(probes.fd(0)?, "nk0", side, None);
        refused("one that is not there", gone, Errno::ENOENT)?;
        let opened = mprog::program_by_id(probes.id(1)?)?;
        mprog::detach(opened, "nk0", side, None)?;
        check::equal("detached", query("nk0", side)?.programs.len(), 0)?;
        let _link = probes
            .program(2)?
            .attach_netkit("nk0", side, NetkitOrder::default())?;
        let held = mprog::detach(probes.fd(2)?, "nk0", side, None);
        refused("one that a link holds", held, Errno::EBUSY)?;
    }
    Ok(())
}

/// An object as libbpf likes it, through aya: the chosen program arrives and does what it says.
fn sections_of_libbpf(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let listed = netkit_aya::programs(command::OBJECT)?;
    let peer = listed.iter().find(|one| one.section == "netkit/peer");
    let name = peer.map_or("", |one| one.name.as_str());
    check::equal("name", name, "out_of_the_pod")?;
    let object = netkit_aya::aya_object(command::OBJECT.to_vec())?;
    let mut ebpf = Ebpf::load(&object)?;
    let Some(program) = ebpf.program_mut(name) else {
        bail!("aya finds no program {name}");
    };
    let program: &mut SchedClassifier = program.try_into()?;
    program.load()?;
    let before = duo.pod.stats(duo.pair.peer)?.tx_dropped;
    let _link = program.attach_netkit("nk0", Peer, NetkitOptions::default())?;
    let sender = traffic::udp_sender(&duo.pod, crate::ctx::HOST4.into())?;
    sender.send(&[0; 10])?;
    let dropped = duo.pod.stats(duo.pair.peer)?.tx_dropped - before;
    check::equal("dropped", dropped, 1)
}
