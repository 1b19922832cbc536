// SPDX-License-Identifier: GPL-2.0
//! The command `netkit-rs`: the driver in and out of the running kernel, BPF programs on and off its devices.
//!
//! Here is what a user types and reads; what happens is in the library.

mod programs;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use clap::Parser;
use clap::Subcommand;
use netkit_rs::device::Role;
use netkit_rs::module;

/// Loads the Rust netkit driver into the running kernel, and attaches BPF programs to netkit devices.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Put the Rust driver in the place of the kernel's own, and wait until every process uses it
    Load {
        /// The module [default: the one built next to this command, else the one installed for this kernel]
        module: Option<PathBuf>,
    },
    /// Take the Rust driver out, with its devices, and bring back the kernel's own
    Unload,
    /// Tell which driver runs, and which netkit devices there are in this network namespace
    Status,
    /// Load a program from an object file and attach it to a device by a bpf_link, pinned to a path
    Attach(Attach),
    /// Put another program behind a pinned link, at once and in the same place
    Replace(Replace),
    /// Take a pinned link's program off its device, and remove the pin
    Detach {
        /// The pinned link
        pin: PathBuf,
    },
}

#[derive(Args)]
struct Source {
    /// The object file (clang -target bpf -c)
    object: PathBuf,
    /// The program's name, if the file has several
    #[arg(long, short)]
    program: Option<String>,
    /// The program's section, if the file has several
    #[arg(long, short)]
    section: Option<String>,
}

#[derive(Args)]
struct Attach {
    #[command(flatten)]
    source: Source,
    /// The primary device of the pair
    #[arg(long, short)]
    dev: String,
    /// Attach to what the peer sends, and not to what the primary sends
    #[arg(long)]
    peer: bool,
    /// Where to pin the link: a path in a BPF file system
    #[arg(long, value_name = "PATH")]
    pin: PathBuf,
    #[command(flatten)]
    order: Order,
    /// Attach only if the device's programs are at this revision
    #[arg(long)]
    revision: Option<u64>,
}

/// The place among the programs that are attached already.
#[derive(Args)]
#[group(multiple = false)]
struct Order {
    /// Run in front of all others
    #[arg(long)]
    first: bool,
    /// Run behind all others (the default)
    #[arg(long)]
    last: bool,
    /// Run in front of this program (its id, or link:ID)
    #[arg(long, value_name = "ID")]
    before: Option<programs::Relative>,
    /// Run behind this program (its id, or link:ID)
    #[arg(long, value_name = "ID")]
    after: Option<programs::Relative>,
}

#[derive(Args)]
struct Replace {
    /// The pinned link
    pin: PathBuf,
    #[command(flatten)]
    source: Source,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("netkit-rs: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Load { module } => load(module),
        Command::Unload => unload(),
        Command::Status => status(),
        Command::Attach(attach) => programs::attach(attach),
        Command::Replace(replace) => programs::replace(replace),
        Command::Detach { pin } => programs::detach(&pin),
    }
}

fn load(module: Option<PathBuf>) -> Result<()> {
    let path = match module {
        Some(path) => path,
        None => module::default_path()?,
    };
    module::load(&path)?;
    println!(
        "loaded {}: netkit devices are made by the Rust driver now",
        path.display()
    );
    Ok(())
}

fn unload() -> Result<()> {
    module::unload(|devices| {
        if devices > 0 {
            println!(
                "{} and will be removed",
                count(devices, "belongs to it", "belong to it")
            );
        }
    })?;
    println!("unloaded: netkit devices are made by the built-in driver again");
    Ok(())
}

fn status() -> Result<()> {
    let status = module::status()?;
    println!("driver:   {}", status.driver);
    if let Some(references) = status.references {
        println!("module:   netkit_rs, reference count {references}");
    }
    println!(
        "devices:  {}",
        match status.devices.len() {
            0 => "none in this network namespace".to_owned(),
            n => count(n, "in this network namespace", "in this network namespace"),
        }
    );
    for device in &status.devices {
        let role = match device.role {
            Some(Role::Peer) => "peer",
            _ => "primary",
        };
        println!("  {}: {} ({role})", device.index, device.name);
    }
    Ok(())
}

fn count(n: usize, one: &str, many: &str) -> String {
    match n {
        1 => format!("1 netkit device {one}"),
        n => format!("{n} netkit devices {many}"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn arguments_make_sense() {
        super::Cli::command().debug_assert();
    }
}
