// SPDX-License-Identifier: GPL-2.0
//! What the guest hands to the host: every single run, nothing subtracted yet.

use serde::Deserialize;
use serde::Serialize;

#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
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
}

/// What a number counts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Instructions per packet, the generator's own included.
    Packet,
    /// Instructions per operation of the control path.
    Operation,
    /// Milliseconds of the guest's clock: instructions, and waiting.
    Milliseconds,
    Bytes,
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

#[derive(Debug, Deserialize, Serialize)]
pub struct Raw {
    pub kernel: String,
    pub samples: Vec<Sample>,
}
