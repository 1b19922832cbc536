// SPDX-License-Identifier: GPL-2.0
//! Devices with leased queues: AF_XDP sockets and io_uring receivers on them, served by a card, continue to work.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use anyhow::anyhow;
use anyhow::Context;
use anyhow::Result;

use super::states;
use super::states::in_each;
use crate::check;
use crate::ctx::Ctx;
use crate::lessor;
use crate::lessor::Card;
use crate::module;
use crate::netkit;
use crate::netkit::Spec;
use crate::tests::tests;
use crate::tests::xsk;
use crate::tests::zcrx;

tests![
    sockets_in_each_state,
    provided_memory_in_each_state,
    exchanges_under_a_socket,
    leases_end,
];

/// Frames there and back, during exchanges to and fro.
const FRAMES: u32 = 100;

fn sockets_in_each_state(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = xsk::Bench::new(t, &t.host, 0)?;
        let mut stays = bench.bind(1)?;
        let (_program, _link) = bench.address(&[(2, &stays)])?;
        bench.cable.phys.steer(2)?;
        let mut number = 0;
        in_each(t, |state| {
            for _ in 0..5 {
                number += 1;
                bench.reaches_the_world(&mut stays, number)?;
                stays.offer(1).context("recvfrom")?;
                bench.hears_the_world(&mut stays, number)?;
            }
            // One that was bound in the state before goes in the next one, and each driver binds one.
            let mut comes = bench.bind(2)?;
            bench.reaches_the_world(&mut comes, 200)?;
            if state.ours() {
                module::hand_back()?;
                drop(comes);
                bench.pool_goes(1)?;
                states::take_over(t)?;
            } else {
                drop(comes);
                bench.pool_goes(1)?;
            }
            let seen = bench.seen(2)?;
            let pools = (seen.has_pool, seen.pools_set, seen.pools_cleared);
            check::equal("the pool of the socket that stays", pools, (1, 1, 0))
        })?;
        drop(stays);
        bench.pool_goes(2)
    })
}

fn provided_memory_in_each_state(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = zcrx::Bench::new(t, Spec::l3())?;
        let mut memory = bench.register()?;
        let restarts = bench.cable.phys.seen(2)?.restarts;
        in_each(t, |_| {
            bench.carries(&mut memory, 50_000)?;
            let seen = bench.cable.phys.seen(2)?;
            let provider = (seen.has_provider, seen.restarts);
            check::equal("the provided memory", provider, (1, restarts))
        })?;
        drop(memory);
        bench.memory_goes()
    })
}

/// Each frame of a socket arrives, and each answer, while the device changes drivers.
fn exchanges_under_a_socket(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    lessor::with(t, || {
        let bench = xsk::Bench::new(t, &t.host, 0)?;
        let mut socket = bench.bind(1)?;
        let (_program, _link) = bench.address(&[(2, &socket)])?;
        bench.cable.phys.steer(2)?;
        let over = AtomicBool::new(false);
        let exchanges = thread::scope(|scope| -> Result<u32> {
            let exchanger = scope.spawn(|| -> Result<u32> {
                let mut exchanges = 0;
                while !over.load(Relaxed) {
                    module::hand_back()?;
                    module::take_over()?;
                    exchanges += 1;
                }
                Ok(exchanges)
            });
            let outcome = (0..FRAMES).try_for_each(|number| {
                bench.reaches_the_world(&mut socket, number as u8)?;
                socket.offer(1).context("recvfrom")?;
                bench.hears_the_world(&mut socket, number as u8)
            });
            over.store(true, Relaxed);
            let exchanges = exchanger.join().map_err(|_| anyhow!("a thread panicked"))?;
            outcome.and(exchanges)
        })?;
        t.note(format!(
            "{FRAMES} frames there and back, 0 lost, during {exchanges} exchanges"
        ));
        check::that("exchanges were made meanwhile", exchanges > 10)?;
        drop(socket);
        bench.pool_goes(2)
    })?;
    module::unload()
}

/// Leases that were made in the hands of one driver end in the hands of the other one, with the device or with the card.
fn leases_end(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    lessor::with(t, || {
        let netdev = t.host.netdev()?;
        for ours in [false, true] {
            for with_card in [false, true] {
                let maker = if ours { "1" } else { "0" };
                let other = if ours { "0" } else { "1" };
                module::set_takeover(maker)?;
                let card = Card::create(&t.host, "phys", 3, 0, None)?;
                t.host.up(card.index)?;
                let single = Spec::l2().rx_queues(2).create_single("nk2", &t.host)?;
                let pair = Spec::l3().peer_rx_queues(2).create(&t.host, &t.host)?;
                netdev.lease(single, card.offer(1, None))?;
                netdev.lease(pair.peer, card.offer(2, None))?;
                module::set_takeover(other)?;
                for (index, queue) in [(single, 1), (pair.peer, 2)] {
                    let lease = netdev.queue(card.index, queue)?.lease;
                    check::equal("lease", lease, Some((index, 1, None)))?;
                }
                if with_card {
                    t.host.del_link(card.index)?;
                } else {
                    t.host.del_link(single)?;
                    t.host.del_link(pair.primary)?;
                    for queue in [1, 2] {
                        let lease = netdev.queue(card.index, queue)?.lease;
                        check::equal("lease", lease, None)?;
                    }
                    t.host.del_link(card.index)?;
                }
                check::equal("devices", netkit::devices(&t.host)?.len(), 0)?;
            }
        }
        Ok(())
    })?;
    module::unload()
}
