// SPDX-License-Identifier: GPL-2.0
//! Follows packets through netkit devices: which device has sent each packet, and what became of it. Works for both drivers.
//!
//! BPF programs look at the xmit routines while this runs, and are gone afterwards: then nothing is left that costs time.

mod event;
mod names;
mod programs;
mod verdicts;

use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::iter;
use std::os::fd::AsFd;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use anyhow::Context;
use anyhow::Result;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SfdFlags;
use nix::sys::signalfd::SignalFd;
use nix::time::clock_gettime;
use nix::time::ClockId;

pub use event::Event;
pub use event::Verdict;

use crate::bpf::check_root;
use crate::device;
use crate::device::Device;
use crate::failure::Kind;
use crate::namespace::Namespace;
use crate::primary;
use event::Clock;
use names::Names;
use programs::Key;
use programs::Programs;
use verdicts::Verdicts;

/// After so long without a packet: look for the module, and for programs that were attached in the meantime.
const PAUSE: Duration = Duration::from_secs(1);

/// So many packets are printed before signals and new programs are looked for: packets may come faster than they are printed.
const BATCH: usize = 256;

/// What to follow, and how long.
pub struct Options {
    /// Only the packets of this device and of its other end.
    pub dev: Option<String>,
    /// The namespace of `dev`.
    pub netns: Option<String>,
    /// Stop after so many packets.
    pub count: Option<u64>,
}

/// Prints a line for each packet, until SIGINT or SIGTERM, until enough packets have come, or until nobody reads any more.
pub fn trace(options: &Options, json: bool) -> Result<()> {
    check_root()?;
    let devices = match &options.dev {
        Some(name) => both_ends(name, options.netns.as_deref())?,
        None => Vec::new(),
    };
    // Before the programs are attached: a signal in between must not be lost.
    let stop = signals()?;
    let mut programs = Programs::attach(&devices)?;
    let mut verdicts = Verdicts::new(programs.running()?)?;
    let (clock, mut names) = (now()?, Names::new(&devices));
    look(&mut programs, &mut names, &mut verdicts)?;
    eprintln!("netkit-rs: following packets (Ctrl-C stops)");
    let mut left = options.count.unwrap_or(u64::MAX);
    let mut stopped = left == 0;
    while !stopped {
        stopped = programs.wait(stop.as_fd(), PAUSE)?;
        look(&mut programs, &mut names, &mut verdicts)?;
        let mut out = BufWriter::new(io::stdout().lock());
        for raw in iter::from_fn(|| programs.next()).take(BATCH) {
            let Some(event) = Event::new(&raw, clock, &mut names, &verdicts) else {
                continue;
            };
            left -= 1;
            if !print(&mut out, &event, json)? || left == 0 {
                stopped = true;
                break;
            }
        }
        stopped |= !is_read(out.flush())?;
    }
    let lost = programs.lost()?;
    if lost > 0 {
        eprintln!("netkit-rs: {lost} more packets came too fast to be shown");
    }
    Ok(())
}

/// Follows the module, and the netkit programs, that there are now. They are looked for once a second at most.
fn look(programs: &mut Programs, names: &mut Names, verdicts: &mut Verdicts) -> Result<()> {
    if let Some(attached) = names.attached() {
        programs.follow_module()?;
        verdicts.follow(&attached);
    }
    Ok(())
}

/// Returns whether somebody reads.
fn print(out: &mut impl Write, event: &Event, json: bool) -> Result<bool> {
    let line = match json {
        true => serde_json::to_string(event)?,
        false => event.to_string(),
    };
    is_read(writeln!(out, "{line}"))
}

fn is_read(written: io::Result<()>) -> Result<bool> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true).context("cannot write the packet"),
    }
}

/// SIGINT and SIGTERM, as a descriptor.
fn signals() -> Result<SignalFd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block().context("blocking signals")?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).context("signalfd")
}

fn now() -> Result<Clock> {
    let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC).context("the clock")?;
    let real = SystemTime::now().duration_since(UNIX_EPOCH);
    Ok(Clock {
        monotonic: monotonic.tv_sec() as u64 * 1_000_000_000 + monotonic.tv_nsec() as u64,
        real: real.unwrap_or_default().as_secs_f64(),
    })
}

/// The device and its other end.
fn both_ends(name: &str, netns: Option<&str>) -> Result<Vec<Key>> {
    let namespace = match netns {
        Some(netns) => Namespace::by_name(netns)?,
        None => Namespace::current()?,
    };
    let (device, other) = namespace.enter(|| {
        let device = find(name)?;
        let other = device.other.map(|other| {
            let netns = match other.netnsid {
                Some(id) => primary::with_number(id).map(|namespace| namespace.identity.inode),
                None => Some(Namespace::current()?.identity.inode),
            };
            anyhow::Ok(netns.map(|netns| key(netns, other.ifindex)))
        });
        Ok((device, other.transpose()?.flatten()))
    })?;
    let own = key(namespace.identity.inode, device.index);
    Ok([Some(own), other].into_iter().flatten().collect())
}

fn key(netns: u64, ifindex: u32) -> Key {
    Key {
        netns: netns as u32,
        ifindex,
    }
}

fn find(name: &str) -> Result<Device> {
    let devices = device::this_namespace()?;
    let found = devices.into_iter().find(|device| device.name == name);
    found.ok_or_else(|| {
        Kind::Absent.error(format!(
            "there is no netkit device {name} in this network namespace (--netns names another)"
        ))
    })
}
