// SPDX-License-Identifier: GPL-2.0
//! pktgen, the kernel's packet generator, for a time on one device.
//!
//! It runs until it is stopped, and not for a number of packets: a packet that the driver drops counts as an error, so
//! such a run would never end. With `!SHARED`, every packet is a new one.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

const FOLDER: &str = "/proc/thread-self/net/pktgen";
const WHILE: Duration = Duration::from_millis(300);
/// It takes the generator's thread up to an eighth of a second to begin.
const POLL: Duration = Duration::from_millis(10);
/// Into which end of the device the packets go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    Transmit,
    /// The device's own MAC address.
    Receive(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub sent: u64,
    pub errors: u64,
    pub nanoseconds: f64,
}

impl Run {
    pub fn packets(&self) -> u64 {
        self.sent + self.errors
    }
}

fn tell(file: &str, command: &str) -> Result<()> {
    let path = format!("{FOLDER}/{file}");
    fs::write(&path, command).with_context(|| format!("writing \"{command}\" to {path}"))
}

pub fn run(device: &str, size: usize, direction: Direction) -> Result<Run> {
    tell("kpktgend_0", "rem_device_all")?;
    tell("kpktgend_0", &format!("add_device {device}"))?;
    // Sent, a packet is for nobody's MAC address, received, from an address that cannot send: either way the receiver
    // drops it where it is cheapest, without a memory of it. (bpf_redirect_peer makes it a packet for this host,
    // whatever its address: then the MAC address would not do.)
    let (mode, mac, source) = match direction {
        Direction::Transmit => ("start_xmit", "02:00:00:00:00:99", "198.18.0.1"),
        Direction::Receive(mac) => ("netif_receive", mac, "224.0.0.99"),
    };
    let commands = [
        "flag !SHARED".to_owned(),
        "count 0".to_owned(),
        format!("pkt_size {size}"),
        format!("dst_mac {mac}"),
        format!("src_min {source}"),
        format!("src_max {source}"),
        "dst_min 198.18.1.2".to_owned(),
        "dst_max 198.18.1.2".to_owned(),
        format!("xmit_mode {mode}"),
    ];
    for command in &commands {
        tell(device, command)?;
    }
    // "start" returns when the run has ended.
    let starter = thread::spawn(|| tell("pgctrl", "start"));
    // Told to stop before it has begun, it would not hear it and never end.
    while !starter.is_finished() && packets_so_far(device)? == 0 {
        thread::sleep(POLL);
    }
    thread::sleep(WHILE);
    tell("pgctrl", "stop")?;
    match starter.join() {
        Ok(started) => started?,
        Err(_) => bail!("the thread that started pktgen panicked"),
    }
    let text = told_by(device)?;
    let mut run =
        parse(&text).with_context(|| format!("pktgen's result is not as expected:\n{text}"))?;
    if direction != Direction::Transmit {
        // A packet that the stack drops in the end is counted twice, as sent and as an error.
        run.errors = 0;
    }
    if run.packets() < 1000 {
        bail!(
            "pktgen sent only {} packets on {device}:\n{text}",
            run.packets()
        );
    }
    Ok(run)
}

fn told_by(device: &str) -> Result<String> {
    let path = format!("{FOLDER}/{device}");
    fs::read_to_string(&path).context(path)
}

/// The number after a word.
fn number(text: &str, word: &str) -> Option<u64> {
    let (_, rest) = text.split_once(word)?;
    let rest = rest.trim_start();
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse::<u64>().ok()
}

fn packets_so_far(device: &str) -> Result<u64> {
    let text = told_by(device)?;
    let both = number(&text, "pkts-sofar:").zip(number(&text, "errors:"));
    let (sent, errors) =
        both.with_context(|| format!("pktgen says nothing of packets:\n{text}"))?;
    Ok(sent + errors)
}

fn parse(text: &str) -> Option<Run> {
    Some(Run {
        sent: number(text, "pkts-sofar:")?,
        errors: number(text, "errors:")?,
        nanoseconds: number(text, "Result: OK:")? as f64 * 1000.0,
    })
}
