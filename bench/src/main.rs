// SPDX-License-Identifier: GPL-2.0
//! netkit-bench: what a packet and an operation cost on the C netkit, on netkit_rs and on veth.
//!
//! `guest` runs as root in a VM whose clock counts instructions (scripts/vm --icount), and records every run. `report`
//! makes the table, results.json and the plots from these records. `make bench` does both. `scale` and `takeover`
//! measure with many pairs (`make bench-scale`, `make bench-takeover`).

mod bed;
mod bpf;
mod busy;
mod cilium;
mod control;
mod end_to_end;
mod gso;
mod hold;
mod module;
mod netns;
mod nl;
mod outcome;
mod packets;
mod pktgen;
mod plot;
mod plot_scale;
mod plot_takeover;
mod raw;
mod report;
mod scale;
mod scale_report;
mod scenario;
mod sockets;
mod stream;
mod takeover;
mod takeover_report;

use std::fs;
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
use raw::Sample;

const SCALE: [&str; 3] = [
    "target/bench/scale-raw-c.json",
    "target/bench/scale-raw-veth.json",
    "target/bench/scale-raw-rust.json",
];

const TAKEOVER: &str = "target/bench/takeover-raw.json";

#[derive(Parser)]
#[command(about = "Measures netkit: the C driver, netkit_rs, veth")]
struct Args {
    #[command(subcommand)]
    part: Part,
}

/// What is measured.
#[derive(clap::Args)]
struct Build {
    #[arg(long, default_value = "target/module/netkit_rs.ko")]
    module: PathBuf,
    /// What the module was built from, for the record
    #[arg(long, default_value = "unknown")]
    commit: String,
}

#[derive(Subcommand)]
enum Part {
    /// Measure (in the VM, as root)
    Guest {
        /// The file to write the runs to
        #[arg(long, default_value = "target/bench/raw.json")]
        out: PathBuf,
        #[command(flatten)]
        build: Build,
        /// Only scenarios whose name holds this text
        #[arg(long)]
        filter: Option<String>,
    },
    /// Measure how things grow with the number of pairs (in the VM, as root)
    Scale {
        /// One driver per boot: what another driver leaves in the kernel's allocators would change its
        /// figures
        #[arg(long)]
        driver: Driver,
        /// The file to write the runs to
        #[arg(long)]
        out: PathBuf,
        #[command(flatten)]
        build: Build,
        /// No more pairs than this
        #[arg(long, default_value_t = u32::MAX)]
        most: u32,
    },
    /// Measure taking over the built-in driver's devices and handing them back (in the VM, as root)
    Takeover {
        /// The file to write the runs to
        #[arg(long, default_value = TAKEOVER)]
        out: PathBuf,
        #[command(flatten)]
        build: Build,
        #[command(flatten)]
        extent: takeover::Extent,
    },
    /// Show what was measured
    Report {
        #[arg(long, default_value = "target/bench/raw.json")]
        raw: PathBuf,
        /// What `scale` measured of a driver, if it was run; one file a driver
        #[arg(long, default_values = SCALE)]
        scale: Vec<PathBuf>,
        /// What `takeover` measured, if it was run
        #[arg(long, default_value = TAKEOVER)]
        takeover: PathBuf,
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
        Part::Guest { out, build, filter } => {
            let raw = guest(build, filter.as_deref())?;
            raw.write(&out)
        }
        Part::Scale {
            driver,
            out,
            build,
            most,
        } => {
            let raw = scaling(driver, build, most)?;
            raw.write(&out)
        }
        Part::Takeover { out, build, extent } => {
            prepare()?;
            let module = Module::open(&build.module)?;
            let samples = takeover::measure(&module, &extent)?;
            let raw = raw(build.commit, samples)?;
            raw.write(&out)?;
            takeover_report::check(&raw)
        }
        Part::Report {
            raw,
            scale,
            takeover,
            out,
            docs,
        } => {
            if raw.exists() {
                report::make(&raw, &out, docs.as_deref())?;
            }
            let scale: Vec<PathBuf> = scale.into_iter().filter(|path| path.exists()).collect();
            if !scale.is_empty() {
                scale_report::make(&scale, &out, docs.as_deref())?;
            }
            if takeover.exists() {
                takeover_report::make(&takeover, &out, docs.as_deref())?;
            }
            if !raw.exists() && scale.is_empty() && !takeover.exists() {
                bail!("nothing was measured: `make bench` does");
            }
            Ok(())
        }
    }
}

fn prepare() -> Result<()> {
    let status = Command::new("modprobe")
        .args(["-a", "pktgen", "dummy", "veth"])
        .status()
        .context("modprobe")?;
    if !status.success() {
        bail!("modprobe of pktgen, dummy and veth failed: {status}");
    }
    netns::quiet()
}

fn raw(commit: String, samples: Vec<Sample>) -> Result<Raw> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("osrelease")?;
    Ok(Raw {
        kernel: release.trim().to_owned(),
        commit,
        samples,
    })
}

fn guest(build: Build, filter: Option<&str>) -> Result<Raw> {
    prepare()?;
    packets::add_host_device()?;
    let wanted = |name: &str| filter.is_none_or(|filter| name.contains(filter));
    let mut scenarios = scenario::all();
    scenarios.retain(|scenario| wanted(&scenario.name));

    let mut samples = packets::generators()?;
    let mut driver = |driver| -> Result<()> {
        samples.extend(packets::measure(driver, &scenarios)?);
        if wanted("control") {
            samples.extend(control::measure(driver)?);
        }
        if wanted("end-to-end") {
            samples.extend(end_to_end::measure(driver)?);
        }
        if wanted("cilium") {
            samples.extend(cilium::measure(driver)?);
        }
        Ok(())
    };
    driver(Driver::C)?;
    driver(Driver::Veth)?;
    let module = Module::open(&build.module)?;
    let of_module = if wanted("module") {
        module.measure()?
    } else {
        Vec::new()
    };
    module.load()?;
    driver(Driver::Rust)?;
    module.unload()?;
    if wanted("control") {
        // What the kernel keeps from earlier operations makes later ones cheaper or dearer by as much as the drivers
        // differ: so both have their turn twice.
        raw::add_runs(&mut samples, control::measure(Driver::C)?);
        module.load()?;
        raw::add_runs(&mut samples, control::measure(Driver::Rust)?);
        module.unload()?;
    }
    samples.extend(of_module);
    raw(build.commit, samples)
}

fn scaling(driver: Driver, build: Build, most: u32) -> Result<Raw> {
    prepare()?;
    let sizes = scale::up_to(most, &scale::SIZES);
    let samples = if driver == Driver::Rust {
        let module = Module::open(&build.module)?;
        module.load()?;
        let samples = scale::measure(driver, &sizes)?;
        module.unload()?;
        samples
    } else {
        scale::measure(driver, &sizes)?
    };
    raw(build.commit, samples)
}
