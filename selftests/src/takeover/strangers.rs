// SPDX-License-Identifier: GPL-2.0
//! A leaked reference on a device of another driver ("waiting for dummy0 to become free") does not stop loading,
//! unloading, or new namespaces.

use std::sync::mpsc::channel;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;

use super::hold::Hold;
use super::states;
use crate::check;
use crate::ctx::Ctx;
use crate::ctx::Duo;
use crate::ctx::POD4;
use crate::module;
use crate::netkit::Spec;
use crate::netns::Ns;
use crate::tests::module::joined;
use crate::tests::tests;
use crate::traffic;

tests![device_that_does_not_go, namespace_that_does_not_go];

/// As long as a load or an unload may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A new namespace with a pair in it, within a bounded time: from another thread, which may hang.
fn new_namespace() -> Result<()> {
    let (say, hear) = channel();
    thread::spawn(move || {
        let made = Ns::new().and_then(|ns| Spec::l2().create(&ns, &ns));
        // Nobody listens if it took too long.
        let _heard = say.send(made.map(drop));
    });
    hear.recv_timeout(PATIENCE)
        .context("no new namespace can be made")?
}

/// Runs [`all_works`]. A task that waits for the leaked reference cannot be killed: then the reference is
/// put, and the test fails.
fn all_works_in_time(t: &Ctx, duo: &Duo, hold: &Hold) -> Result<()> {
    let (done, over) = channel::<()>();
    thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let late = over.recv_timeout(2 * PATIENCE) == Err(RecvTimeoutError::Timeout);
            if late {
                let _let_go_or_hung = hold.let_go();
            }
            late
        });
        let outcome = all_works(t, duo);
        drop(done);
        let late = watch.join().unwrap_or(true);
        outcome?;
        check::that("nothing waits for the stranger", !late)
    })
}

/// Everything works while the stranger does not go.
fn all_works(t: &Ctx, duo: &Duo) -> Result<()> {
    let carries = || traffic::udp_exchange(&duo.host, &duo.pod, POD4.into(), 100);
    new_namespace()?;
    module::load(&t.module)?;
    check::that("devices are taken over", module::devices()? >= 2)?;
    new_namespace()?;
    carries()?;
    module::hand_back()?;
    // The devices of the namespace that was removed may be in the middle of their deletion: those stay with
    // the module.
    check::soon(
        "all devices are handed back",
        || Ok(module::devices()? == 0),
    )?;
    states::all_theirs()?;
    module::take_over()?;
    module::unload()?;
    new_namespace()?;
    carries()
}

fn device_that_does_not_go(t: &Ctx) -> Result<()> {
    let hold = Hold::load(t)?;
    let duo = t.duo(Spec::l3())?;
    let dummy = t.host.add_device("dummy0", "dummy")?;
    hold.device(&t.host, "dummy0")?;
    let ticket = t.host.ticket()?;
    thread::scope(|scope| {
        let deleter = scope.spawn(move || -> Result<()> { Ok(ticket.enter()?.del_link(dummy)?) });
        let outcome = check::soon("the device is listed no more", || {
            Ok(t.host.link("dummy0").is_err())
        })
        .and_then(|()| all_works_in_time(t, &duo, &hold));
        let waits = !deleter.is_finished();
        hold.let_go()?;
        joined(deleter)?;
        outcome?;
        check::that("somebody waited for it all the time", waits)
    })
}

/// The one thread that ends namespaces waits for the device, and holds pernet_ops_rwsem.
fn namespace_that_does_not_go(t: &Ctx) -> Result<()> {
    let hold = Hold::load(t)?;
    let duo = t.duo(Spec::l3())?;
    let dies = Ns::new()?;
    dies.add_device("dummy0", "dummy")?;
    // A pair shows when the devices of the namespace are no longer listed.
    let witness = Spec::l2().create_as("w0", "w1", &t.host, &dies)?.primary;
    hold.device(&dies, "dummy0")?;
    drop(dies);
    check::soon("the namespace's devices are listed no more", || {
        Ok(t.host.link_by_index(witness).is_err())
    })?;
    let outcome = all_works_in_time(t, &duo, &hold);
    // Namespaces are torn down one after the other: the devices of this one exist until the leaked reference
    // is put.
    let next = Ns::new()?;
    let waits = Spec::l2().create_as("w0", "w1", &t.host, &next)?.primary;
    drop(next);
    thread::sleep(Duration::from_millis(500));
    let waited = t.host.link_by_index(waits).is_ok();
    hold.let_go()?;
    outcome?;
    check::that("the end of namespaces waited", waited)?;
    check::soon("namespaces end again", || {
        Ok(t.host.link_by_index(waits).is_err())
    })
}
