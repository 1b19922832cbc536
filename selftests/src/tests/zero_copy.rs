// SPDX-License-Identifier: GPL-2.0
//! Packets whose bytes are still somebody's own: a virtual machine's, which vhost-net sends from where they are.

use anyhow::Result;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::steer::Order;
use crate::bpf::steer::Steer;
use crate::bpf::PRIMARY;
use crate::bpf::TCX_INGRESS;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::inject::modprobe;
use crate::inject::tc;
use crate::inject::Tap;
use crate::netkit::Spec;
use crate::traffic;
use crate::vhost::Vhost;

tests![copied_before_it_waits];

/// A packet may wait for long behind netkit: netkit copies it and gives its memory back (`skb_orphan_frags()`). What the owner
/// writes there next is not what is sent.
fn copied_before_it_waits(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l2())?;
    let card = Vhost::open("tap0")?;
    let from = t.host.link("tap0")?.index;
    t.host.up(from)?;
    // Programs look for the target of a redirect where the peer is.
    let sink = duo.pod.add_device("sink", "dummy")?;
    duo.pod.up(sink)?;
    // It keeps what it is given until it is told to let go.
    modprobe("sch_plug")?;
    duo.pod
        .run(|| tc("qdisc add dev sink root plug limit 100000"))?;
    let beyond = Tap::on(&duo.pod, sink)?;
    let (mut inward, mut onward) = (Steer::load()?, Steer::load()?);
    inward.order(Order::Egress(duo.pair.primary))?;
    mprog::attach(inward.fd()?, from, TCX_INGRESS, Place::default())?;
    onward.order(Order::Egress(sink))?;
    mprog::attach(onward.fd()?, duo.pair.primary, PRIMARY, Place::default())?;

    let payload = vec![0x11; 1300];
    let frame = traffic::udp_frame(&[2, 0, 0, 0, 0, 7], HOST4, POD4, &payload)?;
    card.send(&frame)?;
    check::soon("the packet is on its way", || Ok(onward.count()? == 1))?;
    card.overwrite(0, &vec![0x22; frame.len()]);
    check::equal("waiting", beyond.drain()?.len(), 0)?;
    duo.pod
        .run(|| tc("qdisc change dev sink root plug release_indefinite"))?;
    let mut seen = Vec::new();
    check::soon("the packet is let go", || {
        seen.extend(beyond.drain()?);
        Ok(!seen.is_empty())
    })?;
    check::that("it is as it was sent", seen == [frame])?;
    check::soon("its memory is given back", || Ok(card.is_done()))
}
