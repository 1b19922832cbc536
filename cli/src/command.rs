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
use crate::args::Reload;
use crate::args::Unload;
use crate::change;
use crate::failure::Kind;
use crate::module;
use crate::module::Count;
use crate::module::Driver;
use crate::status::status;
use crate::status::Scope;
use crate::trace;
use crate::uname;

/// Does what the command line says.
pub fn run(cli: Cli) -> ExitCode {
    uname::for_aya();
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
        Command::Unload(args) => print(&unload(&args)?, json),
        Command::Reload(args) => print(&reload(&args)?, json),
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
        Command::Trace(args) => {
            let options = trace::Options {
                dev: args.dev,
                netns: args.netns,
                count: args.count,
            };
            trace::trace(&options, json)
        }
    }
}

fn print<T: fmt::Display + Serialize>(report: &T, json: bool) -> Result<()> {
    let text = match json {
        true => serde_json::to_string_pretty(report)?,
        false => report.to_string(),
    };
    match writeln!(io::stdout(), "{text}") {
        // The reader has closed the pipe (`| head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write the answer"),
    }
}

/// The message goes to standard error. With --json, the error is also on standard output, where programs read it.
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
    /// The file that was loaded; `None` if the module was in the kernel already.
    module: Option<PathBuf>,
    devices_taken_over: Option<usize>,
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.module {
            Some(path) => write!(f, "loaded {}: ", path.display())?,
            None => f.write_str("the load is complete: ")?,
        }
        if let Some(devices) = self.devices_taken_over {
            write!(f, "{} taken over; ", Count(devices))?;
        }
        f.write_str("the Rust driver makes new ones")
    }
}

fn load(args: Load) -> Result<Loaded> {
    let loaded = module::load_within(args.module.as_deref(), args.patience.duration())?;
    Ok(Loaded {
        driver: module::driver()?,
        module: loaded.file,
        devices_taken_over: loaded.devices,
    })
}

#[derive(Serialize)]
struct Unloaded {
    driver: Driver,
    /// Always 0, because devices are handed back. Other programs read this key.
    devices_removed: usize,
    devices_handed_back: Option<usize>,
}

impl fmt::Display for Unloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unloaded: ")?;
        // The number is 0 if an earlier, interrupted unload has handed the devices back.
        if let Some(devices) = self.devices_handed_back.filter(|devices| *devices > 0) {
            write!(f, "{} handed back; ", Count(devices))?;
        }
        f.write_str("the built-in driver serves all devices")
    }
}

fn unload(args: &Unload) -> Result<Unloaded> {
    let unloaded = module::unload_within(args.patience.duration())?;
    Ok(Unloaded {
        driver: module::driver()?,
        devices_removed: 0,
        devices_handed_back: unloaded.devices,
    })
}

#[derive(Serialize)]
struct Reloaded {
    driver: Driver,
    module: PathBuf,
    old_build_id: Option<String>,
    new_build_id: Option<String>,
    devices_handed_back: Option<usize>,
    devices_taken_over: Option<usize>,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let build = |id: &Option<String>| id.clone().unwrap_or_else(|| "unknown".to_owned());
        let (old, new) = (build(&self.old_build_id), build(&self.new_build_id));
        write!(f, "reloaded {}: build {old} ", self.module.display())?;
        match old == new {
            true => f.write_str("again")?,
            false => write!(f, "replaced by build {new}")?,
        }
        if let Some(devices) = self.devices_taken_over {
            write!(f, "; {} taken over", Count(devices))?;
        }
        Ok(())
    }
}

fn reload(args: &Reload) -> Result<Reloaded> {
    let reloaded = module::reload_within(args.module.as_deref(), args.patience.duration())?;
    Ok(Reloaded {
        driver: module::driver()?,
        module: reloaded.file,
        old_build_id: reloaded.old_build_id,
        new_build_id: reloaded.new_build_id,
        devices_handed_back: reloaded.handed_back,
        devices_taken_over: reloaded.taken_over,
    })
}
