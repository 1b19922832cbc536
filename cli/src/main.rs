// SPDX-License-Identifier: GPL-2.0
//! The command `netkit-rs`. What it does is in the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    netkit_rs::command::run(netkit_rs::args::Cli::parse())
}
