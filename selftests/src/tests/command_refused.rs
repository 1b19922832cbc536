// SPDX-License-Identifier: GPL-2.0
//! The refusals of the command `netkit-rs`. Each message gives the reason and what to do, as text and as JSON, with the
//! documented exit status. Nothing is changed.

use std::fs;
use std::path::Path;

use anyhow::Result;
use nix::mount::umount;

use crate::bpf;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
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
use crate::netkit::NEXT;
use crate::netkit::SINGLE;
use crate::runner::BPFFS;

tests![
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
    refused(
        &attach(&pin("tc")),
        5,
        &["already attached to this side of nk0"],
    )
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
        &["the folder /sys/fs/bpf/no", "does not exist"],
    )?;
    refused(
        &attach("/tmp/pin")?,
        4,
        &[
            "not in a BPF file system",
            "/sys/fs/bpf is a BPF file system",
        ],
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
    let absent = ["not attached to this side", "netkit-rs status"];
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
            &["/sys/fs/bpf/none does not exist", "netkit-rs status"],
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
        (format!("prog:{id} -d nk0"), 5, &["a link holds", "link:ID"]),
        (
            format!("prog:{id} -d nk0 --peer"),
            4,
            &["not attached to this side"],
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
    refused("detach link:x", 2, &["is not the number"])?;
    check::equal(
        "nothing has changed",
        mprog::query(pair.primary, PRIMARY)?.links,
        [link.id],
    )
}

fn refused_to_nobody(t: &Ctx) -> Result<()> {
    Spec::l3().create(&t.host, &t.host)?;
    let far = t.ns()?;
    let _name = Name::give(&far, "far")?;
    let object = object()?;
    fs::write("/tmp/any", "")?;
    for line in [
        &format!("attach {object} -p one_of_two -d nk0"),
        &format!("replace link:1 {object}"),
        "detach link:1",
        "load /tmp/any",
        "unload",
        "status --netns far",
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
