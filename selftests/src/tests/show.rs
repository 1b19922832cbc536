// SPDX-License-Identifier: GPL-2.0
//! What tools show of a pair must be the same on both drivers: dumps byte for byte, and the text of iproute2 and
//! ethtool.

use std::process::Command;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;

use crate::check;
use crate::ctx::Ctx;
use crate::netkit;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::L2;
use crate::netkit::SCRUB_NONE;
use crate::nl::link::Link;

tests![
    data_of_every_kind,
    whole_dump,
    dump_size_is_enough,
    ip_link_text,
    ip_link_text_across_namespaces,
    ip_link_json,
    ip_link_created_by_iproute2,
    ethtool_driver,
    ethtool_features,
    sysfs,
    notifications,
];

fn text_of(program: &str, args: &str) -> Result<String> {
    let output = Command::new(program).args(args.split(' ')).output();
    let output = output.with_context(|| format!("running {program}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {args}: {errors}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A pair with an address of its own on each side, so that the texts are the same.
fn l2_with_addresses() -> Spec {
    Spec::l2()
        .with(|link| link.put(libc::IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1]))
        .with_peer(|peer| peer.put(libc::IFLA_ADDRESS, &[2, 0, 0, 0, 0, 2]))
}

fn data_of_every_kind(t: &Ctx) -> Result<()> {
    let specs = [
        ("defaults", Spec::new()),
        ("l2", Spec::l2()),
        ("drop", Spec::l3().policy(DROP)),
        ("peer drop", Spec::l3().peer_policy(DROP)),
        ("scrub none", Spec::l3().scrub(SCRUB_NONE)),
        ("peer scrub none", Spec::l3().peer_scrub(SCRUB_NONE)),
        ("room", Spec::l2().headroom(512).tailroom(64)),
        ("most room", Spec::l3().headroom(65535).tailroom(65535)),
    ];
    for (label, spec) in specs {
        let pair = spec.create(&t.host, &t.host)?;
        for (side, index) in [("primary", pair.primary), ("peer", pair.peer)] {
            let link = t.host.link_by_index(index)?;
            t.same(&format!("{label}, {side}"), netkit::data_text(&link));
        }
        t.host.del_link(pair.primary)?;
    }
    Ok(())
}

/// Every attribute of the dump, but for counters and addresses of this run.
fn attributes(link: &Link) -> String {
    const IFLA_STATS: u16 = 7;
    const IFLA_STATS64: u16 = 23;
    const IFLA_AF_SPEC: u16 = 26;
    let shown = |kind: &u16| ![IFLA_STATS, IFLA_STATS64, IFLA_AF_SPEC].contains(kind);
    let line = |attr: &crate::nl::attr::Attr| format!("{}: {:02x?}", attr.kind, attr.payload);
    let lines: Vec<_> = link
        .attrs
        .iter()
        .filter(|attr| shown(&attr.kind))
        .map(line)
        .collect();
    format!("flags {:#x}\n{}", link.flags, lines.join("\n"))
}

fn whole_dump(t: &Ctx) -> Result<()> {
    let pod = t.ns()?;
    let pair = l2_with_addresses().create(&t.host, &pod)?;
    t.same("primary", attributes(&t.host.link_by_index(pair.primary)?));
    t.same("peer", attributes(&pod.link_by_index(pair.peer)?));
    t.host.del_link(pair.primary)?;
    let pair = Spec::l3().create(&t.host, &pod)?;
    t.same(
        "L3 primary",
        attributes(&t.host.link_by_index(pair.primary)?),
    );
    t.host.up(pair.primary)?;
    pod.up(pair.peer)?;
    t.host.running(pair.primary)?;
    pod.running(pair.peer)?;
    t.same(
        "L3 primary, up",
        attributes(&t.host.link_by_index(pair.primary)?),
    );
    t.same("L3 peer, up", attributes(&pod.link_by_index(pair.peer)?));
    Ok(())
}

/// A driver that announces too little room for its data fails dumps of many devices.
fn dump_size_is_enough(t: &Ctx) -> Result<()> {
    for n in 0..40 {
        let (name, peer) = (format!("a{n}"), format!("b{n}"));
        Spec::l2()
            .headroom(9)
            .create_as(&name, &peer, &t.host, &t.host)?;
    }
    let devices = netkit::devices(&t.host)?;
    check::equal("devices", devices.len(), 80)?;
    for device in &devices {
        check::that(
            "mode",
            device.data().iter().any(|attr| attr.kind == netkit::MODE),
        )?;
    }
    Ok(())
}

fn ip_link_text(t: &Ctx) -> Result<()> {
    l2_with_addresses().create(&t.host, &t.host)?;
    Spec::l3()
        .policy(DROP)
        .scrub(SCRUB_NONE)
        .create_as("l3", "l3p", &t.host, &t.host)?;
    let text = text_of("ip", "-d link show type netkit")?;
    check::that(
        "mode l2",
        text.contains("netkit mode l2 type primary policy forward"),
    )?;
    check::that(
        "mode l3",
        text.contains("netkit mode l3 type primary policy blackhole"),
    )?;
    check::that("peers", text.contains("type peer"))?;
    t.same("ip -d link", text);
    Ok(())
}

fn ip_link_text_across_namespaces(t: &Ctx) -> Result<()> {
    let pod = t.ns()?;
    l2_with_addresses().create(&t.host, &pod)?;
    t.same("here", text_of("ip", "-d link show type netkit")?);
    t.same(
        "there",
        pod.run(|| text_of("ip", "-d link show type netkit"))?,
    );
    Ok(())
}

fn ip_link_json(t: &Ctx) -> Result<()> {
    l2_with_addresses().create(&t.host, &t.host)?;
    let text = text_of("ip", "-d -j link show dev nk0")?;
    let json: serde_json::Value = serde_json::from_str(&text).context("JSON of ip")?;
    let info = &json[0]["linkinfo"];
    check::equal("kind", info["info_kind"].as_str(), Some("netkit"))?;
    t.same("info", info);
    Ok(())
}

/// What users type.
fn ip_link_created_by_iproute2(t: &Ctx) -> Result<()> {
    text_of(
        "ip",
        "link add left type netkit mode l2 forward peer blackhole name right",
    )?;
    let left = t.host.link("left")?;
    t.same("left", netkit::data_text(&left));
    t.same("right", netkit::data_text(&t.host.link("right")?));
    text_of("ip", "link set dev left type netkit peer forward")?;
    t.same("changed", netkit::data_text(&t.host.link("left")?));
    text_of("ip", "link add type netkit")?;
    check::equal("devices", netkit::devices(&t.host)?.len(), 4)?;
    text_of("ip", "link del right")?;
    check::equal("devices", netkit::devices(&t.host)?.len(), 2)
}

fn ethtool_driver(t: &Ctx) -> Result<()> {
    Spec::l3().create(&t.host, &t.host)?;
    for device in ["nk0", "nk1"] {
        let text = text_of("ethtool", &format!("-i {device}"))?;
        check::equal("driver", text.lines().next(), Some("driver: netkit"))?;
        // The version is the kernel's.
        t.same(device, text);
    }
    Ok(())
}

fn ethtool_features(t: &Ctx) -> Result<()> {
    for mode in [L2, netkit::L3] {
        let name = format!("m{mode}");
        Spec::new()
            .mode(mode)
            .create_as(&name, "peer", &t.host, &t.host)?;
        for device in [name.as_str(), "peer"] {
            let text = text_of("ethtool", &format!("-k {device}"))?;
            t.same(&format!("mode {mode}, {device}"), text);
        }
        t.host.del_link(t.host.link(&name)?.index)?;
    }
    Ok(())
}

/// Files of sysfs that the driver's settings decide.
fn sysfs(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    // The first are the kernel's own devices, of which there are as many as it has drivers for.
    check::equal("the peer is made first", pair.peer + 1, pair.primary)?;
    let at = t.host.mount_sysfs("host")?;
    let read = |file: &str| -> String {
        let path = at.join("class/net/nk0").join(file);
        std::fs::read_to_string(path).unwrap_or_else(|no| format!("{:?}", no.kind()))
    };
    let files = [
        "addr_assign_type",
        "name_assign_type",
        "flags",
        "type",
        "tx_queue_len",
        "iflink",
        "dev_id",
        "dev_port",
        "mtu",
        "link_mode",
        "netdev_group",
        "threaded",
        "proto_down",
        "phys_port_name",
        "speed",
        "duplex",
        "address",
        "broadcast",
        "addr_len",
    ];
    let lines: Vec<_> = files
        .iter()
        .map(|file| format!("{file}: {}", read(file).trim()))
        .collect();
    t.same("nk0", lines.join("\n"));
    Ok(())
}

/// The messages that listeners get of a pair's life, in order.
fn notifications(t: &Ctx) -> Result<()> {
    let monitor = crate::nl::Monitor::links()?;
    let pair = Spec::l3().create(&t.host, &t.host)?;
    t.host.up(pair.primary)?;
    t.host.up(pair.peer)?;
    t.host.down(pair.primary)?;
    t.host.del_link(pair.peer)?;
    // Link watch adds its own in the background, at no fixed place: leave repeats out.
    let mut seen: Vec<String> = Vec::new();
    for message in monitor.drain()? {
        let Some(link) = Link::parse(&message) else {
            continue;
        };
        let kind = if message.kind == libc::RTM_NEWLINK {
            "new"
        } else {
            "del"
        };
        let up = link.has(libc::IFF_UP);
        let line = format!("{kind} {} up {up}", link.name());
        if !seen.contains(&line) {
            seen.push(line);
        }
    }
    t.same("messages", seen.join("\n"));
    check::that(
        "both deleted",
        seen.iter().filter(|line| line.starts_with("del")).count() == 2,
    )
}
