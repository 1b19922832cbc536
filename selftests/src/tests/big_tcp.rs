// SPDX-License-Identifier: GPL-2.0
//! BIG TCP: sizes that are accepted, and streams that use them.

use anyhow::Result;
use nix::errno::Errno;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Probes;
use crate::bpf::probe::Rule;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::POD4;
use crate::ctx::POD6;
use crate::netkit::Spec;
use crate::netkit::IFLA_GRO_IPV4_MAX_SIZE;
use crate::netkit::IFLA_GRO_MAX_SIZE;
use crate::netkit::IFLA_GSO_IPV4_MAX_SIZE;
use crate::netkit::IFLA_GSO_MAX_SEGS;
use crate::netkit::IFLA_GSO_MAX_SIZE;
use crate::netkit::IFLA_TSO_MAX_SEGS;
use crate::netkit::IFLA_TSO_MAX_SIZE;
use crate::netkit::NEXT;
use crate::nl::attr::Attrs;
use crate::traffic;

tests![
    limits,
    defaults,
    at_creation,
    stream6,
    stream4,
    one_side_only
];

/// GSO_MAX_SIZE and GSO_MAX_SEGS of the kernel.
const MOST_BYTES: u32 = 8 * 65535;
const MOST_SEGMENTS: u32 = 65535;

fn limits(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let cases = [
        (IFLA_GSO_MAX_SIZE, MOST_BYTES, "too big gso_max_size"),
        (
            IFLA_GSO_IPV4_MAX_SIZE,
            MOST_BYTES,
            "too big gso_ipv4_max_size",
        ),
        (IFLA_GRO_MAX_SIZE, MOST_BYTES, "too big gro_max_size"),
        (
            IFLA_GRO_IPV4_MAX_SIZE,
            MOST_BYTES,
            "too big gro_ipv4_max_size",
        ),
        (IFLA_GSO_MAX_SEGS, MOST_SEGMENTS, "too big gso_max_segs"),
    ];
    for index in [pair.primary, pair.peer] {
        for (attr, most, text) in cases {
            for value in [1000, most] {
                t.host.set_link(index, Attrs::new().u32(attr, value))?;
                let shown = t.host.link_by_index(index)?.u32(attr);
                check::equal("shown", shown, Some(value))?;
            }
            let answer = t.host.set_link(index, Attrs::new().u32(attr, most + 1));
            check::refused("one more", answer, Errno::EINVAL, Some(text), None)?;
        }
    }
    Ok(())
}

fn defaults(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    for index in [pair.primary, pair.peer] {
        let link = t.host.link_by_index(index)?;
        check::equal(
            "tso_max_size",
            link.u32(IFLA_TSO_MAX_SIZE),
            Some(MOST_BYTES),
        )?;
        check::equal(
            "tso_max_segs",
            link.u32(IFLA_TSO_MAX_SEGS),
            Some(MOST_SEGMENTS),
        )?;
        check::equal("gso_max_size", link.u32(IFLA_GSO_MAX_SIZE), Some(65536))?;
        check::equal("gro_max_size", link.u32(IFLA_GRO_MAX_SIZE), Some(65536))?;
    }
    Ok(())
}

fn at_creation(t: &Ctx) -> Result<()> {
    let pair = Spec::l3()
        .with(|link| link.u32(IFLA_GSO_MAX_SIZE, 100_000))
        .with_peer(|peer| peer.u32(IFLA_GSO_MAX_SIZE, 200_000))
        .create(&t.host, &t.host)?;
    let size = |index| Ok::<_, anyhow::Error>(t.host.link_by_index(index)?.u32(IFLA_GSO_MAX_SIZE));
    check::equal("primary", size(pair.primary)?, Some(100_000))?;
    check::equal("peer", size(pair.peer)?, Some(200_000))
}

/// The largest packet that the primary's program sees of a stream.
fn largest(t: &Ctx, attrs: [u16; 2], size: u32, v6: bool, peer_too: bool) -> Result<u64> {
    let duo = t.duo6(Spec::l3())?;
    for attr in attrs {
        duo.host
            .set_link(duo.pair.primary, Attrs::new().u32(attr, size))?;
        if peer_too {
            duo.pod
                .set_link(duo.pair.peer, Attrs::new().u32(attr, size))?;
        }
    }
    for ns in [&duo.host, &duo.pod] {
        ns.sysctl("net/ipv4/tcp_wmem", "4096 4000000 8000000")?;
        ns.sysctl("net/ipv4/tcp_rmem", "4096 4000000 8000000")?;
    }
    traffic::large_segments(&duo.host)?;
    let mut probes = Probes::load(1)?;
    probes.rule(
        0,
        Rule {
            verdict: NEXT,
            ..Rule::default()
        },
    )?;
    mprog::attach(probes.fd(0)?, duo.pair.primary, PRIMARY, Place::default())?;
    let ip = if v6 { POD6.into() } else { POD4.into() };
    traffic::tcp_exchange(&duo.host, &duo.pod, ip, 4_000_000)?;
    Ok(probes.seen(0)?.max_len)
}

fn stream6(t: &Ctx) -> Result<()> {
    let len = largest(
        t,
        [IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE],
        185_000,
        true,
        true,
    )?;
    check::that(&format!("beyond 64 KiB: {len}"), len > 70_000)?;
    check::that(&format!("not beyond the limit: {len}"), len <= 185_000 + 14)
}

fn stream4(t: &Ctx) -> Result<()> {
    let attrs = [IFLA_GSO_IPV4_MAX_SIZE, IFLA_GRO_IPV4_MAX_SIZE];
    let len = largest(t, attrs, 185_000, false, true)?;
    check::that(&format!("beyond 64 KiB: {len}"), len > 70_000)?;
    check::that(&format!("not beyond the limit: {len}"), len <= 185_000 + 14)
}

/// The receiver's settings do not matter to what the sender sends.
fn one_side_only(t: &Ctx) -> Result<()> {
    let len = largest(
        t,
        [IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE],
        185_000,
        true,
        false,
    )?;
    check::that(&format!("beyond 64 KiB: {len}"), len > 70_000)
}
