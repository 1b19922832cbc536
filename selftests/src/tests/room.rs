// SPDX-License-Identifier: GPL-2.0
//! Headroom and tailroom: as requested at creation, raised by the master of a device; both devices of a pair get the
//! larger value.

use anyhow::Result;
use nix::errno::Errno;

use crate::check;
use crate::ctx::Ctx;
use crate::netkit;
use crate::netkit::Pair;
use crate::netkit::Spec;
use crate::nl::attr;

tests![
    as_asked,
    both_sides_alike,
    peer_shows_it,
    enslaving_resets,
    larger_need_of_both,
    of_a_single_device,
];

fn room(t: &Ctx, index: u32) -> Result<(Option<u16>, Option<u16>)> {
    let data = t.host.link_by_index(index)?.data();
    let value = |kind| attr::find(&data, kind).and_then(|attr| attr.u16());
    Ok((value(netkit::HEADROOM), value(netkit::TAILROOM)))
}

fn rooms(t: &Ctx, pair: Pair) -> Result<String> {
    let (primary, peer) = (room(t, pair.primary)?, room(t, pair.peer)?);
    Ok(format!("primary {primary:?}, peer {peer:?}"))
}

fn as_asked(t: &Ctx) -> Result<()> {
    for (head, tail) in [(0, 0), (1, 0), (0, 1), (32, 8), (65535, 65535)] {
        let spec = Spec::l3().headroom(head).tailroom(tail);
        let pair = spec.create(&t.host, &t.host)?;
        for index in [pair.primary, pair.peer] {
            check::equal("room", room(t, index)?, (Some(head), Some(tail)))?;
        }
        t.host.del_link(pair.primary)?;
    }
    Ok(())
}

fn both_sides_alike(t: &Ctx) -> Result<()> {
    let pod = t.ns()?;
    let pair = Spec::l2().headroom(100).create(&t.host, &pod)?;
    let peer = pod.link_by_index(pair.peer)?;
    let data = peer.data();
    let value = attr::find(&data, netkit::HEADROOM).and_then(|attr| attr.u16());
    check::equal("peer's headroom", value, Some(100))
}

/// Packets get through with much room, and without room.
fn peer_shows_it(t: &Ctx) -> Result<()> {
    for head in [0, 16, 1000] {
        let duo = t.duo(Spec::l2().headroom(head).tailroom(head))?;
        crate::traffic::udp_exchange(&duo.host, &duo.pod, crate::ctx::POD4.into(), 1000)?;
        crate::traffic::tcp_exchange(&duo.host, &duo.pod, crate::ctx::POD4.into(), 100_000)?;
        duo.host.del_link(duo.pair.primary)?;
    }
    Ok(())
}

/// A bridge sets the largest headroom of its ports on all of them, and -1 on a port that leaves.
fn enslaving_resets(t: &Ctx) -> Result<()> {
    let pair = Spec::l2().headroom(256).create(&t.host, &t.host)?;
    let bridge = t.host.add_device("br0", "bridge")?;
    let mut told = vec![rooms(t, pair)?];
    t.host.set_master(pair.peer, bridge)?;
    told.push(rooms(t, pair)?);
    t.host.set_master(pair.peer, 0)?;
    told.push(rooms(t, pair)?);
    t.host.set_master(pair.primary, bridge)?;
    told.push(rooms(t, pair)?);
    t.host.set_master(pair.primary, 0)?;
    told.push(rooms(t, pair)?);
    t.same("rooms", told.join("\n"));
    // A device without an address of Ethernet kind is no port.
    let flat = Spec::l3().create_as("flat", "flatp", &t.host, &t.host)?;
    let answer = t.host.set_master(flat.primary, bridge);
    t.same("L3 into a bridge", format!("{answer:?}"));
    check::that("refused", answer.is_err_and(|no| no.errno == Errno::EINVAL))
}

fn larger_need_of_both(t: &Ctx) -> Result<()> {
    let bridge = t.host.add_device("br0", "bridge")?;
    let small = Spec::l2().create_as("s0", "s1", &t.host, &t.host)?;
    let large = Spec::l2()
        .headroom(300)
        .create_as("l0", "l1", &t.host, &t.host)?;
    let mut told = Vec::new();
    t.host.set_master(small.primary, bridge)?;
    told.push(rooms(t, small)?);
    t.host.set_master(large.primary, bridge)?;
    told.push(rooms(t, small)?);
    told.push(rooms(t, large)?);
    t.host.set_master(large.primary, 0)?;
    told.push(rooms(t, small)?);
    told.push(rooms(t, large)?);
    t.host.set_master(small.primary, 0)?;
    told.push(rooms(t, small)?);
    t.same("rooms", told.join("\n"));
    Ok(())
}

/// A bridge sets the headroom of a device without a peer, too, and -1 when the device leaves.
fn of_a_single_device(t: &Ctx) -> Result<()> {
    let bridge = t.host.add_device("br0", "bridge")?;
    let single = Spec::l2().headroom(100).create_single("single", &t.host)?;
    let mut told = vec![room(t, single)?];
    for master in [bridge, 0] {
        t.host.set_master(single, master)?;
        told.push(room(t, single)?);
    }
    t.same("rooms", format!("{told:?}"));
    let heads = [told[0].0, told[1].0, told[2].0];
    let none = Some(0);
    check::that(
        &format!("{heads:?}"),
        heads[0] == Some(100) && heads[1] == none && heads[2] > none,
    )
}
