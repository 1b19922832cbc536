// SPDX-License-Identifier: GPL-2.0
//! Netfilter's egress rules of a card see what pods send through it.
//!
//! The built-in driver leaves the mark of a redirect (`nf_skip_egress`) on each packet. Unless an ingress hook exists
//! anywhere, the rules of the card behind do not run: a rule that drops lets the packet out. With veth in the place of
//! netkit, and with the Rust driver, the rules always run.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use anyhow::Result;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::check;
use crate::ctx::Ctx;
use crate::inject;
use crate::inject::tc;
use crate::module;
use crate::netkit::Spec;
use crate::netkit::PASS;
use crate::netns::Ns;
use crate::nl::nft;
use crate::traffic;

tests![forwarded_ipv4, forwarded_ipv6, bridged, pod_to_pod];

/// How packets get from the pod to the other end.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Way {
    Ipv4,
    Ipv6,
    Bridge,
    /// As `Ipv4`, and the other end is a pod, too.
    Pod,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Netkit,
    Veth,
}

/// A device of the host, named NAME, and eth0 in another namespace.
struct Pair {
    near: u32,
    ns: Ns,
    far: u32,
}

impl Pair {
    fn new(t: &Ctx, host: &Ns, kind: Kind, name: &str) -> Result<Self> {
        let ns = t.ns()?;
        if kind == Kind::Netkit {
            Spec::l2().create_as(name, "eth0", host, &ns)?;
        } else {
            host.add_veth(name, "eth0")?;
            host.move_to(host.link("eth0")?.index, &ns)?;
        }
        let (near, far) = (host.link(name)?.index, ns.link("eth0")?.index);
        ns.enable_ipv6()?;
        host.up(near)?;
        ns.up(far)?;
        host.running(near)?;
        ns.running(far)?;
        Ok(Self { near, ns, far })
    }

    /// The other end gets an address, and the host, if it forwards, the gateway's.
    fn address(&self, host: Option<&Ns>, subnet: u8, number: u8, way: Way) -> Result<IpAddr> {
        let (ip, gateway, prefix, all): (IpAddr, IpAddr, u8, IpAddr) = if way == Way::Ipv6 {
            let ip = |last| Ipv6Addr::new(0xfd00 + u16::from(subnet), 0, 0, 0, 0, 0, 0, last);
            let all = Ipv6Addr::UNSPECIFIED;
            (ip(u16::from(number)).into(), ip(1).into(), 64, all.into())
        } else {
            let ip = |last| Ipv4Addr::new(10, subnet, 0, last);
            (
                ip(number).into(),
                ip(1).into(),
                24,
                Ipv4Addr::UNSPECIFIED.into(),
            )
        };
        self.ns.add_address(self.far, ip, prefix)?;
        if let Some(host) = host {
            host.add_address(self.near, gateway, prefix)?;
            self.ns.add_route(all, 0, self.far, Some(gateway))?;
        }
        Ok(ip)
    }
}

/// What is sent from the pod arrives at the other end, until a rule for the device `card` drops it.
struct Path {
    host: Ns,
    pod: Pair,
    other: Pair,
    to: IpAddr,
}

impl Path {
    fn new(t: &Ctx, host: Ns, way: Way, kind: Kind) -> Result<Self> {
        host.enable_ipv6()?;
        let pod = Pair::new(t, &host, kind, "pod")?;
        let other_kind = if way == Way::Pod { kind } else { Kind::Veth };
        let other = Pair::new(t, &host, other_kind, "card")?;
        let to = if way == Way::Bridge {
            let bridge = host.add_device("br0", "bridge")?;
            host.set_master(pod.near, bridge)?;
            host.set_master(other.near, bridge)?;
            host.up(bridge)?;
            pod.address(None, 1, 2, way)?;
            other.address(None, 1, 3, way)?
        } else {
            host.sysctl("net/ipv4/ip_forward", "1")?;
            host.sysctl("net/ipv6/conf/all/forwarding", "1")?;
            pod.address(Some(&host), 1, 2, way)?;
            other.address(Some(&host), 2, 2, way)?
        };
        let path = Self {
            host,
            pod,
            other,
            to,
        };
        check::soon("arrives without a rule", || path.arrives(true))?;
        nft::drop_egress(&path.host, "card")?;
        Ok(path)
    }

    fn arrives(&self, expected: bool) -> Result<bool> {
        traffic::udp_arrives(&self.pod.ns, &self.other.ns, self.to, expected)
    }

    fn dropped(&self, what: &str) -> Result<()> {
        for _ in 0..3 {
            check::equal(what, self.arrives(false)?, false)?;
        }
        Ok(())
    }
}

fn rules_are_run(t: &Ctx, way: Way) -> Result<()> {
    inject::modprobe("nf_tables")?;
    Path::new(t, t.ns()?, way, Kind::Veth)?.dropped("through veth")?;
    let path = Path::new(t, t.host.clone(), way, Kind::Netkit)?;
    let through = |what: &str| {
        if module::is_loaded() {
            return path.dropped(what);
        }
        // Ingress hooks of earlier tests go in the background.
        check::soon("the built-in driver lets it out", || path.arrives(true))
    };
    through("through netkit")?;
    let pass = Prog::returning(PASS)?;
    mprog::attach(&pass, path.pod.near, PEER, Place::default())?;
    through("behind a program")?;
    tc("qdisc add dev lo clsact")?;
    path.dropped("with an ingress hook elsewhere")
}

fn forwarded_ipv4(t: &Ctx) -> Result<()> {
    rules_are_run(t, Way::Ipv4)
}

fn forwarded_ipv6(t: &Ctx) -> Result<()> {
    rules_are_run(t, Way::Ipv6)
}

fn bridged(t: &Ctx) -> Result<()> {
    rules_are_run(t, Way::Bridge)
}

fn pod_to_pod(t: &Ctx) -> Result<()> {
    rules_are_run(t, Way::Pod)
}
