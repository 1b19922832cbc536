// SPDX-License-Identifier: GPL-2.0
//! The pairs that carry traffic: of every kind, alone, at a bridge, and under VLANs, with programs attached in every
//! way.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Result;

use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place as At;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::netkit::Pair;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::NEXT;
use crate::netkit::PASS;
use crate::netns::Ns;
use crate::nl::attr::Attrs;
use crate::nl::link::ifinfomsg;
use crate::nl::link::linkinfo;
use crate::runner::BPFFS;
use crate::traffic;

/// Where a stream begins or ends.
pub struct End {
    pub ns: Ns,
    pub ip: Ipv4Addr,
}

/// A way for traffic.
pub struct Place {
    pub name: &'static str,
    pub ends: [End; 2],
    /// Namespace and index of the primaries that the traffic crosses.
    pub primaries: Vec<(Ns, u32)>,
    /// Closed with the place; a pinned link has no other holder than its pin.
    _links: Vec<Link>,
}

/// Addresses of the place's two ends.
fn ips(number: u8) -> [Ipv4Addr; 2] {
    [1, 2].map(|end| Ipv4Addr::new(10, 20, number, end))
}

fn address(ns: &Ns, index: u32, ip: Ipv4Addr) -> Result<()> {
    ns.add_address(index, ip.into(), 24)?;
    ns.up(index)?;
    ns.running(index)
}

impl Place {
    /// A pair between two namespaces of its own.
    fn pair(t: &Ctx, name: &'static str, number: u8, spec: Spec) -> Result<(Self, Pair)> {
        let (near, far) = (t.ns()?, t.ns()?);
        let pair = spec.create(&near, &far)?;
        near.up(pair.primary)?;
        far.up(pair.peer)?;
        let [one, two] = ips(number);
        address(&near, pair.primary, one)?;
        address(&far, pair.peer, two)?;
        let place = Self {
            name,
            primaries: vec![(near.clone(), pair.primary)],
            ends: [End { ns: near, ip: one }, End { ns: far, ip: two }],
            _links: Vec::new(),
        };
        Ok((place, pair))
    }

    fn near(&self) -> &Ns {
        &self.ends[0].ns
    }

    /// A program by itself on one hook, and one behind a link that only a pin holds on the other.
    fn programs(&self, index: u32, alone: u32, pinned: u32) -> Result<()> {
        self.near().run(|| {
            mprog::attach(Prog::returning(NEXT)?, index, alone, At::default())?;
            self.pin(index, pinned, NEXT)
        })
    }

    fn pin(&self, index: u32, hook: u32, verdict: i32) -> Result<()> {
        let link = Link::create(Prog::returning(verdict)?, index, hook, At::default())?;
        Ok(link.pin(&Path::new(BPFFS).join(self.name))?)
    }

    fn works(self) -> Result<Self> {
        let [near, far] = &self.ends;
        check::soon("the way serves", || {
            traffic::udp_arrives(&near.ns, &far.ns, far.ip.into(), false)
        })?;
        traffic::udp_exchange(&far.ns, &near.ns, near.ip.into(), 100)?;
        Ok(self)
    }
}

pub fn l3(t: &Ctx) -> Result<Place> {
    let (place, pair) = Place::pair(t, "L3", 1, Spec::l3())?;
    place.programs(pair.primary, PRIMARY, PEER)?;
    place.works()
}

pub fn l2(t: &Ctx) -> Result<Place> {
    let (place, pair) = Place::pair(t, "L2", 2, Spec::l2())?;
    place.programs(pair.primary, PEER, PRIMARY)?;
    place.works()
}

/// A peer that is a blackhole, but for the program of a pinned link, which lets everything pass.
pub fn blackhole(t: &Ctx) -> Result<Place> {
    let spec = Spec::l3().peer_policy(DROP);
    let (place, pair) = Place::pair(t, "blackhole", 3, spec)?;
    place.near().run(|| place.pin(pair.primary, PEER, PASS))?;
    place.works()
}

/// Two pods at a bridge, each behind a pair in L2 mode, one of which has a link that this process holds.
pub fn bridge(t: &Ctx) -> Result<Place> {
    let node = t.ns()?;
    let bridge = node.add_device("br0", "bridge")?;
    node.up(bridge)?;
    let mut ends = Vec::new();
    let mut primaries = Vec::new();
    for (name, ip) in ["left", "right"].into_iter().zip(ips(4)) {
        let pod = t.ns()?;
        let pair = Spec::l2().create_as(name, "eth0", &node, &pod)?;
        node.set_master(pair.primary, bridge)?;
        node.up(pair.primary)?;
        address(&pod, pair.peer, ip)?;
        node.running(pair.primary)?;
        ends.push(End { ns: pod, ip });
        primaries.push((node.clone(), pair.primary));
    }
    let prog = Prog::returning(NEXT)?;
    let link = node.run(|| Ok(Link::create(&prog, primaries[0].1, PEER, At::default())?))?;
    let [left, right] = ends
        .try_into()
        .map_err(|_| anyhow::anyhow!("a bridge between two"))?;
    let place = Place {
        name: "bridge",
        ends: [left, right],
        primaries,
        _links: vec![link],
    };
    place.works()
}

/// A VLAN on either end of a pair in L2 mode.
pub fn vlan(t: &Ctx) -> Result<Place> {
    const IFLA_VLAN_ID: u16 = 1;
    let (mut place, pair) = Place::pair(t, "VLAN", 5, Spec::l2())?;
    for ((end, lower), ip) in place
        .ends
        .iter_mut()
        .zip([pair.primary, pair.peer])
        .zip(ips(6))
    {
        let mut id = Attrs::new();
        id.u16(IFLA_VLAN_ID, 7);
        let mut attrs = linkinfo("vlan", Some(&id));
        attrs
            .str(libc::IFLA_IFNAME, "vlan7")
            .u32(libc::IFLA_LINK, lower);
        end.ns.new_link(&ifinfomsg(0, 0, 0), &attrs)?;
        address(&end.ns, end.ns.link("vlan7")?.index, ip)?;
        end.ip = ip;
    }
    place.programs(pair.primary, PRIMARY, PEER)?;
    place.works()
}

/// All of them.
pub fn all(t: &Ctx) -> Result<Vec<Place>> {
    Ok(vec![l3(t)?, l2(t)?, blackhole(t)?, bridge(t)?, vlan(t)?])
}
