// SPDX-License-Identifier: GPL-2.0
//! A device or namespace that has nothing to do with netkit and cannot be deleted, because of a leaked reference
//! (selftests/modules/nk_test_hold.c).

use std::fs;
use std::fs::File;
use std::os::fd::AsFd;

use anyhow::Context;
use anyhow::Result;
use nix::kmod::delete_module;
use nix::kmod::finit_module;
use nix::kmod::DeleteModuleFlags;
use nix::kmod::ModuleInitFlags;
use nix::sched::setns;
use nix::sched::CloneFlags;

use crate::check;
use crate::ctx::Ctx;
use crate::netns::Ns;

const PARAMETERS: &str = "/sys/module/nk_test_hold/parameters";
/// Seconds after which the kernel says that it waits. It is no defect here, so it shall not say it.
const SILENCE: &str = "net.core.netdev_unregister_timeout_secs";

/// Loaded; lets everything go and is unloaded when dropped.
pub struct Hold(());

impl Hold {
    pub fn load(t: &Ctx) -> Result<Self> {
        let path = t.helpers.join("nk_test_hold.ko");
        let file = File::open(&path)
            .with_context(|| format!("{}: scripts/build-test-modules makes it", path.display()))?;
        finit_module(&file, c"", ModuleInitFlags::empty()).context("loading nk_test_hold")?;
        let hold = Self(());
        silence(&t.host, "600")?;
        Ok(hold)
    }

    fn set(parameter: &str, value: &str) -> Result<()> {
        let path = format!("{PARAMETERS}/{parameter}");
        fs::write(&path, value).context(path)
    }

    /// Takes a reference on a device, and puts the one that it had.
    pub fn device(&self, ns: &Ns, name: &str) -> Result<()> {
        ns.run(|| Self::set("device", name))
    }

    pub fn let_go(&self) -> Result<()> {
        Self::set("device", "\n")
    }

    /// Whether namespaces that die wait before their devices go.
    pub fn dying(&self, wait: bool) -> Result<()> {
        Self::set("dying", if wait { "1" } else { "0" })
    }

    /// Waits until a namespace waits.
    pub fn one_waits(&self) -> Result<()> {
        check::soon("a namespace waits", || {
            let text = fs::read_to_string(format!("{PARAMETERS}/waits"))?;
            Ok(text.trim() != "0")
        })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // What does not go would be seen by the next test that loads it.
        let _gone = self.let_go();
        let _gone = self.dying(false);
        let _gone = delete_module(c"nk_test_hold", DeleteModuleFlags::O_NONBLOCK);
    }
}

/// The sysctl is one of the first namespace's.
fn silence(home: &Ns, seconds: &str) -> Result<()> {
    let first = File::open("/proc/1/ns/net").context("the first namespace")?;
    setns(&first, CloneFlags::CLONE_NEWNET).context("setns")?;
    let path = format!("/proc/sys/{}", SILENCE.replace('.', "/"));
    let written = fs::write(&path, seconds).context(path);
    setns(home.as_fd(), CloneFlags::CLONE_NEWNET).context("setns back")?;
    written
}
