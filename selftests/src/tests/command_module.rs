// SPDX-License-Identifier: GPL-2.0
//! `netkit-rs load` and `netkit-rs unload`: complete runs, runs that continue after an interruption, and refusals with
//! their reason.

use std::path::Path;
use std::process::Command;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use serde_json::json;
use serde_json::Value;

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
use crate::command::run_as_nobody;
use crate::command::start;
use crate::command::Name;
use crate::ctx::Ctx;
use crate::module;
use crate::module::PATCH;
use crate::netkit::Spec;
use crate::netkit::NEXT;

tests![
    there_and_back,
    refused_loads,
    machines_that_do_not_allow_it,
    reload,
    taken_over_again,
    load_in_two_steps,
    unload_in_two_steps,
    two_unload_at_once,
    compressed,
    livepatch_switched_off,
];

fn load_line(t: &Ctx) -> String {
    format!("load {}", t.module.display())
}

/// Three pairs exist already. One is in a namespace that only a descriptor holds.
fn there_and_back(t: &Ctx) -> Result<()> {
    let (named, held) = (t.ns()?, t.ns()?);
    let _name = Name::give(&named, "counted")?;
    let pair = Spec::l3().create(&t.host, &named)?;
    Spec::l3().create(&named, &held)?;
    Spec::l3().create_as("a", "b", &held, &held)?;
    by_driver("before", 0, 6)?;
    let told = json(&load_line(t))?;
    let expected = json!({ "driver": "rust", "module": t.module, "devices_taken_over": 6 });
    check::equal("load", &told, &expected)?;
    by_driver("loaded", 6, 0)?;
    let status = json("status")?;
    check::equal("driver", &status["driver"], "rust")?;
    check::equal("takeover", &status["takeover"], "on")?;
    check::equal("ifindex", &status["devices"][0]["ifindex"], pair.primary)?;
    refused(&load_line(t), 5, &["loaded already", "netkit-rs status"])?;
    Spec::l3().create_as("c", "d", &t.host, &t.host)?;
    by_driver("one pair more", 8, 0)?;
    let told = json("unload")?;
    let expected = json!({ "driver": "c", "devices_removed": 0, "devices_handed_back": 8 });
    check::equal("unload", &told, &expected)?;
    check::that("the module is out", !module::is_loaded())?;
    by_driver("unloaded", 0, 8)?;
    check::equal("takeover", &json("status")?["takeover"], &Value::Null)?;
    refused("unload", 4, &["not loaded", "the built-in driver"])?;
    in_words(t)
}

/// Eight devices are there. Without a name, `load` finds the module beside the command.
fn in_words(t: &Ctx) -> Result<()> {
    let text = load_beside(&t.module)?.stdout;
    check::that(
        &text,
        text.starts_with("loaded /")
            && text.contains("netkit_rs.ko: 8 netkit devices taken over; "),
    )?;
    let text = good("status")?.stdout;
    check::that(
        &text,
        text.contains("\ntotal:    8 with the Rust driver, 0 with the C driver, "),
    )?;
    check::that(&text, !text.contains("takeover:"))?;
    // Without root, other namespaces cannot be read.
    let text = run_as_nobody("status")?.stdout;
    check::that(&text, text.contains("\ntotal:    8 with the Rust driver"))?;
    let text = good(&format!("reload {}", t.module.display()))?.stdout;
    check::that(
        &text,
        text.starts_with("reloaded ") && text.contains("again; 8 netkit devices taken over"),
    )?;
    let text = good("unload")?.stdout;
    check::that(
        &text,
        text.starts_with("unloaded: 8 netkit devices handed back; "),
    )
}

fn by_driver(when: &str, rust: u32, c: u32) -> Result<()> {
    let told = json("status")?["devices_by_driver"].clone();
    check::equal(when, &told, &json!({ "rust": rust, "c": c }))
}

/// A wrong file changes nothing, and the right one takes the place of the loaded module.
fn reload(t: &Ctx) -> Result<()> {
    let line = format!("reload {}", t.module.display());
    refused(&line, 4, &["not loaded", "netkit-rs load"])?;
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let link = Link::create(
        Prog::returning(NEXT)?,
        pair.primary,
        PRIMARY,
        Place::default(),
    )?;
    good(&load_line(t))?;
    let build = json("status")?["module"]["build_id"].clone();
    refused("reload /no/such/module.ko", 4, &["/no/such/module.ko"])?;
    refused("reload /proc/self/comm", 1, &["is not a kernel module"])?;
    let other = other_module()?;
    refused(&format!("reload {other}"), 5, &["but not netkit_rs"])?;
    by_driver("after refusals", 2, 0)?;
    let told = json(&line)?;
    let expected = json!({
        "driver": "rust", "module": t.module, "old_build_id": build, "new_build_id": build,
        "devices_handed_back": 2, "devices_taken_over": 2,
    });
    check::equal("reload", &told, &expected)?;
    check::equal("the link", link.info()?.ifindex, pair.primary)?;
    refused_reload(t)?;
    check::equal("the link", link.info()?.ifindex, pair.primary)
}

/// A file that looks right, and that the module's own check refuses: the old module is gone by then, and the message says
/// which driver serves.
fn refused_reload(t: &Ctx) -> Result<()> {
    let other = for_another_build(t)?;
    let words = [
        "the old module (build ",
        "The built-in driver serves all devices",
        &format!("`netkit-rs load {other}`"),
        "another build of this kernel release",
        "it says: the running kernel is another build",
    ];
    run(&format!("reload {other}"))?.refused(5, &words)?;
    check::that("the module is out", !module::is_loaded())?;
    by_driver("after the refusal", 0, 2)?;
    refused(&format!("load {other}"), 5, &words[3..])
}

/// A copy of the module that expects a kernel of the same release and with another build ID.
fn for_another_build(t: &Ctx) -> Result<String> {
    const PATH: &str = "/tmp/another.ko";
    // The note of the running kernel: sizes of the name and of the value, type, name; behind these the build ID.
    const NOTE: &[u8] = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0";
    let find = |haystack: &[u8], needle: &[u8]| {
        haystack
            .windows(needle.len())
            .position(|window| window == needle)
    };
    let notes = std::fs::read("/sys/kernel/notes")?;
    let start = find(&notes, NOTE).context("the kernel has no build ID")? + NOTE.len();
    let id = &notes[start..start + 20];
    // The compiler may have spread the expected ID over instructions, which hold eight bytes of it each.
    let start = &id[..8];
    let mut bytes = std::fs::read(&t.module)?;
    check::that(
        "the module holds the kernel's build ID",
        find(&bytes, start).is_some(),
    )?;
    while let Some(at) = find(&bytes, start) {
        bytes[at] ^= 1;
    }
    std::fs::write(PATH, bytes)?;
    Ok(PATH.to_owned())
}

/// The command shows the state of the parameter `takeover`, and `load` completes the takeover.
fn taken_over_again(t: &Ctx) -> Result<()> {
    const TAKEOVER: &str = "/sys/module/netkit_rs/parameters/takeover";
    Spec::l3().create(&t.host, &t.host)?;
    good(&load_line(t))?;
    std::fs::write(TAKEOVER, "0")?;
    let status = json("status")?;
    check::equal("driver", &status["driver"], "c")?;
    check::equal("takeover", &status["takeover"], "off")?;
    by_driver("off", 0, 2)?;
    let text = good("status")?.stdout;
    check::that(
        &text,
        text.contains("\ntakeover: off") && text.contains("`netkit-rs load`"),
    )?;
    let told = json("load")?;
    let expected = json!({ "driver": "rust", "module": null, "devices_taken_over": 2 });
    check::equal("load", &told, &expected)?;
    by_driver("on again", 2, 0)?;
    // RTNL cannot be kept busy from here.
    cover(TAKEOVER, "incomplete\n")?;
    let status = json("status")?;
    check::equal("driver", &status["driver"], "rust")?;
    check::equal("takeover", &status["takeover"], "incomplete")?;
    let text = good("status")?.stdout;
    check::that(&text, text.contains("\ntakeover: incomplete"))?;
    good("unload")?;
    Ok(())
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

/// A transition takes one or two seconds. With a short time-out, the command names the tasks that delay it,
/// and can be run again.
fn load_in_two_steps(t: &Ctx) -> Result<()> {
    let line = format!("{} --timeout 0", load_line(t));
    let ran = run(&line)?;
    // The transition may have ended at once.
    if ran.status != Some(0) {
        let words = [
            "some tasks have not switched to it yet after 0 seconds",
            "the built-in driver serves all devices",
            "`netkit-rs load` again",
        ];
        ran.refused(6, &words)?;
        let told =
            ran.stderr.contains("it waits for: ") || ran.stderr.contains("no task delays it");
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
        ran.refused(
            6,
            &["the module is disabled, but", "`netkit-rs unload` again"],
        )?;
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
/// without its livepatch. The built-in driver serves the devices and their programs, and the command knows the way out.
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
    check::equal("takeover", &status["takeover"], "off")?;
    by_driver("switched off", 0, 2)?;
    let text = good("status")?.stdout;
    check::that(
        &text,
        text.contains("livepatch of netkit_rs (Rust) is off")
            && text.contains("`netkit-rs unload`"),
    )?;
    let object = crate::command::object()?;
    good(&format!("attach {object} -p one_of_two -d nk0"))?;
    refused(
        &load_line(t),
        5,
        &["its livepatch is off", "netkit-rs unload"],
    )?;
    check::equal("unload", &json("unload")?["devices_handed_back"], 0)?;
    check::equal("the link", link.info()?.ifindex, pair.primary)
}
