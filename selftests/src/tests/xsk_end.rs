// SPDX-License-Identifier: GPL-2.0
//! The end of AF_XDP sockets on leased queues: the socket, the netkit device, the card and the namespace are removed in
//! any order, and the card must not keep the socket's buffers.

use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;

use crate::afxdp::Mode;
use crate::afxdp::Xsk;
use crate::check;
use crate::ctx::Ctx;
use crate::inject;
use crate::inject::stay_on_one_cpu;
use crate::lessor;
use crate::module;
use crate::netkit;
use crate::netkit::Spec;
use crate::netns::Ns;
use crate::tests::one_with_module;
use crate::tests::xsk::Bench;
use crate::tests::Test;

tests![
    bound_again_and_again,
    netkit_deleted_first,
    card_deleted_first,
    moved_away,
    namespace_deleted,
    closed_and_deleted_at_once,
];

const WHY: &str =
    "the built-in driver forgets the buffers of the socket, and the card goes on using them";

/// All tests of the file; one of them shows what C cannot.
pub fn all() -> Vec<Test> {
    one_with_module(tests(), "closed_and_deleted_at_once", WHY)
}

fn bound_again_and_again(t: &Ctx) -> Result<()> {
    const ROUNDS: u32 = 10;
    lessor::with(t, || {
        let bench = Bench::new(t, &t.host, 0)?;
        for round in 1..=ROUNDS {
            let socket = bench.bind(1 + round % 2)?;
            drop(socket);
            bench.pool_goes(2 - round % 2)?;
        }
        for queue in [1, 2] {
            let seen = bench.seen(queue)?;
            let expected = (ROUNDS / 2, ROUNDS / 2);
            check::equal("pools", (seen.pools_set, seen.pools_cleared), expected)?;
        }
        Ok(())
    })
}

/// The device is deleted while the socket is still open.
fn is_cut_off(socket: &mut Xsk) -> Result<()> {
    check::equal("error", socket.error()?, libc::ENETDOWN)?;
    check::errno("sendto", socket.send(&[0; 60])?, Errno::ENXIO)
}

fn netkit_deleted_first(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, &t.host, 0)?;
        let (mut one, mut two) = (bench.bind(1)?, bench.bind(2)?);
        t.host.del_link(bench.index)?;
        for (queue, socket) in [(2, &mut one), (1, &mut two)] {
            let seen = bench.seen(queue)?;
            check::equal("pool", (seen.has_pool, seen.pools_cleared), (0, 1))?;
            is_cut_off(socket)?;
        }
        let netdev = t.host.netdev()?;
        for queue in [1, 2] {
            let shown = netdev.queue(bench.cable.phys.index, queue)?;
            check::equal("shown", (shown.xsk, shown.lease), (false, None))?;
        }
        Ok(())
    })
}

fn card_deleted_first(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let pod = t.ns()?;
        let bench = Bench::new(t, &pod, 0)?;
        let (mut one, mut two) = (bench.bind(1)?, bench.bind(2)?);
        t.host.del_link(bench.cable.phys.index)?;
        check::equal("devices", netkit::devices(&pod)?.len(), 0)?;
        is_cut_off(&mut one)?;
        is_cut_off(&mut two)
    })
}

/// A device that moves to another namespace leaves its sockets, not its leases.
fn moved_away(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let bench = Bench::new(t, &t.host, 0)?;
        let mut socket = bench.bind(1)?;
        let pod = t.ns()?;
        t.host.move_to(bench.index, &pod)?;
        is_cut_off(&mut socket)?;
        let seen = bench.seen(2)?;
        check::equal("pool", (seen.has_pool, seen.pools_cleared), (0, 1))?;
        let index = pod.link("single")?.index;
        pod.up(index)?;
        let mut socket = Xsk::zero_copy(&pod, index, 1)?;
        let _program = bench.address(&[])?;
        bench.reaches_the_world(&mut socket, 1)
    })
}

/// The socket's own namespace lives as long as the socket. Of the device's namespace it knows nothing.
fn namespace_deleted(t: &Ctx) -> Result<()> {
    lessor::with(t, || {
        let pod = Ns::new()?;
        let mut bench = Bench::new(t, &pod, 0)?;
        let socket = bench.bind(1)?;
        let cable = bench.cable.clone();
        bench.ns = t.host.clone();
        drop(pod);
        check::that("still there", cable.phys.seen(2)?.has_pool == 1)?;
        drop(socket);
        drop(bench);
        let netdev = t.host.netdev()?;
        check::soon("the lease ends", || {
            Ok(netdev.queue(cable.phys.index, 2)?.lease.is_none())
        })
    })
}

/// Keeps the background work of this CPU back until this thread sleeps.
fn overtake() -> Result<()> {
    stay_on_one_cpu()?;
    inject::overtake()
}

/// The pool of a closed socket is freed in the background. By then its device is deleted, and there is no
/// lease any more.
fn closed_and_deleted_at_once(t: &Ctx) -> Result<()> {
    module::load(&t.module)?;
    overtake()?;
    lessor::with(t, || {
        let cable = lessor::cable(t, 2, 0)?;
        let netdev = t.host.netdev()?;
        for mode in [Mode::ZeroCopy, Mode::Copy, Mode::ZeroCopy] {
            let index = Spec::l2().rx_queues(2).create_single("single", &t.host)?;
            netdev.lease(index, cable.phys.offer(1, None))?;
            t.host.up(index)?;
            let socket = Xsk::bind(&t.host, index, 1, mode)?.context("bind(AF_XDP)")?;
            check::that("bound", netdev.queue(cable.phys.index, 1)?.xsk)?;
            let zero_copy = u32::from(socket.is_zero_copy()?);
            check::equal("pool", cable.phys.seen(1)?.has_pool, zero_copy)?;
            drop(socket);
            t.host.del_link(index)?;
            let seen = cable.phys.seen(1)?;
            check::equal(
                "pool",
                (seen.has_pool, seen.pools_set),
                (0, seen.pools_cleared),
            )?;
            let shown = netdev.queue(cable.phys.index, 1)?;
            check::equal("shown", (shown.xsk, shown.lease), (false, None))?;
        }
        Ok(())
    })?;
    module::unload()
}
