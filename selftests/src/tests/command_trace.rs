// SPDX-License-Identifier: GPL-2.0
//! `netkit-rs trace`: what it says of packets that are passed, dropped and redirected, and that it leaves nothing behind.

use std::io::BufRead;
use std::io::BufReader;
use std::process::Child;
use std::process::ChildStderr;
use std::process::ChildStdout;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use nix::sys::signal::kill;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::json;
use serde_json::Value;

use crate::bpf::ids::Ids;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Redirect;
use crate::bpf::probe::Way;
use crate::bpf::PEER;
use crate::check;
use crate::command;
use crate::ctx::Ctx;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::module;
use crate::netkit::Pair;
use crate::netkit::Spec;
use crate::tests::one_with_module;
use crate::tests::Test;
use crate::traffic;

tests![
    passed,
    dropped,
    redirected,
    dropped_after_a_redirect,
    only_the_device,
    stops_under_a_flood,
    ends_without_a_trace,
    what_is_missing,
    follows_a_reload,
];

const WHY: &str = "the built-in driver cannot be loaded anew";

/// All tests of the file; one of them loads the module.
pub fn all() -> Vec<Test> {
    one_with_module(tests(), "follows_a_reload", WHY)
}

/// The running command.
struct Trace {
    child: Child,
    out: BufReader<ChildStdout>,
    _err: BufReader<ChildStderr>,
}

impl Trace {
    /// Starts it, and waits until it follows packets.
    fn start(line: &str) -> Result<Self> {
        let mut child = command::start(line)?;
        let out = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut err = BufReader::new(child.stderr.take().context("no standard error")?);
        let mut said = String::new();
        err.read_line(&mut said)?;
        let trace = Self {
            child,
            out,
            _err: err,
        };
        ensure!(said.contains("following packets"), "it said {said}");
        Ok(trace)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.out.read_line(&mut line)? > 0, "it has ended");
        Ok(line)
    }

    /// The next packet of a device.
    fn packet(&mut self, device: &str) -> Result<Value> {
        loop {
            let packet: Value = serde_json::from_str(&self.line()?)?;
            if packet["device"]["name"] == device {
                return Ok(packet);
            }
        }
    }

    /// Ends it as Ctrl-C does, and gives its exit status.
    fn stop(mut self) -> Result<Option<i32>> {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT)?;
        Ok(self.child.wait()?.code())
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // Has ended already, unless the test has failed.
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

fn passed(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let mut trace = Trace::start("--json trace")?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    let packet = trace.packet("nk0")?;
    let expected = [
        ("role", json!("primary")),
        ("verdict", json!("pass")),
        ("reason", Value::Null),
        // With the Ethernet header, which netkit devices have in either mode.
        ("length", json!(14 + 20 + 8 + 100)),
        ("ethertype", json!(0x0800)),
        ("protocol", json!(17)),
        ("source", json!(HOST4.to_string())),
        ("destination", json!(POD4.to_string())),
    ];
    for (key, value) in expected {
        check::equal(key, &packet[key], &value)?;
    }
    check::equal(
        "device",
        &packet["device"]["ifindex"],
        &json!(duo.pair.primary),
    )?;
    check::equal(
        "its namespace",
        &packet["device"]["namespace"],
        &Value::Null,
    )?;
    check::equal("receiver", &packet["to"]["name"], &json!("nk1"))?;
    check::that(
        "the receiver's namespace",
        packet["to"]["namespace"].is_string(),
    )?;
    let answer = trace.packet("nk1")?;
    check::equal("the answer's role", &answer["role"], &json!("peer"))?;
    check::equal("its receiver", &answer["to"]["name"], &json!("nk0"))?;
    check::equal("exit status", trace.stop()?, Some(0))
}

fn dropped(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let object = command::object()?;
    command::good(&format!("attach {object} -p into_the_pod --dev nk0"))?;
    let mut trace = Trace::start("--json trace nk0")?;
    // The second program is attached while the trace runs.
    command::good(&format!("attach {object} -p out_of_the_pod --dev nk0"))?;
    thread::sleep(Duration::from_secs(2));
    traffic::udp_send(&duo.host, POD4.into(), 64)?;
    let packet = trace.packet("nk0")?;
    check::equal("verdict", &packet["verdict"], &json!("drop"))?;
    // The built-in driver gives no reason.
    let reason = if module::is_loaded() {
        "TC_EGRESS"
    } else {
        "NOT_SPECIFIED"
    };
    check::equal("reason", &packet["reason"], &json!(reason))?;
    check::equal("receiver", &packet["to"], &Value::Null)?;
    let programs = packet["programs"].as_array().context("no programs")?;
    let said: Vec<_> = programs
        .iter()
        .map(|program| (program["name"].clone(), program["verdict"].clone()))
        .collect();
    let expected = [
        (json!("into_the_pod"), json!("next")),
        (json!("out_of_the_pod"), json!("drop")),
    ];
    check::equal("programs", said, expected.to_vec())?;
    drop(trace);
    // The same as text.
    let mut trace = Trace::start("trace nk0 --count 1")?;
    traffic::udp_send(&duo.host, POD4.into(), 64)?;
    let line = trace.line()?;
    let end = format!("dropped: {reason} (");
    check::that(
        &line,
        line.contains("nk0 (primary): UDP ") && line.contains(&end),
    )?;
    check::equal("ends by itself", trace.child.wait()?.code(), Some(0))
}

/// other0 here and other1 in a namespace of its own, both up.
fn second_pair(t: &Ctx) -> Result<Pair> {
    let third = t.ns()?;
    let other = Spec::l3().create_as("other0", "other1", &t.host, &third)?;
    t.host.up(other.primary)?;
    third.up(other.peer)?;
    t.host.running(other.primary)?;
    Ok(other)
}

fn redirected(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let other = second_pair(t)?;
    let redirect = Redirect::load(Way::Egress, other.primary, HOST4, None)?;
    mprog::attach(redirect.fd()?, duo.pair.primary, PEER, Place::default())?;
    let mut trace = Trace::start("--json trace")?;
    traffic::udp_send(&duo.pod, HOST4.into(), 64)?;
    // The second pair has finished with the packet before the first one has.
    let nested = trace.packet("other0")?;
    check::equal("second verdict", &nested["verdict"], &json!("pass"))?;
    let packet = trace.packet("nk1")?;
    check::equal("verdict", &packet["verdict"], &json!("redirect"))?;
    check::equal("sent by", &packet["to"]["name"], &json!("other0"))
}

/// The helper has no device to send by: the driver's verdict stays, and the reason is the kernel's.
fn dropped_after_a_redirect(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let redirect = Redirect::load(Way::Egress, 9999, HOST4, None)?;
    mprog::attach(redirect.fd()?, duo.pair.primary, PEER, Place::default())?;
    let mut trace = Trace::start("--json trace nk0")?;
    traffic::udp_send(&duo.pod, HOST4.into(), 64)?;
    let packet = trace.packet("nk1")?;
    check::equal("verdict", &packet["verdict"], &json!("redirect"))?;
    check::equal("reason", &packet["reason"], &json!("NOT_SPECIFIED"))?;
    check::equal("sent by", &packet["to"], &Value::Null)
}

/// Packets come faster than this reader takes the lines. The command ends all the same.
fn stops_under_a_flood(t: &Ctx) -> Result<()> {
    // What the pipe, the command and its buffer hold, and more.
    const LEFT: u32 = 3000;
    let duo = t.duo(Spec::l3())?;
    let sender = traffic::udp_sender(&duo.host, POD4.into())?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                // Nobody listens in the pod, which says so.
                let _refused = sender.send(&[0; 64]);
            }
        });
        let after_ctrl_c = || {
            let mut trace = Trace::start("trace nk0")?;
            thread::sleep(Duration::from_secs(1));
            kill(Pid::from_raw(trace.child.id() as i32), Signal::SIGINT)?;
            let (mut lines, mut line) = (0, String::new());
            while trace.out.read_line(&mut line)? > 0 {
                lines += 1;
                ensure!(lines < LEFT, "it goes on after Ctrl-C");
                line.clear();
                thread::sleep(Duration::from_millis(1));
            }
            check::equal("exit status", trace.child.wait()?.code(), Some(0))
        };
        let ended = after_ctrl_c();
        over.store(true, Relaxed);
        ended
    })
}

/// The packets of another pair are not shown; those of the device's peer, in another namespace, are.
fn only_the_device(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let other = second_pair(t)?;
    let mut trace = Trace::start("--json trace nk0")?;
    traffic::send_frame(&t.host, other.primary, &[0x45; 60])?;
    traffic::udp_send(&duo.pod, HOST4.into(), 64)?;
    let packet: Value = serde_json::from_str(&trace.line()?)?;
    check::equal(
        "the first packet's device",
        &packet["device"]["name"],
        &json!("nk1"),
    )
}

fn ends_without_a_trace(t: &Ctx) -> Result<()> {
    let _duo = t.duo(Spec::l3())?;
    let before = Ids::now();
    let trace = Trace::start("trace")?;
    check::that("it has programs", Ids::now() != before)?;
    check::equal("exit status", trace.stop()?, Some(0))?;
    check::soon("its programs are gone", || Ok(Ids::now() == before))
}

fn what_is_missing(_: &Ctx) -> Result<()> {
    command::refused("trace nk7", 4, &["no netkit device nk7"])?;
    command::refused("trace nk7 --netns nowhere", 4, &["nowhere"])?;
    let nobody = command::run_as_nobody("trace")?;
    nobody.refused(3, &["root"])
}

/// Another load of the module has other functions.
fn follows_a_reload(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    command::good(&format!("load {}", t.module.display()))?;
    let mut trace = Trace::start("--json trace nk0")?;
    for (size, line) in [
        (64, None),
        (65, Some(format!("reload {}", t.module.display()))),
    ] {
        if let Some(line) = line {
            command::good(&line)?;
            // The command looks once a second.
            thread::sleep(Duration::from_secs(2));
        }
        traffic::udp_send(&duo.host, POD4.into(), size)?;
        while trace.packet("nk0")?["length"] != json!(14 + 20 + 8 + size) {}
    }
    check::equal("exit status", trace.stop()?, Some(0))
}
