// SPDX-License-Identifier: GPL-2.0
//! Real traffic through a pair between two namespaces, and its statistics.

use std::net::IpAddr;

use anyhow::Result;

use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::ctx::HOST6;
use crate::ctx::POD4;
use crate::ctx::POD6;
use crate::netkit::Spec;
use crate::traffic;

tests![
    udp4_l2,
    udp4_l3,
    udp6_l2,
    udp6_l3,
    tcp4_l2,
    tcp4_l3,
    tcp6_l2,
    tcp6_l3,
    icmp_l2,
    icmp_l3,
    fragments,
    same_namespace,
    large_mtu,
    statistics,
    statistics_of_streams,
    routed,
    vlan_on_top,
];

/// Runs an exchange started from either side.
fn both_ways(
    duo: &Duo,
    host: IpAddr,
    pod: IpAddr,
    exchange: impl Fn(&crate::netns::Ns, &crate::netns::Ns, IpAddr) -> Result<()>,
) -> Result<()> {
    exchange(&duo.host, &duo.pod, pod)?;
    exchange(&duo.pod, &duo.host, host)
}

fn udp(from: &crate::netns::Ns, to: &crate::netns::Ns, ip: IpAddr) -> Result<()> {
    for len in [1, 100, 1400] {
        traffic::udp_exchange(from, to, ip, len)?;
    }
    Ok(())
}

fn tcp(from: &crate::netns::Ns, to: &crate::netns::Ns, ip: IpAddr) -> Result<()> {
    traffic::tcp_exchange(from, to, ip, 500_000)
}

fn ping(from: &crate::netns::Ns, _to: &crate::netns::Ns, ip: IpAddr) -> Result<()> {
    check::equal("echo reply", traffic::ping(from, ip, true)?, true)
}

fn udp4_l2(t: &Ctx) -> Result<()> {
    both_ways(&t.duo(Spec::l2())?, HOST4.into(), POD4.into(), udp)
}

fn udp4_l3(t: &Ctx) -> Result<()> {
    both_ways(&t.duo(Spec::l3())?, HOST4.into(), POD4.into(), udp)
}

fn udp6_l2(t: &Ctx) -> Result<()> {
    both_ways(&t.duo6(Spec::l2())?, HOST6.into(), POD6.into(), udp)
}

fn udp6_l3(t: &Ctx) -> Result<()> {
    both_ways(&t.duo6(Spec::l3())?, HOST6.into(), POD6.into(), udp)
}

fn tcp4_l2(t: &Ctx) -> Result<()> {
    both_ways(&t.duo(Spec::l2())?, HOST4.into(), POD4.into(), tcp)
}

fn tcp4_l3(t: &Ctx) -> Result<()> {
    both_ways(&t.duo(Spec::l3())?, HOST4.into(), POD4.into(), tcp)
}

fn tcp6_l2(t: &Ctx) -> Result<()> {
    both_ways(&t.duo6(Spec::l2())?, HOST6.into(), POD6.into(), tcp)
}

fn tcp6_l3(t: &Ctx) -> Result<()> {
    both_ways(&t.duo6(Spec::l3())?, HOST6.into(), POD6.into(), tcp)
}

fn icmp_l2(t: &Ctx) -> Result<()> {
    let duo = t.duo6(Spec::l2())?;
    both_ways(&duo, HOST4.into(), POD4.into(), ping)?;
    both_ways(&duo, HOST6.into(), POD6.into(), ping)
}

fn icmp_l3(t: &Ctx) -> Result<()> {
    let duo = t.duo6(Spec::l3())?;
    both_ways(&duo, HOST4.into(), POD4.into(), ping)?;
    both_ways(&duo, HOST6.into(), POD6.into(), ping)
}

fn fragments(t: &Ctx) -> Result<()> {
    for spec in [Spec::l2(), Spec::l3()] {
        let duo = t.duo6(spec)?;
        traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 20_000)?;
        traffic::udp_exchange(&duo.pod, &duo.host, HOST6.into(), 20_000)?;
        duo.host.del_link(duo.pair.primary)?;
    }
    Ok(())
}

/// Both ends in one namespace: local routing keeps IP off the pair, frames do not care.
fn same_namespace(t: &Ctx) -> Result<()> {
    let pair = Spec::l2().create(&t.host, &t.host)?;
    t.host.up(pair.primary)?;
    t.host.up(pair.peer)?;
    t.host.running(pair.primary)?;
    let before = t.host.stats(pair.peer)?;
    let frame = [
        [0xff; 6].as_slice(),
        &[2, 0, 0, 0, 0, 1],
        &[0x08, 0x00],
        &[0; 46],
    ]
    .concat();
    traffic::send_frame(&t.host, pair.primary, &frame)?;
    let counted = t.host.stats(pair.peer)?.since(&before);
    check::equal(
        "received by the peer",
        (counted.rx_packets, counted.rx_bytes),
        (1, 60),
    )
}

fn large_mtu(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    duo.host.set_mtu(duo.pair.primary, 65535)?;
    duo.pod.set_mtu(duo.pair.peer, 65535)?;
    let before = duo.host.stats(duo.pair.primary)?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 60_000)?;
    let counted = duo.host.stats(duo.pair.primary)?.since(&before);
    check::equal(
        "packets there and back",
        (counted.tx_packets, counted.rx_packets),
        (1, 1),
    )?;
    check::equal("bytes there", counted.tx_bytes, 60_000 + 8 + 20 + 14)
}

fn statistics(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    for _ in 0..5 {
        traffic::udp_send(&duo.host, POD4.into(), 100)?;
    }
    let primary = duo.host.stats(duo.pair.primary)?;
    let peer = duo.pod.stats(duo.pair.peer)?;
    // IP and UDP headers, and an Ethernet header in L3 mode too.
    let bytes = 5 * (100 + 8 + 20 + 14);
    check::equal("sent", (primary.tx_packets, primary.tx_bytes), (5, bytes))?;
    check::equal("received", (peer.rx_packets, peer.rx_bytes), (5, bytes))?;
    // The pod answers that the port is not open.
    check::that("answers are few", peer.tx_packets <= 5)?;
    check::equal(
        "answers",
        (primary.rx_packets, primary.rx_bytes),
        (peer.tx_packets, peer.tx_bytes),
    )?;
    check::equal(
        "nothing dropped",
        (primary.tx_dropped, peer.tx_dropped),
        (0, 0),
    )
}

fn statistics_of_streams(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    tcp(&duo.host, &duo.pod, POD4.into())?;
    let primary = duo.host.stats(duo.pair.primary)?;
    let peer = duo.pod.stats(duo.pair.peer)?;
    check::that("all bytes counted", primary.tx_bytes > 500_000)?;
    check::equal(
        "there",
        (primary.tx_packets, primary.tx_bytes),
        (peer.rx_packets, peer.rx_bytes),
    )?;
    check::equal(
        "back",
        (primary.rx_packets, primary.rx_bytes),
        (peer.tx_packets, peer.tx_bytes),
    )
}

/// Two pods, and the host routes between their pairs.
fn routed(t: &Ctx) -> Result<()> {
    let (left, right) = (t.ns()?, t.ns()?);
    t.host.sysctl("net/ipv4/ip_forward", "1")?;
    let nets: [(&crate::netns::Ns, &str, u8); 2] = [(&left, "a", 1), (&right, "b", 2)];
    for (ns, name, net) in nets {
        let pair = Spec::l3().create_as(name, "eth0", &t.host, ns)?;
        t.host
            .add_address(pair.primary, [10, 2, net, 1].into(), 24)?;
        ns.add_address(pair.peer, [10, 2, net, 2].into(), 24)?;
        t.host.up(pair.primary)?;
        ns.up(pair.peer)?;
        t.host.running(pair.primary)?;
        ns.running(pair.peer)?;
        ns.add_route(
            [10, 2, 0, 0].into(),
            16,
            pair.peer,
            Some([10, 2, net, 1].into()),
        )?;
    }
    traffic::udp_exchange(&left, &right, [10, 2, 2, 2].into(), 500)?;
    traffic::tcp_exchange(&right, &left, [10, 2, 1, 2].into(), 200_000)
}

fn vlan_on_top(t: &Ctx) -> Result<()> {
    const IFLA_VLAN_ID: u16 = 1;
    let duo = t.duo(Spec::l2())?;
    let ends = [
        (&duo.host, duo.pair.primary, [10, 3, 0, 1]),
        (&duo.pod, duo.pair.peer, [10, 3, 0, 2]),
    ];
    for (ns, below, ip) in ends {
        let mut data = crate::nl::attr::Attrs::new();
        data.u16(IFLA_VLAN_ID, 5);
        let mut attrs = crate::nl::link::linkinfo("vlan", Some(&data));
        attrs
            .str(libc::IFLA_IFNAME, "v5")
            .u32(libc::IFLA_LINK, below);
        ns.new_link(&crate::nl::link::ifinfomsg(0, 0, 0), &attrs)?;
        let index = ns.link("v5")?.index;
        ns.add_address(index, ip.into(), 24)?;
        ns.up(index)?;
        ns.running(index)?;
    }
    traffic::udp_exchange(&duo.host, &duo.pod, [10, 3, 0, 2].into(), 300)?;
    traffic::tcp_exchange(&duo.host, &duo.pod, [10, 3, 0, 2].into(), 200_000)
}
