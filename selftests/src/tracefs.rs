// SPDX-License-Identifier: GPL-2.0
//! The kernel's own tracer: an instance of tracefs.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process;

use anyhow::Context;
use anyhow::Result;
use nix::mount::mount;
use nix::mount::MsFlags;

const TRACEFS: &str = "/sys/kernel/tracing";

/// Mounts tracefs where it belongs, unless it is there.
pub fn mounted() -> Result<&'static Path> {
    let folder = Path::new(TRACEFS);
    if !folder.join("events").exists() {
        let none: Option<&str> = None;
        mount(
            Some("tracefs"),
            TRACEFS,
            Some("tracefs"),
            MsFlags::empty(),
            none,
        )
        .context("mounting tracefs")?;
    }
    Ok(folder)
}

/// A trace of its own, which is removed when it is dropped.
pub struct Instance {
    folder: PathBuf,
    /// The events that are enabled.
    events: Vec<String>,
}

impl Instance {
    pub fn new() -> Result<Self> {
        let folder = mounted()?.join(format!("instances/netkit-{}", process::id()));
        fs::create_dir(&folder).context("a trace instance")?;
        Ok(Self {
            folder,
            events: Vec::new(),
        })
    }

    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        fs::write(self.folder.join(file), text).with_context(|| format!("writing {text} to {file}"))
    }

    /// Enables an event, as in `skb/kfree_skb`.
    pub fn enable(&mut self, event: &str) -> Result<()> {
        self.write(&format!("events/{event}/enable"), "1")?;
        self.events.push(event.to_owned());
        Ok(())
    }

    pub fn trace(&self) -> Result<String> {
        fs::read_to_string(self.folder.join("trace")).context("reading the trace")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // What fails here is told by the next test, which cannot make its instance.
        for event in &self.events {
            let _disabled = self.write(&format!("events/{event}/enable"), "0");
        }
        let _traced_no_more = self.write("current_tracer", "nop");
        let _removed = fs::remove_dir(&self.folder);
    }
}
