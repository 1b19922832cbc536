// SPDX-License-Identifier: GPL-2.0
//! MAC addresses: an L3 device has no address and accepts none; an L2 device has a random address, or the given one.

use anyhow::Result;
use nix::errno::Errno;

use crate::check;
use crate::ctx::Ctx;
use crate::netkit;
use crate::netkit::Spec;

tests![
    l2_random,
    l2_given,
    l2_given_to_the_peer_only,
    l2_change,
    l2_change_while_up,
    l3_none,
    l3_refuses_at_creation,
    l3_refuses_change,
    invalid_addresses,
];

const MAC: [u8; 6] = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];
const OTHER: [u8; 6] = [0x02, 0x11, 0x22, 0x33, 0x44, 0x66];

fn is_random(mac: &[u8]) -> bool {
    mac.len() == 6 && mac[0] & 3 == 2
}

fn l2_random(t: &Ctx) -> Result<()> {
    let pair = Spec::l2().create(&t.host, &t.host)?;
    let primary = t.host.link_by_index(pair.primary)?;
    let peer = t.host.link_by_index(pair.peer)?;
    check::that("primary's address is random", is_random(&primary.mac()))?;
    check::that("peer's address is random", is_random(&peer.mac()))?;
    check::that("addresses differ", primary.mac() != peer.mac())?;
    check::that(
        "ARP",
        !primary.has(libc::IFF_NOARP) && !peer.has(libc::IFF_NOARP),
    )
}

fn l2_given(t: &Ctx) -> Result<()> {
    let pair = Spec::l2()
        .with(|link| link.put(libc::IFLA_ADDRESS, &MAC))
        .with_peer(|peer| peer.put(libc::IFLA_ADDRESS, &OTHER))
        .create(&t.host, &t.host)?;
    check::equal("primary", t.host.link_by_index(pair.primary)?.mac(), MAC)?;
    check::equal("peer", t.host.link_by_index(pair.peer)?.mac(), OTHER)
}

fn l2_given_to_the_peer_only(t: &Ctx) -> Result<()> {
    let pair = Spec::l2()
        .with_peer(|peer| peer.put(libc::IFLA_ADDRESS, &OTHER))
        .create(&t.host, &t.host)?;
    let primary = t.host.link_by_index(pair.primary)?.mac();
    check::that("primary's address is random", is_random(&primary))?;
    check::equal("peer", t.host.link_by_index(pair.peer)?.mac(), OTHER)
}

fn l2_change(t: &Ctx) -> Result<()> {
    let pair = Spec::l2().create(&t.host, &t.host)?;
    for index in [pair.primary, pair.peer] {
        t.host.set_mac(index, &MAC)?;
        check::equal("address", t.host.link_by_index(index)?.mac(), MAC)?;
    }
    Ok(())
}

fn l2_change_while_up(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l2())?;
    t.host.set_mac(duo.pair.primary, &MAC)?;
    duo.pod.set_mac(duo.pair.peer, &OTHER)?;
    check::equal("peer", duo.pod.link_by_index(duo.pair.peer)?.mac(), OTHER)
}

fn l3_none(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    for index in [pair.primary, pair.peer] {
        let link = t.host.link_by_index(index)?;
        check::equal("address", link.mac(), [0; 6])?;
        check::that("NOARP", link.has(libc::IFF_NOARP))?;
    }
    Ok(())
}

fn l3_refuses_at_creation(t: &Ctx) -> Result<()> {
    let own = Spec::l3().with(|link| link.put(libc::IFLA_ADDRESS, &MAC));
    let peer = Spec::l3().with_peer(|peer| peer.put(libc::IFLA_ADDRESS, &MAC));
    let unsaid = Spec::new().with(|link| link.put(libc::IFLA_ADDRESS, &MAC));
    for spec in [own, peer, unsaid] {
        let answer = spec.try_create(&t.host);
        check::refused("an address in L3", answer, Errno::EOPNOTSUPP, None, None)?;
    }
    check::equal("devices", netkit::devices(&t.host)?.len(), 0)
}

fn l3_refuses_change(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    for index in [pair.primary, pair.peer] {
        let answer = t.host.set_mac(index, &MAC);
        check::refused("an address in L3", answer, Errno::EOPNOTSUPP, None, None)?;
    }
    Ok(())
}

fn invalid_addresses(t: &Ctx) -> Result<()> {
    let bad: [(&str, &[u8]); 5] = [
        ("multicast", &[1, 0, 0, 0, 0, 1]),
        ("zero", &[0; 6]),
        ("broadcast", &[0xff; 6]),
        ("short", &[2, 0, 0, 0, 0]),
        ("long", &[2, 0, 0, 0, 0, 0, 0]),
    ];
    for (label, mac) in bad {
        let spec = Spec::l2().with(|link| link.put(libc::IFLA_ADDRESS, mac));
        let answer = spec.try_create(&t.host);
        check::that(label, answer.is_err())?;
        t.same(label, format!("{answer:?}"));
        // The peer's attributes do not pass through the driver's validation.
        let spec = Spec::l2().with_peer(|peer| peer.put(libc::IFLA_ADDRESS, mac));
        let answer = spec.peer(&format!("p{label}")).try_create(&t.host);
        t.same(&format!("{label} for the peer"), format!("{answer:?}"));
    }
    let pair = Spec::l2().create_as("left", "right", &t.host, &t.host)?;
    let answer = t.host.set_mac(pair.primary, &[1, 0, 0, 0, 0, 1]);
    check::refused("multicast later", answer, Errno::EADDRNOTAVAIL, None, None)
}
