// SPDX-License-Identifier: GPL-2.0
//! Transparent proxies (TPROXY): a program gives a connection to a socket that listens elsewhere (`bpf_sk_assign()`), and that
//! socket answers in the name of the destination (`IP_TRANSPARENT`).
//!
//! The helper is for tc's ingress. netkit's programs run at the egress, with either driver and either setting of `dev_switch`:
//! there it answers EOPNOTSUPP. What they can do is to redirect the packet to the ingress of the proxy's device. The program of
//! the primary can name a device of the host only if packets change devices after it.

use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::SocketAddrV4;
use std::net::TcpListener;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;
use socket2::Domain;
use socket2::Socket;
use socket2::Type;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Redirect;
use crate::bpf::probe::Way;
use crate::bpf::tproxy;
use crate::bpf::tproxy::Tproxy;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::bpf::TCX_INGRESS;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::POD4;
use crate::inject::ip;
use crate::module;
use crate::netkit::Spec;
use crate::netns::Ns;

use super::dev_switch::change;
use super::dev_switch::AFTER;
use super::dev_switch::BEFORE;

tests![
    from_the_pod,
    into_the_pod,
    by_netkits_programs,
    by_redirect_from_the_primary,
];

const PROXY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4242);
/// Where clients connect to.
const SERVICE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1)), 80);
const POD: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(POD4), 80);
const COMES: Duration = Duration::from_secs(5);
const COMES_NOT: Duration = Duration::from_millis(200);

/// A transparent socket that listens in a namespace, and the route that makes marked packets local there.
fn proxy(ns: &Ns) -> Result<TcpListener> {
    ns.run(|| {
        ip(&format!("rule add fwmark {} lookup 100", tproxy::MARK))?;
        ip("route add local 0.0.0.0/0 dev lo table 100")?;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_ip_transparent_v4(true)?;
        socket.bind(&SocketAddr::from(PROXY).into())?;
        socket.listen(8)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    })
}

fn connect(from: &Ns, to: SocketAddr, limit: Duration) -> Result<TcpStream> {
    from.run(|| Ok(TcpStream::connect_timeout(&to, limit)?))
}

/// A client's connection to `to` ends at the proxy, which speaks for `to`.
fn proxied(listener: &TcpListener, client: &Ns, to: SocketAddr) -> Result<()> {
    let mut near = connect(client, to, COMES).context("connecting")?;
    let mut accepted = None;
    check::soon("the proxy's connection", || {
        accepted = listener.accept().ok();
        Ok(accepted.is_some())
    })?;
    let (mut far, source) = accepted.context("no connection")?;
    check::equal("the proxy's address", far.local_addr()?, to)?;
    check::equal("the client's address", source, near.local_addr()?)?;
    far.set_nonblocking(false)?;
    for stream in [&near, &far] {
        stream.set_read_timeout(Some(COMES))?;
    }
    let mut buffer = [0; 5];
    near.write_all(b"hello")?;
    far.read_exact(&mut buffer).context("the request")?;
    check::equal("request", &buffer, b"hello")?;
    far.write_all(b"world")?;
    near.read_exact(&mut buffer).context("the answer")?;
    check::equal("answer", &buffer, b"world")
}

/// The pod's default route is the host.
fn duo(t: &Ctx) -> Result<Duo> {
    let duo = t.duo(Spec::l3())?;
    duo.pod
        .add_route(Ipv4Addr::UNSPECIFIED.into(), 0, duo.pair.peer, None)?;
    Ok(duo)
}

/// The proxy is in the host, behind tcx ingress of the primary.
fn from_the_pod(t: &Ctx) -> Result<()> {
    let duo = duo(t)?;
    let listener = proxy(&duo.host)?;
    let tproxy = Tproxy::load(PROXY)?;
    mprog::attach(
        tproxy.fd()?,
        duo.pair.primary,
        TCX_INGRESS,
        Place::default(),
    )?;
    proxied(&listener, &duo.pod, SERVICE)?;
    check::equal("answer", tproxy.seen()?.assigned, 0)
}

/// The proxy is in the pod, behind tcx ingress of the peer.
fn into_the_pod(t: &Ctx) -> Result<()> {
    let duo = duo(t)?;
    duo.host
        .add_route(SERVICE.ip(), 32, duo.pair.primary, None)?;
    let listener = proxy(&duo.pod)?;
    let tproxy = Tproxy::load(PROXY)?;
    duo.attach_in_pod(tproxy.fd()?, TCX_INGRESS)?;
    proxied(&listener, &duo.host, SERVICE)?;
    check::equal("answer", tproxy.seen()?.assigned, 0)
}

/// netkit's programs find the sockets of the namespace where the packet is, and cannot assign one.
fn by_netkits_programs(t: &Ctx) -> Result<()> {
    let refused = -(Errno::EOPNOTSUPP as i32);
    for in_host in [true, false] {
        let duo = duo(t)?;
        let _listener = proxy(if in_host { &duo.host } else { &duo.pod })?;
        for setting in [BEFORE, AFTER] {
            change(t, duo.pair.primary, setting)?;
            // The primary's packets are in the pod, unless they change devices later.
            let stays = setting == AFTER && module::is_loaded();
            for (hook, found) in [(PRIMARY, stays == in_host), (PEER, in_host)] {
                let tproxy = Tproxy::load(PROXY)?;
                mprog::attach(tproxy.fd()?, duo.pair.primary, hook, Place::default())?;
                let answer = if hook == PRIMARY {
                    connect(&duo.host, POD, COMES_NOT)
                } else {
                    connect(&duo.pod, SERVICE, COMES_NOT)
                };
                check::that("no proxy answers", answer.is_err())?;
                let seen = tproxy.seen()?;
                let what = format!("hook {hook}, in the host {in_host}, setting {setting}");
                check::that(&what, seen.packets > 0)?;
                check::equal(&what, seen.found, if found { seen.packets } else { 0 })?;
                let expected = if found { refused } else { i32::MIN };
                check::equal(&what, seen.assigned, expected)?;
                mprog::detach(
                    Some(&tproxy.fd()?),
                    duo.pair.primary,
                    hook,
                    Place::default(),
                )?;
            }
        }
        t.host.del_link(duo.pair.primary)?;
        if in_host {
            ip("rule del fwmark 1 lookup 100")?;
            ip("route flush table 100")?;
        }
    }
    Ok(())
}

/// From another pod, through the host, to the pod: the primary's program redirects to the ingress of a device of the host, where
/// a program assigns the proxy's socket.
fn by_redirect_from_the_primary(t: &Ctx) -> Result<()> {
    // A number that no device of the pod has.
    for name in ["d0", "d1", "d2", "d3"] {
        t.host.add_device(name, "dummy")?;
    }
    let device = t.host.add_device("proxy", "dummy")?;
    t.host.up(device)?;
    let duo = duo(t)?;
    check::that("no such device", duo.pod.link_by_index(device).is_err())?;
    let client = t.ns()?;
    let second = Spec::l3().create_as("s0", "s1", &t.host, &client)?;
    t.host
        .add_address(second.primary, [10, 2, 0, 1].into(), 24)?;
    client.add_address(second.peer, [10, 2, 0, 2].into(), 24)?;
    t.host.up(second.primary)?;
    client.up(second.peer)?;
    t.host.running(second.primary)?;
    client.running(second.peer)?;
    client.add_route(POD.ip(), 32, second.peer, Some([10, 2, 0, 1].into()))?;
    t.host.sysctl("net/ipv4/ip_forward", "1")?;
    // Otherwise the host finds the proxy's connection before it finds the route, and does not forward the packet.
    t.host.sysctl("net/ipv4/tcp_early_demux", "0")?;

    let listener = proxy(&t.host)?;
    let tproxy = Tproxy::load(PROXY)?;
    mprog::attach(tproxy.fd()?, device, TCX_INGRESS, Place::default())?;
    // A pair of mode L3 has no addresses: the device would take the packet for somebody else's.
    let mac = t.host.link("proxy")?.mac();
    let redirect = Redirect::load(Way::Ingress, device, POD4, Some(&mac))?;
    mprog::attach(redirect.fd()?, duo.pair.primary, PRIMARY, Place::default())?;
    let lost = || -> Result<()> {
        let before = redirect.count()?;
        check::that("no connection", connect(&client, POD, COMES_NOT).is_err())?;
        check::that("redirected", redirect.count()? > before)?;
        check::equal("seen by the proxy", tproxy.seen()?.packets, 0)
    };
    lost()?;
    change(t, duo.pair.primary, AFTER)?;
    if module::is_loaded() {
        proxied(&listener, &client, POD)?;
        check::equal("answer", tproxy.seen()?.assigned, 0)
    } else {
        lost()
    }
}
