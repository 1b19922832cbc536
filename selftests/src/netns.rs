// SPDX-License-Identifier: GPL-2.0
//! Network namespaces of a test.
//!
//! A namespace exists as long as its last handle (and as long as the kernel uses it). Netlink requests use the handle's
//! own socket. Other code that must run in the namespace, such as opening sockets, runs in a closure; the calling
//! thread is in the namespace during the closure.

use std::env;
use std::fs;
use std::fs::File;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::Context;
use anyhow::Result;
use nix::mount::mount;
use nix::mount::MsFlags;
use nix::sched::setns;
use nix::sched::unshare;
use nix::sched::CloneFlags;

use crate::check;
use crate::nl::netdev::Netdev;
use crate::nl::Netlink;

const OWN: &str = "/proc/thread-self/ns/net";

pub struct Inner {
    file: File,
    nl: Netlink,
}

/// A namespace on its way to another thread.
pub struct Ticket(File);

impl Ticket {
    /// Moves the calling thread into the namespace, and returns its handle.
    pub fn enter(self) -> Result<Ns> {
        setns(&self.0, CloneFlags::CLONE_NEWNET).context("setns")?;
        Ok(Ns(Rc::new(Inner {
            file: self.0,
            nl: Netlink::open().context("netlink socket")?,
        })))
    }
}

/// A handle of a namespace; dereferences to its netlink socket.
#[derive(Clone)]
pub struct Ns(Rc<Inner>);

impl Deref for Ns {
    type Target = Netlink;

    fn deref(&self) -> &Netlink {
        &self.0.nl
    }
}

impl AsFd for Ns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }
}

impl Ns {
    /// Moves the calling thread into a new namespace, and returns its handle.
    pub fn enter_new() -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET).context("unshare(CLONE_NEWNET)")?;
        let ns = Ns(Rc::new(Inner {
            file: File::open(OWN).context(OWN)?,
            nl: Netlink::open().context("netlink socket in a new namespace")?,
        }));
        // Neighbour discovery and multicast reports would be counted as test traffic.
        write_sysctl("net/ipv6/conf/all/disable_ipv6", "1")?;
        write_sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        ns.up(1).context("lo up")?;
        Ok(ns)
    }

    /// A new namespace; the calling thread stays where it is.
    pub fn new() -> Result<Self> {
        let home = File::open(OWN).context(OWN)?;
        let ns = Self::enter_new();
        setns(&home, CloneFlags::CLONE_NEWNET).context("setns back")?;
        ns
    }

    /// What another thread needs to make a handle of its own: handles stay with their thread.
    pub fn ticket(&self) -> Result<Ticket> {
        let file = self
            .0
            .file
            .try_clone()
            .context("a namespace's descriptor")?;
        Ok(Ticket(file))
    }

    /// Runs `f` inside the namespace.
    pub fn run<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<T> {
        within(self, f)
    }

    /// A socket for the queues of the namespace's devices.
    pub fn netdev(&self) -> Result<Netdev> {
        self.run(|| Ok(Netdev::open()?))
    }

    /// Waits until a device that is up can send.
    ///
    /// When an end gets its carrier from the other one, the kernel's link watch gives it
    /// its queue some time later; what is sent before that is lost without a trace.
    pub fn running(&self, index: u32) -> Result<()> {
        const IFLA_OPERSTATE: u16 = 16;
        const IF_OPER_UP: u8 = 6;
        check::soon("the device is in operation", || {
            let link = self.link_by_index(index)?;
            let state = link.attr(IFLA_OPERSTATE);
            Ok(state.is_some_and(|attr| attr.payload == [IF_OPER_UP]))
        })
    }

    /// Switches IPv6 on, for devices that are there and those to come.
    pub fn enable_ipv6(&self) -> Result<()> {
        self.sysctl("net/ipv6/conf/default/disable_ipv6", "0")?;
        self.sysctl("net/ipv6/conf/all/disable_ipv6", "0")
    }

    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        self.run(|| write_sysctl(key, value))
    }

    /// Mounts the sysfs of this namespace, in a folder of this name, and returns the folder.
    pub fn mount_sysfs(&self, name: &str) -> Result<PathBuf> {
        let at = env::temp_dir().join(format!("sys-{name}"));
        fs::create_dir_all(&at)?;
        let none: Option<&str> = None;
        self.run(|| {
            mount(Some("sysfs"), &at, Some("sysfs"), MsFlags::empty(), none).context("sysfs")?;
            Ok(at.clone())
        })
    }
}

/// Runs `f` inside a namespace.
fn within<T>(ns: impl AsFd, f: impl FnOnce() -> Result<T>) -> Result<T> {
    let home = File::open(OWN).context(OWN)?;
    setns(ns, CloneFlags::CLONE_NEWNET).context("setns")?;
    let value = f();
    setns(&home, CloneFlags::CLONE_NEWNET).context("setns back")?;
    value
}

/// A setting of the whole machine, which only the first namespace has. Dropping the value sets it back.
pub struct MachineWide {
    first: File,
    key: &'static str,
    before: String,
}

impl MachineWide {
    pub fn set(key: &'static str, value: &str) -> Result<Self> {
        const FIRST: &str = "/proc/1/ns/net";
        let first = File::open(FIRST).context(FIRST)?;
        let path = format!("/proc/sys/{key}");
        let before = within(&first, || {
            let before = fs::read_to_string(&path).context(path.clone())?;
            write_sysctl(key, value)?;
            Ok(before)
        })?;
        Ok(Self { first, key, before })
    }
}

impl Drop for MachineWide {
    fn drop(&mut self) {
        let before = self.before.trim();
        // What fails here would be seen by later tests.
        let _set_back = within(&self.first, || write_sysctl(self.key, before));
    }
}

fn write_sysctl(key: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/{key}");
    fs::write(&path, value).with_context(|| format!("writing {value} to {path}"))
}
