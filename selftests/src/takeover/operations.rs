// SPDX-License-Identifier: GPL-2.0
//! Operations on devices (bpf(2), netlink, ethtool and sysfs) that are repeated and must never fail.

use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Mutex;
use std::thread::sleep;
use std::thread::Scope;
use std::time::Duration;

use anyhow::Result;

use super::ethtool;
use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::check;
use crate::netkit;
use crate::netkit::NEXT;
use crate::netns::Ns;
use crate::netns::Ticket;
use crate::nl::attr::Attrs;
use crate::nl::link::linkinfo;

/// What was done, and what of it failed.
#[derive(Default)]
pub struct Operations {
    done: AtomicU64,
    failed: AtomicU64,
    mark: AtomicU64,
    first: Mutex<Option<String>>,
    over: AtomicBool,
}

impl Operations {
    /// Counts an operation, and returns its result if it succeeded.
    fn count<T, E: Debug>(&self, what: &str, answer: Result<T, E>) -> Option<T> {
        match answer {
            Ok(value) => {
                self.done.fetch_add(1, Relaxed);
                Some(value)
            }
            Err(error) => {
                self.failed.fetch_add(1, Relaxed);
                if let Ok(mut first) = self.first.lock() {
                    first.get_or_insert(format!("{what}: {error:?}"));
                }
                None
            }
        }
    }

    fn holds(&self, what: &str, holds: bool) {
        self.count(what, holds.then_some(()).ok_or("not so"));
    }

    /// A thread that repeats `step` in a namespace.
    fn repeat<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        ticket: Ticket,
        pause: Duration,
        step: impl Fn(&Ns, u64) + Send + 'scope,
    ) {
        scope.spawn(move || {
            let Some(ns) = self.count("entering the namespace", ticket.enter()) else {
                return;
            };
            for round in 0.. {
                if self.over.load(Relaxed) {
                    return;
                }
                step(&ns, round);
                sleep(pause);
            }
        });
    }

    /// Programs and links on one hook, beside those that are there.
    pub fn programs<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        ns: &Ns,
        index: u32,
        hook: u32,
        pause: Duration,
    ) -> Result<()> {
        let progs = [Prog::returning(NEXT)?, Prog::returning(NEXT)?];
        self.repeat(scope, ns.ticket()?, pause, move |_, round| {
            self.change_programs(&progs, index, hook, round);
        });
        Ok(())
    }

    fn change_programs(&self, [one, two]: &[Prog; 2], index: u32, hook: u32, round: u64) {
        let place = Place::default();
        if self
            .count("attach", mprog::attach(one, index, hook, place))
            .is_some()
        {
            if let Some(query) = self.count("query", mprog::query(index, hook)) {
                self.holds("query shows the program", query.progs.contains(&one.id));
            }
            self.count("detach", mprog::detach(Some(one), index, hook, place));
        }
        let Some(link) = self.count("link create", Link::create(one, index, hook, place)) else {
            return;
        };
        self.count("link update", link.update(two, None));
        if let Some(info) = self.count("link info", link.info()) {
            let right = info.prog_id == two.id && info.ifindex != 0;
            self.holds("link info shows program and device", right);
        }
        if let Some(text) = self.count("link fdinfo", link.fdinfo()) {
            self.holds("fdinfo shows the device", !text.contains("ifindex:\t0\n"));
        }
        if round % 2 == 0 {
            self.count("link detach", link.detach());
        }
    }

    /// Settings of a pair of which nobody needs the traffic, dumps of all, ethtool, sysfs.
    pub fn settings<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        ns: &Ns,
        index: u32,
        sysfs: &'env Path,
        pause: Duration,
    ) -> Result<()> {
        let name = ns.link_by_index(index)?.name();
        let pairs = netkit::devices(ns)?.len();
        self.repeat(scope, ns.ticket()?, pause, move |ns, round| {
            let turn = round % 2 == 0;
            self.count("mtu", ns.set_mtu(index, if turn { 1400 } else { 1500 }));
            let policy = if turn { netkit::DROP } else { netkit::PASS };
            let mut data = Attrs::new();
            data.u32(netkit::POLICY, policy as u32);
            let attrs = linkinfo(netkit::KIND, Some(&data));
            self.count("policy", ns.set_link(index, &attrs));
            if let Some(devices) = self.count("dump", netkit::devices(ns)) {
                self.holds("the dump shows all devices", devices.len() == pairs);
            }
            if let Some(driver) = self.count("ethtool", ethtool::driver(ns, &name)) {
                self.holds("ethtool names the driver", driver == "netkit");
            }
            let iflink = sysfs.join("class/net").join(&name).join("iflink");
            self.count("iflink", fs::read_to_string(iflink));
        });
        Ok(())
    }

    pub fn stop(&self) {
        self.over.store(true, Relaxed);
    }

    /// Ends a phase: something must have been done in it.
    pub fn progress(&self, phase: &str) -> Result<()> {
        check::soon(&format!("operations go on {phase}"), || {
            Ok(self.done.load(Relaxed) > self.mark.load(Relaxed))
        })?;
        self.mark.store(self.done.load(Relaxed), Relaxed);
        Ok(())
    }

    /// Once all threads have ended: the counts in words, and whether any operation failed.
    pub fn verdict(&self) -> Result<String> {
        let [done, failed] = [&self.done, &self.failed].map(|n| n.load(Relaxed));
        let first = self.first.lock().ok().and_then(|first| first.clone());
        check::equal("the first operation that failed", first, None::<String>)?;
        Ok(format!("{done} operations, {failed} failed"))
    }
}
