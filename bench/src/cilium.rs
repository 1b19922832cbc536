// SPDX-License-Identifier: GPL-2.0
//! Sockets across the path of packets with Cilium: a client outside, the host, a pod.
//!
//! ```text
//! client's namespace        host                         pod's namespace
//! ext0 ─────veth───── nic0 ┐              ┌ lxc0 ───pair─── eth0
//!                          └─ redirect_peer ─────────────────►   tcx ingress of nic0
//!                     nic0 ◄── redirect_neigh ────────────────   netkit: the pod's own end
//!                                                                veth: tcx ingress of lxc0
//! ```
//!
//! The two programs (bpf/bench.c) redirect as Cilium's programs do, and do nothing else. The host does not forward
//! packets itself: all packets that arrive were redirected by the programs. netkit is in its default mode, L3, which
//! Cilium uses. The network card is a veth pair for every driver.

use std::os::fd::AsRawFd;
use std::process;

use anyhow::Context;
use anyhow::Result;

use crate::bed;
use crate::bed::index;
use crate::bpf;
use crate::bpf::Prog;
use crate::netns::Ns;
use crate::raw::Driver;
use crate::raw::Sample;
use crate::sockets::Ends;

const HOST: &str = "198.18.4.1";
const CLIENT: &str = "198.18.4.2";
const POD: &str = "198.18.5.2";
/// Nobody's: the way out of the pod leads into a program.
const GATEWAY: &str = "169.254.1.1";

fn path(ns: &Ns) -> String {
    format!("/proc/{}/fd/{}", process::id(), ns.as_raw_fd())
}

pub fn measure(driver: Driver) -> Result<Vec<Sample>> {
    let (client, pod) = (Ns::new()?, Ns::new()?);
    let kind = if driver == Driver::Veth {
        "veth"
    } else {
        "netkit mode l3"
    };
    bed::ip(&format!(
        "link add nic0 type veth peer name ext0 netns {}\n\
         addr add {HOST}/24 dev nic0\n\
         link set nic0 up\n\
         link add lxc0 type {kind} peer name eth0 netns {}\n\
         link set lxc0 up\n",
        path(&client),
        path(&pod)
    ))?;
    client.run(|| {
        bed::ip(&format!(
            "addr add {CLIENT}/24 dev ext0\n\
             link set ext0 up\n\
             route add {POD}/32 via {HOST} dev ext0\n"
        ))
    })?;
    pod.run(|| {
        bed::ip(&format!(
            "addr add {POD}/32 dev eth0\n\
             link set eth0 up\n\
             neigh add {GATEWAY} lladdr 02:00:00:00:00:99 nud permanent dev eth0\n\
             route add default via {GATEWAY} dev eth0 onlink\n"
        ))
    })?;
    bed::settle();

    let (nic, lxc) = (index("nic0")?, index("lxc0")?);
    let to_pod = Prog::load("to_pod", lxc)?;
    let from_pod = Prog::load("from_pod", nic)?;
    to_pod.attach(nic, bpf::TCX_INGRESS)?;
    let out = match driver {
        Driver::Veth => bpf::TCX_INGRESS,
        _ => bpf::NETKIT_PEER,
    };
    from_pod.attach(lxc, out)?;

    let ends = Ends {
        client: &client,
        server: &pod,
        address: POD.parse().context("the pod's address")?,
    };
    let samples = ends.measure("cilium", driver);
    bed::ip("link del lxc0\nlink del nic0\n")?;
    samples
}
