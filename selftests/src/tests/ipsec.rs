// SPDX-License-Identifier: GPL-2.0
//! The security path of a packet, which says by which IPsec state the packet has come in, ends at a pod: through the pair, and
//! by `bpf_redirect_peer()`.

use anyhow::Result;
use nix::errno::Errno;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Redirect;
use crate::bpf::probe::Way;
use crate::bpf::secpath::Secpath;
use crate::bpf::PRIMARY;
use crate::bpf::TCX_EGRESS;
use crate::bpf::TCX_INGRESS;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::POD4;
use crate::inject;
use crate::inject::ip;
use crate::netkit::Spec;
use crate::netns::Ns;
use crate::traffic;

use super::Test;

tests![through_the_pair, by_redirect];

fn no_esp() -> Option<String> {
    let loaded = inject::modprobe("esp4").err();
    loaded.map(|error| format!("no ESP: {error}"))
}

pub fn all() -> Vec<Test> {
    let mut tests = tests();
    for test in &mut tests {
        test.lacks = no_esp;
    }
    tests
}

/// The request id of the tunnel's state.
const REQID: u32 = 5;

/// A pod, and a world that reaches the pod through a tunnel to the host's device `phys`.
struct Tunnel {
    duo: Duo,
    world: Ns,
    phys: u32,
}

impl Tunnel {
    fn new(t: &Ctx) -> Result<Self> {
        let (duo, world) = (t.duo(Spec::l3())?, t.ns()?);
        t.host.add_veth("phys", "eth0")?;
        t.host.move_to(t.host.link("eth0")?.index, &world)?;
        let (phys, eth0) = (t.host.link("phys")?.index, world.link("eth0")?.index);
        t.host.add_address(phys, [192, 168, 7, 1].into(), 24)?;
        world.add_address(eth0, [192, 168, 7, 2].into(), 24)?;
        t.host.up(phys)?;
        world.up(eth0)?;
        t.host.running(phys)?;
        world.running(eth0)?;
        world.add_route(POD4.into(), 32, eth0, Some([192, 168, 7, 1].into()))?;
        t.host.sysctl("net/ipv4/ip_forward", "1")?;

        let tunnel = "src 192.168.7.2 dst 192.168.7.1 proto esp";
        let key = "0x000102030405060708090a0b0c0d0e0f10111213";
        let state = format!(
            "xfrm state add {tunnel} spi 0x100 reqid {REQID} mode tunnel aead rfc4106(gcm(aes)) {key} 128"
        );
        let policy = |dir: &str| {
            ip(&format!(
                "xfrm policy add src 192.168.7.2 dst {POD4} dir {dir} tmpl {tunnel} reqid {REQID} mode tunnel"
            ))
        };
        t.host.run(|| ip(&state))?;
        t.host.run(|| policy("fwd"))?;
        world.run(|| ip(&state))?;
        world.run(|| policy("out"))?;
        Ok(Self { duo, world, phys })
    }

    /// A datagram of the world reaches the pod; `before` sees its security path, and `behind` sees none.
    fn path_ends(&self, before: &Secpath, behind: &Secpath) -> Result<()> {
        let came = traffic::udp_arrives(&self.world, &self.duo.pod, POD4.into(), true)?;
        check::equal("arrives", came, true)?;
        let seen = before.seen()?;
        let state = (seen.count, seen.answer, seen.reqid);
        check::equal("before", state, (1, 0, REQID))?;
        let seen = behind.seen()?;
        let none = (1, -(Errno::EINVAL as i32));
        check::equal("behind", (seen.count, seen.answer), none)
    }
}

fn through_the_pair(t: &Ctx) -> Result<()> {
    let tunnel = Tunnel::new(t)?;
    let (before, behind) = (Secpath::load(POD4)?, Secpath::load(POD4)?);
    let primary = tunnel.duo.pair.primary;
    mprog::attach(before.fd()?, primary, TCX_EGRESS, Place::default())?;
    mprog::attach(behind.fd()?, primary, PRIMARY, Place::default())?;
    tunnel.path_ends(&before, &behind)
}

/// What comes out of the tunnel meets tcx ingress of the same device again.
fn by_redirect(t: &Ctx) -> Result<()> {
    let tunnel = Tunnel::new(t)?;
    let (before, behind) = (Secpath::load(POD4)?, Secpath::load(POD4)?);
    let redirect = Redirect::load(Way::Peer, tunnel.duo.pair.primary, POD4, None)?;
    mprog::attach(before.fd()?, tunnel.phys, TCX_INGRESS, Place::default())?;
    mprog::attach(redirect.fd()?, tunnel.phys, TCX_INGRESS, Place::default())?;
    tunnel.duo.attach_in_pod(behind.fd()?, TCX_INGRESS)?;
    tunnel.path_ends(&before, &behind)?;
    check::equal("redirected", redirect.count()?, 1)
}
