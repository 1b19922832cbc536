// SPDX-License-Identifier: GPL-2.0
//! XDP on a pair: not in the driver, but the generic mode of the stack works.

use anyhow::Result;
use nix::errno::Errno;

use crate::bpf::link::Link;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::POD4;
use crate::netkit::Spec;
use crate::netkit::SINGLE;
use crate::traffic;

tests![
    native_mode_refused,
    native_mode_refused_for_single,
    generic_mode_drops,
    unsaid_mode
];

pub const BPF_XDP: u32 = 37;
pub const XDP_FLAGS_SKB_MODE: u32 = 2;
const XDP_FLAGS_DRV_MODE: u32 = 4;
const XDP_DROP: i32 = 1;
pub const XDP_TX: i32 = 3;

fn program() -> Result<Prog> {
    let kind = libbpf_sys::BPF_PROG_TYPE_XDP;
    Ok(Prog::load(kind, BPF_XDP, XDP_DROP)?)
}

fn native_mode_refused(t: &Ctx) -> Result<()> {
    let pair = Spec::l2().create(&t.host, &t.host)?;
    let prog = program()?;
    for index in [pair.primary, pair.peer] {
        let place = Place::flags(XDP_FLAGS_DRV_MODE);
        let answer = Link::create(&prog, index, BPF_XDP, place);
        check::errno("driver mode", answer.map(drop), Errno::EOPNOTSUPP)?;
    }
    Ok(())
}

fn native_mode_refused_for_single(t: &Ctx) -> Result<()> {
    Spec::l2()
        .pairing(SINGLE)
        .name("single")
        .try_create(&t.host)?;
    let index = t.host.link("single")?.index;
    let place = Place::flags(XDP_FLAGS_DRV_MODE);
    let answer = Link::create(program()?, index, BPF_XDP, place);
    check::errno("driver mode", answer.map(drop), Errno::EOPNOTSUPP)
}

fn generic_mode_drops(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let prog = program()?;
    let place = Place::flags(XDP_FLAGS_SKB_MODE);
    let link = duo
        .pod
        .run(|| Ok(Link::create(&prog, duo.pair.peer, BPF_XDP, place)?))?;
    let came = traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), false)?;
    check::equal("arrives", came, false)?;
    drop(link);
    check::soon("arrives without the program", || {
        traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), true)
    })
}

fn unsaid_mode(t: &Ctx) -> Result<()> {
    let pair = Spec::l2().create(&t.host, &t.host)?;
    let link = Link::create(program()?, pair.primary, BPF_XDP, Place::default());
    t.same("answer", format!("{:?}", link.as_ref().map(|_| ()).err()));
    Ok(())
}
