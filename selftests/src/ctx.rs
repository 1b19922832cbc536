// SPDX-License-Identifier: GPL-2.0
//! The context of a running test: its namespaces, its driver, and the channel by which it reports observations to the
//! runner, so that both drivers can be compared.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use anyhow::Result;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::check;
use crate::netkit;
use crate::netkit::Pair;
use crate::netkit::Spec;
use crate::netns::Ns;
use crate::runner::Settings;

/// Addresses of a pair's two ends.
pub const HOST4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
pub const POD4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
pub const HOST6: Ipv6Addr = Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 1);
pub const POD6: Ipv6Addr = Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 2);

pub struct Ctx {
    /// The namespace in which the test's own thread lives.
    pub host: Ns,
    pub module: PathBuf,
    pub helpers: PathBuf,
    pub rounds: u32,
    pub race: Duration,
    spaces: RefCell<Vec<Ns>>,
    same: RefCell<Vec<(String, String)>>,
    notes: RefCell<Vec<String>>,
}

/// A pair with its two namespaces, addressed and up.
pub struct Duo {
    pub host: Ns,
    pub pod: Ns,
    pub pair: Pair,
}

impl Ctx {
    pub fn new(settings: &Settings) -> Result<Self> {
        let host = Ns::enter_new()?;
        Ok(Self {
            host: host.clone(),
            module: settings.module.clone(),
            helpers: settings.helpers.clone(),
            rounds: settings.rounds,
            race: settings.race,
            spaces: RefCell::new(vec![host]),
            same: RefCell::default(),
            notes: RefCell::default(),
        })
    }

    /// Another namespace of this test, looked through at its end.
    pub fn ns(&self) -> Result<Ns> {
        let ns = Ns::new()?;
        self.spaces.borrow_mut().push(ns.clone());
        Ok(ns)
    }

    /// The test's namespaces.
    pub fn spaces(&self) -> Vec<Ns> {
        self.spaces.borrow().clone()
    }

    /// How many netkit devices there are in the test's namespaces.
    pub fn devices(&self) -> Result<usize> {
        let spaces = self.spaces();
        let counts = spaces.iter().map(|ns| Ok(netkit::devices(ns)?.len()));
        counts.sum()
    }

    /// Tells what must come out the same on both drivers.
    pub fn same(&self, label: &str, value: impl Display) {
        let entry = (label.to_owned(), value.to_string());
        self.same.borrow_mut().push(entry);
    }

    /// Tells the reader of the results something, such as how much of it there was.
    pub fn note(&self, text: impl Display) {
        self.notes.borrow_mut().push(text.to_string());
    }

    pub fn take_notes(&self) -> Vec<String> {
        self.notes.take()
    }

    pub fn take_same(&self) -> Vec<(String, String)> {
        self.same.take()
    }

    /// nk0 here and nk1 in a new namespace, with IPv4 addresses, both up.
    pub fn duo(&self, spec: Spec) -> Result<Duo> {
        let pod = self.ns()?;
        let pair = spec.create(&self.host, &pod)?;
        let duo = Duo {
            host: self.host.clone(),
            pod,
            pair,
        };
        duo.addresses(HOST4.into(), POD4.into(), 24)?;
        duo.up()?;
        Ok(duo)
    }

    /// As `duo`, with IPv6 addresses as well.
    pub fn duo6(&self, spec: Spec) -> Result<Duo> {
        let duo = self.duo(spec)?;
        duo.host.enable_ipv6()?;
        duo.pod.enable_ipv6()?;
        duo.addresses(HOST6.into(), POD6.into(), 64)?;
        Ok(duo)
    }

    /// Two sightings of one name would hide one another.
    pub fn check_labels(&self) -> Result<()> {
        let same = self.same.borrow();
        let labels: BTreeSet<&str> = same.iter().map(|(label, _)| label.as_str()).collect();
        ensure!(labels.len() == same.len(), "two sightings have one label");
        Ok(())
    }

    /// No netkit device may outlive its deletion in any of the test's namespaces.
    pub fn finish(&self) -> Result<()> {
        for ns in self.spaces.take() {
            for link in netkit::devices(&ns)? {
                // Its other end may have been deleted just before.
                if ns.link_by_index(link.index).is_ok() {
                    ns.del_link(link.index)?;
                }
            }
            let left: Vec<_> = netkit::devices(&ns)?
                .iter()
                .map(|link| link.name())
                .collect();
            ensure!(left.is_empty(), "devices left after deletion: {left:?}");
        }
        Ok(())
    }
}

impl Duo {
    pub fn addresses(&self, host: IpAddr, pod: IpAddr, prefix: u8) -> Result<()> {
        self.host.add_address(self.pair.primary, host, prefix)?;
        self.pod.add_address(self.pair.peer, pod, prefix)?;
        // IPv6 finishes an address in the background, also one that needs no detection.
        check::soon("addresses serve", || {
            let here = self.host.is_local(host).unwrap_or(false);
            Ok(here && self.pod.is_local(pod).unwrap_or(false))
        })
    }

    /// Attaches a program to the peer as to any device, from inside the pod.
    pub fn attach_in_pod(&self, prog: impl AsFd, hook: u32) -> Result<()> {
        let prog = prog.as_fd();
        let attach = || Ok(mprog::attach(prog, self.pair.peer, hook, Place::default())?);
        self.pod.run(attach)
    }

    pub fn up(&self) -> Result<()> {
        self.host.up(self.pair.primary)?;
        self.pod.up(self.pair.peer)?;
        self.host.running(self.pair.primary)?;
        self.pod.running(self.pair.peer)
    }
}
