// SPDX-License-Identifier: GPL-2.0
//! The objects of a sequence of the fuzzer, and the text of its outcome.
//!
//! These are the objects of the differential tests, and also a network card with queues to lease, sockets that send any
//! bytes, memory for pointers, and descriptors of the wrong kind.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;

use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;

use super::arena::Arena;
use super::arena::Spot;
use super::arena::PAGE;
use super::call;
use super::call::Call;
use super::call::Place;
use super::call::Thing;
use super::call::Word;
use super::message::Names;
use super::op::Op;
use super::op::CARD;
use super::op::QUEUES;
use super::request::Family;
use super::socket::Wild;
use crate::bpf;
use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::ctx::Ctx;
use crate::differential::op::Device;
use crate::differential::op::Revision;
use crate::differential::world;
use crate::differential::world::NO_FD;
use crate::differential::world::NO_ID;
use crate::lessor;
use crate::lessor::Card;
use crate::nl::netdev::Netdev;
use crate::nl::netdev::Offer;

/// How often all devices are compared, in steps.
const LOOK: usize = 20;
/// The index of every namespace's first device.
const LOOPBACK: u32 = 1;

/// Runs a sequence and tells each step.
pub fn compare(ctx: &Ctx, ops: &[Op]) -> Result<()> {
    lessor::with(ctx, || {
        let mut world = World::new(ctx)?;
        for (number, op) in ops.iter().enumerate() {
            let mut outcome = world.step(op);
            if number % LOOK == LOOK - 1 || number + 1 == ops.len() {
                outcome += "\n";
                outcome += &world.base.devices()?;
            }
            ctx.same(&format!("step {number:03} {op:?}"), outcome);
        }
        Ok(())
    })
}

/// Runs a sequence for what it may break.
pub fn endure(ctx: &Ctx, ops: &[Op]) -> Result<()> {
    lessor::with(ctx, || {
        let mut world = World::new(ctx)?;
        for op in ops {
            world.step(op);
        }
        Ok(())
    })
}

struct World {
    base: world::World,
    sockets: Vec<Sockets>,
    netdev: u16,
    ethtool: u16,
    arena: Arena,
    map: OwnedFd,
    socket: OwnedFd,
    foreign: Link,
}

struct Sockets {
    route: Wild,
    generic: Wild,
    netdev: Netdev,
    /// The number of the card's first namespace in its second one. (A namespace has no number for itself.)
    first: Option<i32>,
}

impl World {
    fn new(ctx: &Ctx) -> Result<Self> {
        let base = world::World::new(ctx)?;
        let mut sockets = Vec::new();
        let card = Card::create(&ctx.host, CARD, QUEUES, 0, None).context("a card")?;
        ctx.host.up(card.index)?;
        for (number, ns) in base.spaces().iter().enumerate() {
            let elsewhere = number > 0;
            let first = elsewhere.then(|| ns.number_of(&ctx.host)).transpose()?;
            let opened = ns.run(|| {
                Ok(Sockets {
                    route: Wild::route()?,
                    generic: Wild::generic()?,
                    netdev: Netdev::open()?,
                    first,
                })
            });
            sockets.push(opened?);
        }
        let netdev = sockets[0].generic.family("netdev")?;
        let ethtool = sockets[0].generic.family("ethtool")?;
        let prog = base.prog(1).context("a program")?;
        let place = mprog::Place::default();
        let foreign = Link::create(prog, LOOPBACK, bpf::TCX_INGRESS, place);
        Ok(Self {
            sockets,
            netdev,
            ethtool,
            arena: Arena::new().context("memory")?,
            map: bpf::array_map(4, 1).context("a map")?,
            socket: std::net::UdpSocket::bind("127.0.0.1:0")?.into(),
            foreign: foreign.context("a tcx link")?,
            base,
        })
    }

    fn step(&mut self, op: &Op) -> String {
        match op {
            Op::Plain(op) => self.base.step(op),
            Op::Lease { device, queue } => self.lease(device, *queue),
            Op::Request(request) => {
                let sockets = &self.sockets[request.space];
                let (socket, family) = match request.family {
                    Family::Route => (&sockets.route, 0),
                    Family::Netdev => (&sockets.generic, self.netdev),
                    Family::Ethtool => (&sockets.generic, self.ethtool),
                };
                let outcome = socket.send(&request.bytes(self, family));
                self.base.look_again();
                outcome
            }
            Op::Call(call) => self.call(call),
        }
    }

    fn lease(&self, device: &Device, queue: u32) -> String {
        let (space, index) = self.base.find(device);
        let sockets = &self.sockets[space];
        let card = Device::Named { ns: 0, name: CARD };
        let offer = Offer {
            index: self.base.index_of(&card),
            queue,
            ns: sockets.first,
        };
        match sockets.netdev.lease(index, offer) {
            Ok(number) => format!("queue {number}"),
            Err(refusal) => refusal.to_string(),
        }
    }

    fn fd(&self, thing: Thing) -> u32 {
        let fd = match thing {
            Thing::Prog(slot) => self.base.prog(slot).map(|prog| prog.as_fd()),
            Thing::Link(slot) => self.base.link(slot).map(|link| link.as_fd()),
            Thing::ForeignLink => Some(self.foreign.as_fd()),
            Thing::Map => Some(self.map.as_fd()),
            Thing::Socket => Some(self.socket.as_fd()),
            Thing::Space(number) => self.base.spaces().get(number).map(|ns| ns.as_fd()),
            Thing::Closed => None,
        };
        fd.map_or(NO_FD, |fd| fd.as_raw_fd() as u32)
    }

    fn id(&self, thing: Thing) -> u32 {
        let id = match thing {
            Thing::Prog(slot) => self.base.prog(slot).map(|prog| prog.id),
            Thing::Link(slot) => self.base.link(slot).map(|link| link.id),
            Thing::ForeignLink => Some(self.foreign.id),
            _ => None,
        };
        id.unwrap_or(NO_ID)
    }

    fn word(&self, word: &Word, call: &Call) -> u64 {
        match word {
            Word::Number(number) => *number,
            Word::Fd(thing) => self.fd(*thing).into(),
            Word::Id(thing) => self.id(*thing).into(),
            Word::Index(device) => self.index(device).into(),
            Word::Pointer(spot) => self.arena.address(*spot),
            Word::Revision(which) => {
                let current = self.base.revision(&call.device, call.hook);
                match which {
                    Revision::Any => 0,
                    Revision::Current => current,
                    Revision::Next => current + 1,
                }
            }
        }
    }

    /// bpf(2) in the namespace of the device that the call is about.
    fn call(&mut self, call: &Call) -> String {
        let mut bytes = vec![0; 256];
        for (offset, width, word) in &call.words {
            let value = self.word(word, call).to_ne_bytes();
            bytes[*offset..offset + width].copy_from_slice(&value[..*width]);
        }
        if let Some((offset, byte)) = call.dirt {
            bytes[offset] |= byte;
        }
        let edge = 3 * PAGE - (call.size as usize).min(bytes.len());
        let start = match call.place {
            Place::Edge => edge,
            _ => 0,
        };
        self.arena.fill(start, &bytes);
        let base = self.arena.address(Spot::Array(0)) - 2 * PAGE as u64;
        let argument = match call.place {
            Place::Whole | Place::Edge => base + start as u64,
            Place::ReadOnly => self.arena.address(Spot::ReadOnly),
            Place::Unmapped => self.arena.address(Spot::Unmapped),
            Place::Null => 0,
        };
        let space = self.base.space_of(&call.device).clone();
        let mut answer = Err(Errno::EIO);
        let entered = space.run(|| {
            answer = raw(call, argument);
            Ok(())
        });
        if entered.is_err() {
            return "the namespace cannot be entered".into();
        }
        match answer {
            Ok(value) => self.success(call, value),
            Err(errno) => format!("{errno:?}{}", self.written(call)),
        }
    }

    fn success(&mut self, call: &Call, value: i64) -> String {
        let written = self.written(call);
        match call.command {
            call::LINK_CREATE | call::LINK_BY_ID => {
                // SAFETY: these commands have just made this descriptor for us; nobody else owns it.
                let fd = unsafe { OwnedFd::from_raw_fd(value as i32) };
                if call.command == call::LINK_CREATE {
                    // A link of any kind: what it is, the caller's attach type has decided.
                    let link = Link::from_fd(fd);
                    return match link {
                        Ok(link) => {
                            self.base.keep(call.slot, link);
                            "a link".into()
                        }
                        Err(errno) => format!("a link that tells nothing: {errno:?}"),
                    };
                }
                "a descriptor".into()
            }
            _ => format!("{value}{written}"),
        }
    }

    /// What the kernel has written, as far as it is the same on every run.
    fn written(&mut self, call: &Call) -> String {
        if call.place != Place::Whole {
            return String::new();
        }
        match call.command {
            call::PROG_QUERY => {
                let revision = self.arena.u32(call::QUERY_REVISION);
                let count = self.arena.u32(call::QUERY_COUNT);
                let flags = self.arena.u32(call::QUERY_FLAGS);
                let filled = |array: Vec<u32>| array.into_iter().take_while(|id| *id != 0);
                let progs: Vec<_> = filled(self.arena.array(0))
                    .map(|id| self.base.prog_name(id))
                    .collect();
                let links: Vec<_> = self
                    .arena
                    .array(2)
                    .into_iter()
                    .take(progs.len())
                    .map(|id| self.base.link_name(id))
                    .collect();
                format!(": count {count}, revision {revision}, flags {flags}, {progs:?}, {links:?}")
            }
            call::INFO if matches!(call.words.first(), Some((_, _, Word::Fd(Thing::Link(_))))) => {
                let info = self.arena.array(0);
                format!(": kind {}, device {:?}", info[0], &info[4..6])
            }
            _ => String::new(),
        }
    }
}

impl Names for World {
    fn index(&self, device: &Device) -> u32 {
        self.base.index_of(device)
    }

    fn space(&self, number: usize) -> u32 {
        self.fd(Thing::Space(number))
    }
}

fn raw(call: &Call, argument: u64) -> bpf::Answer<i64> {
    const COMMON_ATTRS: u32 = 1 << 16;
    let (command, common) = match call.common {
        Some(size) => (call.command | COMMON_ATTRS, size),
        None => (call.command, 0),
    };
    // SAFETY: whatever the pointers are, the kernel checks them and writes through those of the argument
    // only into the arena, which no reference borrows during the call.
    let ret = unsafe { libc::syscall(libc::SYS_bpf, command, argument, call.size, 0usize, common) };
    Errno::result(ret)
}
