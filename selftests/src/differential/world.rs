// SPDX-License-Identifier: GPL-2.0
//! The objects of a sequence, and the text of its outcome.
//!
//! The text must not depend on the run. Ids of programs and links appear as the slots that hold them, and random MAC
//! addresses as "random". What the kernel changes in the background (operational state, queueing discipline) is left
//! out.

use std::cell::OnceCell;
use std::fmt::Write;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;

use super::op::Device;
use super::op::Op;
use super::op::Peer;
use super::op::Place;
use super::op::Raw;
use super::op::Relative;
use super::op::Revision;
use super::op::LINKS;
use super::op::MAC;
use super::op::NAMESPACES;
use super::op::PROGS;
use crate::adopted;
use crate::bpf;
use crate::bpf::ids;
use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::prog::Prog;
use crate::ctx::Ctx;
use crate::netkit;
use crate::netns::Ns;
use crate::nl;
use crate::nl::attr;
use crate::nl::attr::Attrs;
use crate::nl::link::ifinfomsg;
use crate::nl::link::linkinfo;
use crate::nl::Answer;

/// An index, a descriptor and an id that nothing has, also where one is taken for another.
const NOBODY: u32 = (1 << 28) + 1;
pub const NO_FD: u32 = 1 << 28;
pub const NO_ID: u32 = u32::MAX - 1;

/// Attributes of a dump that the background settles, or that count time and traffic.
const UNSTEADY: [u16; 7] = [
    libc::IFLA_QDISC,
    // Its program's id.
    libc::IFLA_XDP,
    libc::IFLA_OPERSTATE,
    libc::IFLA_STATS,
    libc::IFLA_STATS64,
    libc::IFLA_AF_SPEC,
    libc::IFLA_CARRIER_CHANGES,
];
/// IFLA_PERM_ADDRESS, which libc does not name.
const PERM_ADDRESS: u16 = 54;

/// Runs a sequence and tells each step.
pub fn run(ctx: &Ctx, ops: &[Op]) -> Result<()> {
    let mut world = World::new(ctx)?;
    let mut before = String::new();
    for (number, op) in ops.iter().enumerate() {
        let outcome = world.step(op);
        let after = world.devices()?;
        let shown = if after == before {
            "devices as before"
        } else {
            &after
        };
        ctx.same(
            &format!("step {number:03} {op:?}"),
            format!("{outcome}\n{shown}"),
        );
        before = after;
    }
    Ok(())
}

pub struct World {
    spaces: Vec<Ns>,
    progs: Vec<Prog>,
    links: Vec<Option<Link>>,
    /// The netkit devices, as somebody saw them since the last step.
    known: OnceCell<Vec<Known>>,
}

/// A netkit device: its namespace, its index there.
struct Known {
    ns: usize,
    index: u32,
    primary: bool,
}

impl World {
    pub fn new(ctx: &Ctx) -> Result<Self> {
        ids::above_descriptors().context("using up small ids of programs")?;
        let mut spaces = vec![ctx.host.clone()];
        while spaces.len() < NAMESPACES {
            spaces.push(ctx.ns()?);
        }
        // One of them is of a type that netkit does not take.
        let xdp = Prog::load(libbpf_sys::BPF_PROG_TYPE_XDP, 0, 2);
        let mut progs = vec![xdp.context("loading an XDP program")?];
        while progs.len() < PROGS {
            let prog = Prog::returning(progs.len() as i32 - 2);
            progs.push(prog.context("loading a program")?);
        }
        ids::links_above(&progs[PROGS - 1]).context("using up small ids of links")?;
        Ok(Self {
            spaces,
            progs,
            links: (0..LINKS).map(|_| None).collect(),
            known: OnceCell::new(),
        })
    }

    pub fn spaces(&self) -> &[Ns] {
        &self.spaces
    }

    pub fn prog(&self, slot: usize) -> Option<&Prog> {
        self.progs.get(slot)
    }

    pub fn link(&self, slot: usize) -> Option<&Link> {
        self.links.get(slot)?.as_ref()
    }

    /// Holds a link in a slot, in the place of what was there.
    pub fn keep(&mut self, slot: usize, link: Link) {
        self.links[slot] = Some(link);
    }

    pub fn space_of(&self, device: &Device) -> &Ns {
        &self.spaces[self.find(device).0]
    }

    pub fn index_of(&self, device: &Device) -> u32 {
        self.find(device).1
    }

    /// The revision of a device's programs; 1, as at the beginning, where it cannot be asked.
    pub fn revision(&self, device: &Device, hook: u32) -> u64 {
        let revision = self.bpf(device, |index| Ok(mprog::query(index, hook)?.revision));
        revision.unwrap_or(1)
    }

    /// For a caller that has changed the devices itself.
    pub fn look_again(&mut self) {
        self.known.take();
    }

    /// Does one step and puts its outcome into words.
    pub fn step(&mut self, op: &Op) -> String {
        let outcome = self.outcome(op);
        self.look_again();
        outcome
    }

    fn outcome(&mut self, op: &Op) -> String {
        match op {
            Op::Create {
                ns,
                index,
                link,
                data,
                peer,
            } => {
                let attrs = self.request(link, data, peer.as_ref());
                let header = ifinfomsg(*index, 0, 0);
                words(adopted::create(|| {
                    self.spaces[*ns].new_link(&header, &attrs)
                }))
            }
            Op::Change { device, link, data } => {
                let attrs = self.request(link, data, None);
                words(self.on(device, |ns, index| ns.set_link(index, &attrs)))
            }
            Op::Delete(device) => words(self.on(device, |ns, index| ns.del_link(index))),
            Op::Up(device) => words(self.on(device, |ns, index| ns.up(index))),
            Op::Down(device) => words(self.on(device, |ns, index| ns.down(index))),
            Op::Move(device, to) => {
                words(self.on(device, |ns, index| ns.move_to(index, &self.spaces[*to])))
            }
            Op::Attach {
                device,
                hook,
                prog,
                place,
            } => {
                let outcome = self.bpf(device, |index| {
                    let place = self.place(place, index, *hook);
                    mprog::attach(&self.progs[*prog], index, *hook, place)
                });
                words(outcome)
            }
            Op::Detach {
                device,
                hook,
                prog,
                place,
            } => {
                let prog = prog.map(|slot| &self.progs[slot] as &dyn AsFd);
                let outcome = self.bpf(device, |index| {
                    mprog::detach(prog, index, *hook, self.place(place, index, *hook))
                });
                words(outcome)
            }
            Op::Query {
                device,
                hook,
                room,
                flags,
            } => {
                let query = self.bpf(device, |index| {
                    Ok(mprog::query_flags(index, *hook, *room, *flags))
                });
                query.map_or_else(|errno| format!("{errno:?}"), |query| self.query(&query))
            }
            Op::LinkCreate {
                slot,
                device,
                hook,
                prog,
                place,
            } => {
                let link = self.bpf(device, |index| {
                    let place = self.place(place, index, *hook);
                    Link::create(&self.progs[*prog], index, *hook, place)
                });
                match link {
                    Ok(link) => {
                        self.links[*slot] = Some(link);
                        "ok".into()
                    }
                    Err(errno) => format!("{errno:?}"),
                }
            }
            Op::LinkUpdate { slot, prog, old } => {
                let old = old.map(|slot| &self.progs[slot] as &dyn AsFd);
                self.with_link(*slot, |link| words(link.update(&self.progs[*prog], old)))
            }
            Op::LinkDetach(slot) => self.with_link(*slot, |link| words(link.detach())),
            Op::LinkClose(slot) => {
                self.links[*slot] = None;
                "closed".into()
            }
            Op::LinkInfo(slot) => self.with_link(*slot, |link| self.link_info(link)),
        }
    }

    /// The attributes of a request for a netkit device.
    fn request(&self, link: &[Raw], data: &[Raw], peer: Option<&Peer>) -> Attrs {
        let mut inner = raw(data);
        if let Some(peer) = peer {
            let mut attrs = raw(&peer.attrs);
            let fd = self.spaces[peer.ns].as_fd().as_raw_fd();
            attrs.u32(libc::IFLA_NET_NS_FD, fd as u32);
            inner.nest(netkit::PEER_INFO, &ifinfomsg(peer.index, 0, 0), &attrs);
        }
        let mut attrs = raw(link);
        attrs.append(&linkinfo(netkit::KIND, Some(&inner)));
        attrs
    }

    /// In which of the namespaces a device is, and its index; one that no device has if there is no such device.
    pub fn find(&self, device: &Device) -> (usize, u32) {
        match device {
            Device::Named { ns, name } => {
                let link = self.spaces[*ns].link(name);
                (*ns, link.map_or(NOBODY, |link| link.index))
            }
            Device::Primary(n) => self.nth(*n, |known| known.primary),
            Device::Nth(n) => self.nth(*n, |_| true),
        }
    }

    fn nth(&self, n: usize, wanted: impl Fn(&Known) -> bool) -> (usize, u32) {
        let known = self.known.get_or_init(|| self.look());
        let found: Vec<_> = known.iter().filter(|known| wanted(known)).collect();
        let nth = found.get(n % found.len().max(1));
        nth.map_or((0, NOBODY), |known| (known.ns, known.index))
    }

    fn look(&self) -> Vec<Known> {
        let mut known = Vec::new();
        for (ns, space) in self.spaces.iter().enumerate() {
            let links = netkit::devices(space).unwrap_or_default();
            known.extend(links.iter().map(|link| {
                let primary = attr::find(&link.data(), netkit::IS_PRIMARY).cloned();
                Known {
                    ns,
                    index: link.index,
                    primary: primary.is_some_and(|attr| attr.payload == [1]),
                }
            }));
        }
        known
    }

    /// A netlink request about a device, by the index that it has now (loopback's is 1).
    fn on(&self, device: &Device, f: impl FnOnce(&Ns, u32) -> Answer<()>) -> Answer<()> {
        let (number, index) = self.find(device);
        f(&self.spaces[number], index)
    }

    /// bpf(2) in the device's namespace.
    fn bpf<T>(&self, device: &Device, f: impl FnOnce(u32) -> bpf::Answer<T>) -> bpf::Answer<T> {
        let (number, index) = self.find(device);
        let mut outcome = Err(Errno::EIO);
        let entered = self.spaces[number].run(|| {
            outcome = f(index);
            Ok(())
        });
        entered.map_err(|_| Errno::EIO).and(outcome)
    }

    fn place(&self, place: &Place, index: u32, hook: u32) -> mprog::Place {
        let link = |slot: usize| self.links[slot].as_ref();
        let relative = match place.relative {
            Relative::Nothing => 0,
            Relative::Prog(slot) => self.progs[slot].as_fd().as_raw_fd() as u32,
            Relative::ProgId(slot) => self.progs[slot].id,
            Relative::Link(slot) => {
                link(slot).map_or(NO_FD, |link| link.as_fd().as_raw_fd() as u32)
            }
            Relative::LinkId(slot) => link(slot).map_or(NO_ID, |link| link.id),
            Relative::Number(number) => number,
        };
        let current = || mprog::query(index, hook).map_or(1, |query| query.revision);
        mprog::Place {
            flags: place.flags,
            relative,
            replace_fd: place
                .replace
                .map_or(0, |slot| self.progs[slot].as_fd().as_raw_fd()),
            revision: match place.revision {
                Revision::Any => 0,
                Revision::Current => current(),
                Revision::Next => current() + 1,
            },
        }
    }

    fn with_link(&self, slot: usize, f: impl FnOnce(&Link) -> String) -> String {
        self.links[slot].as_ref().map_or("no link".into(), f)
    }

    pub fn prog_name(&self, id: u32) -> String {
        let slot = self.progs.iter().position(|prog| prog.id == id);
        slot.map_or(format!("id {}", if id == 0 { "0" } else { "?" }), |slot| {
            format!("prog {slot}")
        })
    }

    pub fn link_name(&self, id: u32) -> String {
        let slot = self.links.iter().flatten().position(|link| link.id == id);
        slot.map_or(if id == 0 { "-" } else { "?" }.into(), |slot| {
            format!("link {slot}")
        })
    }

    fn query(&self, query: &mprog::Query) -> String {
        let progs: Vec<_> = query.progs.iter().map(|id| self.prog_name(*id)).collect();
        let links: Vec<_> = query.links.iter().map(|id| self.link_name(*id)).collect();
        format!(
            "{:?}, count {}, revision {}, flags {}, {progs:?} {:?}, {links:?} {:?}",
            query.result,
            query.count,
            query.revision,
            query.attach_flags,
            query.prog_flags,
            query.link_flags
        )
    }

    fn link_info(&self, link: &Link) -> String {
        let info = match link.info() {
            Ok(info) => format!(
                "kind {}, {}, ifindex {}, attach type {}",
                info.kind,
                self.prog_name(info.prog_id),
                info.ifindex,
                info.attach_type
            ),
            Err(errno) => format!("{errno:?}"),
        };
        let text = link.fdinfo().unwrap_or_else(|error| error.to_string());
        let steady = |line: &&str| line.starts_with("ifindex") || line.starts_with("attach_type");
        let lines: Vec<_> = text.lines().filter(steady).collect();
        format!("{info}; {}", lines.join(", "))
    }

    /// All netkit devices, attribute by attribute.
    pub fn devices(&self) -> Result<String> {
        let mut text = String::new();
        for (number, ns) in self.spaces.iter().enumerate() {
            for link in netkit::devices(ns)? {
                let flags = link.flags & !(libc::IFF_RUNNING as u32);
                write!(text, "ns {number}: index {} flags {flags:#x}", link.index)?;
                for attr in &link.attrs {
                    match attr.kind {
                        libc::IFLA_IFNAME => write!(text, " {}", attr.text())?,
                        libc::IFLA_LINKINFO => {}
                        libc::IFLA_ADDRESS | PERM_ADDRESS => {
                            let known = attr.payload == MAC || attr.payload.iter().all(|b| *b == 0);
                            let mac = if known {
                                hex(&attr.payload)
                            } else {
                                "random".into()
                            };
                            write!(text, " {}={mac}", attr.kind)?;
                        }
                        kind if UNSTEADY.contains(&kind) => {}
                        kind => write!(text, " {kind}={}", hex(&attr.payload))?,
                    }
                }
                writeln!(text, "\n  {}", netkit::data_text(&link).replace('\n', ", "))?;
            }
        }
        Ok(text)
    }
}

fn raw(attrs: &[Raw]) -> Attrs {
    let mut bytes = Attrs::new();
    for attr in attrs {
        bytes.put(attr.kind, &attr.payload);
    }
    bytes
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a string does not fail.
        let _never = write!(text, "{byte:02x}");
    }
    text
}

fn words<T, E: WordsOfRefusal>(outcome: Result<T, E>) -> String {
    outcome.map_or_else(|why| why.words(), |_| "ok".into())
}

trait WordsOfRefusal {
    fn words(&self) -> String;
}

impl WordsOfRefusal for nl::Refusal {
    fn words(&self) -> String {
        self.to_string()
    }
}

impl WordsOfRefusal for Errno {
    fn words(&self) -> String {
        format!("{self:?}")
    }
}
