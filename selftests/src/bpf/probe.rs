// SPDX-License-Identifier: GPL-2.0
//! The compiled programs of `bpf/`: probes that look at packets, and redirects.

use std::iter;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

use anyhow::anyhow;
use anyhow::Context;
use anyhow::Result;
use aya::include_bytes_aligned;
use aya::maps::Array;
use aya::maps::MapData;
use aya::programs::SchedClassifier;
use aya::Ebpf;
use aya::EbpfLoader;

/// `struct rule` of bpf/probe.c.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Rule {
    pub verdict: i32,
    pub protocol: u32,
    pub set_mark: u32,
    pub set_type: u32,
    pub set_cb: u32,
}

/// `struct seen` of bpf/probe.c.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub count: u64,
    pub order: u64,
    pub len: u32,
    pub linear: u32,
    pub mark: u32,
    pub priority: u32,
    pub pkt_type: u32,
    pub protocol: u32,
    pub ifindex: u32,
    pub ingress_ifindex: u32,
    pub gso_size: u32,
    pub gso_segs: u32,
    pub tstamp: u64,
    pub head: [u8; 16],
    pub bytes: u64,
    pub max_len: u64,
    pub netns_cookie: u64,
    pub socket_cookie: u64,
    /// Address family of the packet's socket, 0 without one.
    pub family: u32,
    pub vlan_present: u32,
    pub vlan_tci: u32,
    pub cb: [u32; 5],
}

/// `struct target` of bpf/redirect.c.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Target {
    way: u32,
    ifindex: u32,
    daddr: u32,
    set_dmac: u32,
    dmac: [u8; 8],
    count: u64,
    last: i64,
}

// SAFETY: three structs of plain integers without padding, valid in every bit pattern.
unsafe impl aya::Pod for Rule {}
// SAFETY: as above.
unsafe impl aya::Pod for Seen {}
// SAFETY: as above.
unsafe impl aya::Pod for Target {}

/// Up to eight probes which share one clock.
pub struct Probes {
    object: Ebpf,
    count: u32,
}

impl Probes {
    /// Loads `count` probes; each lets everything go on to the next.
    pub fn load(count: u32) -> Result<Self> {
        let bytes = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/probe.o"));
        let object = load(bytes, (0..count).map(|slot| format!("p{slot}")))?;
        let mut probes = Self { object, count };
        for slot in 0..count {
            probes.verdict(slot, crate::netkit::NEXT)?;
        }
        Ok(probes)
    }

    fn map<V: aya::Pod>(&mut self, name: &str) -> Result<Array<&mut MapData, V>> {
        let map = self.object.map_mut(name);
        Ok(Array::try_from(
            map.ok_or_else(|| anyhow!("no map {name}"))?,
        )?)
    }

    pub fn rule(&mut self, slot: u32, rule: Rule) -> Result<()> {
        Ok(self.map::<Rule>("rules")?.set(slot, rule, 0)?)
    }

    /// Looks at IPv4 only, so that ARP passes, and returns `verdict`.
    pub fn verdict(&mut self, slot: u32, verdict: i32) -> Result<()> {
        self.rule(
            slot,
            Rule {
                verdict,
                protocol: libc::ETH_P_IP as u32,
                ..Rule::default()
            },
        )
    }

    pub fn seen(&mut self, slot: u32) -> Result<Seen> {
        Ok(self.map::<Seen>("seen")?.get(&slot, 0)?)
    }

    /// Forgets what all probes have seen.
    pub fn reset(&mut self) -> Result<()> {
        for slot in 0..self.count {
            self.map::<Seen>("seen")?.set(slot, Seen::default(), 0)?;
        }
        Ok(self.map::<u64>("clock")?.set(0, 0u64, 0)?)
    }

    /// The slots that have seen a packet, in the order in which they ran last.
    pub fn order(&mut self) -> Result<Vec<u32>> {
        let mut ran = Vec::new();
        for slot in 0..self.count {
            let seen = self.seen(slot)?;
            if seen.count > 0 {
                ran.push((seen.order, slot));
            }
        }
        ran.sort_unstable();
        Ok(ran.into_iter().map(|(_, slot)| slot).collect())
    }

    pub fn fd(&self, slot: u32) -> Result<BorrowedFd<'_>> {
        Ok(self.program(slot)?.fd()?.as_fd())
    }

    /// The program as aya has it.
    pub fn program(&self, slot: u32) -> Result<&SchedClassifier> {
        program(&self.object, &format!("p{slot}"))
    }

    pub fn id(&self, slot: u32) -> Result<u32> {
        super::prog::id(self.fd(slot)?).context("program id")
    }
}

/// How `redirect` sends a packet on (`enum way` of bpf/redirect.c).
#[derive(Clone, Copy, Debug)]
pub enum Way {
    Egress = 0,
    Ingress = 1,
    Peer = 2,
    Neigh = 3,
    Clone = 4,
}

/// The redirecting program.
pub struct Redirect {
    object: Ebpf,
}

impl Redirect {
    /// Sends IPv4 packets for `to` to a device; `dmac` is written into them first.
    pub fn load(way: Way, ifindex: u32, to: Ipv4Addr, dmac: Option<&[u8]>) -> Result<Self> {
        let bytes = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/redirect.o"));
        let mut object = load(bytes, iter::once("redirect".to_owned()))?;
        let mut target = Target {
            way: way as u32,
            ifindex,
            daddr: u32::from_ne_bytes(to.octets()),
            set_dmac: u32::from(dmac.is_some()),
            ..Target::default()
        };
        if let Some(dmac) = dmac {
            target.dmac[..6].copy_from_slice(dmac);
        }
        let map = object.map_mut("target").ok_or_else(|| anyhow!("no map"))?;
        Array::<_, Target>::try_from(map)?.set(0, target, 0)?;
        Ok(Self { object })
    }

    fn target(&self) -> Result<Target> {
        let map = self.object.map("target").ok_or_else(|| anyhow!("no map"))?;
        Ok(Array::<_, Target>::try_from(map)?.get(&0, 0)?)
    }

    pub fn count(&self) -> Result<u64> {
        Ok(self.target()?.count)
    }

    /// The last return value of the helper.
    pub fn last(&self) -> Result<i64> {
        Ok(self.target()?.last)
    }

    pub fn fd(&self) -> Result<BorrowedFd<'_>> {
        Ok(program(&self.object, "redirect")?.fd()?.as_fd())
    }
}

/// Loads an object and these programs of it.
pub(super) fn load(bytes: &[u8], programs: impl Iterator<Item = String>) -> Result<Ebpf> {
    // No program here needs the kernel's types, and reading them takes a second under emulation.
    let mut object = EbpfLoader::new().btf(None).load(bytes)?;
    for name in programs {
        let program = object.program_mut(&name);
        let program = program.ok_or_else(|| anyhow!("no program {name}"))?;
        let program: &mut SchedClassifier = program.try_into()?;
        program.load().with_context(|| format!("loading {name}"))?;
    }
    Ok(object)
}

pub(super) fn program<'a>(object: &'a Ebpf, name: &str) -> Result<&'a SchedClassifier> {
    let program = object.program(name);
    let program = program.ok_or_else(|| anyhow!("no program {name}"))?;
    Ok(program.try_into()?)
}
