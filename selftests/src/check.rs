// SPDX-License-Identifier: GPL-2.0
//! Assertions for tests. A failed assertion is an error that says what was checked, what the value was and what it
//! should have been. It is never a panic.

use std::fmt::Debug;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use anyhow::Result;
use nix::errno::Errno;

use crate::nl::Refusal;

/// Fails unless `got` equals `expected`.
#[track_caller]
pub fn equal<T: Debug + PartialEq<U>, U: Debug>(what: &str, got: T, expected: U) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    let at = std::panic::Location::caller();
    bail!(
        "{what} is {got:?}, expected {expected:?} ({}:{})",
        at.file(),
        at.line()
    )
}

#[track_caller]
pub fn that(what: &str, holds: bool) -> Result<()> {
    if holds {
        return Ok(());
    }
    let at = std::panic::Location::caller();
    bail!("{what}: not so ({}:{})", at.file(), at.line())
}

/// Fails unless bpf(2) refused with `errno`.
#[track_caller]
pub fn errno<T>(what: &str, got: Result<T, Errno>, expected: Errno) -> Result<()> {
    equal(what, got.err(), Some(expected))
}

/// Fails unless the request was refused with `errno`, `text` and at attribute `attr`.
#[track_caller]
pub fn refused<T>(
    what: &str,
    got: Result<T, Refusal>,
    errno: Errno,
    text: Option<&str>,
    attr: Option<u16>,
) -> Result<()> {
    let at = std::panic::Location::caller();
    match got {
        Ok(_) => bail!("{what} was accepted ({}:{})", at.file(), at.line()),
        Err(no) if no.errno == errno && no.text.as_deref() == text && no.attr == attr => Ok(()),
        Err(no) => bail!(
            "{what} was refused with {no}, expected {errno:?} {text:?} at {attr:?} ({}:{})",
            at.file(),
            at.line()
        ),
    }
}

/// Waits until `holds` returns true; RCU and work queues are slow under emulation.
#[track_caller]
pub fn soon(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let at = std::panic::Location::caller();
    // After 15 s, livepatch wakes the tasks that delay a transition.
    let deadline = Instant::now() + Duration::from_secs(40);
    while !holds()? {
        if Instant::now() > deadline {
            bail!("{what}: not within 40 s ({}:{})", at.file(), at.line());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
