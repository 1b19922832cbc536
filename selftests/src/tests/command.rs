// SPDX-License-Identifier: GPL-2.0
//! The command `netkit-rs`: what it prints, as text and as JSON, and what it changes in the kernel.

use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use serde_json::json;
use serde_json::Value;

use crate::bpf;
use crate::bpf::mprog;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::command::good;
use crate::command::json;
use crate::command::object;
use crate::command::pin_program;
use crate::command::refused;
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
        let start = "driver:   built-in (C)\ntotal:    0 with the Rust driver, ";
        check::that(
            &text,
            text.starts_with(start) && text.ends_with("\ndevices:  0\n"),
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
        "policy": "blackhole", "peer_policy": "forward", "dev_switch": "before", "peer": { "ifindex": pair.peer, "netnsid": 0 },
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
