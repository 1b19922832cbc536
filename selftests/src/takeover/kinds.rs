// SPDX-License-Identifier: GPL-2.0
//! Devices of every kind and in every state work with either driver.

use anyhow::Result;
use nix::errno::Errno;

use super::states::in_each;
use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::netkit;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::NEXT;
use crate::netkit::PASS;
use crate::netkit::SCRUB_NONE;
use crate::nl::attr::Attrs;
use crate::nl::link::linkinfo;
use crate::tests::tests;
use crate::traffic;

tests![pairs, single_devices, moved, programs_stay];

/// A pair in namespaces of its own, addressed, and up or down.
fn duo(t: &Ctx, spec: Spec, up: bool) -> Result<Duo> {
    let (host, pod) = (t.ns()?, t.ns()?);
    let pair = spec.create(&host, &pod)?;
    let duo = Duo { host, pod, pair };
    duo.addresses(HOST4.into(), POD4.into(), 24)?;
    if up {
        duo.up()?;
    }
    Ok(duo)
}

/// Traffic, programs and settings of a pair; `open` says in which directions its policies pass packets.
fn serves(duo: &Duo, open: [bool; 2]) -> Result<()> {
    let (host, pod, index) = (&duo.host, &duo.pod, duo.pair.primary);
    let ways = [
        (host, pod, POD4, PRIMARY, netkit::POLICY),
        (pod, host, HOST4, PEER, netkit::PEER_POLICY),
    ];
    for ((from, to, ip, hook, policy), open) in ways.into_iter().zip(open) {
        let arrives = |expected| -> Result<()> {
            let arrived = traffic::udp_arrives(from, to, ip.into(), expected)?;
            check::equal("arrives", arrived, expected)
        };
        arrives(open)?;
        let (passes, drops) = (Prog::returning(PASS)?, Prog::returning(DROP)?);
        let link = host.run(|| Ok(Link::create(&drops, index, hook, Place::default())?))?;
        arrives(false)?;
        link.update(&passes, None)?;
        arrives(true)?;
        link.detach()?;
        for value in [!open, open] {
            let mut data = Attrs::new();
            data.u32(policy, if value { PASS } else { DROP } as u32);
            host.set_link(index, &linkinfo(netkit::KIND, Some(&data)))?;
            arrives(value)?;
        }
    }
    Ok(())
}

fn pairs(t: &Ctx) -> Result<()> {
    let forms = [
        (Spec::l3(), true, [true, true]),
        (Spec::l2(), true, [true, true]),
        (Spec::l3().policy(DROP), false, [false, true]),
        (Spec::l3().peer_policy(DROP), true, [true, false]),
        (
            Spec::l2().scrub(SCRUB_NONE).headroom(64),
            false,
            [true, true],
        ),
    ];
    let mut duos = Vec::new();
    for (spec, up, open) in forms {
        duos.push((duo(t, spec, up)?, up, open));
    }
    in_each(t, |state| {
        for (duo, up, open) in &duos {
            if !up {
                duo.up()?;
            }
            serves(duo, *open)?;
            if !up {
                duo.host.down(duo.pair.primary)?;
                duo.pod.down(duo.pair.peer)?;
            }
        }
        // And one more pair, which the current driver makes.
        let new = duo(t, Spec::l3(), true)?;
        serves(&new, [true, true])?;
        if state.ours() {
            new.host.del_link(new.pair.primary)?;
        }
        Ok(())
    })
}

fn single_devices(t: &Ctx) -> Result<()> {
    let up = Spec::new().create_single("up", &t.host)?;
    t.host.up(up)?;
    let down = Spec::l2().rx_queues(4).create_single("down", &t.host)?;
    in_each(t, |_| {
        let before = t.host.stats(up)?;
        // There is no receiver, and no report.
        let _dropped = traffic::send_frame(&t.host, up, &[0; 60]);
        let counted = t.host.stats(up)?.since(&before);
        check::equal("dropped", counted.tx_dropped, 1)?;
        for index in [up, down] {
            let prog = Prog::returning(NEXT)?;
            let attach = mprog::attach(&prog, index, PRIMARY, Place::default());
            check::errno("attach", attach, Errno::EOPNOTSUPP)?;
            t.host.set_mtu(index, 1400)?;
            t.host.set_mtu(index, 1500)?;
        }
        t.host.up(down)?;
        Ok(t.host.down(down)?)
    })
}

/// A pair whose ends move to other namespaces in each driver's hands.
fn moved(t: &Ctx) -> Result<()> {
    let mut duo = duo(t, Spec::l3(), true)?;
    let mut empty = [t.ns()?, t.ns()?];
    in_each(t, |_| {
        duo.host.move_to(duo.pair.primary, &empty[0])?;
        duo.pod.move_to(duo.pair.peer, &empty[1])?;
        let left = [duo.host.clone(), duo.pod.clone()];
        [duo.host, duo.pod] = std::mem::replace(&mut empty, left);
        duo.pair.primary = duo.host.link("nk0")?.index;
        duo.pair.peer = duo.pod.link("nk1")?.index;
        duo.addresses(HOST4.into(), POD4.into(), 24)?;
        duo.up()?;
        serves(&duo, [true, true])
    })
}

/// Programs and links that were there before decide over the traffic in each state, in their order.
fn programs_stay(t: &Ctx) -> Result<()> {
    let duo = duo(t, Spec::l3(), true)?;
    let [first, second] = [Prog::returning(NEXT)?, Prog::returning(NEXT)?];
    let (passes, drops) = (Prog::returning(PASS)?, Prog::returning(DROP)?);
    let index = duo.pair.primary;
    let link = duo.host.run(|| {
        mprog::attach(&first, index, PRIMARY, Place::default())?;
        let link = Link::create(&drops, index, PRIMARY, Place::default())?;
        mprog::attach(&second, index, PRIMARY, Place::default())?;
        Ok(link)
    })?;
    in_each(t, |_| {
        let query = duo.host.run(|| Ok(mprog::query(index, PRIMARY)?))?;
        check::equal("programs", query.progs, [first.id, drops.id, second.id])?;
        check::equal("links", query.links, [0, link.id, 0])?;
        let arrives = |expected| -> Result<()> {
            let arrived = traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), expected)?;
            check::equal("arrives", arrived, expected)
        };
        arrives(false)?;
        link.update(&passes, Some(&drops))?;
        arrives(true)?;
        link.update(&drops, Some(&passes))?;
        check::equal("the link's device", link.info()?.ifindex, index)
    })
}
