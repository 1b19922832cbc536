// SPDX-License-Identifier: GPL-2.0
//! Loading and unloading netkit_rs.ko: refused while the built-in driver has
//! devices, possible at any moment else, and afterwards as if it never was.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::ScopedJoinHandle;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;

use crate::afxdp::Xsk;
use crate::bpf::ids::Ids;
use crate::bpf::link::Link;
use crate::bpf::mprog;
use crate::bpf::mprog::Place;
use crate::bpf::prog::Prog;
use crate::bpf::PEER;
use crate::bpf::PRIMARY;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::POD4;
use crate::kmsg::Kmsg;
use crate::lessor;
use crate::lessor::Card;
use crate::module;
use crate::netkit;
use crate::netkit::Spec;
use crate::netkit::NEXT;
use crate::netns::Ns;
use crate::runner::BPFFS;
use crate::tests::Needs;
use crate::tests::Test;
use crate::traffic;
use crate::uring::Zcrx;

const WHY: &str = "there is no module to load or unload with the built-in driver";

tests![
    c_device_refuses_load,
    c_device_in_other_namespace_refuses_load,
    refusal_leaves_the_built_in_driver,
    load_against_a_creator,
    loaded_twice,
    links_do_not_hold_the_module,
    devices_go_at_unload,
    unload_with_links_held,
    unload_with_link_pinned,
    unload_while_fdinfo_is_read,
    unload_under_traffic,
    unload_with_socket_on_the_device,
    unload_with_leases,
    unload_while_devices_come_and_go,
    built_in_driver_after_unload,
    nothing_leaks,
    again_and_again,
];

/// These tests load and unload by themselves, and some do it often.
pub fn module_tests() -> Vec<Test> {
    let mut all = tests();
    for test in &mut all {
        test.needs = Needs::Module(WHY);
        test.patience = 3;
    }
    all
}

/// The built-in driver serves: a pair comes, takes a program, carries, goes.
pub fn built_in_works(t: &Ctx) -> Result<()> {
    check::that("the module is out", !module::is_loaded())?;
    let duo = t.duo(Spec::l3())?;
    let prog = Prog::returning(NEXT)?;
    let link = Link::create(&prog, duo.pair.primary, PRIMARY, Place::default())?;
    mprog::attach(&prog, duo.pair.primary, PEER, Place::default())?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    link.detach()?;
    duo.host.del_link(duo.pair.primary)?;
    Ok(())
}

/// Loading is refused, and the log names the device.
fn refused(t: &Ctx, device: &str) -> Result<()> {
    let mut kmsg = Kmsg::tail()?;
    check::errno("loading", module::insert(&t.module), Errno::EBUSY)?;
    check::that("the module is out", !module::is_loaded())?;
    let lines = kmsg.lines();
    let named = lines
        .iter()
        .any(|line| line.contains("netkit_rs") && line.contains(device));
    check::that(&format!("{device} named in {lines:?}"), named)
}

fn c_device_refuses_load(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create_as("tenant0", "tenant1", &t.host, &t.host)?;
    refused(t, "tenant")?;
    check::equal("devices", netkit::devices(&t.host)?.len(), 2)?;
    t.host.del_link(pair.primary)?;
    module::load(&t.module)?;
    module::unload()
}

fn c_device_in_other_namespace_refuses_load(t: &Ctx) -> Result<()> {
    let (left, right) = (t.ns()?, t.ns()?);
    let pair = Spec::l3().create_as("hidden0", "hidden1", &left, &right)?;
    refused(t, "hidden")?;
    left.del_link(pair.primary)?;
    module::load(&t.module)?;
    module::unload()
}

/// The door that was closed for the check is open again.
fn refusal_leaves_the_built_in_driver(t: &Ctx) -> Result<()> {
    let pair = Spec::l3().create_as("tenant0", "tenant1", &t.host, &t.host)?;
    for _ in 0..3 {
        refused(t, "tenant")?;
        built_in_works(t)?;
    }
    t.host.del_link(pair.primary)?;
    Ok(())
}

/// Runs `body` while another thread repeats `work` in a namespace of its own.
pub fn meanwhile(
    mut work: impl FnMut(&Ns) -> Result<()> + Send,
    body: impl FnOnce(&AtomicU32) -> Result<()>,
) -> Result<()> {
    let over = AtomicBool::new(false);
    let rounds = AtomicU32::new(0);
    thread::scope(|scope| {
        let worker = scope.spawn(|| -> Result<()> {
            let ns = Ns::enter_new()?;
            while !over.load(Ordering::Relaxed) {
                work(&ns)?;
                rounds.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        let result = body(&rounds);
        over.store(true, Ordering::Relaxed);
        result.and(joined(worker))
    })
}

/// What a thread came to.
pub fn joined(thread: ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    thread
        .join()
        .unwrap_or_else(|_| bail!("the other thread panicked"))
}

/// Creates a pair, has it for a moment and deletes it; the driver may be on its way
/// out or in. Answers whether that was noticed: no pair could be made, or it was taken.
fn a_visit(ns: &Ns) -> Result<bool> {
    let begun = Instant::now();
    if !create(ns)? {
        return Ok(true);
    }
    // As long there as on the way, or a slow kernel would hardly ever be met with it.
    thread::sleep(begun.elapsed().max(Duration::from_millis(50)));
    Ok(!delete(ns)?)
}

pub fn come_and_go(ns: &Ns) -> Result<()> {
    a_visit(ns).map(drop)
}

/// Whether there is a pair now; there is none while the driver changes.
fn create(ns: &Ns) -> Result<bool> {
    match Spec::l3().name("busy0").peer("busy1").try_create(ns) {
        Ok(()) => Ok(true),
        Err(no) if matches!(no.errno, Errno::EOPNOTSUPP | Errno::EBUSY | Errno::EAGAIN) => {
            Ok(false)
        }
        Err(no) => Err(no.into()),
    }
}

/// Whether the pair was still there; an unload may have deleted it in the meantime.
fn delete(ns: &Ns) -> Result<bool> {
    match ns.link("busy0").and_then(|link| ns.del_link(link.index)) {
        Ok(()) => Ok(true),
        Err(no) if no.errno == Errno::ENODEV => Ok(false),
        Err(no) => Err(no.into()),
    }
}

/// Whoever comes first wins, and either way nothing breaks.
fn load_against_a_creator(t: &Ctx) -> Result<()> {
    const TRIES: u32 = 40;
    let (mut refused, mut loaded) = (0, 0);
    meanwhile(come_and_go, |_| {
        for _ in 0..TRIES {
            match module::insert(&t.module) {
                Ok(()) => {
                    loaded += 1;
                    module::wait_loaded()?;
                    module::unload()?;
                }
                Err(Errno::EBUSY) => refused += 1,
                Err(other) => bail!("loading answered {other}"),
            }
            if refused >= 2 && loaded >= 1 {
                break;
            }
        }
        Ok(())
    })?;
    check::that("refused at least once", refused > 0)?;
    check::that("loaded at least once", loaded > 0)?;
    built_in_works(t)
}

fn loaded_twice(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    check::errno("again", module::insert(&t.module), Errno::EEXIST)?;
    let duo = t.duo(Spec::l3())?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    module::unload()
}

fn links_do_not_hold_the_module(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let before = module::references()?;
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let prog = Prog::returning(NEXT)?;
    let link = Link::create(&prog, pair.primary, PRIMARY, Place::default())?;
    mprog::attach(&prog, pair.primary, PEER, Place::default())?;
    check::equal("references", module::references()?, before)?;
    drop(link);
    module::unload()
}

fn devices_go_at_unload(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let (left, right) = (t.ns()?, t.ns()?);
    Spec::l3().create(&left, &right)?;
    Spec::l2().create_as("a", "b", &t.host, &t.host)?;
    Spec::l2().create_as("c", "d", &t.host, &left)?;
    module::unload()?;
    for ns in [&t.host, &left, &right] {
        check::equal("devices", netkit::devices(ns)?.len(), 0)?;
    }
    Ok(())
}

/// What is left of a link whose driver has gone: looked at, refused, closed.
pub fn defunct(link: &Link, prog: &Prog) -> Result<()> {
    let info = link.info()?;
    check::equal("ifindex", (info.ifindex, info.prog_id), (0, prog.id))?;
    let other = Prog::returning(NEXT)?;
    check::errno("update", link.update(&other, None), Errno::ENOLINK)?;
    check::that("fdinfo", link.fdinfo()?.contains("ifindex:\t0\n"))?;
    check::equal("detach", link.detach(), Ok(()))
}

fn unload_with_links_held(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let prog = Prog::returning(NEXT)?;
    let links = [
        Link::create(&prog, pair.primary, PRIMARY, Place::default())?,
        Link::create(&prog, pair.primary, PEER, Place::default())?,
    ];
    module::unload()?;
    for link in &links {
        defunct(link, &prog)?;
    }
    drop(links);
    built_in_works(t)
}

fn unload_with_link_pinned(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let prog = Prog::returning(NEXT)?;
    let path = Path::new(BPFFS).join("held");
    Link::create(&prog, pair.primary, PRIMARY, Place::default())?.pin(&path)?;
    module::unload()?;
    defunct(&Link::open_pin(&path)?, &prog)?;
    // A second life of the module does not bring it back.
    module::load(&t.module)?;
    defunct(&Link::open_pin(&path)?, &prog)?;
    module::unload()?;
    std::fs::remove_file(&path)?;
    Ok(())
}

fn unload_while_fdinfo_is_read(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let prog = Prog::returning(NEXT)?;
    let link = Link::create(&prog, pair.primary, PRIMARY, Place::default())?;
    meanwhile(
        |_| {
            check::that("hook", link.fdinfo()?.contains("(primary)"))?;
            check::equal("program", link.info()?.prog_id, prog.id)
        },
        |rounds| {
            check::soon("reads", || Ok(rounds.load(Ordering::Relaxed) > 10))?;
            module::unload()
        },
    )?;
    defunct(&link, &prog)
}

fn unload_under_traffic(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let duo = t.duo(Spec::l3())?;
    let prog = Prog::returning(NEXT)?;
    mprog::attach(&prog, duo.pair.primary, PRIMARY, Place::default())?;
    let sender = traffic::udp_sender(&duo.host, POD4.into())?;
    let _receiver = traffic::udp_receiver(&duo.pod, POD4.into())?;
    meanwhile(
        |_| {
            // After the device has gone there is no route: that is no failure.
            let _sent_or_not = sender.send(&[0; 100]);
            Ok(())
        },
        |rounds| {
            check::soon("datagrams", || Ok(rounds.load(Ordering::Relaxed) > 100))?;
            module::unload()
        },
    )?;
    check::equal("devices", netkit::devices(&t.host)?.len(), 0)
}

fn unload_with_socket_on_the_device(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let duo = t.duo(Spec::l3())?;
    let packet = socket2::Socket::new(
        socket2::Domain::PACKET,
        socket2::Type::RAW,
        Some(socket2::Protocol::from(i32::from(
            (libc::ETH_P_ALL as u16).to_be(),
        ))),
    )?;
    let datagram = traffic::udp_sender(&duo.host, POD4.into())?;
    socket2::SockRef::from(&datagram).bind_device(Some(b"nk0"))?;
    datagram.send(&[0; 10])?;
    module::unload()?;
    check::that("nowhere to send", datagram.send(&[0; 10]).is_err())?;
    drop((packet, datagram));
    built_in_works(t)
}

/// A socket's buffers and provided memory leave the card behind a leased queue together with the devices.
fn unload_with_leases(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    lessor::with(t, || {
        let netdev = t.host.netdev()?;
        let lease = |name, card| -> Result<_> {
            let card = Card::create(&t.host, card, 2, 0, None)?;
            t.host.up(card.index)?;
            let index = Spec::l2().rx_queues(2).create_single(name, &t.host)?;
            netdev.lease(index, card.offer(1, None))?;
            Ok((card, index))
        };
        let ((one, nk0), (two, nk1)) = (lease("nk0", "one")?, lease("nk1", "two")?);
        let socket = Xsk::zero_copy(&t.host, nk0, 1)?;
        let memory = Zcrx::register(&t.host, nk1, 1)?.context("IORING_REGISTER_ZCRX_IFQ")?;
        let used = || -> Result<_> { Ok((one.seen(1)?.has_pool, two.seen(1)?.has_provider)) };
        check::equal("in use", used()?, (1, 1))?;
        module::unload()?;
        check::equal("devices", netkit::devices(&t.host)?.len(), 0)?;
        check::equal("in use", used()?, (0, 0))?;
        for card in [&one, &two] {
            check::equal("lease", netdev.queue(card.index, 1)?.lease, None)?;
        }
        drop((socket, memory));
        Ok(())
    })
}

fn unload_while_devices_come_and_go(t: &Ctx) -> Result<()> {
    const TRIES: u32 = 20;
    let met = AtomicU32::new(0);
    for round in 1..=TRIES {
        module::load(&t.module)?;
        let creator = |ns: &Ns| {
            met.fetch_add(a_visit(ns)?.into(), Ordering::Relaxed);
            Ok(())
        };
        meanwhile(creator, |rounds| {
            check::soon("pairs", || Ok(rounds.load(Ordering::Relaxed) > 3))?;
            module::unload()
        })?;
        if round >= t.rounds.min(5) && met.load(Ordering::Relaxed) > 0 {
            break;
        }
    }
    let met = met.load(Ordering::Relaxed);
    t.note(format!("{met} times a creator was met"));
    check::that("a creator was met: refused, or his pair was taken", met > 0)?;
    built_in_works(t)
}

fn built_in_driver_after_unload(t: &Ctx) -> Result<()> {
    built_in_works(t)?;
    module::load(&t.module)?;
    module::unload()?;
    built_in_works(t)
}

fn nothing_leaks(t: &Ctx) -> Result<()> {
    let before = Ids::now();
    module::load(&t.module)?;
    let idle = module::references()?;
    let duo = t.duo(Spec::l3())?;
    for hook in [PRIMARY, PEER] {
        mprog::attach(
            Prog::returning(NEXT)?,
            duo.pair.primary,
            hook,
            Place::default(),
        )?;
        let prog = Prog::returning(NEXT)?;
        drop(Link::create(
            &prog,
            duo.pair.primary,
            hook,
            Place::default(),
        )?);
    }
    traffic::tcp_exchange(&duo.host, &duo.pod, POD4.into(), 100_000)?;
    check::equal("references", module::references()?, idle)?;
    module::unload()?;
    check::soon("programs and links gone", || {
        Ok(Ids::now().beyond(&before).is_empty())
    })
}

fn again_and_again(t: &Ctx) -> Result<()> {
    for round in 0..t.rounds {
        module::load(&t.module)?;
        if round % 5 == 0 {
            Spec::l3().create(&t.host, &t.host)?;
        }
        module::unload()?;
    }
    built_in_works(t)
}
