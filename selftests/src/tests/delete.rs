// SPDX-License-Identifier: GPL-2.0
//! Deleting a pair: when one device is deleted, the other is deleted, too, in whatever namespace it is.

use anyhow::Result;
use nix::errno::Errno;

use crate::check;
use crate::ctx::Ctx;
use crate::netkit;
use crate::netkit::Spec;
use crate::netns::Ns;

tests![
    through_the_primary,
    through_the_peer,
    while_up,
    across_namespaces,
    both_at_once,
    primary_moves,
    peer_moves,
    both_move,
    back_and_forth,
    namespace_of_the_peer_goes,
    namespace_of_the_primary_goes,
    both_namespaces_go,
    same_names_again,
];

fn gone(ns: &Ns, index: u32) -> Result<()> {
    let answer = ns.link_by_index(index).map(drop);
    check::refused(
        "a look at a deleted device",
        answer,
        Errno::ENODEV,
        None,
        None,
    )
}

fn through_the_primary(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    t.host.del_link(pair.primary)?;
    gone(&t.host, pair.primary)?;
    gone(&t.host, pair.peer)
}

fn through_the_peer(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    t.host.del_link(pair.peer)?;
    gone(&t.host, pair.primary)?;
    gone(&t.host, pair.peer)
}

fn while_up(t: &Ctx) -> Result<()> {
    for delete_peer in [false, true] {
        let duo = t.duo(Spec::l2())?;
        if delete_peer {
            duo.pod.del_link(duo.pair.peer)?;
        } else {
            duo.host.del_link(duo.pair.primary)?;
        }
        gone(&duo.host, duo.pair.primary)?;
        gone(&duo.pod, duo.pair.peer)?;
    }
    Ok(())
}

fn across_namespaces(t: &Ctx) -> Result<()> {
    let pod = t.ns()?;
    let pair = Spec::l3().create(&t.host, &pod)?;
    pod.del_link(pair.peer)?;
    gone(&t.host, pair.primary)?;
    gone(&pod, pair.peer)
}

/// By group: both devices are on one list of devices to be deleted.
fn both_at_once(t: &Ctx) -> Result<()> {
    const IFLA_GROUP: u16 = 27;
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let mut group = crate::nl::attr::Attrs::new();
    group.u32(IFLA_GROUP, 42);
    t.host.set_link(pair.primary, &group)?;
    t.host.set_link(pair.peer, &group)?;
    let header = crate::nl::link::ifinfomsg(0, 0, 0);
    let payload = [header.as_slice(), group.bytes()].concat();
    t.host.request(libc::RTM_DELLINK, 0, &payload)?;
    gone(&t.host, pair.primary)?;
    gone(&t.host, pair.peer)
}

fn primary_moves(t: &Ctx) -> Result<()> {
    let other = t.ns()?;
    let pair = Spec::l3().create(&t.host, &t.host)?;
    t.host.move_to(pair.primary, &other)?;
    gone(&t.host, pair.primary)?;
    let moved = other.link("nk0")?;
    check::equal("iflink", moved.u32(libc::IFLA_LINK), Some(pair.peer))?;
    t.same("data", netkit::data_text(&moved));
    other.del_link(moved.index)?;
    gone(&t.host, pair.peer)
}

fn peer_moves(t: &Ctx) -> Result<()> {
    let other = t.ns()?;
    let pair = Spec::l3().create(&t.host, &t.host)?;
    t.host.move_to(pair.peer, &other)?;
    let moved = other.link("nk1")?;
    check::equal("iflink", moved.u32(libc::IFLA_LINK), Some(pair.primary))?;
    t.host.del_link(pair.primary)?;
    gone(&other, moved.index)
}

fn both_move(t: &Ctx) -> Result<()> {
    let (left, right) = (t.ns()?, t.ns()?);
    let pair = Spec::l3().create(&t.host, &t.host)?;
    t.host.move_to(pair.primary, &left)?;
    t.host.move_to(pair.peer, &right)?;
    let (primary, peer) = (left.link("nk0")?.index, right.link("nk1")?.index);
    left.up(primary)?;
    right.up(peer)?;
    left.running(primary)?;
    right.running(peer)?;
    left.add_address(primary, crate::ctx::HOST4.into(), 24)?;
    right.add_address(peer, crate::ctx::POD4.into(), 24)?;
    crate::traffic::udp_exchange(&left, &right, crate::ctx::POD4.into(), 100)
}

fn back_and_forth(t: &Ctx) -> Result<()> {
    let other = t.ns()?;
    let pair = Spec::l3().create(&t.host, &t.host)?;
    t.host.move_to(pair.peer, &other)?;
    let there = other.link("nk1")?.index;
    other.move_to(there, &t.host)?;
    let link = t.host.link("nk1")?;
    check::equal("iflink", link.u32(libc::IFLA_LINK), Some(pair.primary))
}

fn namespace_of_the_peer_goes(t: &Ctx) -> Result<()> {
    let pod = Ns::new()?;
    let pair = Spec::l3().create(&t.host, &pod)?;
    drop(pod);
    check::soon("the primary goes", || {
        Ok(t.host.link_by_index(pair.primary).is_err())
    })
}

fn namespace_of_the_primary_goes(t: &Ctx) -> Result<()> {
    let side = Ns::new()?;
    let pair = Spec::l3().create(&side, &t.host)?;
    drop(side);
    check::soon("the peer goes", || {
        Ok(t.host.link_by_index(pair.peer).is_err())
    })
}

/// No process is left in the namespace. That a name is free again shows that the pair was deleted.
fn both_namespaces_go(t: &Ctx) -> Result<()> {
    for _ in 0..3 {
        let (left, right) = (Ns::new()?, Ns::new()?);
        Spec::l3().create(&left, &right)?;
        let inside = Ns::new()?;
        Spec::l3().create(&inside, &inside)?;
        drop((left, right, inside));
    }
    // Another pair can still be created and deleted.
    let pair = Spec::l3().create(&t.host, &t.host)?;
    t.host.del_link(pair.primary)?;
    gone(&t.host, pair.peer)
}

fn same_names_again(t: &Ctx) -> Result<()> {
    for _ in 0..5 {
        let pair = Spec::l2().create(&t.host, &t.host)?;
        t.host.del_link(pair.peer)?;
    }
    check::equal("devices", netkit::devices(&t.host)?.len(), 0)
}
