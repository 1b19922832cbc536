// SPDX-License-Identifier: GPL-2.0
//! Pairs with other devices: ports of a bridge, under macvlan, with a queueing discipline, and as target of tc's
//! redirect for packets without an Ethernet header.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use nix::mount::mount;
use nix::mount::MsFlags;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Probes;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::POD4;
use crate::inject::modprobe;
use crate::inject::tc;
use crate::inject::Tun;
use crate::netkit::Spec;
use crate::nl::attr::Attrs;
use crate::nl::link::ifinfomsg;
use crate::nl::link::linkinfo;
use crate::nl::link::Stats;
use crate::traffic;

tests![
    bridge_between_pods,
    macvlan_in_the_pod,
    multicast_group,
    queueing_discipline,
    packets_shorter_than_a_header,
    no_netconsole,
];

fn bridge_between_pods(t: &Ctx) -> Result<()> {
    let bridge = t.host.add_device("br0", "bridge")?;
    t.host.up(bridge)?;
    let (left, right) = (t.ns()?, t.ns()?);
    for (ns, name, n) in [(&left, "a", 1), (&right, "b", 2)] {
        let pair = Spec::l2().create_as(name, "eth0", &t.host, ns)?;
        t.host.set_master(pair.primary, bridge)?;
        t.host.up(pair.primary)?;
        ns.add_address(pair.peer, [10, 6, 0, n].into(), 24)?;
        ns.up(pair.peer)?;
        t.host.running(pair.primary)?;
        ns.running(pair.peer)?;
    }
    // Without a spanning tree, a port learns and forwards at once.
    check::soon("a datagram crosses the bridge", || {
        traffic::udp_arrives(&left, &right, [10, 6, 0, 2].into(), false)
    })?;
    traffic::udp_exchange(&left, &right, [10, 6, 0, 2].into(), 1000)?;
    traffic::tcp_exchange(&right, &left, [10, 6, 0, 1].into(), 200_000)
}

fn macvlan_in_the_pod(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l2())?;
    let mut attrs = linkinfo("macvlan", Some(&Attrs::new()));
    attrs
        .str(libc::IFLA_IFNAME, "mv0")
        .u32(libc::IFLA_LINK, duo.pair.peer);
    duo.pod.new_link(&ifinfomsg(0, 0, 0), &attrs)?;
    let index = duo.pod.link("mv0")?.index;
    duo.pod.add_address(index, [10, 7, 0, 2].into(), 24)?;
    duo.host
        .add_address(duo.pair.primary, [10, 7, 0, 1].into(), 24)?;
    duo.pod.up(index)?;
    duo.pod.running(index)?;
    traffic::udp_exchange(&duo.host, &duo.pod, [10, 7, 0, 2].into(), 300)
}

fn multicast_group(t: &Ctx) -> Result<()> {
    for spec in [Spec::l2(), Spec::l3()] {
        let duo = t.duo(spec)?;
        let group = std::net::Ipv4Addr::new(239, 1, 2, 3);
        let receiver = traffic::udp_receiver(&duo.pod, group.into())?;
        receiver.join_multicast_v4(&group, &POD4)?;
        receiver.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
        duo.host
            .add_route(group.into(), 32, duo.pair.primary, None)?;
        traffic::udp_send(&duo.host, group.into(), 20)?;
        let mut buffer = [0; 64];
        check::equal("bytes", receiver.recv(&mut buffer)?, 20)?;
        duo.host.del_link(duo.pair.primary)?;
    }
    Ok(())
}

fn queueing_discipline(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    tc("qdisc add dev nk0 root pfifo limit 100")?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 1000)?;
    traffic::tcp_exchange(&duo.host, &duo.pod, POD4.into(), 500_000)?;
    tc("qdisc del dev nk0 root")?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 1000)
}

/// Below fourteen bytes there is nothing to pull: dropped before any program runs.
fn packets_shorter_than_a_header(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l2())?;
    let mut probes = Probes::load(1)?;
    mprog::attach(probes.fd(0)?, duo.pair.primary, PRIMARY, Place::default())?;
    let mut tun = Tun::open()?;
    t.host.up(t.host.link("tun0")?.index)?;
    tc("qdisc add dev tun0 clsact")?;
    tc("filter add dev tun0 ingress matchall action mirred egress redirect dev nk0")?;
    let before = duo.host.stats(duo.pair.primary)?;
    for len in [1usize, 8, 13] {
        tun.write(libc::ETH_P_IP as u16, &vec![0x45; len])?;
    }
    let counted = || -> Result<Stats> { Ok(duo.host.stats(duo.pair.primary)?.since(&before)) };
    check::soon("three drops", || Ok(counted()?.tx_dropped == 3))?;
    check::equal("sent", counted()?.tx_packets, 0)?;
    check::equal("program ran", probes.seen(0)?.count, 0)?;
    // One byte more makes it a header, whatever its contents are.
    tun.write(libc::ETH_P_IP as u16, &[0x45; 14])?;
    check::soon("the next one goes", || Ok(probes.seen(0)?.count == 1))?;
    t.same("counted", format!("{:?}", counted()?));
    Ok(())
}

/// netconsole sends in any context, also where no program may run: netkit devices refuse it (`IFF_DISABLE_NETPOLL`).
fn no_netconsole(t: &Ctx) -> Result<()> {
    /// The kernel's own, which no libc knows.
    const ENOTSUPP: i32 = 524;
    const CONFIGFS: &str = "/sys/kernel/config";
    let pair = Spec::l2().create(&t.host, &t.host)?;
    let dummy = t.host.add_device("dummy0", "dummy")?;
    for index in [pair.primary, pair.peer, dummy] {
        t.host.up(index)?;
    }
    t.host.running(pair.primary)?;
    modprobe("netconsole")?;
    let none: Option<&str> = None;
    mount(none, CONFIGFS, Some("configfs"), MsFlags::empty(), none).context(CONFIGFS)?;
    let target = Path::new(CONFIGFS).join("netconsole/netkit-selftests");
    fs::create_dir(&target).with_context(|| target.display().to_string())?;
    let answers = ["dummy0", "nk0", "nk1"].map(|name| enable_netconsole(&target, name));
    fs::remove_dir(&target).context("removing the target")?;
    let errnos = answers.map(|answer| answer.err().and_then(|error| error.raw_os_error()));
    check::equal("errno", errnos, [None, Some(ENOTSUPP), Some(ENOTSUPP)])
}

/// Has the kernel's messages sent out of a device for a moment.
fn enable_netconsole(target: &Path, device: &str) -> io::Result<()> {
    let set = |key: &str, value: &str| fs::write(target.join(key), value);
    set("dev_name", device)?;
    set("local_ip", "10.9.0.1")?;
    set("remote_ip", "10.9.0.2")?;
    set("enabled", "1")?;
    set("enabled", "0")
}
