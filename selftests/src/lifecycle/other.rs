// SPDX-License-Identifier: GPL-2.0
//! Another livepatch (selftests/modules/nk_test_livepatch.c), and a process that delays its transition.

use std::ffi::CString;
use std::fs;
use std::fs::File;
use std::path::Path;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;
use nix::kmod::delete_module;
use nix::kmod::finit_module;
use nix::kmod::DeleteModuleFlags;
use nix::kmod::ModuleInitFlags;
use nix::sys::signal::kill;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::fork;
use nix::unistd::ForkResult;
use nix::unistd::Pid;

use crate::check;
use crate::ctx::Ctx;

pub const NAME: &str = "nk_test_livepatch";
const FOLDER: &str = "/sys/kernel/livepatch/nk_test_livepatch";

/// The loaded livepatch. Dropping the value unloads it, if possible; `unload` returns whether it could be
/// unloaded.
pub struct Other(());

impl Other {
    /// Loads it and does not wait for its transition.
    pub fn load(t: &Ctx, cumulative: bool) -> Result<Self> {
        Self::load_with(t, if cumulative { "replace=1" } else { "" })
    }

    /// The same with these module parameters.
    pub fn load_with(t: &Ctx, parameters: &str) -> Result<Self> {
        let path = t.helpers.join(NAME).with_extension("ko");
        let file = File::open(&path)
            .with_context(|| format!("{}: scripts/build-test-modules makes it", path.display()))?;
        finit_module(&file, &CString::new(parameters)?, ModuleInitFlags::empty())
            .with_context(|| format!("loading {NAME}"))?;
        Ok(Self(()))
    }

    pub fn in_transition(&self) -> Result<bool> {
        let text = fs::read_to_string(format!("{FOLDER}/transition")).context(FOLDER)?;
        Ok(text.trim() == "1")
    }

    /// Waits for the end of the transition.
    pub fn settle(&self) -> Result<()> {
        check::soon("the other livepatch's transition ends", || {
            Ok(!self.in_transition()?)
        })
    }

    pub fn unload(self) -> Result<()> {
        let out = Self::out();
        std::mem::forget(self);
        out
    }

    fn out() -> Result<()> {
        let enabled = format!("{FOLDER}/enabled");
        check::soon("the other livepatch may be disabled", || {
            match fs::write(&enabled, "0") {
                Ok(()) => Ok(true),
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(false),
                Err(error) => Err(error).context(FOLDER),
            }
        })?;
        check::soon("the other livepatch is disabled", || {
            Ok(!Path::new(FOLDER).exists())
        })?;
        check::soon("the other livepatch is out", || {
            match delete_module(c"nk_test_livepatch", DeleteModuleFlags::O_NONBLOCK) {
                Ok(()) => Ok(true),
                Err(Errno::EAGAIN | Errno::EBUSY) => Ok(false),
                Err(errno) => bail!("unloading {NAME}: {errno}"),
            }
        })
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // The test has failed already, and says why.
        let _what_there_is_to_do = Self::out();
    }
}

/// A process that sleeps in vfork(2), the function that the other livepatch replaces, until it is killed.
pub struct Sleeper(Pid);

impl Sleeper {
    pub fn new() -> Result<Self> {
        // SAFETY: the child only sleeps, in a system call.
        match unsafe { fork() }.context("fork")? {
            ForkResult::Child => sleep_in_vfork(),
            ForkResult::Parent { child } => {
                let sleeper = Self(child);
                let path = format!("/proc/{child}/syscall");
                let vfork = format!("{} ", libc::SYS_vfork);
                check::soon("a process sleeps in vfork(2)", || {
                    Ok(fs::read_to_string(&path)?.starts_with(&vfork))
                })?;
                Ok(sleeper)
            }
        }
    }
}

/// The child sleeps in pause(2), and ends with the caller, which never returns from vfork(2).
fn sleep_in_vfork() -> ! {
    // SAFETY: the child uses the caller's memory, the stack above all. The caller sees nothing of that: it sleeps until
    // it is killed, or else, its child having been killed, sleeps on as the child did.
    unsafe {
        libc::syscall(libc::SYS_vfork);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    loop {
        nix::unistd::pause();
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        // Nobody else waits for it, so it is there until it was waited for.
        let _killed = kill(self.0, Signal::SIGKILL);
        let _waited = waitpid(self.0, None);
    }
}
