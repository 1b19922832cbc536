// SPDX-License-Identifier: GPL-2.0
//! Tracers see the driver: ftrace, kprobes, BPF's fentry and fexit, another livepatch.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;

use crate::bpf::tracer::By;
use crate::bpf::tracer::Tracer;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::POD4;
use crate::lifecycle::other::Other;
use crate::module;
use crate::netkit;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::nl::attr;
use crate::tracefs;
use crate::traffic;

tests![
    known_to_ftrace,
    function_graph,
    kprobe_event,
    size_of_a_dump,
    typed_arguments,
    every_callback_has_a_type,
    features_for_what_is_above,
    livepatched,
];

/// The list that the build reads: the file of a callback, its name, the C function, and another name.
const LIST: &str = include_str!("../../../bindings/symbol-names");

/// The names of the driver's functions in its kernel or module.
fn functions() -> Vec<String> {
    let ours = module::is_loaded();
    let lines = LIST.lines().filter(|line| !line.starts_with('#'));
    let mut names: Vec<_> = lines
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(2);
            let (c, name) = (words.next()?, words.next());
            Some(match (ours, name) {
                (false, _) => c.to_owned(),
                (true, Some(name)) => name.to_owned(),
                (true, None) => c.replacen("netkit_", "netkit_rs_", 1),
            })
        })
        .collect();
    // C has one xmit routine.
    names.sort();
    names.dedup();
    names
}

fn xmit() -> &'static str {
    if module::is_loaded() {
        "netkit_rs_xmit"
    } else {
        "netkit_xmit"
    }
}

fn known_to_ftrace(_: &Ctx) -> Result<()> {
    let known = fs::read_to_string(tracefs::mounted()?.join("available_filter_functions"))?;
    let module = if module::is_loaded() {
        " [netkit_rs]"
    } else {
        ""
    };
    for name in functions() {
        let line = format!("{name}{module}");
        let count = known.lines().filter(|known| **known == line).count();
        check::equal(&name, count, 1)?;
    }
    Ok(())
}

fn function_graph(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let instance = tracefs::Instance::new()?;
    instance.write("set_ftrace_filter", xmit())?;
    instance.write("current_tracer", "function_graph")?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    let trace = instance.trace()?;
    check::that("the xmit routine is traced", trace.contains(xmit()))
}

/// What a kprobe event writes while `work` runs.
fn with_probe(definition: &str, work: impl FnOnce() -> Result<()>) -> Result<String> {
    let events = tracefs::mounted()?.join("kprobe_events");
    let append = |text: &str| {
        let mut file = fs::File::options().append(true).open(&events)?;
        std::io::Write::write_all(&mut file, text.as_bytes())
    };
    append(definition).context("a kprobe event")?;
    let trace = {
        let mut instance = tracefs::Instance::new()?;
        instance.enable("netkit/seen")?;
        work().and_then(|()| instance.trace())
    };
    append("-:netkit/seen").context("removing the kprobe event")?;
    trace
}

fn kprobe_event(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let trace = with_probe(&format!("p:netkit/seen {}", xmit()), || {
        traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)
    })?;
    // There may have been other packets, such as those of IPv6.
    check::that("the packet is an event", trace.contains("seen: ("))
}

/// The driver says beforehand how many bytes its attributes take in a dump (`netkit_get_size()`). rtnetlink has room for more, so
/// that a wrong answer shows in few messages.
fn size_of_a_dump(t: &Ctx) -> Result<()> {
    let ours = module::is_loaded();
    let spec = Spec::l3().with_data(|data| match ours {
        // With this attribute, none is missing in the dump.
        true => data.u32(netkit::DEV_SWITCH, 1),
        false => data,
    });
    let pair = spec.create(&t.host, &t.host)?;
    let name = if ours {
        "netkit_rs_get_size"
    } else {
        "netkit_get_size"
    };
    let mut size = 0;
    let trace = with_probe(&format!("r:netkit/seen {name} size=$retval:u64"), || {
        let data = t.host.link_by_index(pair.primary)?.data();
        size = data.iter().map(attr::Attr::size).sum();
        Ok(())
    })?;
    let said = trace
        .lines()
        .filter_map(|line| line.split_once("size=")?.1.trim().parse().ok());
    let said: HashSet<usize> = said.collect();
    check::equal("bytes", said, HashSet::from([size]))
}

/// fentry and fexit have the packet and the device, by type, and the result; kprobes of several functions see it, too.
fn typed_arguments(t: &Ctx) -> Result<()> {
    for (spec, result) in [(Spec::l3(), 0), (Spec::l3().policy(DROP), 1)] {
        let duo = t.duo(spec)?;
        let tracer = Tracer::attach(xmit(), &format!("{}*", xmit()))?;
        let expected = result == 0;
        let came = traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), expected)?;
        check::equal("arrived", came, expected)?;
        let (enter, leave) = (tracer.seen(By::Fentry)?, tracer.seen(By::Fexit)?);
        check::that("it was seen", enter.count > 0)?;
        check::equal("entries and ends", enter.count, leave.count)?;
        check::equal("device", enter.ifindex, duo.pair.primary)?;
        check::equal("device at the end", leave.ifindex, duo.pair.primary)?;
        check::that("a length", enter.len > 28)?;
        check::equal("the result", leave.result, result)?;
        check::equal("kprobes", tracer.seen(By::KprobeMulti)?.count, enter.count)?;
        t.host.del_link(duo.pair.primary)?;
    }
    Ok(())
}

/// What the device can do for packets in tunnels, and for VLAN and MPLS devices above it. ethtool does not show this.
fn features_for_what_is_above(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l2())?;
    let tracer = Tracer::attach(xmit(), &format!("{}*", xmit()))?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    let features = tracer.seen(By::Fentry)?.features;
    t.same("features", format!("{features:#x?}"));
    check::that("there are some", features.iter().all(|&some| some != 0))
}

/// The module's BTF has a function for each name (`BTF_KIND_FUNC`); the kernel's has those of the built-in driver.
fn every_callback_has_a_type(_: &Ctx) -> Result<()> {
    let path = if module::is_loaded() {
        "/sys/kernel/btf/netkit_rs"
    } else {
        "/sys/kernel/btf/vmlinux"
    };
    let btf = fs::read(Path::new(path)).context(path)?;
    let strings: HashSet<&[u8]> = btf.split(|&byte| byte == 0).collect();
    for name in functions() {
        check::that(&name, strings.contains(name.as_bytes()))?;
    }
    Ok(())
}

/// A livepatch that frees every packet takes the place of the xmit routine, and gives it back.
fn livepatched(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let object = if module::is_loaded() {
        "object=netkit_rs "
    } else {
        ""
    };
    let arrives = || traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), true);
    check::that("it arrives before", arrives()?)?;
    let other = Other::load_with(t, &format!("{object}function={}", xmit()))?;
    other.settle()?;
    wait_for_ours()?;
    let arrived = traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), false)?;
    check::equal("arrives with the other livepatch", arrived, false)?;
    other.unload()?;
    wait_for_ours()?;
    check::that("it arrives afterwards", arrives()?)
}

/// While another livepatch comes or goes, the devices may be the built-in driver's.
fn wait_for_ours() -> Result<()> {
    if !module::is_loaded() {
        return Ok(());
    }
    check::soon("the devices are ours", || Ok(module::takeover()? == "on"))
}
