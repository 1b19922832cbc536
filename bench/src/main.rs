// SPDX-License-Identifier: GPL-2.0
//! netkit-bench: what a packet and an operation cost on the C netkit, on netkit_rs and on veth.
//!
//! `guest` runs as root in a VM whose clock counts instructions (scripts/vm --icount) and writes every run
//! down; `report` makes the table, results.json and the plots of that. `make bench` does both.

mod bed;
mod bpf;
mod busy;
mod control;
mod end_to_end;
mod gso;
mod module;
mod netns;
mod nl;
mod packets;
mod pktgen;
mod plot;
mod raw;
mod report;
mod scenario;

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use clap::Parser;
use clap::Subcommand;

use module::Module;
use raw::Driver;
use raw::Raw;

#[derive(Parser)]
#[command(about = "Measures netkit: the C driver, netkit_rs, veth")]
struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Measure (in the VM, as root)
    Guest {
        /// The file to write the runs to
        #[arg(long, default_value = "target/bench/raw.json")]
        out: PathBuf,
        #[arg(long, default_value = "target/module/netkit_rs.ko")]
        module: PathBuf,
        /// What the module was built from, for the record
        #[arg(long, default_value = "unknown")]
        commit: String,
        /// Only scenarios whose name holds this text
        #[arg(long)]
        filter: Option<String>,
    },
    /// Show what was measured
    Report {
        #[arg(long, default_value = "target/bench/raw.json")]
        raw: PathBuf,
        /// The folder for results.json, table.md and the plots
        #[arg(long, default_value = "target/bench")]
        out: PathBuf,
        /// A folder whose performance.md gets the table and which gets the plots
        #[arg(long)]
        docs: Option<PathBuf>,
    },
}

fn main() -> Result<()> {
    match Args::parse().part {
        Part::Guest {
            out,
            module,
            commit,
            filter,
        } => {
            let raw = guest(&module, commit, filter.as_deref())?;
            raw.write(&out)
        }
        Part::Report { raw, out, docs } => report::make(&raw, &out, docs.as_deref()),
    }
}

fn guest(module: &Path, commit: String, filter: Option<&str>) -> Result<Raw> {
    let status = Command::new("modprobe")
        .args(["-a", "pktgen", "dummy", "veth"])
        .status()
        .context("modprobe")?;
    if !status.success() {
        bail!("modprobe of pktgen, dummy and veth failed: {status}");
    }
    netns::quiet()?;
    packets::add_host_device()?;
    let wanted = |name: &str| filter.is_none_or(|filter| name.contains(filter));
    let mut scenarios = scenario::all();
    scenarios.retain(|scenario| wanted(&scenario.name));
    let control = wanted("control");
    let end_to_end = wanted("end-to-end");

    let mut samples = packets::generators()?;
    let mut driver = |driver| -> Result<()> {
        samples.extend(packets::measure(driver, &scenarios)?);
        if control {
            samples.extend(control::measure(driver)?);
        }
        if end_to_end {
            samples.extend(end_to_end::measure(driver)?);
        }
        Ok(())
    };
    driver(Driver::C)?;
    driver(Driver::Veth)?;
    let module = Module::open(module)?;
    let of_module = if wanted("module") {
        module.measure()?
    } else {
        Vec::new()
    };
    module.load()?;
    driver(Driver::Rust)?;
    module.unload()?;
    samples.extend(of_module);

    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("osrelease")?;
    Ok(Raw {
        kernel: release.trim().to_owned(),
        commit,
        samples,
    })
}
