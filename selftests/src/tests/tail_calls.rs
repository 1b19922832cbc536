// SPDX-License-Identifier: GPL-2.0
//! Tail calls: an attached program goes on in a program of an array, whose verdict counts.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use nix::errno::Errno;

use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::probe::Probes;
use crate::bpf::prog::Prog;
use crate::bpf::steer::Order;
use crate::bpf::steer::Steer;
use crate::bpf::tail;
use crate::bpf::tail::Tail;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::bpf::TCX_EGRESS;
use crate::bpf::TCX_INGRESS;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::HOST4;
use crate::ctx::POD4;
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::NEXT;
use crate::netkit::PASS;
use crate::traffic;

tests![
    the_called_programs_verdict,
    nothing_to_call,
    redirect_of_a_called_program,
    thirty_three_deep,
    every_program_may_call,
    array_without_its_owner,
    attach_types,
    replaced_under_traffic,
];

/// A pair through which nothing passes without a program.
fn duo(t: &Ctx) -> Result<Duo> {
    t.duo(Spec::l3().policy(DROP).peer_policy(DROP))
}

/// Whether a datagram gets through, in the direction of a hook.
fn passes(duo: &Duo, hook: u32, expected: bool) -> Result<()> {
    let (from, to, ip) = if hook == PRIMARY {
        (&duo.host, &duo.pod, POD4)
    } else {
        (&duo.pod, &duo.host, HOST4)
    };
    let came = traffic::udp_arrives(from, to, ip.into(), expected)?;
    check::equal("arrives", came, expected)
}

fn the_called_programs_verdict(t: &Ctx) -> Result<()> {
    for hook in [PRIMARY, PEER] {
        let duo = duo(t)?;
        let (tail, mut behind) = (Tail::load(PASS)?, Probes::load(1)?);
        mprog::attach(tail.fd()?, duo.pair.primary, hook, Place::default())?;
        mprog::attach(behind.fd(0)?, duo.pair.primary, hook, Place::default())?;
        // NEXT goes to the program behind. After the last program it means to pass, whatever the policy is.
        for (verdict, arrives, next) in [
            (PASS, true, 0),
            (NEXT, true, 1),
            (DROP, false, 0),
            (100, false, 0),
        ] {
            behind.reset()?;
            tail.call(Prog::returning(verdict)?)?;
            passes(&duo, hook, arrives)?;
            check::equal("the program behind ran", behind.seen(0)?.count, next)?;
        }
        check::equal("calls that failed", tail.run()?.failed, 0)?;
        t.host.del_link(duo.pair.primary)?;
    }
    Ok(())
}

/// The caller goes on, and its own verdict counts.
fn nothing_to_call(t: &Ctx) -> Result<()> {
    let duo = duo(t)?;
    let tail = Tail::load(PASS)?;
    mprog::attach(tail.fd()?, duo.pair.primary, PRIMARY, Place::default())?;
    passes(&duo, PRIMARY, true)?;
    tail.call(Prog::returning(DROP)?)?;
    passes(&duo, PRIMARY, false)?;
    tail::clear_prog(tail.calls()?)?;
    passes(&duo, PRIMARY, true)?;
    let run = tail.run()?;
    check::equal("runs, failed calls", (run.count, run.failed), (3, 2))
}

fn redirect_of_a_called_program(t: &Ctx) -> Result<()> {
    let duo = duo(t)?;
    let sink = t.host.add_device("sink", "dummy")?;
    t.host.up(sink)?;
    let (tail, mut steer) = (Tail::load(PASS)?, Steer::load()?);
    steer.order(Order::Egress(sink))?;
    tail.call(steer.fd()?)?;
    mprog::attach(tail.fd()?, duo.pair.primary, PEER, Place::default())?;
    traffic::udp_send(&duo.pod, HOST4.into(), 64)?;
    check::equal("called", steer.count()?, 1)?;
    check::equal("sent by the sink", t.host.stats(sink)?.tx_packets, 1)
}

/// A program that calls itself: after 33 calls (`MAX_TAIL_CALL_CNT`) the last one fails, and its verdict counts.
fn thirty_three_deep(t: &Ctx) -> Result<()> {
    for hook in [PRIMARY, PEER] {
        for (verdict, arrives) in [(PASS, true), (DROP, false)] {
            let duo = duo(t)?;
            let tail = Tail::load(verdict)?;
            tail.call(tail.fd()?)?;
            mprog::attach(tail.fd()?, duo.pair.primary, hook, Place::default())?;
            passes(&duo, hook, arrives)?;
            let run = tail.run()?;
            check::equal("runs, failed calls", (run.count, run.failed), (34, 1))?;
            t.host.del_link(duo.pair.primary)?;
        }
    }
    Ok(())
}

/// The limit is one of each program on the hook, not of the packet.
fn every_program_may_call(t: &Ctx) -> Result<()> {
    let duo = duo(t)?;
    let tails = [Tail::load(NEXT)?, Tail::load(NEXT)?, Tail::load(PASS)?];
    for tail in &tails {
        tail.call(tail.fd()?)?;
        mprog::attach(tail.fd()?, duo.pair.primary, PRIMARY, Place::default())?;
    }
    passes(&duo, PRIMARY, true)?;
    for tail in &tails {
        check::equal("runs", tail.run()?.count, 34)?;
    }
    Ok(())
}

/// The kernel empties an array when no process and no pin has it any more, also while programs use it.
fn array_without_its_owner(t: &Ctx) -> Result<()> {
    let duo = duo(t)?;
    let tail = Tail::load(PASS)?;
    tail.call(Prog::returning(DROP)?)?;
    let link = Link::create(tail.fd()?, duo.pair.primary, PRIMARY, Place::default())?;
    passes(&duo, PRIMARY, false)?;
    drop(tail);
    check::soon("arrives", || {
        traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), true)
    })?;
    drop(link);
    Ok(())
}

/// The programs of one array are loaded for one attach type, as libbpf does it for `SEC("netkit/primary")`. Where such a
/// program is attached does not matter.
fn attach_types(t: &Ctx) -> Result<()> {
    const KINDS: [u32; 5] = [0, PRIMARY, PEER, TCX_INGRESS, TCX_EGRESS];
    let load = |attach_type| Prog::load(libbpf_sys::BPF_PROG_TYPE_SCHED_CLS, attach_type, PASS);
    for first in KINDS {
        let array = tail::prog_array()?;
        tail::set_prog(&array, load(first)?)?;
        for second in KINDS {
            let answer = tail::set_prog(&array, load(second)?);
            let expected = (first != second).then_some(Errno::EINVAL);
            check::equal(&format!("{first}, {second}"), answer.err(), expected)?;
        }
        let other = Prog::load(libbpf_sys::BPF_PROG_TYPE_SCHED_ACT, first, PASS)?;
        let answer = tail::set_prog(&array, other);
        check::errno("a program of another type", answer, Errno::EINVAL)?;
    }
    let duo = duo(t)?;
    for kind in KINDS {
        for hook in [PRIMARY, PEER] {
            let link = Link::create(load(kind)?, duo.pair.primary, hook, Place::default())?;
            passes(&duo, hook, true)?;
            drop(link);
            passes(&duo, hook, false)?;
        }
    }
    Ok(())
}

/// Each packet runs one of the programs that are put into the array in turn, or meets the empty array.
fn replaced_under_traffic(t: &Ctx) -> Result<()> {
    const ROUNDS: u32 = 5;
    const PAUSE: Duration = Duration::from_millis(5);
    let duo = duo(t)?;
    let mut probes = Probes::load(2)?;
    for slot in 0..2 {
        probes.verdict(slot, PASS)?;
    }
    let (out, back) = (Tail::load(PASS)?, Tail::load(PASS)?);
    mprog::attach(out.fd()?, duo.pair.primary, PRIMARY, Place::default())?;
    mprog::attach(back.fd()?, duo.pair.primary, PEER, Place::default())?;
    let (arrays, programs) = (
        [out.calls()?, back.calls()?],
        [probes.fd(0)?, probes.fd(1)?],
    );
    let (done, rounds) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        let replacing = scope.spawn(|| -> Result<()> {
            while !done.load(Relaxed) {
                for array in arrays {
                    tail::set_prog(array, programs[0])?;
                    thread::sleep(PAUSE);
                    tail::set_prog(array, programs[1])?;
                    thread::sleep(PAUSE);
                    tail::clear_prog(array)?;
                }
                rounds.fetch_add(1, Relaxed);
            }
            Ok(())
        });
        let traffic = || -> Result<()> {
            while rounds.load(Relaxed) < ROUNDS && !replacing.is_finished() {
                traffic::tcp_exchange(&duo.host, &duo.pod, POD4.into(), 300_000)?;
                traffic::udp_exchange(&duo.pod, &duo.host, HOST4.into(), 500)?;
            }
            Ok(())
        };
        let traffic = traffic();
        done.store(true, Relaxed);
        let replacing = replacing.join();
        traffic.and(replacing.unwrap_or_else(|_| anyhow::bail!("panicked")))
    })?;
    for tail in [&out, &back] {
        check::that("met an empty array", tail.run()?.failed > 0)?;
    }
    let called = [probes.seen(0)?.count, probes.seen(1)?.count];
    t.note(format!("{called:?} calls"));
    check::that("both were called", called[0] > 0 && called[1] > 0)?;
    // The last packets of a connection may still be on their way.
    check::soon("each call has run a program", || {
        let runs = [out.run()?, back.run()?];
        let calls: u64 = runs.iter().map(|run| run.count - run.failed).sum();
        Ok(calls == probes.seen(0)?.count + probes.seen(1)?.count)
    })
}
