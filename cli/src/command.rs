// SPDX-License-Identifier: GPL-2.0
//! From the arguments to what is printed and to the exit status.

use std::fmt;
use std::io;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use anyhow::Error;
use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use crate::args::Cli;
use crate::args::Command;
use crate::args::Load;
use crate::args::Unload;
use crate::change;
use crate::failure::Kind;
use crate::module;
use crate::module::Driver;
use crate::status::status;
use crate::status::Scope;

/// Does what the command line says.
pub fn run(cli: Cli) -> ExitCode {
    let Cli { json, command } = cli;
    match execute(command, json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let kind = Kind::of(&error);
            report_failure(&error, kind, json);
            ExitCode::from(kind as u8)
        }
    }
}

fn execute(command: Command, json: bool) -> Result<()> {
    match command {
        Command::Load(args) => print(&load(args)?, json),
        Command::Unload(args) => print(&unload(&args, json)?, json),
        Command::Status(args) => {
            let scope = match (args.all, args.netns) {
                (true, _) => Scope::All,
                (_, Some(name)) => Scope::Named(name),
                _ => Scope::This,
            };
            print(&status(&scope, args.dev.as_deref())?, json)
        }
        Command::Attach(args) => print(&change::attach(&args.into())?, json),
        Command::Replace(args) => print(&args.run()?, json),
        Command::Detach(args) => print(&args.run()?, json),
    }
}

fn print<T: fmt::Display + Serialize>(report: &T, json: bool) -> Result<()> {
    let text = match json {
        true => serde_json::to_string_pretty(report)?,
        false => report.to_string(),
    };
    match writeln!(io::stdout(), "{text}") {
        // Whoever reads has seen enough (`| head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write the answer"),
    }
}

/// People read standard error; programs that asked for JSON find it where they look for it.
fn report_failure(error: &Error, kind: Kind, json: bool) {
    eprintln!("netkit-rs: {error:#}");
    if json {
        let text = format!("{error:#}");
        let told = json!({ "error": { "kind": kind.name(), "message": text } });
        println!("{told:#}");
    }
}

#[derive(Serialize)]
struct Loaded {
    driver: Driver,
    module: PathBuf,
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.module.display();
        write!(
            f,
            "loaded {path}: netkit devices are made by the Rust driver now"
        )
    }
}

fn load(args: Load) -> Result<Loaded> {
    let module = match args.module {
        Some(path) => path,
        None => module::default_path()?,
    };
    module::load_within(&module, args.patience.duration())?;
    Ok(Loaded {
        driver: module::driver()?,
        module,
    })
}

#[derive(Serialize)]
struct Unloaded {
    driver: Driver,
    devices_removed: usize,
}

impl fmt::Display for Unloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unloaded: netkit devices are made by the built-in driver again")
    }
}

fn unload(args: &Unload, json: bool) -> Result<Unloaded> {
    let unloaded = module::unload_within(args.patience.duration(), |devices| match devices {
        // It takes a while: the user is told before, not after.
        1 if !json => println!("1 netkit device belongs to it and will be removed"),
        n if n > 1 && !json => println!("{n} netkit devices belong to it and will be removed"),
        _ => {}
    })?;
    Ok(Unloaded {
        driver: module::driver()?,
        devices_removed: unloaded.devices,
    })
}
