// SPDX-License-Identifier: GPL-2.0
//! The data that the guest gives to the host: every single run, with nothing subtracted.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use serde::Deserialize;
use serde::Serialize;

#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    C,
    Rust,
    Veth,
    Dummy,
}

impl Driver {
    pub fn name(self) -> &'static str {
        match self {
            Driver::C => "c",
            Driver::Rust => "rust",
            Driver::Veth => "veth",
            Driver::Dummy => "dummy",
        }
    }

    /// The link type of its pairs.
    pub fn kind(self) -> &'static str {
        match self {
            Driver::C | Driver::Rust => "netkit",
            Driver::Veth => "veth",
            Driver::Dummy => "dummy",
        }
    }
}

/// What a number counts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Instructions per packet, the generator's own included.
    Packet,
    /// Instructions per operation of the control path.
    Operation,
    /// Instructions per transaction between two sockets.
    Transaction,
    /// Milliseconds of the guest's clock: instructions, and waiting.
    Milliseconds,
    Bytes,
    /// Datagrams, exchanges.
    Count,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Sample {
    pub scenario: String,
    pub driver: Driver,
    pub unit: Unit,
    /// The dummy scenario whose cost is to be subtracted.
    pub generator: Option<String>,
    pub runs: Vec<f64>,
}

/// Puts the runs of another round to those of the first.
pub fn add_runs(samples: &mut [Sample], again: Vec<Sample>) {
    for other in again {
        let same = |sample: &&mut Sample| {
            sample.scenario == other.scenario && sample.driver == other.driver
        };
        if let Some(sample) = samples.iter_mut().find(same) {
            sample.runs.extend(other.runs);
        }
    }
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Raw {
    pub kernel: String,
    /// What the module was built from.
    pub commit: String,
    pub samples: Vec<Sample>,
}

impl Raw {
    pub fn write(&self, path: &Path) -> Result<()> {
        let context = || format!("{}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(context)?;
        }
        fs::write(path, serde_json::to_string_pretty(self)?).with_context(context)
    }

    pub fn read(path: &Path) -> Result<Self> {
        let context = || format!("{} (`make bench` measures it)", path.display());
        let text = fs::read_to_string(path).with_context(context)?;
        serde_json::from_str(&text).with_context(context)
    }

    /// What several boots of the same kernel and commit measured.
    pub fn read_all(paths: &[PathBuf]) -> Result<Self> {
        let mut all: Option<Self> = None;
        for path in paths {
            let one = Self::read(path)?;
            match &mut all {
                None => all = Some(one),
                Some(all) if (&all.kernel, &all.commit) == (&one.kernel, &one.commit) => {
                    all.samples.extend(one.samples);
                }
                Some(_) => bail!("{} is of another kernel or commit", path.display()),
            }
        }
        all.context("no file to read")
    }
}
