// SPDX-License-Identifier: GPL-2.0
//! The symbols that the module reaches by livepatch relocation.

use std::fs;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;

use crate::ctx::Ctx;

tests![stand_once];

/// The list that the build reads.
const LIST: &str = include_str!("../../../bindings/klp-symbols");

/// A relocation by name means the one symbol of this name: the kernel must have just one.
fn stand_once(_: &Ctx) -> Result<()> {
    let kallsyms = fs::read_to_string("/proc/kallsyms").context("/proc/kallsyms")?;
    let wanted = LIST.lines().filter(|line| !line.starts_with('#'));
    for name in wanted.filter(|line| !line.is_empty()) {
        // Address, type, name, and for those of modules the module.
        let count = kallsyms
            .lines()
            .map(|line| line.split_whitespace().skip(2))
            .filter(|rest| rest.clone().eq([name]))
            .count();
        ensure!(count == 1, "{name} stands {count} times in the kernel");
    }
    Ok(())
}
