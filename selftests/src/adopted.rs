// SPDX-License-Identifier: GPL-2.0
//! The suite on adopted devices (`--adopted`): the built-in driver makes each device, and the module takes it over
//! before the test uses it.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Mutex;
use std::sync::PoisonError;

use nix::errno::Errno;

use crate::module;
use crate::nl::Answer;
use crate::nl::Refusal;
use crate::tests::Test;

static ON: AtomicBool = AtomicBool::new(false);
/// Whoever makes a device while another thread does would find the driver changed under it.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Tests that say nothing about adopted devices, by the beginning of their names.
const UNSUITED: &[(&str, &str)] = &[
    ("invalid::", "a request that is refused makes no device"),
    (
        "faults::step_create",
        "what is made to fail would be a part of the exchange",
    ),
    (
        "faults::nth_create",
        "what is made to fail would be a part of the exchange",
    ),
    (
        "rights::nobody",
        "whoever has no rights cannot have devices taken over",
    ),
    (
        "users::",
        "a guest's devices are made without the right to have them taken over",
    ),
    (
        "show::ip_link_created_by_iproute2",
        "iproute2 makes the devices",
    ),
    (
        "command_refused::",
        "the command is refused before it gets to a device",
    ),
    ("symbols::", "there is no device in it"),
    (
        "dev_switch::shown",
        "the built-in driver does not know the option",
    ),
    (
        "dev_switch::out_of_range",
        "the built-in driver does not know the option",
    ),
    (
        "dev_switch::single",
        "the built-in driver does not know the option",
    ),
];

/// What is run beside the whole suite: how a device works and what it shows.
const IN_BRIEF: &[&str] = &[
    "show::",
    "change::",
    "delete::",
    "policy::",
    "verdict::",
    "links::",
    "query::",
    "single::",
    "xsk_end::",
    "zcrx::receives",
];

pub fn set(on: bool) {
    ON.store(on, Relaxed);
}

/// Why the test is left out.
pub fn unsuited(test: &Test) -> Option<&'static str> {
    let known = UNSUITED
        .iter()
        .find(|(name, _)| test.name.starts_with(name));
    known.map(|(_, why)| *why)
}

pub fn in_brief(test: &Test) -> bool {
    IN_BRIEF.iter().any(|name| test.name.starts_with(name))
}

/// Has `request` make a device: with the built-in driver, if adopted devices are wanted.
pub fn create<T>(request: impl FnOnce() -> Answer<T>) -> Answer<T> {
    if !ON.load(Relaxed) {
        return request();
    }
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    module::set_takeover("0").map_err(not_exchanged)?;
    let answer = request();
    module::set_takeover("1").map_err(not_exchanged)?;
    answer
}

fn not_exchanged(errno: Errno) -> Refusal {
    Refusal {
        errno,
        text: Some("the module's parameter takeover".into()),
        offset: None,
        attr: None,
    }
}
