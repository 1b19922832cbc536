// SPDX-License-Identifier: GPL-2.0
//! Bringing a device from one driver to the other, and back.

use anyhow::Result;

use crate::check;
use crate::ctx::Ctx;
use crate::module;

/// Whose the devices are, and how they got there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    BuiltIn,
    Loaded,
    HandedBack,
    TakenAgain,
    Unloaded,
}

impl State {
    /// Whether devices that are made now are the module's.
    pub fn ours(self) -> bool {
        matches!(self, Self::Loaded | Self::TakenAgain)
    }
}

/// All devices of the test are the module's.
pub fn all_ours(t: &Ctx) -> Result<()> {
    check::equal("takeover", module::takeover()?, "on")?;
    check::equal(
        "devices that are the module's",
        module::devices()?,
        t.devices()?,
    )
}

/// None is.
pub fn all_theirs() -> Result<()> {
    check::equal("takeover", module::takeover()?, "off")?;
    check::equal("devices that are the module's", module::devices()?, 0)
}

/// Takes over what there is, and sees that it worked.
pub fn take_over(t: &Ctx) -> Result<()> {
    module::take_over()?;
    all_ours(t)
}

pub fn hand_back() -> Result<()> {
    module::hand_back()?;
    all_theirs()
}

/// Goes through all states and looks at each.
pub fn in_each(t: &Ctx, mut look: impl FnMut(State) -> Result<()>) -> Result<()> {
    let mut see = |state: State| {
        look(state).map_err(|error| error.context(format!("in the state {state:?}")))
    };
    see(State::BuiltIn)?;
    module::load(&t.module)?;
    all_ours(t)?;
    see(State::Loaded)?;
    hand_back()?;
    see(State::HandedBack)?;
    take_over(t)?;
    see(State::TakenAgain)?;
    module::unload()?;
    see(State::Unloaded)
}
