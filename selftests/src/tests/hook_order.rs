// SPDX-License-Identifier: GPL-2.0
//! The order in which a packet meets all hooks of a pair: tcx, clsact (`cls_bpf`) and a qdisc of the sending device,
//! netkit's own programs, tcx and clsact of the receiving device. And programs that move between netkit and tcx.

use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;

use crate::bpf;
use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Probes;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::bpf::TCX_EGRESS;
use crate::bpf::TCX_INGRESS;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::inject::tc;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::NEXT;
use crate::netkit::PASS;
use crate::netns::Ns;
use crate::runner::BPFFS;
use crate::tests::module::meanwhile;
use crate::traffic;

tests![
    from_the_primary,
    from_the_peer,
    drops_behind_a_qdisc,
    moved_under_traffic,
    links_moved_under_traffic,
];

/// The probes, in the order in which a packet meets them.
const TCX: u32 = 0;
const CLSACT: u32 = 1;
const QDISC: u32 = 2;
const NETKIT: u32 = 3;
const FAR_TCX: u32 = 4;
const FAR_CLSACT: u32 = 5;
const ALL: [u32; 6] = [TCX, CLSACT, QDISC, NETKIT, FAR_TCX, FAR_CLSACT];

/// A pair with a probe at each hook for packets of one direction.
struct Course {
    from: Ns,
    to: Ns,
    ip: IpAddr,
    probes: Probes,
}

fn qdisc(ns: &Ns, device: &str, probe: u32) -> Result<()> {
    ns.run(|| {
        tc(&format!("qdisc add dev {device} root handle 1: prio"))?;
        let pin = pin(probe);
        tc(&format!(
            "filter add dev {device} parent 1: protocol all bpf object-pinned {pin} flowid 1:1"
        ))
    })
}

fn clsact(ns: &Ns, device: &str, side: &str, probe: u32) -> Result<()> {
    ns.run(|| {
        tc(&format!("qdisc add dev {device} clsact"))?;
        let pin = pin(probe);
        tc(&format!(
            "filter add dev {device} {side} bpf da object-pinned {pin}"
        ))
    })
}

/// Where tc finds a probe.
fn pin(probe: u32) -> String {
    format!("{BPFFS}/p{probe}")
}

impl Course {
    fn new(duo: &Duo, hook: u32) -> Result<Self> {
        // The devices by the end that sends: name, namespace, index.
        let (host, pod) = (duo.host.clone(), duo.pod.clone());
        let ends = [
            ("nk0", host, duo.pair.primary, HOST4),
            ("nk1", pod, duo.pair.peer, POD4),
        ];
        let [near, far] = if hook == PRIMARY {
            ends
        } else {
            let [primary, peer] = ends;
            [peer, primary]
        };
        let probes = Probes::load(ALL.len() as u32)?;
        for probe in [CLSACT, QDISC, FAR_CLSACT] {
            bpf::pin(probes.fd(probe)?, Path::new(&pin(probe)))?;
        }
        let tcx = |ns: &Ns, index, hook, probe| {
            let fd = probes.fd(probe)?;
            ns.run(|| Ok(mprog::attach(fd, index, hook, Place::default())?))
        };
        tcx(&near.1, near.2, TCX_EGRESS, TCX)?;
        tcx(&duo.host, duo.pair.primary, hook, NETKIT)?;
        tcx(&far.1, far.2, TCX_INGRESS, FAR_TCX)?;
        clsact(&near.1, near.0, "egress", CLSACT)?;
        clsact(&far.1, far.0, "ingress", FAR_CLSACT)?;
        qdisc(&near.1, near.0, QDISC)?;
        Ok(Self {
            from: near.1,
            to: far.1,
            ip: far.3.into(),
            probes,
        })
    }

    /// With this verdict of one probe, a datagram meets these probes.
    fn meets(&mut self, probe: u32, verdict: i32, expected: &[u32], arrives: bool) -> Result<()> {
        let what = format!("probe {probe} returns {verdict}");
        self.probes.verdict(probe, verdict)?;
        self.probes.reset()?;
        let got = traffic::udp_arrives(&self.from, &self.to, self.ip, arrives)?;
        check::equal(&what, self.probes.order()?, expected.to_vec())?;
        check::equal(&what, got, arrives)?;
        self.probes.verdict(probe, NEXT)
    }
}

/// Each hook lets a packet go on, passes it, or drops it. A verdict of tcx but "next" leaves clsact out.
fn order(t: &Ctx, hook: u32) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let mut course = Course::new(&duo, hook)?;
    course.meets(NETKIT, NEXT, &ALL, true)?;
    course.meets(TCX, PASS, &[TCX, QDISC, NETKIT, FAR_TCX, FAR_CLSACT], true)?;
    course.meets(TCX, DROP, &[TCX], false)?;
    course.meets(CLSACT, PASS, &ALL, true)?;
    course.meets(CLSACT, DROP, &ALL[..2], false)?;
    course.meets(NETKIT, PASS, &ALL, true)?;
    course.meets(NETKIT, DROP, &ALL[..4], false)?;
    course.meets(FAR_TCX, PASS, &ALL[..5], true)?;
    course.meets(FAR_TCX, DROP, &ALL[..5], false)?;
    course.meets(FAR_CLSACT, DROP, &ALL, false)?;
    t.same(
        "primary",
        format!("{:?}", duo.host.stats(duo.pair.primary)?),
    );
    t.same("peer", format!("{:?}", duo.pod.stats(duo.pair.peer)?));
    Ok(())
}

fn from_the_primary(t: &Ctx) -> Result<()> {
    order(t, PRIMARY)
}

fn from_the_peer(t: &Ctx) -> Result<()> {
    order(t, PEER)
}

/// The sender of a packet that netkit drops is told, unless a qdisc is in between.
fn drops_behind_a_qdisc(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3().policy(DROP))?;
    let frame = traffic::udp_frame(&[0; 6], HOST4, POD4, b"netkit")?;
    let send = || traffic::send_frame(&duo.host, duo.pair.primary, &frame);
    let dropped = || -> Result<_> { Ok(duo.host.stats(duo.pair.primary)?.tx_dropped) };
    check::errno("without a qdisc", send(), Errno::ENOBUFS)?;
    check::equal("dropped", dropped()?, 1)?;
    tc("qdisc add dev nk0 root pfifo")?;
    check::equal("with a qdisc", send(), Ok(()))?;
    check::soon("the qdisc sends it", || Ok(dropped()? == 2))?;
    tc("qdisc del dev nk0 root")?;
    check::errno("without it", send(), Errno::ENOBUFS)
}

/// Each datagram arrives before the next one is sent, while a program moves; and it has met the program.
fn moving(t: &Ctx, mut step: impl FnMut(&Duo, &Probes, bool) -> Result<()>) -> Result<()> {
    const MOVES: u32 = 40;
    let duo = t.duo(Spec::l3())?;
    let mut probes = Probes::load(1)?;
    // A program that is attached by tcx all the time. With the first and the last one the kernel rewrites its machine code, and
    // QEMU without KVM may execute a breakpoint that is no longer there.
    let other = t.host.add_device("other", "dummy")?;
    mprog::attach(Prog::returning(NEXT)?, other, TCX_EGRESS, Place::default())?;
    let sender = traffic::udp_sender(&duo.host, POD4.into())?;
    let receiver = traffic::udp_receiver(&duo.pod, POD4.into())?;
    receiver.set_read_timeout(Some(Duration::from_secs(5)))?;
    step(&duo, &probes, false)?;
    let mut total = 0;
    meanwhile(
        |_| {
            check::equal("sent", sender.send(&[0; 100])?, 100)?;
            let mut buffer = [0; 200];
            check::equal("received", receiver.recv(&mut buffer).context("lost")?, 100)
        },
        |rounds| {
            for number in 0..MOVES {
                let before = rounds.load(Relaxed);
                step(&duo, &probes, number % 2 == 0)?;
                check::soon("datagrams", || Ok(rounds.load(Relaxed) > before + 2))?;
            }
            total = rounds.load(Relaxed);
            Ok(())
        },
    )?;
    let seen = probes.seen(0)?.count;
    t.note(format!("{total} datagrams, {seen} runs"));
    check::that("each has met the program", seen >= u64::from(total))?;
    check::equal("dropped", duo.host.stats(duo.pair.primary)?.tx_dropped, 0)
}

/// Attached at the new place, then detached from the old one.
fn moved_under_traffic(t: &Ctx) -> Result<()> {
    let mut place = None;
    moving(t, |duo, probes, to_tcx| {
        let (new, prog) = (if to_tcx { TCX_EGRESS } else { PRIMARY }, probes.fd(0)?);
        mprog::attach(prog, duo.pair.primary, new, Place::default())?;
        if let Some(old) = place.replace(new) {
            mprog::detach(Some(&prog), duo.pair.primary, old, Place::default())?;
        }
        Ok(())
    })
}

/// By links: the new one is there before the old one goes.
fn links_moved_under_traffic(t: &Ctx) -> Result<()> {
    let mut link = None;
    moving(t, |duo, probes, to_tcx| {
        let hook = if to_tcx { TCX_EGRESS } else { PRIMARY };
        let new = Link::create(probes.fd(0)?, duo.pair.primary, hook, Place::default())?;
        if let Some(old) = link.replace(new) {
            old.detach()?;
        }
        Ok(())
    })
}
