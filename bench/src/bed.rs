// SPDX-License-Identifier: GPL-2.0
//! The devices of a scenario: a pair b0-b1 whose b1 is in the same namespace or in another one, and in b1's namespace a
//! dummy, out0, as a target of redirects.
//!
//! The generator sends on b0, as a pod does. A netkit program is attached to b0. For veth, the program is attached
//! where it has the same effect, on b1's ingress (tcx).

use std::io::Write;
use std::os::fd::AsRawFd;
use std::process;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use nix::net::if_::if_nametoindex;

use crate::bpf;
use crate::bpf::Prog;
use crate::gso;
use crate::netns::counters;
use crate::netns::Counters;
use crate::netns::Ns;
use crate::nl::Netlink;
use crate::raw::Driver;

pub const NEAR: &str = "b0";
pub const FAR: &str = "b1";
pub const OUT: &str = "out0";

/// A pair as a scenario asks for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shape {
    pub mode: Mode,
    /// Whether b1 is in another namespace.
    pub far: bool,
    pub blackhole: bool,
    /// Whether b0 has the option dev_switch after, which C passes over.
    pub switch_after: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    L2,
    L3,
}

/// The pair while it exists.
pub struct Bed {
    driver: Driver,
    ns: Ns,
    pub near: u32,
    far: u32,
    pub out: u32,
}

/// Runs iproute2 with one command a line.
pub fn ip(batch: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .context("starting ip")?;
    let mut input = child.stdin.take().context("ip's input")?;
    input.write_all(batch.as_bytes()).context("ip's input")?;
    drop(input);
    let status = child.wait().context("ip")?;
    if !status.success() {
        bail!("ip failed ({status}) on:\n{batch}");
    }
    Ok(())
}

/// The command lines that give a device a neighbour for the generator of large packets.
pub fn gso_address(device: &str) -> String {
    let peer = gso::PEER;
    format!(
        "addr add 198.18.2.1/24 dev {device}\n\
         neigh add {peer} lladdr 02:00:00:00:00:99 nud permanent dev {device}\n"
    )
}

pub fn index(name: &str) -> Result<u32> {
    if_nametoindex(name).with_context(|| format!("no device {name}"))
}

/// Lets carriers and queues settle; with an instruction clock, an idle wait costs nothing.
pub fn settle() {
    thread::sleep(Duration::from_secs(2));
}

impl Bed {
    pub fn new(driver: Driver, shape: Shape) -> Result<Self> {
        let ns = if shape.far { Ns::new()? } else { Ns::own()? };
        let place = format!("netns /proc/{}/fd/{}", process::id(), ns.as_raw_fd());
        let kind = match driver {
            Driver::Veth => format!("veth peer name {FAR} {place}"),
            _ => {
                let mode = if shape.mode == Mode::L2 { "l2" } else { "l3" };
                let policy = if shape.blackhole {
                    "blackhole"
                } else {
                    "forward"
                };
                format!("netkit mode {mode} {policy} peer forward name {FAR} {place}")
            }
        };
        let address = gso_address(NEAR);
        ip(&format!(
            "link add {NEAR} type {kind}\nlink set {NEAR} up\n{address}"
        ))?;
        if shape.switch_after {
            Netlink::open()?.switch_after(NEAR)?;
        }
        let (far, out) = ns.run(|| {
            ip(&format!(
                "link set {FAR} up\nlink add {OUT} type dummy\n\
                 addr add 198.18.1.1/24 dev {OUT}\nlink set {OUT} up\n"
            ))?;
            Ok((index(FAR)?, index(OUT)?))
        })?;
        settle();
        Ok(Self {
            driver,
            near: index(NEAR)?,
            ns,
            far,
            out,
        })
    }

    fn hook(&self) -> (u32, u32) {
        match self.driver {
            Driver::Veth => (self.far, bpf::TCX_INGRESS),
            _ => (self.near, bpf::NETKIT_PRIMARY),
        }
    }

    /// Runs `f` with the interface index and the hook of this driver's programs, in the
    /// namespace where that index counts.
    pub fn at_hook<T>(&self, f: impl FnOnce(u32, u32) -> Result<T>) -> Result<T> {
        let (ifindex, hook) = self.hook();
        match self.driver {
            Driver::Veth => self.ns.run(|| f(ifindex, hook)),
            _ => f(ifindex, hook),
        }
    }

    /// The namespace of b1.
    pub fn far(&self) -> &Ns {
        &self.ns
    }

    /// Runs `f` in the namespace of b1.
    pub fn in_far<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<T> {
        self.ns.run(f)
    }

    pub fn attach(&self, progs: &[Prog]) -> Result<()> {
        self.at_hook(|ifindex, hook| progs.iter().try_for_each(|prog| prog.attach(ifindex, hook)))
    }

    pub fn detach(&self, progs: &[Prog]) -> Result<()> {
        self.at_hook(|ifindex, hook| progs.iter().try_for_each(|prog| prog.detach(ifindex, hook)))
    }

    /// The counters of a device on b1's side.
    pub fn counters(&self, device: &str) -> Result<Counters> {
        self.ns.run(|| counters(device))
    }

    pub fn remove(self) -> Result<()> {
        self.ns.run(|| ip(&format!("link del {OUT}\n")))?;
        ip(&format!("link del {NEAR}\n"))
    }
}
