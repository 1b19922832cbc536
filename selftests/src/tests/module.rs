// SPDX-License-Identifier: GPL-2.0
//! Loading and unloading netkit_rs.ko: possible at any moment, with any devices, programs, links and sockets. All of
//! these stay, and work as before.

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
use crate::netkit::Spec;
use crate::netkit::DROP;
use crate::netkit::NEXT;
use crate::netns::Ns;
use crate::runner::BPFFS;
use crate::traffic;
use crate::uring::Zcrx;

tests![
    load_with_c_devices,
    load_while_devices_come_and_go,
    loaded_twice,
    links_do_not_hold_the_module,
    devices_stay_at_unload,
    links_survive_unload,
    pins_survive,
    unload_while_fdinfo_is_read,
    unload_under_traffic,
    unload_with_socket_on_the_device,
    unload_with_leases,
    built_in_driver_after_unload,
    nothing_leaks,
    again_and_again,
];

/// The built-in driver works: a pair is created, gets a program, carries traffic, and is deleted.
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

/// All devices of all namespaces are taken over, and serve.
fn load_with_c_devices(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    let (left, right) = (t.ns()?, t.ns()?);
    Spec::l2().create(&left, &right)?;
    Spec::l2().create_as("a", "b", &t.host, &t.host)?;
    let mut kmsg = Kmsg::tail()?;
    module::load(&t.module)?;
    check::equal("devices that are the module's", module::devices()?, 6)?;
    let lines = kmsg.lines();
    let told = |line: &String| line.contains("netkit_rs: took over 6 devices");
    check::that(&format!("told in {lines:?}"), lines.iter().any(told))?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    let prog = Prog::returning(NEXT)?;
    mprog::attach(&prog, duo.pair.primary, PEER, Place::default())?;
    module::unload()?;
    let lines = kmsg.lines();
    let told = |line: &String| line.contains("netkit_rs: handed 6 devices back");
    check::that(&format!("told in {lines:?}"), lines.iter().any(told))
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

/// Creates a pair, has it for a moment and deletes it.
pub fn come_and_go(ns: &Ns) -> Result<()> {
    let begun = Instant::now();
    let pair = Spec::l3().create_as("busy0", "busy1", ns, ns)?;
    // As long there as on the way, or a slow kernel would hardly ever be met with it.
    thread::sleep(begun.elapsed().max(Duration::from_millis(50)));
    Ok(ns.del_link(pair.primary)?)
}

/// No creation or deletion of a device is refused in the meantime.
fn load_while_devices_come_and_go(t: &Ctx) -> Result<()> {
    meanwhile(come_and_go, |rounds| {
        for _ in 0..t.rounds.clamp(2, 5) {
            let before = rounds.load(Ordering::Relaxed);
            module::load(&t.module)?;
            module::unload()?;
            check::soon("pairs", || Ok(rounds.load(Ordering::Relaxed) > before + 3))?;
        }
        t.note(format!("{} pairs", rounds.load(Ordering::Relaxed)));
        Ok(())
    })?;
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

fn devices_stay_at_unload(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let (left, right) = (t.ns()?, t.ns()?);
    Spec::l3().create(&left, &right)?;
    Spec::l2().create_as("a", "b", &t.host, &t.host)?;
    Spec::l2().create_as("c", "d", &t.host, &left)?;
    let duo = t.duo(Spec::l3())?;
    module::unload()?;
    check::equal("devices", t.devices()?, 8)?;
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    let prog = Prog::returning(NEXT)?;
    mprog::attach(&prog, duo.pair.primary, PEER, Place::default())?;
    duo.pod.del_link(duo.pair.peer)?;
    check::equal("devices", t.devices()?, 6)
}

/// A link is on its device, runs its program, and can be changed.
pub fn in_force(link: &Link, prog: &Prog, ifindex: u32) -> Result<()> {
    let info = link.info()?;
    check::equal("link", (info.ifindex, info.prog_id), (ifindex, prog.id))?;
    let line = format!("ifindex:\t{ifindex}\n");
    check::that("fdinfo", link.fdinfo()?.contains(&line))?;
    let other = Prog::returning(NEXT)?;
    check::equal("update", link.update(&other, Some(prog)), Ok(()))?;
    check::equal("program", link.info()?.prog_id, other.id)?;
    check::equal("update back", link.update(prog, Some(&other)), Ok(()))
}

fn links_survive_unload(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let pair = Spec::l3().create(&t.host, &t.host)?;
    let prog = Prog::returning(NEXT)?;
    let links = [
        Link::create(&prog, pair.primary, PRIMARY, Place::default())?,
        Link::create(&prog, pair.primary, PEER, Place::default())?,
    ];
    module::unload()?;
    for (link, index) in links.iter().zip([pair.primary, pair.peer]) {
        in_force(link, &prog, index)?;
    }
    let [first, second] = links;
    check::equal("detach", first.detach(), Ok(()))?;
    drop(second);
    for hook in [PRIMARY, PEER] {
        check::soon("no program is left", || {
            Ok(mprog::query(pair.primary, hook)?.count == 0)
        })?;
    }
    t.host.del_link(pair.primary)?;
    built_in_works(t)
}

/// A link that only its pin holds keeps its program in force, through an unload and the next load.
fn pins_survive(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let duo = t.duo(Spec::l3())?;
    let prog = Prog::returning(DROP)?;
    let path = Path::new(BPFFS).join("held");
    Link::create(&prog, duo.pair.primary, PRIMARY, Place::default())?.pin(&path)?;
    let holds = || -> Result<()> {
        in_force(&Link::open_pin(&path)?, &prog, duo.pair.primary)?;
        let arrives = traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), false)?;
        check::equal("arrives", arrives, false)
    };
    holds()?;
    module::unload()?;
    holds()?;
    module::load(&t.module)?;
    holds()?;
    module::unload()?;
    std::fs::remove_file(&path)?;
    check::soon("the program goes with the pin", || {
        traffic::udp_arrives(&duo.host, &duo.pod, POD4.into(), false)
    })
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
    in_force(&link, &prog, pair.primary)
}

fn unload_under_traffic(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    let duo = t.duo(Spec::l3())?;
    let prog = Prog::returning(NEXT)?;
    mprog::attach(&prog, duo.pair.primary, PRIMARY, Place::default())?;
    let sender = traffic::udp_sender(&duo.host, POD4.into())?;
    let receiver = traffic::udp_receiver(&duo.pod, POD4.into())?;
    receiver.set_read_timeout(Some(Duration::from_secs(5)))?;
    meanwhile(
        |_| {
            check::equal("sent", sender.send(&[0; 100])?, 100)?;
            let mut buffer = [0; 200];
            check::equal("received", receiver.recv(&mut buffer)?, 100)
        },
        |rounds| {
            check::soon("datagrams", || Ok(rounds.load(Ordering::Relaxed) > 100))?;
            module::unload()?;
            let before = rounds.load(Ordering::Relaxed);
            check::soon("more datagrams", || {
                Ok(rounds.load(Ordering::Relaxed) > before + 100)
            })
        },
    )?;
    check::equal("devices", t.devices()?, 2)
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
    // Without a receiver, the second datagram would be refused.
    let _receiver = traffic::udp_receiver(&duo.pod, POD4.into())?;
    let datagram = traffic::udp_sender(&duo.host, POD4.into())?;
    socket2::SockRef::from(&datagram).bind_device(Some(b"nk0"))?;
    datagram.send(&[0; 10])?;
    module::unload()?;
    check::equal("sent", datagram.send(&[0; 10])?, 10)?;
    drop((packet, datagram));
    duo.host.del_link(duo.pair.primary)?;
    built_in_works(t)
}

/// A socket's buffers and provided memory stay with the card behind a leased queue, and go when they are given up.
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
        check::equal("in use", used()?, (1, 1))?;
        for (card, index) in [(&one, nk0), (&two, nk1)] {
            let lease = netdev.queue(card.index, 1)?.lease;
            check::equal("lease", lease, Some((index, 1, None)))?;
        }
        drop((socket, memory));
        check::soon("both are given up", || Ok(used()? == (0, 0)))?;
        t.host.del_link(nk0)?;
        check::equal("lease", netdev.queue(one.index, 1)?.lease, None)
    })
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
    duo.host.del_link(duo.pair.primary)?;
    check::soon("programs and links gone", || {
        Ok(Ids::now().beyond(&before).is_empty())
    })
}

fn again_and_again(t: &Ctx) -> Result<()> {
    let duo = t.duo(Spec::l3())?;
    for _ in 0..t.rounds {
        module::load(&t.module)?;
        module::unload()?;
        traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100)?;
    }
    duo.host.del_link(duo.pair.primary)?;
    built_in_works(t)
}
