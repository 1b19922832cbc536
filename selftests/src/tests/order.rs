// SPDX-License-Identifier: GPL-2.0
//! The order of several programs on one hook: every way to specify a place. After each change, the test checks the
//! query and the programs that a packet meets.

use anyhow::Result;
use nix::errno::Errno;

use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::mprog::AFTER;
use crate::bpf::mprog::BEFORE;
use crate::bpf::mprog::LINK;
use crate::bpf::mprog::REPLACE;
use crate::bpf::probe::Probes;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::netkit::Spec;
use crate::netkit::PASS;
use crate::traffic;

tests![
    appended,
    first_and_last,
    before_and_after_by_fd,
    before_and_after_by_id,
    replaced,
    replaced_with_matching_place,
    four_programs_on_the_peer,
    both_hooks_are_apart,
    relative_to_links,
    links_and_programs_mixed,
    detach_first_and_last,
    detach_relative,
    pass_hides_the_rest,
    links_to_l2_and_l3,
];

struct Chain {
    duo: Duo,
    probes: Probes,
    hook: u32,
}

impl Chain {
    fn new(t: &Ctx, hook: u32) -> Result<Self> {
        Ok(Self {
            duo: t.duo(Spec::l3())?,
            probes: Probes::load(5)?,
            hook,
        })
    }

    fn index(&self) -> u32 {
        self.duo.pair.primary
    }

    fn attach(&self, slot: u32, place: Place) -> Result<()> {
        let prog = self.probes.fd(slot)?;
        Ok(mprog::attach(prog, self.index(), self.hook, place)?)
    }

    fn link(&self, slot: u32, place: Place) -> Result<Link> {
        let prog = self.probes.fd(slot)?;
        Ok(Link::create(prog, self.index(), self.hook, place)?)
    }

    fn refused(&self, slot: u32, place: Place, errno: Errno) -> Result<()> {
        let prog = self.probes.fd(slot)?;
        let answer = mprog::attach(prog, self.index(), self.hook, place);
        check::errno(&format!("{place:?}"), answer, errno)
    }

    fn detach(&self, place: Place) -> Result<()> {
        Ok(mprog::detach(None, self.index(), self.hook, place)?)
    }

    /// The kernel lists these programs in this order, and a packet meets them so.
    #[track_caller]
    fn expect(&mut self, slots: &[u32], revision: u64) -> Result<()> {
        let query = mprog::query(self.index(), self.hook)?;
        let ids: Result<Vec<u32>> = slots.iter().map(|&slot| self.probes.id(slot)).collect();
        check::equal("programs", query.progs, ids?)?;
        check::equal("revision", query.revision, revision)?;
        self.probes.reset()?;
        if self.hook == PRIMARY {
            traffic::udp_send(&self.duo.host, POD4.into(), 10)?;
        } else {
            traffic::udp_send(&self.duo.pod, HOST4.into(), 10)?;
        }
        check::equal("order of the run", self.probes.order()?, slots.to_vec())
    }
}

fn appended(t: &Ctx) -> Result<()> {
    let mut c = Chain::new(t, PRIMARY)?;
    c.expect(&[], 1)?;
    for (slot, order) in [(2, vec![2]), (0, vec![2, 0]), (1, vec![2, 0, 1])] {
        c.attach(slot, Place::default())?;
        c.expect(&order, order.len() as u64 + 1)?;
    }
    Ok(())
}

fn first_and_last(t: &Ctx) -> Result<()> {
    let mut c = Chain::new(t, PRIMARY)?;
    c.attach(0, Place::flags(BEFORE))?;
    c.attach(1, Place::flags(BEFORE))?;
    c.expect(&[1, 0], 3)?;
    c.attach(2, Place::flags(AFTER))?;
    c.expect(&[1, 0, 2], 4)?;
    c.attach(3, Place::flags(BEFORE))?;
    c.expect(&[3, 1, 0, 2], 5)?;
    // First and last together is possible only in an empty chain.
    c.refused(4, Place::flags(BEFORE | AFTER), Errno::ERANGE)?;
    c.expect(&[3, 1, 0, 2], 5)
}

fn before_and_after_by_fd(t: &Ctx) -> Result<()> {
    let mut c = Chain::new(t, PRIMARY)?;
    c.attach(0, Place::default())?;
    c.attach(1, Place::fd(BEFORE, c.probes.fd(0)?))?;
    c.expect(&[1, 0], 3)?;
    c.attach(2, Place::fd(AFTER, c.probes.fd(1)?))?;
    c.expect(&[1, 2, 0], 4)?;
    c.attach(3, Place::fd(AFTER, c.probes.fd(0)?))?;
    c.expect(&[1, 2, 0, 3], 5)?;
    // Relative to a program which is not there; relative without saying how.
    c.refused(4, Place::fd(BEFORE, c.probes.fd(4)?), Errno::ENOENT)?;
    c.refused(4, Place::fd(0, c.probes.fd(0)?), Errno::EINVAL)?;
    c.refused(4, Place::fd(BEFORE | AFTER, c.probes.fd(0)?), Errno::ERANGE)?;
    c.expect(&[1, 2, 0, 3], 5)
}

fn before_and_after_by_id(t: &Ctx) -> Result<()> {
    let mut c = Chain::new(t, PRIMARY)?;
    c.attach(0, Place::default())?;
    c.attach(1, Place::id(BEFORE, c.probes.id(0)?))?;
    c.attach(2, Place::id(AFTER, c.probes.id(1)?))?;
    c.attach(3, Place::id(AFTER, c.probes.id(0)?))?;
    c.expect(&[1, 2, 0, 3], 5)?;
    c.refused(4, Place::id(BEFORE, c.probes.id(4)?), Errno::ENOENT)?;
    c.refused(4, Place::id(BEFORE, u32::MAX), Errno::ENOENT)?;
    c.refused(4, Place::id(0, c.probes.id(0)?), Errno::EINVAL)?;
    c.expect(&[1, 2, 0, 3], 5)
}

fn replaced(t: &Ctx) -> Result<()> {
    let mut c = Chain::new(t, PRIMARY)?;
    for slot in 0..3 {
        c.attach(slot, Place::default())?;
    }
    c.attach(3, Place::replace(c.probes.fd(1)?))?;
    c.expect(&[0, 3, 2], 5)?;
    // The one that went can take another's place.
    c.attach(1, Place::replace(c.probes.fd(0)?))?;
    c.expect(&[1, 3, 2], 6)?;
    c.refused(4, Place::replace(c.probes.fd(0)?), Errno::ENOENT)?;
    c.refused(3, Place::replace(c.probes.fd(1)?), Errno::EEXIST)?;
    let nothing = Place {
        replace_fd: -1,
        ..Place::flags(REPLACE)
    };
    c.refused(4, nothing, Errno::EBADF)?;
    c.expect(&[1, 3, 2], 6)
}

fn replaced_with_matching_place(t: &Ctx) -> Result<()> {
    let mut c = Chain::new(t, PRIMARY)?;
    for slot in 0..3 {
        c.attach(slot, Place::default())?;
    }
    let place = |flags, relative: u32| -> Result<Place> {
        let mut place = Place::fd(flags | REPLACE, c.probes.fd(relative)?);
        place.replace_fd = Place::replace(c.probes.fd(1)?).replace_fd;
        Ok(place)
    };
    c.refused(3, place(BEFORE, 1)?, Errno::ERANGE)?;
    c.refused(3, place(AFTER, 2)?, Errno::ERANGE)?;
    c.attach(3, place(BEFORE, 2)?)?;
    c.expect(&[0, 3, 2], 5)
}

fn four_programs_on_the_peer(t: &Ctx) -> Result<()> {
    let mut c = Chain::new(t, PEER)?;
    c.attach(0, Place::default())?;
    c.attach(1, Place::fd(BEFORE, c.probes.fd(0)?))?;
    c.attach(2, Place::id(AFTER, c.probes.id(0)?))?;
    c.attach(3, Place::flags(BEFORE))?;
    c.expect(&[3, 1, 0, 2], 5)?;
    c.attach(4, Place::replace(c.probes.fd(1)?))?;
    c.expect(&[3, 4, 0, 2], 6)
}

fn both_hooks_are_apart(t: &Ctx) -> Result<()> {
    let mut c = Chain::new(t, PRIMARY)?;
    c.attach(0, Place::default())?;
    c.hook = PEER;
    check::equal("count", mprog::query(c.index(), PEER)?.count, 0)?;
    // A program on one hook is no place on the other.
    c.refused(1, Place::fd(BEFORE, c.probes.fd(0)?), Errno::ENOENT)?;
    // The same program may be attached to both.
    c.attach(0, Place::default())?;
    c.expect(&[0], 2)?;
    c.hook = PRIMARY;
    c.expect(&[0], 2)
}

fn relative_to_links(t: &Ctx) -> Result<()> {
    let mut c = Chain::new(t, PRIMARY)?;
    let first = c.link(0, Place::default())?;
    let second = c.link(1, Place::fd(BEFORE | LINK, &first))?;
    c.expect(&[1, 0], 3)?;
    let _third = c.link(2, Place::id(AFTER | LINK, second.id))?;
    c.expect(&[1, 2, 0], 4)?;
    // By the program of a link, as if it were attached without one.
    let _fourth = c.link(3, Place::fd(BEFORE, c.probes.fd(0)?))?;
    c.expect(&[1, 2, 3, 0], 5)?;
    let place = Place::fd(BEFORE, c.probes.fd(0)?);
    let as_link = Place {
        flags: BEFORE | LINK,
        ..place
    };
    c.refused(4, as_link, Errno::EINVAL)?;
    c.refused(4, Place::fd(BEFORE, &first), Errno::EINVAL)?;
    c.refused(4, Place::id(BEFORE | LINK, u32::MAX), Errno::ENOENT)?;
    c.refused(4, Place::flags(BEFORE | LINK), Errno::EINVAL)?;
    drop(second);
    c.expect(&[2, 3, 0], 6)
}

fn links_and_programs_mixed(t: &Ctx) -> Result<()> {
    let mut c = Chain::new(t, PRIMARY)?;
    c.attach(0, Place::default())?;
    let link = c.link(1, Place::flags(BEFORE))?;
    c.attach(2, Place::fd(AFTER | LINK, &link))?;
    c.expect(&[1, 2, 0], 4)?;
    let query = mprog::query(c.index(), PRIMARY)?;
    check::equal("links", query.links, [link.id, 0, 0])?;
    // A link's program cannot be replaced or detached from outside.
    c.refused(3, Place::replace(c.probes.fd(1)?), Errno::EBUSY)?;
    let prog = c.probes.fd(1)?;
    let answer = mprog::detach(Some(&prog), c.index(), PRIMARY, Place::default());
    check::errno("detaching a link's program", answer, Errno::EBUSY)?;
    let answer = mprog::detach(None, c.index(), PRIMARY, Place::flags(BEFORE));
    check::errno("detaching the first, a link", answer, Errno::EBUSY)?;
    c.expect(&[1, 2, 0], 4)
}

fn detach_first_and_last(t: &Ctx) -> Result<()> {
    let mut c = Chain::new(t, PRIMARY)?;
    for slot in 0..5 {
        c.attach(slot, Place::default())?;
    }
    c.detach(Place::flags(BEFORE))?;
    c.expect(&[1, 2, 3, 4], 7)?;
    c.detach(Place::flags(AFTER))?;
    c.expect(&[1, 2, 3], 8)?;
    c.detach(Place::default())?;
    c.expect(&[1, 2], 9)
}

fn detach_relative(t: &Ctx) -> Result<()> {
    let mut c = Chain::new(t, PRIMARY)?;
    for slot in 0..5 {
        c.attach(slot, Place::default())?;
    }
    c.detach(Place::fd(BEFORE, c.probes.fd(2)?))?;
    c.expect(&[0, 2, 3, 4], 7)?;
    c.detach(Place::id(AFTER, c.probes.id(2)?))?;
    c.expect(&[0, 2, 4], 8)?;
    let index = c.index();
    let prog = c.probes.fd(2)?;
    let wrong = Place::fd(BEFORE, c.probes.fd(0)?);
    let answer = mprog::detach(Some(&prog), index, PRIMARY, wrong);
    check::errno("a program that is not there", answer, Errno::ERANGE)?;
    let right = Place::fd(BEFORE, c.probes.fd(4)?);
    mprog::detach(Some(&prog), index, PRIMARY, right)?;
    c.expect(&[0, 4], 9)
}

fn pass_hides_the_rest(t: &Ctx) -> Result<()> {
    let c = Chain::new(t, PRIMARY)?;
    for slot in 0..3 {
        c.attach(slot, Place::default())?;
    }
    let mut probes = c.probes;
    probes.verdict(1, PASS)?;
    traffic::udp_send(&c.duo.host, POD4.into(), 10)?;
    check::equal("programs that ran", probes.order()?, [0, 1])
}

/// Two links on either hook in either mode, the second before the first.
fn links_to_l2_and_l3(t: &Ctx) -> Result<()> {
    for spec in [Spec::l2(), Spec::l3()] {
        for hook in [PRIMARY, PEER] {
            let duo = t.duo(spec.clone())?;
            let mut c = Chain {
                duo,
                probes: Probes::load(2)?,
                hook,
            };
            // The first datagram of an L2 pair waits for ARP.
            traffic::udp_arrives(&c.duo.host, &c.duo.pod, POD4.into(), true)?;
            let _first = c.link(0, Place::default())?;
            let _second = c.link(1, Place::fd(BEFORE, c.probes.fd(0)?))?;
            c.expect(&[1, 0], 3)?;
            c.duo.host.del_link(c.duo.pair.primary)?;
        }
    }
    Ok(())
}
