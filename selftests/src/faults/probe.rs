// SPDX-License-Identifier: GPL-2.0
//! A kernel function made to fail once, for the calling thread (selftests/modules/nk_test_fault.c).

use std::fs;
use std::fs::File;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use nix::kmod::delete_module;
use nix::kmod::finit_module;
use nix::kmod::DeleteModuleFlags;
use nix::kmod::ModuleInitFlags;

use crate::ctx::Ctx;

const PARAMETERS: &str = "/sys/module/nk_test_fault/parameters";

/// The loaded module; dropping the value unloads it.
pub struct Probe(());

impl Probe {
    pub fn load(t: &Ctx) -> Result<Self> {
        let path = t.helpers.join("nk_test_fault.ko");
        let file = File::open(&path)
            .with_context(|| format!("{}: scripts/build-test-modules makes it", path.display()))?;
        finit_module(&file, c"", ModuleInitFlags::empty()).context("loading nk_test_fault")?;
        Ok(Self(()))
    }

    /// Lets the first `through` calls of `function` by this thread pass. The next call does nothing and
    /// returns `answer`.
    pub fn arm(&self, function: &str, through: u32, answer: i64) -> Result<()> {
        fs::write(
            format!("{PARAMETERS}/arm"),
            format!("{function} {through} {answer}"),
        )
        .with_context(|| format!("a probe at {function}"))
    }

    /// As [`Self::arm`], for the calls of any thread.
    pub fn arm_for_all(&self, function: &str, through: u32, answer: i64) -> Result<()> {
        self.arm(&format!("*{function}"), through, answer)
    }

    pub fn disarm(&self) -> Result<()> {
        fs::write(format!("{PARAMETERS}/arm"), "\n").context("disarming")
    }

    /// Holds RTNL for that long; returns after it.
    pub fn hold_rtnl(&self, time: Duration) -> Result<()> {
        let path = format!("{PARAMETERS}/hold_rtnl");
        fs::write(path, time.as_millis().to_string()).context("holding RTNL")
    }

    /// Whether a call was made to fail since the probe was armed.
    pub fn fired(&self) -> Result<bool> {
        let text = fs::read_to_string(format!("{PARAMETERS}/fired")).context("fired")?;
        Ok(text.trim() != "0")
    }

    pub fn unload(self) -> Result<()> {
        std::mem::forget(self);
        out().context("unloading nk_test_fault")
    }
}

fn out() -> nix::Result<()> {
    delete_module(c"nk_test_fault", DeleteModuleFlags::O_NONBLOCK)
}

impl Drop for Probe {
    fn drop(&mut self) {
        // The test has failed already, and says why.
        let _out_or_not = out();
    }
}
