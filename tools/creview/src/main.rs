// SPDX-License-Identifier: GPL-2.0

//! The C functions that the module rests on, and whether they are those that were reviewed.
//!
//! A SAFETY comment is a claim about a function of the kernel. Another kernel may have another body under the same
//! name. `docs/reviewed-functions` holds a hash of each body that was read, for each kernel; `check` compares a
//! kernel's source with the list, `diff` shows what to read for a new kernel.

mod check;
mod diff;
mod list;
mod names;
mod text;
mod tree;

use anyhow::{bail, Context, Result};
use check::Reviewed;
use clap::{Parser, Subcommand};
use list::List;
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Parser)]
#[command(version, about)]
struct Args {
    /// The checkout of netkit-rs.
    #[arg(long, default_value = ".")]
    checkout: PathBuf,
    /// The list of reviewed functions.
    #[arg(long, default_value = "docs/reviewed-functions")]
    list: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the functions that the module rests on, each with the places that name it.
    Names {
        /// These only.
        names: Vec<String>,
    },
    /// Print the functions whose bodies differ between two kernels.
    Diff {
        /// The source folder of one kernel.
        old: PathBuf,
        /// The source folder of the other.
        new: PathBuf,
        /// These functions only.
        names: Vec<String>,
    },
    /// Compare a kernel's source with the list.
    Check {
        /// The source folder of the kernel.
        #[arg(long)]
        source: PathBuf,
        /// The kernel's version, that of its package, or its release, as in 7.3.4, 7.3.4-1~bpo13+1, 7.3.4+deb13-amd64.
        #[arg(long)]
        kernel: String,
        /// Write the kernel's hashes to the list, and mark there what has to be reviewed. A kernel without a column gets one.
        #[arg(long)]
        update: bool,
    },
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let list = List::read(&args.list)?;
    let uses = names::collect(&args.checkout)?;
    match args.command {
        Command::Names { names } => {
            for (name, found) in &uses {
                if names.is_empty() || names.contains(name) {
                    let places: Vec<_> = found.calls.iter().chain(&found.comments).collect();
                    println!("{name}:");
                    for place in places {
                        println!("    {place}");
                    }
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Diff { old, new, names } => {
            let old = Reviewed::find(uses, &list, &old)?;
            let new = Reviewed::find(names::collect(&args.checkout)?, &list, &new)?;
            diff::print(&list, &old, &new, &names);
            Ok(ExitCode::SUCCESS)
        }
        Command::Check {
            source,
            kernel,
            update,
        } => {
            let here = Reviewed::find(uses, &list, &source)?;
            let version = list::version(&kernel);
            if update {
                write(list, version, &here, &args.list)?;
                return Ok(ExitCode::SUCCESS);
            }
            compare(&list, version, &here, &args.list)
        }
    }
}

fn write(mut list: List, version: &str, here: &Reviewed, path: &Path) -> Result<()> {
    let column = match list.column(version) {
        Some(column) => column,
        None => list.add(&series(version)?),
    };
    let open = check::update(&mut list, column, here);
    fs::write(path, list.text()).with_context(|| path.display().to_string())?;
    for line in &open {
        println!("{line}");
    }
    println!(
        "{} lines for {} written to {}; {} to review: marked with {}",
        list.rows.len(),
        list.kernels[column],
        path.display(),
        open.len(),
        list::OPEN
    );
    Ok(())
}

/// The series of a version: 7.3 of 7.3.4.
fn series(version: &str) -> Result<String> {
    let parts: Vec<&str> = version.split('.').collect();
    match parts[..] {
        [major, minor, ..] => Ok(format!("{major}.{minor}")),
        _ => bail!("not a kernel's version: {version}"),
    }
}

fn compare(list: &List, version: &str, here: &Reviewed, path: &Path) -> Result<ExitCode> {
    let path = path.display();
    let Some(column) = list.column(version) else {
        println!(
            "Kernel {version} was not reviewed: {path} has columns for {} only.\n\
             Section \"Other kernels\" of docs/safety.md says how to review a kernel.",
            list.kernels.join(", ")
        );
        return Ok(ExitCode::FAILURE);
    };
    let problems = check::problems(list, column, here);
    if problems.is_empty() {
        println!(
            "{} functions are as reviewed for {}",
            list.rows.len(),
            list.kernels[column]
        );
        return Ok(ExitCode::SUCCESS);
    }
    for problem in &problems {
        println!("{problem}");
    }
    println!(
        "{} differences between {path} and the source of {version}. Read these functions, and the comments that name them\n\
         (creview names NAME); then `creview check … --update` writes the hashes. Section \"Other kernels\" of\n\
         docs/safety.md says more.",
        problems.len()
    );
    Ok(ExitCode::FAILURE)
}
