// SPDX-License-Identifier: GPL-2.0
//! Loads and unloads netkit_rs.ko, and measures how long this takes.
//!
//! Loaded means that the livepatch transition has ended. Unloaded means that the patch is disabled, its sysfs folder is
//! removed, and the module is no longer in the kernel.

use std::fs;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;

use crate::raw::Driver;
use crate::raw::Sample;
use crate::raw::Unit;

const PATCH: &str = "/sys/kernel/livepatch/netkit_rs";
const REFERENCES: &str = "/sys/module/netkit_rs/refcnt";
const PATIENCE: Duration = Duration::from_secs(120);

/// A copy of the module in memory: the host's folder is not part of the measurement.
pub struct Module {
    file: File,
    size: u64,
}

impl Module {
    pub fn open(path: &Path) -> Result<Self> {
        let copy = Path::new("/tmp/netkit_rs.ko");
        let size = fs::copy(path, copy).with_context(|| format!("{}", path.display()))?;
        let file = File::open(copy).context("the module's copy")?;
        Ok(Self { file, size })
    }

    pub fn load(&self) -> Result<Duration> {
        let start = Instant::now();
        let fd = self.file.as_raw_fd();
        // SAFETY: a valid descriptor, an empty C string for the parameters, no flags.
        let ret = unsafe { libc::syscall(libc::SYS_finit_module, fd, c"".as_ptr(), 0) };
        Errno::result(ret).context("loading the module (the kernel log tells why)")?;
        let transition = format!("{PATCH}/transition");
        wait("the livepatch transition after loading", || {
            let text = fs::read_to_string(&transition).context(transition.clone())?;
            Ok(text.trim() == "0")
        })?;
        Ok(start.elapsed())
    }

    pub fn unload(&self) -> Result<Duration> {
        let start = Instant::now();
        let enabled = format!("{PATCH}/enabled");
        fs::write(&enabled, "0").context(enabled)?;
        wait("the livepatch transition before unloading", || {
            Ok(!Path::new(PATCH).exists())
        })?;
        wait("the module's reference count", || {
            let text = fs::read_to_string(REFERENCES).context(REFERENCES)?;
            Ok(text.trim() == "0")
        })?;
        let flags = libc::O_NONBLOCK;
        // SAFETY: a C string and flags.
        let ret = unsafe { libc::syscall(libc::SYS_delete_module, c"netkit_rs".as_ptr(), flags) };
        Errno::result(ret).context("unloading the module")?;
        Ok(start.elapsed())
    }

    /// Size, and three loads and unloads.
    pub fn measure(&self) -> Result<Vec<Sample>> {
        let mut loads = Vec::new();
        let mut unloads = Vec::new();
        for _ in 0..3 {
            loads.push(self.load()?.as_secs_f64() * 1000.0);
            unloads.push(self.unload()?.as_secs_f64() * 1000.0);
        }
        let memory = {
            self.load()?;
            let modules = fs::read_to_string("/proc/modules").context("/proc/modules")?;
            let line = modules
                .lines()
                .find_map(|line| line.strip_prefix("netkit_rs "));
            let bytes = line.and_then(|line| line.split(' ').next()?.parse().ok());
            self.unload()?;
            bytes.context("no size of netkit_rs in /proc/modules")?
        };
        let sample = |scenario: &str, unit, runs| Sample {
            scenario: scenario.to_owned(),
            driver: Driver::Rust,
            unit,
            generator: None,
            runs,
        };
        Ok(vec![
            sample("module/file", Unit::Bytes, vec![self.size as f64]),
            sample("module/memory", Unit::Bytes, vec![memory]),
            sample("module/load", Unit::Milliseconds, loads),
            sample("module/unload", Unit::Milliseconds, unloads),
        ])
    }
}

fn wait(what: &str, mut over: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !over()? {
        if Instant::now() > deadline {
            bail!("{what} did not end within {} s", PATIENCE.as_secs());
        }
        sleep(Duration::from_millis(5));
    }
    Ok(())
}
