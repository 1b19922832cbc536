// SPDX-License-Identifier: GPL-2.0
//! The kernel log from a moment on, and which of its lines are defects.

use std::fs::File;
use std::fs::OpenOptions;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::os::unix::fs::OpenOptionsExt;

use anyhow::Context;
use anyhow::Result;

/// What no test may cause.
const DEFECTS: &[&str] = &[
    "BUG:",
    "WARNING:",
    "Oops",
    "Call Trace",
    "general protection fault",
    "refcount_t",
    "unregister_netdevice: waiting",
    "rust_kernel: panicked",
    "panicked at",
    "leaked",
    "rcu_sched self-detected stall",
];

pub struct Kmsg(File);

impl Kmsg {
    /// The log from now on.
    pub fn tail() -> Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")
            .context("/dev/kmsg")?;
        file.seek(SeekFrom::End(0)).context("/dev/kmsg")?;
        Ok(Self(file))
    }

    /// The lines since the last call, without their numbers.
    pub fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut record = vec![0; 8192];
        loop {
            match self.0.read(&mut record) {
                Ok(len) => {
                    let text = String::from_utf8_lossy(&record[..len]);
                    let text = text.split_once(';').map_or("", |(_, text)| text);
                    lines.extend(text.lines().next().map(str::to_owned));
                }
                // The ring has overtaken us: what is lost is lost, go on behind it.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(_) => return lines,
            }
        }
    }

    pub fn defects(&mut self) -> Vec<String> {
        let mut lines = self.lines();
        lines.retain(|line| DEFECTS.iter().any(|defect| line.contains(defect)));
        lines
    }
}
