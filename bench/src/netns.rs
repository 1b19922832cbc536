// SPDX-License-Identifier: GPL-2.0
//! The far namespace, and the counters of the devices of a namespace.

use std::fs;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::fd::RawFd;

use anyhow::Context;
use anyhow::Result;
use nix::sched::setns;
use nix::sched::unshare;
use nix::sched::CloneFlags;

const OWN: &str = "/proc/thread-self/ns/net";

/// A namespace; it lives as long as the handle and what is in it.
pub struct Ns(File);

impl AsRawFd for Ns {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Ns {
    /// The namespace that the calling thread is in.
    pub fn own() -> Result<Self> {
        Ok(Self(File::open(OWN).context(OWN)?))
    }

    /// A new one; the calling thread stays where it is.
    pub fn new() -> Result<Self> {
        let home = Self::own()?;
        unshare(CloneFlags::CLONE_NEWNET).context("unshare(CLONE_NEWNET)")?;
        let ns = Self::own().and_then(|ns| quiet().map(|()| ns));
        setns(&home.0, CloneFlags::CLONE_NEWNET).context("setns back")?;
        ns
    }

    /// Runs `f` inside the namespace.
    pub fn run<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<T> {
        let home = Self::own()?;
        setns(&self.0, CloneFlags::CLONE_NEWNET).context("setns")?;
        let value = f();
        setns(&home.0, CloneFlags::CLONE_NEWNET).context("setns back")?;
        value
    }
}

/// No IPv6: its neighbour discovery would be traffic that nobody measures.
pub fn quiet() -> Result<()> {
    for which in ["all", "default"] {
        let path = format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6");
        fs::write(&path, "1").context(path)?;
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    pub received: u64,
    pub sent: u64,
    pub tx_dropped: u64,
}

/// A device's packet counters, from the calling thread's namespace.
pub fn counters(device: &str) -> Result<Counters> {
    let table = fs::read_to_string("/proc/thread-self/net/dev").context("/proc/net/dev")?;
    let line = table
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(device)?.strip_prefix(':'))
        .with_context(|| format!("no device {device} in /proc/net/dev"))?;
    let numbers: Vec<u64> = line
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .context("/proc/net/dev")?;
    let number = |index: usize| numbers.get(index).copied().context("/proc/net/dev");
    Ok(Counters {
        received: number(1)?,
        sent: number(9)?,
        tx_dropped: number(11)?,
    })
}
