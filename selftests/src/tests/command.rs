// SPDX-License-Identifier: GPL-2.0
//! The command `netkit-rs` through its real interface: what it prints, in words and in JSON, what it does to the kernel,
//! and what it says when it cannot.

use std::fs;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use nix::mount::umount;
use serde_json::json;
use serde_json::Value;

use crate::bpf;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::command::cover;
use crate::command::good;
use crate::command::json;
use crate::command::object;
use crate::command::pin_map_of_maps;
use crate::command::pin_program;
use crate::command::refused;
use crate::command::run;
use crate::command::run_as_nobody;
use crate::command::Name;
use crate::ctx::Ctx;
use crate::module;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::NEXT;
use crate::netkit::SINGLE;
use crate::runner::BPFFS;

tests![
    status_names_the_driver,
    status_lists_devices,
    status_of_all_namespaces,
    status_lists_programs,
    status_for_nobody,
    attach_by_a_link,
    attach_without_a_link,
    attach_what_is_pinned,
    places,
    revision,
    replace_everything,
    detach_everything,
    in_another_namespace,
    refused_devices,
    refused_programs,
    refused_pins,
    refused_places,
    refused_targets,
    refused_to_nobody,
    no_bpf_file_system,
    kernel_without_netkit,
];

fn pin(name: &str) -> String {
    format!("{BPFFS}/{name}")
}

fn number(value: &Value) -> Result<u32> {
    let number = value
        .as_u64()
        .with_context(|| format!("{value} is no number"))?;
    Ok(number.try_into()?)
}

fn status_names_the_driver(_: &Ctx) -> Result<()> {
    let status = json("status")?;
    let text = good("status")?.stdout;
    check::equal("devices", &status["devices"], &json!([]))?;
    check::equal("waiting_for", &status["waiting_for"], &json!([]))?;
    if module::is_loaded() {
        check::equal("driver", &status["driver"], "rust")?;
        check::that(
            &text,
            text.starts_with("driver:   netkit_rs (Rust)\nmodule:   "),
        )?;
        let module = &status["module"];
        check::equal("references", &module["references"], 1)?;
        check::that(
            "build_id",
            module["build_id"].as_str().is_some_and(|id| id.len() >= 32),
        )
    } else {
        check::equal("driver", &status["driver"], "c")?;
        check::equal("module", &status["module"], &Value::Null)?;
        check::equal(
            "text",
            text.as_str(),
            "driver:   built-in (C)\ndevices:  0\n",
        )
    }
}

fn status_lists_devices(t: &Ctx) -> Result<()> {
    let pod = t.ns()?;
    let spec = Spec::l2().policy(DROP);
    let pair = spec.create_as("blue", "eth0", &t.host, &pod)?;
    Spec::l3()
        .pairing(SINGLE)
        .name("alone")
        .try_create(&t.host)?;
    let status = json("status")?;
    let devices = status["devices"].as_array().context("devices")?;
    check::equal("count", devices.len(), 2)?;
    let blue = &devices[0];
    let expected = json!({
        "ifindex": pair.primary, "name": "blue", "role": "primary", "pairing": "pair", "mode": "l2",
        "policy": "blackhole", "peer_policy": "forward", "peer": { "ifindex": pair.peer, "netnsid": 0 },
        "programs": {
            "primary": { "revision": 1, "programs": [] },
            "peer": { "revision": 1, "programs": [] },
        },
        "namespace": blue["namespace"],
    });
    check::equal("blue", blue, &expected)?;
    check::equal("current", &blue["namespace"]["current"], true)?;
    let alone = &devices[1];
    check::equal("pairing", &alone["pairing"], "single")?;
    check::equal("no peer", &alone["peer"], &Value::Null)?;
    check::equal("no programs", &alone["programs"], &Value::Null)?;
    let text = good("status blue")?.stdout;
    let line = format!(
        "    {}: blue (primary), mode l2, policy blackhole, peer policy forward, other end {} (netns id 0)",
        pair.primary, pair.peer
    );
    check::that(&text, text.lines().any(|shown| shown == line))?;
    check::that(
        "one device",
        text.contains("devices:  1\n") && !text.contains("alone"),
    )?;
    refused("status green", 4, &["no netkit device green", "--all"])
}

/// A name, a process, and a descriptor that nothing else but this test holds.
fn status_of_all_namespaces(t: &Ctx) -> Result<()> {
    let (named, held) = (t.ns()?, t.ns()?);
    Spec::l3().create_as("nk0", "in-named", &t.host, &named)?;
    Spec::l3().create_as("nk1", "in-held", &t.host, &held)?;
    let _name = Name::give(&named, "blue-pod")?;
    let status = json("status --all")?;
    let find = |name: &str| -> Result<Value> {
        let devices = status["devices"].as_array().context("devices")?;
        let device = devices.iter().find(|device| device["name"] == name);
        Ok(device.with_context(|| format!("{name} in {status}"))?["namespace"].clone())
    };
    check::equal("current", &find("nk0")?["current"], true)?;
    check::equal("current", &find("nk1")?, &find("nk0")?)?;
    check::equal("name", &find("in-named")?["name"], "blue-pod")?;
    let held = find("in-held")?;
    let nameless = held["name"].is_null() && held["pid"].is_null() && held["path"].is_null();
    check::that(&held.to_string(), nameless && held["current"] == false)?;
    let text = good("status -a in-held")?.stdout;
    check::that(&text, text.contains("which only a descriptor holds:\n"))?;
    let text = good("status --netns blue-pod")?.stdout;
    check::that(
        &text,
        text.contains("  blue-pod:\n") && text.contains("in-named (peer)"),
    )?;
    check::that("others", !text.contains("nk0"))?;
    refused("status -n no-such", 4, &["no network namespace no-such"])?;
    refused(
        "status -n /dev/null",
        4,
        &["/dev/null is not a network namespace"],
    )
}

fn status_lists_programs(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let object = object()?;
    let by_link = json(&format!(
        "attach {object} -s netkit/peer --dev nk0 --peer --pin {}",
        pin("by-link")
    ))?;
    let plain = json(&format!(
        "attach {object} -p one_of_two --dev nk0 --peer --first"
    ))?;
    let status = json("status nk0")?;
    let peer = &status["devices"][0]["programs"]["peer"];
    check::equal("revision", &peer["revision"], 3)?;
    let programs = peer["programs"].as_array().context("programs")?;
    check::equal("count", programs.len(), 2)?;
    let expected = [
        (&plain["program"]["id"], "one_of_two", Value::Null),
        (
            &by_link["program"]["id"],
            "out_of_the_pod",
            json!({ "id": by_link["link"]["id"], "pins": [pin("by-link")] }),
        ),
    ];
    for (shown, (id, name, link)) in programs.iter().zip(expected) {
        check::equal("id", &shown["id"], id)?;
        check::equal("name", &shown["name"], name)?;
        check::equal("link", &shown["link"], &link)?;
        let tag = shown["tag"].as_str().unwrap_or_default();
        check::that(
            "tag",
            tag.len() == 16 && tag.chars().all(|c| c.is_ascii_hexdigit()),
        )?;
    }
    let ids = mprog::query(pair.primary, PEER)?.progs;
    let shown: Result<Vec<_>> = programs.iter().map(|one| number(&one["id"])).collect();
    check::equal("the kernel's order", shown?, ids)?;
    let text = good("status")?.stdout;
    let lines: Vec<_> = text.lines().collect();
    let at = lines
        .iter()
        .position(|line| *line == "      peer, revision 3:");
    let at = at.with_context(|| text.clone())?;
    check::that(&text, lines[at + 1].contains(" one_of_two tag "))?;
    let link = format!(
        ", link:{} pinned at {}",
        by_link["link"]["id"],
        pin("by-link")
    );
    check::that(&text, lines[at + 2].ends_with(&link))
}

/// Devices are for everybody to see, programs are not.
fn status_for_nobody(t: &Ctx) -> Result<()> {
    Spec::l3().create(&t.host, &t.host)?;
    let ran = run_as_nobody("--json status nk0")?;
    let status: Value = serde_json::from_str(&ran.stdout).with_context(|| ran.to_string())?;
    check::equal("mode", &status["devices"][0]["mode"], "l3")?;
    check::equal("programs", &status["devices"][0]["programs"], &Value::Null)
}

fn attach_by_a_link(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let object = object()?;
    for (side, flag, hook) in [("primary", "", PRIMARY), ("peer", " --peer", PEER)] {
        let path = pin(side);
        let line = format!("attach {object} -s netkit/{side} --dev nk0{flag} --pin {path}");
        let told = json(&line)?;
        let query = mprog::query(pair.primary, hook)?;
        check::equal("program", query.progs, [number(&told["program"]["id"])?])?;
        check::equal("link", &query.links, &[number(&told["link"]["id"])?])?;
        check::equal("pin", &told["link"]["pin"], path.as_str())?;
        check::equal("side", &told["side"], side)?;
        check::equal("device", &told["device"], "nk0")?;
        check::equal("revision", told["revision"].as_u64(), Some(query.revision))?;
        check::equal(
            "by the pin",
            bpf::link::Link::open_pin(Path::new(&path))?.id,
            query.links[0],
        )?;
    }
    let text = good(&format!(
        "attach {object} -p two_of_two -d nk0 --pin {}",
        pin("x")
    ))?
    .stdout;
    check::that(&text, text.starts_with("attached two_of_two (program "))?;
    check::that(
        &text,
        text.contains("to what the primary sends on nk0 by link "),
    )
}

fn attach_without_a_link(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let told = json(&format!("attach {} -p one_of_two -d nk0 --peer", object()?))?;
    check::equal("no link", &told["link"], &Value::Null)?;
    let query = mprog::query(pair.primary, PEER)?;
    check::equal("program", query.progs, [number(&told["program"]["id"])?])?;
    check::equal("links", query.links, [0])
}

fn attach_what_is_pinned(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let prog = Prog::returning(NEXT)?;
    pin_program(&prog, Path::new(&pin("prog")))?;
    let told = json(&format!(
        "attach {} -d nk0 --pin {}",
        pin("prog"),
        pin("link")
    ))?;
    check::equal("program", number(&told["program"]["id"])?, prog.id)?;
    check::equal(
        "attached",
        mprog::query(pair.primary, PRIMARY)?.progs,
        [prog.id],
    )?;
    good(&format!("attach {} -d nk0 --peer", pin("prog")))?;
    check::equal(
        "attached",
        mprog::query(pair.primary, PEER)?.progs,
        [prog.id],
    )?;
    let status = json("status nk0")?;
    let shown = &status["devices"][0]["programs"]["peer"]["programs"][0];
    check::equal("pins", &shown["pins"], &json!([pin("prog")]))
}

fn places(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let object = object()?;
    let attach = |more: &str| json(&format!("attach {object} -p one_of_two -d nk0 {more}"));
    let middle = attach(&format!("--pin {}", pin("middle")))?;
    let (prog, link) = (&middle["program"]["id"], &middle["link"]["id"]);
    let first = attach("--first")?;
    let last = attach("--last")?;
    let before = attach(&format!("--before link:{link}"))?;
    let after = attach(&format!("--after {prog}"))?;
    let next = attach(&format!("--before prog:{}", last["program"]["id"]))?;
    let mut expected = Vec::new();
    for told in [&first, &before, &middle, &after, &next, &last] {
        expected.push(number(&told["program"]["id"])?);
    }
    check::equal(
        "order",
        mprog::query(pair.primary, PRIMARY)?.progs,
        expected,
    )
}

fn revision(t: &Ctx) -> Result<()> {
    Spec::l3().create(&t.host, &t.host)?;
    let line = format!(
        "attach {} -p one_of_two -d nk0 --peer --revision",
        object()?
    );
    let told = json(&format!("{line} 1"))?;
    check::equal("revision", &told["revision"], 2)?;
    refused(
        &format!("{line} 1"),
        5,
        &["peer of nk0 are at revision 2", "somebody has changed"],
    )?;
    check::equal("revision", &json(&format!("{line} 2"))?["revision"], 3)
}

fn replace_everything(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let object = object()?;
    let attached = json(&format!(
        "attach {object} -p one_of_two -d nk0 --pin {}",
        pin("link")
    ))?;
    let link = &attached["link"]["id"];
    let mut old = attached["program"]["id"].clone();
    for target in [pin("link"), format!("link:{link}")] {
        let told = json(&format!("replace {target} {object} -p two_of_two"))?;
        check::equal("old", &told["old"], &old)?;
        check::equal("link", &told["link"]["id"], link)?;
        old = told["program"]["id"].clone();
        let query = mprog::query(pair.primary, PRIMARY)?;
        check::equal("program", query.progs, [number(&old)?])?;
        check::equal("links", query.links, [number(link)?])?;
    }
    let plain = json(&format!("attach {object} -p one_of_two -d nk0 --peer"))?;
    let prog = Prog::returning(NEXT)?;
    pin_program(&prog, Path::new(&pin("prog")))?;
    let id = &plain["program"]["id"];
    let told = good(&format!("replace prog:{id} {} -d nk0 --peer", pin("prog")))?.stdout;
    check::that(
        &told,
        told.starts_with(&format!("replaced program {id} by ")),
    )?;
    check::equal(
        "program",
        mprog::query(pair.primary, PEER)?.progs,
        [prog.id],
    )?;
    t.host.del_link(pair.primary)?;
    let line = format!("replace {} {object} -p one_of_two", pin("link"));
    refused(&line, 4, &["no device any more"])
}

fn detach_everything(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let object = object()?;
    let attach = |more: &str| json(&format!("attach {object} -p one_of_two -d nk0 {more}"));
    let count = || Ok::<_, anyhow::Error>(mprog::query(pair.primary, PRIMARY)?.count);

    let one = attach(&format!("--pin {}", pin("one")))?;
    let told = json(&format!("detach {}", pin("one")))?;
    let expected = json!({
        "program": one["program"]["id"], "link": one["link"]["id"], "unpinned": pin("one"), "pins_left": [],
    });
    check::equal("by the pin", &told, &expected)?;
    check::that("unpinned", !Path::new(&pin("one")).exists())?;

    let two = attach(&format!("--pin {}", pin("two")))?;
    let told = json(&format!("detach link:{}", two["link"]["id"]))?;
    check::equal("pins_left", &told["pins_left"], &json!([pin("two")]))?;
    check::equal("unpinned", &told["unpinned"], &Value::Null)?;
    // What is left of it can be cleared away.
    let told = good(&format!("detach {}", pin("two")))?.stdout;
    check::that(
        &told,
        told.ends_with(&format!("and removed {}\n", pin("two"))),
    )?;

    let three = attach("")?;
    check::equal("attached", count()?, 1)?;
    let told = json(&format!("detach prog:{} --dev nk0", three["program"]["id"]))?;
    check::equal("no link", &told["link"], &Value::Null)?;
    check::equal("detached", count()?, 0)
}

/// --netns moves to the pair and leaves the file systems alone.
fn in_another_namespace(t: &Ctx) -> Result<()> {
    let host = t.ns()?;
    let pair = Spec::l3().create_as("there0", "there1", &host, &host)?;
    let _name = Name::give(&host, "far")?;
    let object = object()?;
    let line = format!("attach {object} -s netkit/peer -n far -d there0 --peer");
    let link = json(&format!("{line} --pin {}", pin("far")))?;
    let plain = json(&format!(
        "attach {object} -p one_of_two -n /run/netns/far -d there0 --peer"
    ))?;
    let ids = [
        number(&link["program"]["id"])?,
        number(&plain["program"]["id"])?,
    ];
    let query = host.run(|| Ok(mprog::query(pair.primary, PEER)?))?;
    check::equal("programs", query.progs, ids)?;
    let shown = json("status -n far there0")?;
    let pins = &shown["devices"][0]["programs"]["peer"]["programs"][0]["link"]["pins"];
    check::equal("pins", pins, &json!([pin("far")]))?;
    good(&format!("detach prog:{} -n far -d there0 --peer", ids[1]))?;
    good(&format!("detach {}", pin("far")))?;
    let query = host.run(|| Ok(mprog::query(pair.primary, PEER)?))?;
    check::equal("programs", query.count, 0)
}

fn refused_devices(t: &Ctx) -> Result<()> {
    let (pod, other) = (t.ns()?, t.ns()?);
    Spec::l3().create(&t.host, &t.host)?;
    Spec::l3().create_as("hostside", "eth0", &other, &t.host)?;
    Spec::l3().create_as("far0", "far1", &pod, &pod)?;
    Spec::l3()
        .pairing(SINGLE)
        .name("alone")
        .try_create(&t.host)?;
    t.host.add_device("dummy0", "dummy")?;
    let _names = (
        Name::give(&other, "primaries")?,
        Name::give(&pod, "far-pod")?,
    );
    let object = object()?;
    let attach = |dev: &str| format!("attach {object} -p one_of_two --dev {dev}");
    refused(&attach("nk1"), 5, &["nk1 is the peer", "--dev nk0 --peer"])?;
    refused(
        &attach("eth0"),
        5,
        &[
            "eth0 is the peer",
            "--netns primaries --dev hostside --peer",
        ],
    )?;
    refused(
        &attach("dummy0"),
        5,
        &["dummy0 is not a netkit device", "ip link add"],
    )?;
    refused(
        &attach("far0"),
        4,
        &[
            "no device far0 in this network namespace",
            "--netns far-pod",
        ],
    )?;
    refused(
        &attach("nowhere"),
        4,
        &["no device nowhere", "status --all"],
    )?;
    refused(&attach("alone"), 5, &["alone is a single device"])?;
    refused(
        &format!("{} --netns nowhere", attach("nk0")),
        4,
        &["ip netns"],
    )
}

fn refused_programs(t: &Ctx) -> Result<()> {
    Spec::l3().create(&t.host, &t.host)?;
    let object = object()?;
    let attach = |what: &str| format!("attach {what} --dev nk0");
    let several = [
        "--program or --section",
        "into_the_pod (section netkit/primary)",
    ];
    refused(&attach(object), 2, &several)?;
    refused(
        &attach(&format!("{object} -s tc")),
        2,
        &["one_of_two", "two_of_two"],
    )?;
    refused(
        &attach(&format!("{object} -p none")),
        4,
        &["no such program", "out_of_the_pod"],
    )?;
    let wrong = ["of_another_type is of the type Xdp", "netkit/peer"];
    refused(&attach(&format!("{object} -s xdp")), 5, &wrong)?;
    refused(&attach("/no/such/file.o"), 4, &["/no/such/file.o"])?;
    refused(&attach("/proc/self/comm"), 1, &["not a BPF object file"])?;

    let xdp = Prog::load(libbpf_sys::BPF_PROG_TYPE_XDP, 0, 2)?;
    pin_program(&xdp, Path::new(&pin("xdp")))?;
    refused(&attach(&pin("xdp")), 5, &["of the type Xdp", "tc programs"])?;
    pin_map_of_maps(Path::new(&pin("map")))?;
    refused(&attach(&pin("map")), 5, &["is not a program"])?;
    let tc = Prog::returning(NEXT)?;
    pin_program(&tc, Path::new(&pin("tc")))?;
    refused(&attach(&format!("{} -p x", pin("tc"))), 2, &["is a pin"])?;
    good(&attach(&pin("tc")))?;
    refused(&attach(&pin("tc")), 5, &["attached to nk0 there already"])
}

fn refused_pins(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let attach = |pin: &str| {
        Ok::<_, anyhow::Error>(format!(
            "attach {} -p one_of_two -d nk0 --pin {pin}",
            object()?
        ))
    };
    good(&attach(&pin("there"))?)?;
    refused(
        &attach(&pin("there"))?,
        5,
        &["exists already", "netkit-rs replace", "netkit-rs detach"],
    )?;
    refused(
        &attach(&pin("no/folder"))?,
        4,
        &["there is no folder /sys/fs/bpf/no"],
    )?;
    refused(
        &attach("/tmp/pin")?,
        4,
        &["not in a BPF file system", "/sys/fs/bpf is one"],
    )?;
    check::equal(
        "nothing more",
        mprog::query(pair.primary, PRIMARY)?.count,
        1,
    )
}

fn refused_places(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let elsewhere = Prog::returning(NEXT)?;
    let line = format!("attach {} -p one_of_two -d nk0", object()?);
    let absent = ["not attached there", "netkit-rs status"];
    refused(&format!("{line} --before {}", elsewhere.id), 4, &absent)?;
    refused(&format!("{line} --after link:4000000000"), 4, &absent)?;
    refused(&format!("{line} --before nonsense"), 2, &["link:ID"])?;
    refused(
        &format!("{line} --first --last"),
        2,
        &["cannot be used with"],
    )?;
    check::equal("nothing", mprog::query(pair.primary, PRIMARY)?.count, 0)
}

fn refused_targets(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let object = object()?;
    let prog = Prog::returning(NEXT)?;
    let tcx = bpf::link::Link::create(&prog, pair.primary, bpf::TCX_INGRESS, Place::default())?;
    let link = bpf::link::Link::create(&prog, pair.primary, PRIMARY, Place::default())?;
    pin_program(&prog, Path::new(&pin("prog")))?;
    pin_map_of_maps(Path::new(&pin("map")))?;
    let id = prog.id;
    let cases: [(String, i32, &[&str]); 9] = [
        (
            pin("none"),
            4,
            &["there is no /sys/fs/bpf/none", "netkit-rs status"],
        ),
        (pin("map"), 5, &["not a pinned netkit link"]),
        (
            pin("prog"),
            5,
            &["a pinned program", &format!("prog:{id}"), "--dev"],
        ),
        ("/tmp".to_owned(), 5, &["not in a BPF file system"]),
        (format!("link:{}", tcx.id), 5, &["not a netkit link"]),
        ("link:4000000000".to_owned(), 4, &["no link 4000000000"]),
        (
            format!("prog:{id}"),
            2,
            &["name the primary device", "--dev"],
        ),
        (
            format!("prog:{id} -d nk0"),
            5,
            &["held by a link", "link:ID"],
        ),
        (
            format!("prog:{id} -d nk0 --peer"),
            4,
            &["not attached there"],
        ),
    ];
    for (target, status, words) in cases {
        refused(&format!("detach {target}"), status, words)?;
        let (target, place) = target.split_once(' ').unwrap_or((&target, "-d nk0"));
        if status != 2 {
            refused(
                &format!("replace {target} {object} -p one_of_two {place}"),
                status,
                words,
            )?;
        }
    }
    refused(
        "detach prog:4000000000 -d nk0",
        4,
        &["no program 4000000000"],
    )?;
    refused("detach link:x", 2, &["no number"])?;
    check::equal(
        "nothing has changed",
        mprog::query(pair.primary, PRIMARY)?.links,
        [link.id],
    )
}

fn refused_to_nobody(t: &Ctx) -> Result<()> {
    Spec::l3().create(&t.host, &t.host)?;
    let object = object()?;
    fs::write("/tmp/any", "")?;
    for line in [
        &format!("attach {object} -p one_of_two -d nk0"),
        &format!("replace link:1 {object}"),
        "detach link:1",
        "load /tmp/any",
        "unload",
    ] {
        run_as_nobody(line)?.refused(3, &["sudo"])?;
    }
    Ok(())
}

/// As in `ip netns exec`, or where nobody has mounted it.
fn no_bpf_file_system(t: &Ctx) -> Result<()> {
    Spec::l3().create(&t.host, &t.host)?;
    let line = format!("attach {} -p one_of_two -d nk0", object()?);
    // The test's own, and the machine's under it.
    while umount(BPFFS).is_ok() {}
    let ran = run(&format!("{line} --pin {}", pin("x")))?;
    ran.refused(4, &["cannot pin", "mount -t bpf bpf /sys/fs/bpf"])?;
    // Nothing of it is needed without a pin.
    good(&line)?;
    check::equal(
        "devices",
        json("status")?["devices"].as_array().map(Vec::len),
        Some(2),
    )
}

/// By the kernel's own list of what was built into it, which is hidden here.
fn kernel_without_netkit(_: &Ctx) -> Result<()> {
    let release = nix::sys::utsname::uname()?
        .release()
        .to_string_lossy()
        .into_owned();
    cover(&format!("/lib/modules/{release}/modules.builtin"), "")?;
    let driver = json("status")?["driver"].clone();
    if module::is_loaded() {
        return check::equal("driver", driver, "rust");
    }
    check::equal("driver", driver, "none")?;
    let line = format!("attach {} -p one_of_two -d nk0", object()?);
    refused(&line, 4, &["no device nk0", "this kernel has no netkit"])
}
