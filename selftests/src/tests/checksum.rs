// SPDX-License-Identifier: GPL-2.0
//! Checksums that a packet brings along, and the Ethernet header that is taken off it (`skb_postpull_rcsum()`).

use std::io::Write;

use anyhow::Result;
use etherparse::PacketBuilder;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::steer::Order;
use crate::bpf::steer::Steer;
use crate::bpf::sum::Sum;
use crate::bpf::TCX_INGRESS;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::inject::modprobe;
use crate::inject::tun_device;
use crate::netkit::Spec;
use crate::nl::attr::Attrs;
use crate::nl::link::ifinfomsg;
use crate::nl::link::linkinfo;

tests![of_the_whole_packet];

const HEADER: usize = 14;

/// The ones' complement sum of bytes, folded.
fn folded(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|pair| {
        let low = pair.get(1).copied().unwrap_or_default();
        u32::from(u16::from_le_bytes([pair[0], low]))
    });
    fold(words.sum())
}

fn fold(mut sum: u32) -> u32 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

/// A packet comes out of a tunnel with the sum of all its bytes (`CHECKSUM_COMPLETE`), and crosses a pair: it must still be the
/// sum of what is left of it.
fn of_the_whole_packet(t: &Ctx) -> Result<()> {
    const IFF_TAP: i16 = 2;
    const IFF_NAPI: i16 = 0x10;
    const IFF_NO_PI: i16 = 0x1000;
    const VXLAN_ID: u16 = 1;
    const VXLAN_PORT: u16 = 15;
    const NUMBER: u32 = 7;
    const PORT: u16 = 4789;
    const NODE: [u8; 4] = [10, 9, 0, 1];
    let duo = t.duo(Spec::l2())?;
    // With NAPI it verifies checksums as it puts packets together (GRO), so that the tunnel need not.
    let mut tap = tun_device("tap0", IFF_TAP | IFF_NAPI | IFF_NO_PI)?;
    let wire = t.host.link("tap0")?;
    t.host.add_address(wire.index, NODE.into(), 24)?;
    t.host.up(wire.index)?;
    modprobe("vxlan")?;
    let mut data = Attrs::new();
    data.u32(VXLAN_ID, NUMBER)
        .put(VXLAN_PORT, &PORT.to_be_bytes());
    let mut attrs = linkinfo("vxlan", Some(&data));
    attrs.str(libc::IFLA_IFNAME, "tunnel");
    t.host.new_link(&ifinfomsg(0, 0, 0), &attrs)?;
    let tunnel = t.host.link("tunnel")?.index;
    t.host.up(tunnel)?;
    let mut inward = Steer::load()?;
    inward.order(Order::Egress(duo.pair.primary))?;
    let (before, after) = (Sum::load()?, Sum::load()?);
    mprog::attach(before.fd()?, tunnel, TCX_INGRESS, Place::default())?;
    mprog::attach(inward.fd()?, tunnel, TCX_INGRESS, Place::default())?;
    duo.attach_in_pod(after.fd()?, TCX_INGRESS)?;

    // An echo request: GRO knows no checksum of ICMP, and so leaves the inner packet to the tunnel.
    let to = duo.pod.link("nk1")?.mac().as_slice().try_into()?;
    let payload = [0x37; 201];
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], to)
        .ipv4(HOST4.octets(), POD4.octets(), 64)
        .icmpv4_echo_request(7, 1);
    let mut inner = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut inner, &payload)?;
    // The VXLAN header: a number follows, the number.
    let payload = [
        &[8, 0, 0, 0],
        (NUMBER << 8).to_be_bytes().as_slice(),
        &inner,
    ]
    .concat();
    let mac = wire.mac().as_slice().try_into()?;
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], mac)
        .ipv4([10, 9, 0, 2], NODE, 64)
        .udp(40_000, PORT);
    let mut outer = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut outer, &payload)?;
    tap.write_all(&outer)?;
    check::soon("the packet comes", || Ok(after.seen()?.count == 1))?;
    for (place, program) in [("before the pair", &before), ("behind the pair", &after)] {
        let seen = program.seen()?;
        check::equal(&format!("packets {place}"), seen.count, 1)?;
        let sum = u32::try_from(seen.last).map(fold);
        let wanted = Ok(folded(&inner[HEADER..]));
        check::equal(&format!("sum {place}"), sum, wanted)?;
    }
    Ok(())
}
