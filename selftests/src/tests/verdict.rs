// SPDX-License-Identifier: GPL-2.0
//! What each return code of a program does to a packet, on either hook.

use anyhow::Result;

use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::NEXT;
use crate::netkit::PASS;
use crate::netkit::REDIRECT;
use crate::traffic;

tests![
    pass,
    next,
    drop_packet,
    redirect_without_target,
    codes_out_of_range,
    primary_hook_is_one_way,
    pass_ends_the_chain,
    drop_ends_the_chain,
    program_swapped_under_traffic,
];

/// Sends through a program that answers `verdict` and tells whether it arrived and
/// what was counted at the sender, which for the peer's hook is the pod.
fn sees(t: &Ctx, hook: u32, verdict: i32, arrives: bool) -> Result<String> {
    let duo = t.duo(Spec::l3())?;
    let prog = Prog::returning(verdict)?;
    mprog::attach(&prog, duo.pair.primary, hook, Place::default())?;
    let (from, to, ip, index) = if hook == PRIMARY {
        (&duo.host, &duo.pod, POD4, duo.pair.primary)
    } else {
        (&duo.pod, &duo.host, HOST4, duo.pair.peer)
    };
    let before = from.stats(index)?;
    let came = traffic::udp_arrives(from, to, ip.into(), arrives)?;
    let counted = from.stats(index)?.since(&before);
    check::equal(&format!("verdict {verdict}: arrives"), came, arrives)?;
    duo.host.del_link(duo.pair.primary)?;
    Ok(format!(
        "tx {} packets {} bytes, {} dropped",
        counted.tx_packets, counted.tx_bytes, counted.tx_dropped
    ))
}

fn both(t: &Ctx, verdict: i32, arrives: bool, counted: &str) -> Result<()> {
    for hook in [PRIMARY, PEER] {
        check::equal(
            "counted",
            sees(t, hook, verdict, arrives)?.as_str(),
            counted,
        )?;
    }
    Ok(())
}

fn pass(t: &Ctx) -> Result<()> {
    both(t, PASS, true, "tx 1 packets 106 bytes, 0 dropped")
}

fn next(t: &Ctx) -> Result<()> {
    both(t, NEXT, true, "tx 1 packets 106 bytes, 0 dropped")
}

fn drop_packet(t: &Ctx) -> Result<()> {
    both(t, DROP, false, "tx 0 packets 0 bytes, 1 dropped")
}

/// A redirected packet counts as sent, wherever it is sent, even if the target does not exist.
fn redirect_without_target(t: &Ctx) -> Result<()> {
    both(t, REDIRECT, false, "tx 1 packets 106 bytes, 0 dropped")
}

fn codes_out_of_range(t: &Ctx) -> Result<()> {
    for verdict in [1, 3, 4, 5, 6, 8, 100, -2, i32::MIN, i32::MAX] {
        both(t, verdict, false, "tx 0 packets 0 bytes, 1 dropped")?;
    }
    Ok(())
}

/// What the primary sends passes its own programs, what the peer sends the peer's.
fn primary_hook_is_one_way(t: &Ctx) -> Result<()> {
    for (hook, out, back) in [(PRIMARY, false, true), (PEER, true, false)] {
        let duo = t.duo(Spec::l3())?;
        let prog = Prog::returning(DROP)?;
        mprog::attach(&prog, duo.pair.primary, hook, Place::default())?;
        let there = traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), out)?;
        check::equal("host to pod", there, out)?;
        let here = traffic::udp_arrives(&duo.pod, &duo.host, HOST4.into(), back)?;
        check::equal("pod to host", here, back)?;
        duo.host.del_link(duo.pair.primary)?;
    }
    Ok(())
}

fn chain_of_two(t: &Ctx, first: i32, second: i32) -> Result<bool> {
    let duo = t.duo(Spec::l3())?;
    let progs = [Prog::returning(first)?, Prog::returning(second)?];
    for prog in &progs {
        mprog::attach(prog, duo.pair.primary, PRIMARY, Place::default())?;
    }
    let expected = first != DROP && (first == PASS || second != DROP);
    let came = traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), expected)?;
    duo.host.del_link(duo.pair.primary)?;
    Ok(came)
}

fn pass_ends_the_chain(t: &Ctx) -> Result<()> {
    check::equal("pass, drop", chain_of_two(t, PASS, DROP)?, true)?;
    check::equal("next, drop", chain_of_two(t, NEXT, DROP)?, false)
}

fn drop_ends_the_chain(t: &Ctx) -> Result<()> {
    check::equal("drop, pass", chain_of_two(t, DROP, PASS)?, false)?;
    check::equal("next, pass", chain_of_two(t, NEXT, PASS)?, true)
}

fn program_swapped_under_traffic(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let (pass, drop) = (Prog::returning(PASS)?, Prog::returning(DROP)?);
    let sender = traffic::udp_sender(&duo.host, POD4.into())?;
    let _receiver = traffic::udp_receiver(&duo.pod, POD4.into())?;
    let index = duo.pair.primary;
    mprog::attach(&pass, index, PRIMARY, Place::default())?;
    for round in 0..20 {
        sender.send(&[0; 10])?;
        let (new, old) = if round % 2 == 0 {
            (&drop, &pass)
        } else {
            (&pass, &drop)
        };
        mprog::attach(new, index, PRIMARY, Place::replace(old))?;
    }
    let counted = duo.host.stats(index)?;
    check::equal(
        "passed and dropped",
        (counted.tx_packets, counted.tx_dropped),
        (10, 10),
    )
}
