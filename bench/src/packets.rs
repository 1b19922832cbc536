// SPDX-License-Identifier: GPL-2.0
//! Measures the packet path of one driver: instructions per packet, generator included.

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

use crate::bed;
use crate::bed::Bed;
use crate::bed::Mode;
use crate::bpf;
use crate::bpf::Prog;
use crate::gso;
use crate::netns::counters;
use crate::pktgen;
use crate::pktgen::Direction;
use crate::pktgen::Run;
use crate::raw::Driver;
use crate::raw::Sample;
use crate::raw::Unit;
use crate::scenario::End;
use crate::scenario::Generator;
use crate::scenario::Scenario;

const RUNS: usize = 3;
/// The host's device that packets come in by.
const HOST: &str = "host0";
const HOST_MAC: &str = "02:00:00:00:00:01";
/// Packets of the kernel's own (multicast reports) that the counters may hold.
const STRAY: u64 = 8;

fn generate(generator: Generator, device: &str) -> Result<Run> {
    match generator {
        Generator::Transmit(size) => pktgen::run(device, size, Direction::Transmit),
        Generator::Receive => pktgen::run(device, 64, Direction::Receive(HOST_MAC)),
        Generator::Gso => gso::run(device),
    }
}

fn sample(scenario: String, driver: Driver, generator: Option<Generator>, runs: &[Run]) -> Sample {
    let sample = Sample {
        scenario,
        driver,
        unit: Unit::Packet,
        generator: generator.map(Generator::name),
        runs: runs
            .iter()
            .map(|run| run.nanoseconds / run.packets() as f64)
            .collect(),
    };
    println!(
        "{:32} {:6} {:9.1?}",
        sample.scenario,
        driver.name(),
        sample.runs
    );
    sample
}

/// The device that replaces the host's network card.
pub fn add_host_device() -> Result<()> {
    let address = bed::gso_address(HOST);
    bed::ip(&format!(
        "link add {HOST} type dummy\nlink set {HOST} address {HOST_MAC} up\n{address}"
    ))?;
    bed::settle();
    Ok(())
}

/// The generators' own cost: packets that the dummy device throws away, or, where they
/// come in, a program that says pass.
pub fn generators() -> Result<Vec<Sample>> {
    let ifindex = bed::index(HOST)?;
    let pass = Prog::load("pass", 0)?;
    let mut samples = Vec::new();
    for generator in Generator::ALL {
        let receive = generator == Generator::Receive;
        if receive {
            pass.attach(ifindex, bpf::TCX_INGRESS)?;
        }
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            let run = generate(generator, HOST)?;
            if run.errors > 0 {
                bail!("the dummy device refused packets: {run:?}");
            }
            runs.push(run);
        }
        if receive {
            pass.detach(ifindex, bpf::TCX_INGRESS)?;
        }
        samples.push(sample(generator.name(), Driver::Dummy, None, &runs));
    }
    Ok(samples)
}

/// All scenarios that the driver has.
pub fn measure(driver: Driver, scenarios: &[Scenario]) -> Result<Vec<Sample>> {
    let has = |scenario: &&Scenario| {
        let shape = scenario.shape;
        driver != Driver::Veth
            || (shape.mode == Mode::L2 && !shape.blackhole && !shape.switch_after)
    };
    let scenarios: Vec<&Scenario> = scenarios.iter().filter(has).collect();
    let mut samples = Vec::new();
    for group in scenarios.chunk_by(|a, b| a.shape == b.shape) {
        let Some(first) = group.first() else { continue };
        let bed = Bed::new(driver, first.shape)?;
        for scenario in group {
            let context = || format!("{} on {}", scenario.name, driver.name());
            let runs = measure_one(driver, &bed, scenario).with_context(context)?;
            samples.push(sample(
                scenario.name.clone(),
                driver,
                Some(scenario.generator),
                &runs,
            ));
        }
        bed.remove()?;
    }
    Ok(samples)
}

fn measure_one(driver: Driver, bed: &Bed, scenario: &Scenario) -> Result<Vec<Run>> {
    let receive = scenario.generator == Generator::Receive;
    let target = if receive { bed.near } else { bed.out };
    let mut progs = Vec::new();
    if let Some((name, count)) = scenario.program {
        for _ in 0..count {
            progs.push(Prog::load(name, target)?);
        }
    }
    let host = bed::index(HOST)?;
    if receive {
        progs
            .iter()
            .try_for_each(|prog| prog.attach(host, bpf::TCX_INGRESS))?;
    } else {
        bed.attach(&progs)?;
    }
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(one_run(driver, bed, scenario)?);
    }
    if receive {
        progs
            .iter()
            .try_for_each(|prog| prog.detach(host, bpf::TCX_INGRESS))?;
    } else {
        bed.detach(&progs)?;
    }
    Ok(runs)
}

/// One run, and the proof that the packets went where the scenario says.
fn one_run(driver: Driver, bed: &Bed, scenario: &Scenario) -> Result<Run> {
    let arrived = || -> Result<u64> {
        Ok(match scenario.end {
            End::Delivered => bed.counters(bed::FAR)?.received,
            End::Out => bed.counters(bed::OUT)?.sent,
            End::Dropped if driver == Driver::Veth => bed.counters(bed::FAR)?.received,
            End::Dropped => counters(bed::NEAR)?.tx_dropped,
        })
    };
    let before = arrived()?;
    let run = match scenario.generator {
        Generator::Receive => generate(scenario.generator, HOST)?,
        _ => generate(scenario.generator, bed::NEAR)?,
    };
    let ended = arrived()? - before;
    let sent = match scenario.generator {
        Generator::Gso => gso::ALL,
        _ => run.packets(),
    };
    let refused = scenario.end == End::Dropped && driver != Driver::Veth;
    if ended.abs_diff(sent) > STRAY || (run.errors > 0) != refused {
        bail!(
            "{sent} packets sent, {ended} of them ended as {:?}: {run:?}",
            scenario.end
        );
    }
    Ok(run)
}
