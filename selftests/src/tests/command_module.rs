// SPDX-License-Identifier: GPL-2.0
//! `netkit-rs load` and `netkit-rs unload`: both ways to their end, taken up where they stopped, and refused with a reason.

use std::path::Path;
use std::process::Command;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use serde_json::json;

use crate::bpf::link::Link;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PRIMARY;
use crate::check;
use crate::command::cover;
use crate::command::end;
use crate::command::good;
use crate::command::hide;
use crate::command::json;
use crate::command::load_beside;
use crate::command::refused;
use crate::command::run;
use crate::command::start;
use crate::command::Name;
use crate::ctx::Ctx;
use crate::module;
use crate::module::PATCH;
use crate::netkit::Spec;
use crate::netkit::NEXT;
use crate::tests::Needs;
use crate::tests::Test;

const WHY: &str = "there is no module to load or unload with the built-in driver";

tests![
    there_and_back,
    refused_loads,
    machines_that_do_not_allow_it,
    c_devices_by_namespace,
    load_in_two_steps,
    unload_in_two_steps,
    two_unload_at_once,
    compressed,
    livepatch_switched_off,
];

/// These tests load and unload by themselves, and some do it often.
pub fn module_tests() -> Vec<Test> {
    let mut all = tests();
    for test in &mut all {
        test.needs = Needs::Module(WHY);
        test.patience = 3;
    }
    all
}

fn load_line(t: &Ctx) -> String {
    format!("load {}", t.module.display())
}

fn there_and_back(t: &Ctx) -> Result<()> {
    let told = json(&load_line(t))?;
    let expected = json!({ "driver": "rust", "module": t.module });
    check::equal("load", &told, &expected)?;
    check::equal("status", &json("status")?["driver"], "rust")?;
    refused(&load_line(t), 5, &["loaded already", "netkit-rs status"])?;
    // Three pairs, of which one lies in a namespace that a descriptor alone holds.
    let (named, held) = (t.ns()?, t.ns()?);
    let _name = Name::give(&named, "counted")?;
    Spec::l3().create(&t.host, &named)?;
    Spec::l3().create(&named, &held)?;
    Spec::l3().create_as("a", "b", &held, &held)?;
    let told = json("unload")?;
    let expected = json!({ "driver": "c", "devices_removed": 6 });
    check::equal("unload", &told, &expected)?;
    check::that("the module is out", !module::is_loaded())?;
    refused("unload", 4, &["not loaded", "the kernel's own driver"])?;
    // Without a name, the module beside the command; in words.
    let text = load_beside(&t.module)?.stdout;
    check::that(
        &text,
        text.starts_with("loaded /") && text.contains("netkit_rs.ko"),
    )?;
    Spec::l3().create_as("c", "d", &t.host, &t.host)?;
    let text = good("unload")?.stdout;
    check::that(&text, text.starts_with("2 netkit devices belong to it"))?;
    check::that(&text, text.contains("\nunloaded: "))
}

fn refused_loads(_: &Ctx) -> Result<()> {
    refused(
        "load /no/such/module.ko",
        4,
        &["/no/such/module.ko", "make"],
    )?;
    refused("load /proc/self/comm", 1, &["is not a kernel module"])?;
    let other = other_module()?;
    refused(&format!("load {other}"), 5, &["but not netkit_rs"])?;
    std::fs::write("/tmp/damaged.ko.xz", b"\xfd7zXZ\0 and no more")?;
    refused(
        "load /tmp/damaged.ko.xz",
        1,
        &["xz-compressed, but is damaged"],
    )
}

/// What the kernel says of itself is put over here: it cannot be made to say so and take it back.
fn machines_that_do_not_allow_it(t: &Ctx) -> Result<()> {
    hide("/sys/kernel/livepatch")?;
    std::fs::create_dir("/sys/kernel/livepatch/other")?;
    std::fs::write("/sys/kernel/livepatch/other/transition", "1\n")?;
    let words = ["the livepatch other is in transition", "try again"];
    refused(&load_line(t), 5, &words)?;
    hide("/sys/kernel")?;
    refused(&load_line(t), 4, &["CONFIG_LIVEPATCH"])?;
    cover("/proc/sys/kernel/modules_disabled", "1\n")?;
    refused(&load_line(t), 3, &["kernel.modules_disabled"])?;
    check::that("the module is out", !module::is_loaded())
}

/// Any module of the running kernel's.
fn other_module() -> Result<String> {
    let release = nix::sys::utsname::uname()?
        .release()
        .to_string_lossy()
        .into_owned();
    let mut folders = vec![format!("/lib/modules/{release}/kernel/drivers/net")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)
            .with_context(|| folder.clone())?
            .flatten()
        {
            let path = entry.path().to_string_lossy().into_owned();
            match entry.file_type()?.is_dir() {
                true => folders.push(path),
                false if path.contains(".ko") => return Ok(path),
                false => {}
            }
        }
    }
    bail!("the kernel has no module")
}

fn c_devices_by_namespace(t: &Ctx) -> Result<()> {
    let (named, held) = (t.ns()?, t.ns()?);
    let _name = Name::give(&named, "tenant")?;
    let pair = Spec::l3().create_as("nk0", "eth0", &t.host, &named)?;
    let other = Spec::l3().create_as("nk0", "eth1", &held, &named)?;
    let words = [
        "built-in driver",
        "ip link del",
        "\n  this namespace: nk0",
        "\n  tenant: eth0, eth1",
        ", which only a descriptor holds: nk0",
    ];
    refused(&load_line(t), 5, &words)?;
    check::that("the module is out", !module::is_loaded())?;
    held.del_link(other.primary)?;
    t.host.del_link(pair.primary)?;
    good(&load_line(t))?;
    good("unload")?;
    Ok(())
}

/// A transition takes a second or two: who does not wait is told who holds it up, and can come back.
fn load_in_two_steps(t: &Ctx) -> Result<()> {
    let line = format!("{} --timeout 0", load_line(t));
    let ran = run(&line)?;
    // It may have been over at once.
    if ran.status != Some(0) {
        let words = [
            "not every process uses it yet after 0 seconds",
            "Wait for it with `netkit-rs load`",
        ];
        ran.refused(6, &words)?;
        let told =
            ran.stderr.contains("it waits for: ") || ran.stderr.contains("no process holds it up");
        check::that(&ran.to_string(), told)?;
        let status = json("status")?;
        let driver = status["driver"].as_str();
        check::that("status", matches!(driver, Some("loading" | "rust")))?;
        if driver == Some("loading") {
            check::that("waiting_for", status["waiting_for"].is_array())?;
        }
        let again = run(&load_line(t))?;
        // Over in between, it is loaded already.
        check::that(&again.to_string(), matches!(again.status, Some(0 | 5)))?;
    }
    check::equal("status", &json("status")?["driver"], "rust")?;
    good("unload")?;
    Ok(())
}

fn unload_in_two_steps(t: &Ctx) -> Result<()> {
    good(&load_line(t))?;
    let ran = run("unload --timeout 0")?;
    if ran.status != Some(0) {
        ran.refused(6, &["the module is disabled, but", "netkit-rs unload"])?;
        let driver = json("status")?["driver"].clone();
        check::that("status", driver == "unloading" || driver == "disabled")?;
        refused(&load_line(t), 5, &["netkit-rs unload"])?;
        good("unload")?;
    }
    check::that("the module is out", !module::is_loaded())
}

/// Whoever comes first disables it, removes it; the other one finds that done, and neither takes it for a failure.
fn two_unload_at_once(t: &Ctx) -> Result<()> {
    for _ in 0..t.rounds.min(3) {
        good(&load_line(t))?;
        let both = [start("unload")?, start("unload")?];
        let mut done = 0;
        for child in both {
            let ran = end("unload", child)?;
            match ran.status {
                Some(0) => done += 1,
                // It began when the other one had ended.
                Some(4) => ran.refused(4, &["not loaded"])?,
                _ => bail!("{ran}"),
            }
        }
        check::that("one at least", done > 0)?;
        check::that("the module is out", !module::is_loaded())?;
    }
    Ok(())
}

/// Debian's kernel unpacks xz by itself, if its check is the one that the kernel knows. What it cannot is unpacked for it.
fn compressed(t: &Ctx) -> Result<()> {
    let ways: [&[&str]; 4] = [&["xz", "--check=crc32"], &["xz"], &["zstd"], &["gzip"]];
    // The name does not matter for a file that is named.
    const PATH: &str = "/tmp/netkit_rs.ko.packed";
    for way in ways {
        let mut packer = Command::new(way[0]);
        packer.args(&way[1..]).args(["-1", "-c"]).arg(&t.module);
        let packed = packer.output()?;
        check::that(
            way[0],
            packed.status.success() && packed.stdout.len() > 1000,
        )?;
        std::fs::write(PATH, packed.stdout)?;
        check::equal("load", &json(&format!("load {PATH}"))?["driver"], "rust")?;
        good("unload")?;
    }
    Ok(std::fs::remove_file(PATH)?)
}

/// As a cumulative livepatch does it, or an unloading that was interrupted after its first step: the module is in the kernel
/// without its livepatch. Devices carry on, nobody can attach, and the command knows the way out.
fn livepatch_switched_off(t: &Ctx) -> Result<()> {
    good(&load_line(t))?;
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let link = Link::create(
        Prog::returning(NEXT)?,
        pair.primary,
        PRIMARY,
        Place::default(),
    )?;
    std::fs::write(format!("{PATCH}/enabled"), "0")?;
    check::soon("the livepatch is off", || Ok(!Path::new(PATCH).exists()))?;
    let status = json("status")?;
    check::equal("driver", &status["driver"], "disabled")?;
    check::equal(
        "devices",
        status["devices"].as_array().map(Vec::len),
        Some(2),
    )?;
    let text = good("status")?.stdout;
    check::that(
        &text,
        text.contains("livepatch off") && text.contains("`netkit-rs unload`"),
    )?;
    let attach = format!("attach {} -p one_of_two -d nk0", crate::command::object()?);
    refused(&attach, 5, &["does not answer", "netkit-rs status"])?;
    refused(
        &load_line(t),
        5,
        &["its livepatch is off", "netkit-rs unload"],
    )?;
    check::equal("unload", &json("unload")?["devices_removed"], 2)?;
    check::equal("the link is defunct", link.info()?.ifindex, 0)
}
