// SPDX-License-Identifier: GPL-2.0
//! Races: operations that may happen at the same time are made to happen at the same time.
//!
//! Each race has a bounded time (`--seconds`), and checks at its end that the counters agree, the device works, and
//! nothing is left behind. As in any test, the runner watches the kernel log during a race.

mod arena;
mod devices;
mod flood;
mod managers;
mod module;
mod programs;
mod takeover;
mod takeover_use;

use std::sync::atomic::Ordering::Relaxed;

use anyhow::Result;

use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::POD4;
use crate::tests::Needs;
use crate::tests::Test;
use crate::traffic;

pub use self::arena::onto_cpu;
use self::flood::Flood;

/// All races, those with the module last.
pub fn tests() -> Vec<Test> {
    let mut all: Vec<_> = [programs::tests(), managers::tests(), devices::tests()]
        .into_iter()
        .flatten()
        .collect();
    let mut module = module::tests();
    module.extend(takeover::tests());
    module.extend(takeover_use::tests());
    for test in &mut module {
        test.needs = Needs::Module("there is no module to load or unload with the built-in driver");
    }
    all.extend(module);
    for test in &mut all {
        let name = test.name.rsplit("::").next().unwrap_or_default();
        test.name = format!("races::{name}");
        test.patience = 3;
    }
    all
}

/// The pair serves, and its counters agree: what one end has sent, the other one has received.
fn settled(t: &Ctx, duo: &Duo) -> Result<()> {
    traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 500)?;
    check::soon("the counters agree", || {
        let host = duo.host.stats(duo.pair.primary)?;
        let pod = duo.pod.stats(duo.pair.peer)?;
        let there = (host.tx_packets, host.tx_bytes) == (pod.rx_packets, pod.rx_bytes);
        let back = (pod.tx_packets, pod.tx_bytes) == (host.rx_packets, host.rx_bytes);
        Ok(there && back)
    })?;
    t.note(format!(
        "{} packets there, {} back",
        duo.host.stats(duo.pair.primary)?.tx_packets,
        duo.pod.stats(duo.pair.peer)?.tx_packets
    ));
    Ok(())
}

/// The traffic was there: more than nothing got through, either way.
fn got_through(flood: &Flood) -> Result<()> {
    let received = (
        flood.pod.received.load(Relaxed),
        flood.host.received.load(Relaxed),
    );
    check::that(
        &format!("datagrams came, there and back: {received:?}"),
        received.0 > 0 && received.1 > 0,
    )
}

/// All datagrams that sockets got rid of were counted, as sent or as dropped.
fn all_counted(duo: &Duo, flood: &Flood) -> Result<()> {
    let host = duo.host.stats(duo.pair.primary)?;
    let pod = duo.pod.stats(duo.pair.peer)?;
    let sent = (flood.host.sent.load(Relaxed), flood.pod.sent.load(Relaxed));
    let counted = (
        host.tx_packets + host.tx_dropped,
        pod.tx_packets + pod.tx_dropped,
    );
    check::equal("counted, there and back", counted, sent)?;
    let most = (pod.rx_packets, host.rx_packets);
    let received = (
        flood.pod.received.load(Relaxed),
        flood.host.received.load(Relaxed),
    );
    check::that(
        &format!("received {received:?} of {most:?}"),
        received.0 <= most.0 && received.1 <= most.1,
    )?;
    got_through(flood)
}
