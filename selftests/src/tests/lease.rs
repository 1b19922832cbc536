// SPDX-License-Identifier: GPL-2.0
//! Leased queues of a netkit device: created, refused, shown, returned; and devices that are deleted with the device
//! they lease from.

use anyhow::Result;
use nix::errno::Errno;

use crate::check;
use crate::ctx::Ctx;
use crate::faults::probe::Probe;
use crate::lessor;
use crate::lessor::Card;
use crate::netkit;
use crate::netkit::Spec;
use crate::netns::Ns;
use crate::nl::netdev::Netdev;
use crate::nl::netdev::Offer;
use crate::nl::netdev::NETDEV_A_QUEUE_ID;

tests![
    queues_are_numbered_and_shown,
    refusals,
    no_memory_for_a_queue,
    features,
    moves_with_its_lease,
    card_moves,
    channels_stay,
    deletion_gives_back,
    namespace_gives_back,
    goes_with_its_lessor,
    goes_with_the_lessors_module,
];

/// A card that moves to another namespace is not deleted, so that its lessee stays.
fn card_moves(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let (phys, netdev) = (card(t, 2)?, t.host.netdev()?);
        let index = single(&t.host, "single", 2)?;
        netdev.lease(index, phys.offer(1, None))?;
        let pod = t.ns()?;
        let moved = t.host.move_to(phys.index, &pod);
        t.same("the answer", format!("{:?}", moved.as_ref().err()));
        t.host.link("single")?;
        t.same(
            "the lessee's queue",
            format!("{:?}", netdev.queue(index, 1)),
        );
        if moved.is_ok() {
            pod.move_to(pod.link("phys")?.index, &t.host)?;
        }
        Ok(())
    })
}

/// A card that is up: of a device that is down, the kernel shows no queues.
fn card(t: &Ctx, queues: u32) -> Result<Card> {
    let card = Card::create(&t.host, "phys", queues, 0, None)?;
    t.host.up(card.index)?;
    Ok(card)
}

fn single(ns: &Ns, name: &str, queues: u32) -> Result<u32> {
    let index = Spec::l2().rx_queues(queues).create_single(name, ns)?;
    ns.up(index)?;
    Ok(index)
}

fn queues_are_numbered_and_shown(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let (phys, netdev) = (card(t, 4)?, t.host.netdev()?);
        let index = single(&t.host, "single", 4)?;
        let queues = |t: &Ctx| -> Result<_> {
            Ok(t.host.link_by_index(index)?.u32(libc::IFLA_NUM_RX_QUEUES))
        };
        t.same("queues before", format!("{:?}", queues(t)?));
        for (number, leased) in [(1, 2), (2, 1), (3, 3)] {
            let got = netdev.lease(index, phys.offer(leased, None))?;
            check::equal("number", got, number)?;
            let shown = netdev.queue(phys.index, leased)?;
            check::equal("lease", shown.lease, Some((index, number, None)))?;
            t.same(
                &format!("queue {number}"),
                format!("{:?}", netdev.queue(index, number)?),
            );
        }
        check::equal("not leased", netdev.queue(phys.index, 0)?.lease, None)?;
        t.same("queues after", format!("{:?}", queues(t)?));
        t.same(
            "a queue too far",
            format!("{:?}", netdev.queue(index, 4).err()),
        );
        Ok(())
    })
}

/// The last queue that the device has room for: not the limit is the reason.
fn no_memory_for_a_queue(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let probe = Probe::load(t)?;
        let (phys, netdev) = (card(t, 2)?, t.host.netdev()?);
        let index = single(&t.host, "single", 2)?;
        probe.arm("netif_set_real_num_rx_queues", 0, -i64::from(libc::ENOMEM))?;
        let answer = netdev.lease(index, phys.offer(1, None));
        let text = "netkit cannot create more queues err=-12";
        check::refused("no memory", answer, Errno::ENOMEM, Some(text), None)?;
        probe.disarm()?;
        check::equal("with memory", netdev.lease(index, phys.offer(1, None))?, 1)?;
        probe.unload()
    })
}

fn refusals(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let (phys, netdev) = (card(t, 3)?, t.host.netdev()?);
        let other = Card::create(&t.host, "other", 2, 0, None)?;
        let dummy = t.host.add_device("dummy", "dummy")?;
        let index = single(&t.host, "single", 2)?;
        let spec = Spec::l2().rx_queues(2).peer_rx_queues(3);
        let pair = spec.create(&t.host, &t.host)?;

        let no = |what, answer, errno, text| check::refused(what, answer, errno, text, None);
        let lease = |index, offer| netdev.lease(index, offer);
        no(
            "the primary",
            lease(pair.primary, phys.offer(1, None)),
            Errno::EOPNOTSUPP,
            Some("netkit can only lease against the peer device"),
        )?;
        check::equal("peer", lease(pair.peer, phys.offer(1, None))?, 1)?;
        no(
            "leased already",
            lease(index, phys.offer(1, None)),
            Errno::EBUSY,
            Some("Device queue in use due to queue leasing"),
        )?;
        check::equal("single", lease(index, phys.offer(2, None))?, 1)?;
        no(
            "no room",
            lease(index, phys.offer(0, None)),
            Errno::EINVAL,
            Some("netkit maximum queue limit reached"),
        )?;
        no(
            "another lessor",
            lease(pair.peer, other.offer(1, None)),
            Errno::EOPNOTSUPP,
            Some("Leasing queues from different devices not supported"),
        )?;
        check::refused(
            "a queue too far",
            lease(pair.peer, phys.offer(3, None)),
            Errno::ERANGE,
            None,
            Some(NETDEV_A_QUEUE_ID),
        )?;
        let virtual_one = Offer {
            index: dummy,
            queue: 0,
            ns: None,
        };
        for (what, index, offer) in [
            ("virtual lessor", index, virtual_one),
            (
                "netkit as lessor",
                index,
                Offer {
                    index,
                    ..virtual_one
                },
            ),
            ("physical lessee", phys.index, other.offer(1, None)),
            ("dummy lessee", dummy, phys.offer(0, None)),
            (
                "no such lessor",
                index,
                Offer {
                    index: 999,
                    ..virtual_one
                },
            ),
            ("no such lessee", 999, phys.offer(0, None)),
            ("no such namespace", index, phys.offer(0, Some(7))),
        ] {
            t.same(what, format!("{:?}", netdev.lease(index, offer)));
        }
        // What was refused left no queue behind.
        check::equal("next", lease(pair.peer, phys.offer(0, None))?, 2)
    })
}

/// Sockets in zero-copy mode are for single devices.
fn features(t: &Ctx) -> Result<()> {
    const BASIC: u64 = 1;
    const REDIRECT: u64 = 2;
    const XSK_ZEROCOPY: u64 = 8;
    lessor::with(t, || {
        let (phys, netdev) = (card(t, 2)?, t.host.netdev()?);
        let pair = Spec::l2().peer_rx_queues(2).create(&t.host, &t.host)?;
        let index = single(&t.host, "single", 2)?;
        netdev.lease(index, phys.offer(1, None))?;
        let all = BASIC | REDIRECT | XSK_ZEROCOPY;
        check::equal("single", netdev.xdp_features(index)?, all)?;
        check::equal("card", netdev.xdp_features(phys.index)?, all)?;
        check::equal("primary", netdev.xdp_features(pair.primary)?, 0)?;
        check::equal("peer", netdev.xdp_features(pair.peer)?, 0)
    })
}

fn moves_with_its_lease(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let (phys, netdev) = (card(t, 3)?, t.host.netdev()?);
        let pod = t.ns()?;
        let index = single(&t.host, "single", 3)?;
        netdev.lease(index, phys.offer(1, None))?;
        t.host.move_to(index, &pod)?;
        let index = pod.link("single")?.index;
        let lease = netdev.queue(phys.index, 1)?.lease;
        check::equal(
            "lease",
            lease.map(|(index, queue, _)| (index, queue)),
            Some((index, 1)),
        )?;
        check::that(
            "it is elsewhere",
            lease.is_some_and(|(.., ns)| ns.is_some()),
        )?;

        // From within the pod, the host is a namespace with a number.
        let host = Some(pod.number_of(&t.host)?);
        let got = pod.netdev()?.lease(index, phys.offer(2, host))?;
        check::equal("number", got, 2)?;
        t.host.del_link(phys.index)?;
        check::equal("devices", netkit::devices(&pod)?.len(), 0)
    })
}

/// `ETHTOOL_SCHANNELS` with so many channels.
fn set_channels(ns: &Ns, name: &str, rx: u32, tx: u32) -> Result<Result<(), Errno>> {
    const ETHTOOL_SCHANNELS: u32 = 0x3d;
    const SIOCETHTOOL: u64 = 0x8946;
    // struct ethtool_channels: the command, four limits, then rx, tx, other, combined.
    let mut channels = [ETHTOOL_SCHANNELS, 0, 0, 0, 0, rx, tx, 0, 0];
    // SAFETY: an all-zero ifreq is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = channels.as_mut_ptr().cast();
    ns.run(|| {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
        // SAFETY: the request and the channels outlive the call.
        let ret = unsafe { libc::ioctl(fd, SIOCETHTOOL as _, &raw mut request) };
        Ok(Errno::result(ret).map(drop))
    })
}

/// A card keeps the receive channels that it has let.
fn channels_stay(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let (phys, netdev) = (card(t, 4)?, t.host.netdev()?);
        let index = single(&t.host, "single", 2)?;
        netdev.lease(index, phys.offer(2, None))?;
        let channels = |count| set_channels(&t.host, "phys", count, 4);
        check::errno("fewer than are let", channels(2)?, Errno::EINVAL)?;
        check::equal("enough", channels(3)?, Ok(()))?;
        t.host.del_link(index)?;
        check::equal("fewer", channels(1)?, Ok(()))
    })
}

/// Whether the queue is free again: another device takes it.
fn is_free(t: &Ctx, netdev: &Netdev, phys: &Card, queue: u32) -> Result<()> {
    check::equal("lease", netdev.queue(phys.index, queue)?.lease, None)?;
    let index = single(&t.host, "next", 2)?;
    check::equal("number", netdev.lease(index, phys.offer(queue, None))?, 1)?;
    Ok(t.host.del_link(index)?)
}

fn deletion_gives_back(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let (phys, netdev) = (card(t, 4)?, t.host.netdev()?);
        for first in ["single", "primary", "peer"] {
            let (index, gone) = if first == "single" {
                let index = single(&t.host, first, 3)?;
                (index, index)
            } else {
                let spec = Spec::l2().peer_rx_queues(3);
                let pair = spec.create(&t.host, &t.host)?;
                let gone = if first == "peer" {
                    pair.peer
                } else {
                    pair.primary
                };
                (pair.peer, gone)
            };
            netdev.lease(index, phys.offer(1, None))?;
            netdev.lease(index, phys.offer(3, None))?;
            t.host.del_link(gone)?;
            check::equal("devices", netkit::devices(&t.host)?.len(), 0)?;
            is_free(t, &netdev, &phys, 1)?;
            is_free(t, &netdev, &phys, 3)?;
        }
        Ok(())
    })
}

fn namespace_gives_back(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let (phys, netdev) = (card(t, 2)?, t.host.netdev()?);
        let pod = Ns::new()?;
        let pair = Spec::l2().peer_rx_queues(2).create(&t.host, &pod)?;
        let host = Some(pod.number_of(&t.host)?);
        pod.netdev()?.lease(pair.peer, phys.offer(1, host))?;
        check::that("leased", netdev.queue(phys.index, 1)?.lease.is_some())?;
        drop(pod);
        check::soon("the pair goes with the pod", || {
            Ok(netkit::devices(&t.host)?.is_empty())
        })?;
        check::soon("the queue is not leased", || {
            Ok(netdev.queue(phys.index, 1)?.lease.is_none())
        })?;
        is_free(t, &netdev, &phys, 1)
    })
}

/// Three devices with leased queues, one of them with two, and one device that leases from another card.
fn lessees(t: &Ctx, phys: &Card, netdev: &Netdev) -> Result<Ns> {
    let pod = t.ns()?;
    let one = single(&t.host, "one", 3)?;
    netdev.lease(one, phys.offer(1, None))?;
    netdev.lease(one, phys.offer(3, None))?;
    let two = single(&t.host, "two", 2)?;
    netdev.lease(two, phys.offer(2, None))?;
    let spec = Spec::l2().peer_rx_queues(2);
    let pair = spec.create(&t.host, &pod)?;
    let host = Some(pod.number_of(&t.host)?);
    pod.netdev()?.lease(pair.peer, phys.offer(0, host))?;
    single(&t.host, "alone", 2)?;
    Ok(pod)
}

fn goes_with_its_lessor(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let (phys, netdev) = (card(t, 4)?, t.host.netdev()?);
        let other = Card::create(&t.host, "other", 2, 0, None)?;
        let third = single(&t.host, "third", 2)?;
        netdev.lease(third, other.offer(1, None))?;
        let pod = lessees(t, &phys, &netdev)?;
        t.host.del_link(phys.index)?;
        let left = netkit::devices(&t.host)?;
        let mut left: Vec<_> = left.iter().map(|link| link.name()).collect();
        left.sort_unstable();
        check::equal("left in the host", left, ["alone", "third"])?;
        check::equal("left in the pod", netkit::devices(&pod)?.len(), 0)
    })
}

fn goes_with_the_lessors_module(t: &Ctx) -> Result<()> {
    lessor::load(t)?;
    let (phys, netdev) = (card(t, 4)?, t.host.netdev()?);
    let pod = lessees(t, &phys, &netdev)?;
    lessor::unload()?;
    let left = netkit::devices(&t.host)?;
    let left: Vec<_> = left.iter().map(|link| link.name()).collect();
    check::equal("left in the host", left, ["alone"])?;
    check::equal("left in the pod", netkit::devices(&pod)?.len(), 0)
}
