// SPDX-License-Identifier: GPL-2.0
//! The command `netkit-rs`. All its work is done by the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    netkit_rs::command::run(netkit_rs::args::Cli::parse())
}
