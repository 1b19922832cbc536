// SPDX-License-Identifier: GPL-2.0
//! The ids of all programs and links of the machine. A leak check compares them; and some tests need numbers that the
//! kernel could mistake for descriptors.

use std::collections::BTreeSet;

use nix::sys::resource::setrlimit;
use nix::sys::resource::Resource;

use super::check;
use super::link::Link;
use super::mprog::Place;
use super::prog::Prog;
use super::Answer;
use super::TCX_INGRESS;

/// More descriptors than a test has at a time.
const DESCRIPTORS: u32 = 256;
/// The index of every namespace's first device.
const LOOPBACK: u32 = 1;

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ids {
    pub progs: BTreeSet<u32>,
    pub links: BTreeSet<u32>,
}

impl Ids {
    pub fn now() -> Self {
        Self {
            progs: walk(next_prog),
            links: walk(next_link),
        }
    }

    /// What is here and was not in `before`; empty text if nothing.
    pub fn beyond(&self, before: &Ids) -> String {
        let progs: Vec<_> = self.progs.difference(&before.progs).collect();
        let links: Vec<_> = self.links.difference(&before.links).collect();
        match (progs.is_empty(), links.is_empty()) {
            (true, true) => String::new(),
            _ => format!("program ids {progs:?}, link ids {links:?}"),
        }
    }
}

/// From here on the ids of new programs are no descriptors of this process: an id in the place of a
/// descriptor is wrong on every run, whatever number it is. Ids count up, so once will do.
pub fn above_descriptors() -> Answer<()> {
    let limit = DESCRIPTORS.into();
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?;
    while Prog::returning(0)?.id < DESCRIPTORS {}
    Ok(())
}

/// From here on the ids of new links are above that of `prog`, for which nobody can take them then.
pub fn links_above(prog: &Prog) -> Answer<()> {
    let link = |revision| {
        let place = Place::default().revision(revision);
        Link::create(prog, LOOPBACK, TCX_INGRESS, place)
    };
    for _ in link(0)?.id..prog.id {
        // Refused if it has an id already; so it does not cost a grace period.
        let _stale = link(u64::MAX).is_err();
    }
    Ok(())
}

fn walk(next_id: impl Fn(u32, &mut u32) -> i32) -> BTreeSet<u32> {
    let mut ids = BTreeSet::new();
    let mut id = 0;
    let mut next = 0;
    // Ends with ENOENT behind the last id.
    while check(next_id(id, &mut next)).is_ok() {
        ids.insert(next);
        id = next;
    }
    ids
}

fn next_prog(id: u32, next: &mut u32) -> i32 {
    // SAFETY: the kernel writes one u32 through a pointer that is valid for it.
    unsafe { libbpf_sys::bpf_prog_get_next_id(id, next) }
}

fn next_link(id: u32, next: &mut u32) -> i32 {
    // SAFETY: the kernel writes one u32 through a pointer that is valid for it.
    unsafe { libbpf_sys::bpf_link_get_next_id(id, next) }
}
