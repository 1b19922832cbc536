// SPDX-License-Identifier: GPL-2.0

//! Loading and unloading. The module checks the kernel, livepatches it, and takes the devices over. Unloading is the
//! reverse.

#![forbid(unsafe_code)]

use crate::{
    builtin::{PATCH, TAKEOVER},
    klp,
    net::takeover::State,
    param::Parameter, //
};
use kernel::{
    fmt,
    prelude::*, //
};

/// The loaded module.
pub(crate) struct Module(());

impl klp::Livepatch for Module {
    /// `ENODEV` if the module was built for another kernel. Changes nothing.
    fn prepare() -> Result<Self> {
        TAKEOVER.prepare()?;
        Ok(Self(()))
    }

    fn patch() -> &'static klp::AnyPatch {
        &PATCH
    }

    fn patched() {
        TAKEOVER.set_patched(true);
    }

    fn unpatching() {
        TAKEOVER.set_patched(false);
    }

    fn another_comes() {
        TAKEOVER.set_aside(true);
    }

    fn stays() {
        TAKEOVER.set_aside(false);
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        TAKEOVER.finish();
    }
}

/// The parameter `devices`.
pub(crate) struct Devices;

impl Parameter for Devices {
    fn show() -> impl fmt::Display {
        TAKEOVER.devices()
    }

    /// `EPERM`: the parameter is read-only.
    fn store(_text: &[u8]) -> Result {
        Err(EPERM)
    }
}

/// The parameter `takeover`.
pub(crate) struct TakeoverState;

impl Parameter for TakeoverState {
    fn show() -> impl fmt::Display {
        match TAKEOVER.state() {
            State::Off => "off",
            State::On => "on",
            State::Incomplete => "incomplete",
        }
    }

    /// Accepts `0` and `1`; `EINVAL` for any other text. See
    /// [`Takeover::switch`](crate::net::takeover::Takeover::switch).
    fn store(text: &[u8]) -> Result {
        match text {
            b"0" => TAKEOVER.switch(false),
            b"1" => TAKEOVER.switch(true),
            _ => Err(EINVAL),
        }
    }
}
