// SPDX-License-Identifier: GPL-2.0
//! From single runs to figures: subtracting the generator, ratios to C, the spread, and figures without the cost that
//! the kernel adds for every driver except C's.

use std::collections::BTreeMap;

use anyhow::Context;
use anyhow::Result;
use serde::Serialize;

use crate::control;
use crate::raw::Driver;
use crate::raw::Raw;
use crate::raw::Sample;
use crate::raw::Unit;

/// One scenario on one driver. Where instructions are counted, the fields are those of results.json.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub scenario: String,
    pub driver: Driver,
    /// Median of the runs, less the generator's; of an operation the least. In `unit` where something else is
    /// counted.
    pub instructions: f64,
    pub ratio_to_c: Option<f64>,
    /// From the smallest run to the largest, as a part of `instructions`.
    pub spread: f64,
    pub kernel: String,
    pub commit: String,
    #[serde(skip)]
    pub unit: Unit,
}

impl Outcome {
    pub fn counts_instructions(&self) -> bool {
        matches!(
            self.unit,
            Unit::Packet | Unit::Operation | Unit::Transaction
        )
    }
}

pub fn find<'a>(outcomes: &'a [Outcome], scenario: &str, driver: Driver) -> Option<&'a Outcome> {
    outcomes
        .iter()
        .find(|outcome| outcome.scenario == scenario && outcome.driver == driver)
}

fn median(runs: &[f64]) -> f64 {
    let mut runs = runs.to_vec();
    runs.sort_by(f64::total_cmp);
    let middle = |index: usize| runs.get(index).copied().unwrap_or(f64::NAN);
    (middle(runs.len() / 2) + middle(runs.len().saturating_sub(1) / 2)) / 2.0
}

fn range(runs: &[f64]) -> f64 {
    let largest = runs.iter().copied().fold(f64::MIN, f64::max);
    let smallest = runs.iter().copied().fold(f64::MAX, f64::min);
    largest - smallest
}

/// The figure of the runs, minus the generator's.
fn net(sample: &Sample, samples: &[Sample]) -> Result<f64> {
    let own = match sample.unit {
        // Kernel threads that have other work to do as well, and caches to fill, only ever add.
        Unit::Operation => sample.runs.iter().copied().fold(f64::MAX, f64::min),
        _ => median(&sample.runs),
    };
    let Some(name) = &sample.generator else {
        return Ok(own);
    };
    let generator = samples.iter().find(|other| other.scenario == *name);
    let generator = generator.with_context(|| format!("{name} was not measured"))?;
    Ok(own - median(&generator.runs))
}

pub fn outcomes(raw: &Raw) -> Result<Vec<Outcome>> {
    let mut of_c = BTreeMap::new();
    for sample in raw
        .samples
        .iter()
        .filter(|sample| sample.driver == Driver::C)
    {
        of_c.insert(sample.scenario.as_str(), net(sample, &raw.samples)?);
    }
    let outcome = |sample: &Sample| {
        let value = net(sample, &raw.samples)?;
        let c = of_c.get(sample.scenario.as_str());
        Ok(Outcome {
            scenario: sample.scenario.clone(),
            driver: sample.driver,
            unit: sample.unit,
            instructions: value,
            ratio_to_c: c.map(|c| value / c),
            spread: range(&sample.runs) / value,
            kernel: raw.kernel.clone(),
            commit: raw.commit.clone(),
        })
    };
    raw.samples.iter().map(outcome).collect()
}

/// `redirect_peer/in` and the operations through the livepatch once more, under names of their own, without
/// what the kernel makes of them and no driver outside of it can help:
///
/// - The core knows C's `netkit_peer_dev` by name, and calls every other driver's through a retpoline. veth, whose
///   function is the same two instructions, tells what that costs.
/// - Each call of a livepatched function takes a detour, see [`control::DETOUR`].
pub fn without_the_kernels_part(outcomes: &[Outcome]) -> Vec<Outcome> {
    let more = |scenario: &str, driver| {
        let c = find(outcomes, scenario, Driver::C)?.instructions;
        Some(find(outcomes, scenario, driver)?.instructions - c)
    };
    let mut list = Vec::new();
    let mut put = |scenario: &str, suffix: &str, part: f64| -> Option<()> {
        let c = find(outcomes, scenario, Driver::C)?;
        let rust = find(outcomes, scenario, Driver::Rust)?;
        let instructions = rust.instructions - part;
        let name = format!("{scenario} {suffix}");
        list.push(Outcome {
            scenario: name.clone(),
            ..c.clone()
        });
        list.push(Outcome {
            scenario: name,
            instructions,
            ratio_to_c: Some(instructions / c.instructions),
            ..rust.clone()
        });
        Some(())
    };
    const PEER: &str = "redirect_peer/in";
    if let Some(shortcut) = more(PEER, Driver::Veth) {
        put(PEER, "net of the shortcut", shortcut);
    }
    if let Some(detour) = more(control::DETOUR, Driver::Rust) {
        for outcome in outcomes
            .iter()
            .filter(|outcome| outcome.driver == Driver::Rust)
        {
            let calls = control::detours(&outcome.scenario);
            if calls > 0 && outcome.scenario != control::DETOUR {
                let part = f64::from(calls) * detour;
                put(&outcome.scenario, "net of the livepatch", part);
            }
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(scenario: &str, driver: Driver, runs: &[f64]) -> Sample {
        Sample {
            scenario: scenario.to_owned(),
            driver,
            unit: Unit::Packet,
            generator: None,
            runs: runs.to_vec(),
        }
    }

    #[test]
    fn the_shortcut_is_what_veth_pays_for_it() -> Result<()> {
        let raw = Raw {
            kernel: "k".to_owned(),
            commit: "c".to_owned(),
            samples: vec![
                sample("redirect_peer/in", Driver::C, &[200.0, 201.0, 199.0]),
                sample("redirect_peer/in", Driver::Veth, &[205.0]),
                sample("redirect_peer/in", Driver::Rust, &[203.0, 204.0]),
            ],
        };
        let outcomes = outcomes(&raw)?;
        let net = without_the_kernels_part(&outcomes);
        let rust = find(&net, "redirect_peer/in net of the shortcut", Driver::Rust);
        let rust = rust.context("no net figure")?;
        assert_eq!(rust.instructions, 203.5 - 5.0);
        assert_eq!(rust.ratio_to_c, Some(198.5 / 200.0));
        Ok(())
    }

    #[test]
    fn a_generator_is_subtracted() -> Result<()> {
        let mut with = sample("x", Driver::C, &[30.0, 10.0, 20.0]);
        with.generator = Some("g".to_owned());
        let raw = Raw {
            kernel: "k".to_owned(),
            commit: "c".to_owned(),
            samples: vec![with, sample("g", Driver::Dummy, &[5.0])],
        };
        let outcomes = outcomes(&raw)?;
        let x = find(&outcomes, "x", Driver::C).context("no outcome")?;
        assert_eq!((x.instructions, x.ratio_to_c), (15.0, Some(1.0)));
        assert_eq!(x.spread, 20.0 / 15.0);
        Ok(())
    }
}
