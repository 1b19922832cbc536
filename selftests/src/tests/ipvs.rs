// SPDX-License-Identifier: GPL-2.0
//! IPVS on a node with pods behind netkit: the client is a pod or the node, the server is another pod.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::process::Command;
use std::process::Stdio;

use anyhow::Context;
use anyhow::Result;

use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::inject;
use crate::netkit::Spec;
use crate::nl::ipvs;
use crate::nl::ipvs::Method;
use crate::nl::ipvs::Service;
use crate::tests::Test;
use crate::traffic;

tests![
    masquerade_in_l2,
    masquerade_in_l3,
    direct_route_in_l2,
    direct_route_in_l3,
    client_on_the_node,
];

/// All tests of the file.
pub fn all() -> Vec<Test> {
    let mut all = tests();
    for test in &mut all {
        test.lacks = no_ipvs;
    }
    all
}

/// The scheduler that the services have; it brings IPVS along.
const MODULE: &str = "ip_vs_rr";

fn no_ipvs() -> Option<String> {
    let mut modprobe = Command::new("modprobe");
    let modprobe = modprobe.args(["--dry-run", MODULE]).stderr(Stdio::null());
    let there = modprobe.status().is_ok_and(|status| status.success());
    (!there).then(|| format!("the kernel has no module {MODULE}"))
}

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 4, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 4, 0, 2);
const LOOPBACK: u32 = 1;

/// The node is the host, with the service's address; the client and the server are pods.
struct Node {
    client: Duo,
    server: Duo,
}

impl Node {
    fn new(t: &Ctx, spec: &Spec, method: Method) -> Result<Self> {
        inject::modprobe(MODULE)?;
        let client = t.duo(spec.clone())?;
        let pod = t.ns()?;
        let pair = spec.clone().create_as("srv0", "srv1", &t.host, &pod)?;
        let host = t.host.clone();
        let server = Duo { host, pod, pair };
        server.addresses(GATEWAY.into(), SERVER.into(), 24)?;
        server.up()?;

        t.host.add_address(LOOPBACK, SERVICE.into(), 32)?;
        t.host.sysctl("net/ipv4/ip_forward", "1")?;
        let all = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        for (duo, gateway) in [(&client, HOST4), (&server, GATEWAY)] {
            duo.pod
                .add_route(all, 0, duo.pair.peer, Some(gateway.into()))?;
        }
        if method == Method::DirectRoute {
            server.pod.add_address(LOOPBACK, SERVICE.into(), 32)?;
            // The answers come from an address that the node has itself.
            t.host.sysctl("net/ipv4/conf/srv0/accept_local", "1")?;
        }
        for protocol in [libc::IPPROTO_TCP, libc::IPPROTO_UDP] {
            let service = Service {
                protocol,
                ip: SERVICE,
                port: traffic::PORT,
            };
            ipvs::serve(&service, SERVER, method).context("IPVS")?;
        }
        Ok(Self { client, server })
    }

    /// Packets of the service have gone through both pairs, there and back.
    fn counted(&self) -> Result<()> {
        for (what, duo) in [("client", &self.client), ("server", &self.server)] {
            let pod = duo.pod.stats(duo.pair.peer)?;
            check::that(what, pod.rx_packets > 5 && pod.tx_packets > 5)?;
            let host = duo.host.stats(duo.pair.primary)?;
            check::equal(what, (pod.tx_dropped, host.tx_dropped), (0, 0))?;
        }
        Ok(())
    }
}

fn pod_to_pod(t: &Ctx, spec: &Spec, method: Method) -> Result<()> {
    let node = Node::new(t, spec, method)?;
    let (client, server, ip) = (&node.client.pod, &node.server.pod, SERVICE.into());
    if method == Method::Masquerade {
        traffic::udp_exchange(client, server, ip, 1000)?;
        // In fragments.
        traffic::udp_exchange(client, server, ip, 8000)?;
    } else {
        // The answer would come from the server's own address.
        let arrives = traffic::udp_arrives(client, server, ip, true)?;
        check::that("a datagram arrives", arrives)?;
    }
    traffic::tcp_exchange(client, server, ip, 500_000)?;
    node.counted()
}

fn masquerade_in_l2(t: &Ctx) -> Result<()> {
    pod_to_pod(t, &Spec::l2(), Method::Masquerade)
}

fn masquerade_in_l3(t: &Ctx) -> Result<()> {
    pod_to_pod(t, &Spec::l3(), Method::Masquerade)
}

fn direct_route_in_l2(t: &Ctx) -> Result<()> {
    pod_to_pod(t, &Spec::l2(), Method::DirectRoute)
}

fn direct_route_in_l3(t: &Ctx) -> Result<()> {
    pod_to_pod(t, &Spec::l3(), Method::DirectRoute)
}

/// The node itself asks for the service, which is then changed on its way out.
fn client_on_the_node(t: &Ctx) -> Result<()> {
    let node = Node::new(t, &Spec::l3(), Method::Masquerade)?;
    let (server, ip) = (&node.server.pod, SERVICE.into());
    traffic::udp_exchange(&t.host, server, ip, 1000)?;
    traffic::tcp_exchange(&t.host, server, ip, 300_000)
}
