// SPDX-License-Identifier: GPL-2.0
//! Single-device mode: one device without a peer, which takes no programs.

use anyhow::Result;
use nix::errno::Errno;

use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::netkit;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::NEXT;
use crate::netkit::PASS;
use crate::netkit::SCRUB_DEFAULT;
use crate::netkit::SINGLE;
use crate::nl::attr::Attrs;
use crate::nl::link::linkinfo;
use crate::traffic;

tests![
    one_device,
    refuses_what_is_about_a_peer,
    programs,
    carrier,
    drops_everything,
    change,
    moves,
    delete,
];

fn create(t: &Ctx, spec: Spec) -> Result<u32> {
    spec.pairing(SINGLE).name("single").try_create(&t.host)?;
    Ok(t.host.link("single")?.index)
}

fn one_device(t: &Ctx) -> Result<()> {
    for (label, spec) in [
        ("defaults", Spec::new()),
        (
            "l2",
            Spec::l2().with(|link| link.put(libc::IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1])),
        ),
        ("room", Spec::new().headroom(64).tailroom(32)),
        ("forward", Spec::new().policy(PASS)),
    ] {
        let index = create(t, spec)?;
        let devices = netkit::devices(&t.host)?;
        check::equal("devices", devices.len(), 1)?;
        t.same(label, netkit::data_text(&devices[0]));
        t.same(
            &format!("{label}: iflink"),
            format!("{:?}", devices[0].u32(libc::IFLA_LINK)),
        );
        t.host.del_link(index)?;
    }
    Ok(())
}

fn refuses_what_is_about_a_peer(t: &Ctx) -> Result<()> {
    let specs = [
        ("peer info", Spec::new().with_peer(|peer| peer)),
        ("peer name", Spec::new().peer("pod")),
        ("peer policy", Spec::new().peer_policy(PASS)),
        ("peer scrub", Spec::new().peer_scrub(SCRUB_DEFAULT)),
        ("scrub", Spec::new().scrub(SCRUB_DEFAULT)),
        ("blackhole", Spec::new().policy(DROP)),
    ];
    for (label, spec) in specs {
        let answer = spec.pairing(SINGLE).try_create(&t.host);
        check::refused(label, answer, Errno::EOPNOTSUPP, None, None)?;
    }
    check::equal("devices", netkit::devices(&t.host)?.len(), 0)
}

fn programs(t: &Ctx) -> Result<()> {
    let index = create(t, Spec::new())?;
    let prog = Prog::returning(NEXT)?;
    for hook in [PRIMARY, PEER] {
        let attach = mprog::attach(&prog, index, hook, Place::default());
        check::errno("attach", attach, Errno::EOPNOTSUPP)?;
        let link = Link::create(&prog, index, hook, Place::default());
        check::errno("link", link.map(drop), Errno::EOPNOTSUPP)?;
        let detach = mprog::detach(Some(&prog), index, hook, Place::default());
        check::errno("detach", detach, Errno::EOPNOTSUPP)?;
        check::errno(
            "query",
            mprog::query(index, hook).map(drop),
            Errno::EOPNOTSUPP,
        )?;
    }
    Ok(())
}

fn carrier(t: &Ctx) -> Result<()> {
    const IFLA_CARRIER: u16 = 33;
    let index = create(t, Spec::new())?;
    let on = |t: &Ctx| -> Result<Option<Vec<u8>>> {
        let link = t.host.link_by_index(index)?;
        Ok(link.attr(IFLA_CARRIER).map(|attr| attr.payload.clone()))
    };
    check::equal("at first", on(t)?, Some(vec![0]))?;
    t.host.up(index)?;
    check::equal("up", on(t)?, Some(vec![1]))?;
    t.host.down(index)?;
    check::equal("down", on(t)?, Some(vec![0]))
}

/// There is nobody to send to.
fn drops_everything(t: &Ctx) -> Result<()> {
    let index = create(t, Spec::new())?;
    t.host.up(index)?;
    let answer = traffic::send_frame(&t.host, index, &[0; 60]);
    let counted = t.host.stats(index)?;
    t.same("answer", format!("{answer:?}"));
    t.same("counted", format!("{counted:?}"));
    check::equal(
        "sent, dropped",
        (counted.tx_packets, counted.tx_dropped),
        (0, 1),
    )
}

fn change(t: &Ctx) -> Result<()> {
    let index = create(t, Spec::new())?;
    let attrs = [
        netkit::POLICY,
        netkit::PEER_POLICY,
        netkit::MODE,
        netkit::SCRUB,
        netkit::PAIRING,
    ];
    for attr in attrs {
        let mut data = Attrs::new();
        data.u32(attr, 0);
        let answer = t.host.set_link(index, &linkinfo(netkit::KIND, Some(&data)));
        check::that("refused", answer.is_err())?;
        t.same(&format!("attribute {attr}"), format!("{answer:?}"));
    }
    Ok(())
}

fn moves(t: &Ctx) -> Result<()> {
    let other = t.ns()?;
    let index = create(t, Spec::new())?;
    t.host.move_to(index, &other)?;
    let moved = other.link("single")?;
    t.same("data", netkit::data_text(&moved));
    other.del_link(moved.index)?;
    check::equal("devices", netkit::devices(&other)?.len(), 0)
}

fn delete(t: &Ctx) -> Result<()> {
    let index = create(t, Spec::new())?;
    t.host.up(index)?;
    t.host.del_link(index)?;
    check::equal("devices", netkit::devices(&t.host)?.len(), 0)
}
