// SPDX-License-Identifier: GPL-2.0
//! Measures the cost of taking over the devices of the built-in driver, and of handing them back.
//!
//! The pairs are those of a node: one end on the host, the other in a namespace; one in ten is up. The built-in driver
//! makes them. The first pair has traffic in the last part of the measurement.

use std::fs;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;

use crate::bed;
use crate::bed::Bed;
use crate::end_to_end;
use crate::hold;
use crate::hold::Probes;
use crate::module::Module;
use crate::netns::Ns;
use crate::nl::Netlink;
use crate::raw::Driver;
use crate::raw::Sample;
use crate::raw::Unit;
use crate::scale::up_to;
use crate::stream;

pub const SIZES: [u32; 5] = [1, 10, 100, 1000, 10000];
const ONE_IN: u32 = 10;
const RUNS: usize = 5;
const LOADS: u32 = 3;
const LOADS_WITH_TRAFFIC: u32 = 2;
const PARAMETERS: &str = "/sys/module/netkit_rs/parameters";

/// The two directions, as the scenarios name them.
const SIDES: [(&str, &str); 2] = [("take-over", "1"), ("hand-back", "0")];

/// The pairs that exist.
struct Pairs {
    netlink: Netlink,
    /// The first pair.
    bed: Bed,
    namespaces: Vec<Ns>,
    count: u32,
}

impl Pairs {
    fn new(namespaces: u32) -> Result<Self> {
        Ok(Self {
            netlink: Netlink::open()?,
            bed: end_to_end::bed(Driver::C)?,
            namespaces: (0..namespaces).map(|_| Ns::new()).collect::<Result<_>>()?,
            count: 1,
        })
    }

    fn grow(&mut self, size: u32) -> Result<()> {
        let namespaces = self.namespaces.len();
        let mut up_here = String::new();
        let mut up_there = vec![String::new(); namespaces];
        for number in self.count..size {
            let place = number as usize % namespaces;
            let (near, far) = (format!("near{number}"), format!("far{number}"));
            self.netlink
                .create_between(Driver::C.kind(), &near, &far, &self.namespaces[place])?;
            if number % ONE_IN == 0 {
                up_here += &format!("link set {near} up\n");
                up_there[place] += &format!("link set {far} up\n");
            }
        }
        bed::ip(&up_here)?;
        for (ns, up) in self.namespaces.iter().zip(up_there) {
            if !up.is_empty() {
                ns.run(|| bed::ip(&up))?;
            }
        }
        self.count = self.count.max(size);
        bed::settle();
        Ok(())
    }

    fn devices(&self) -> u32 {
        2 * self.count
    }
}

/// Exchanges the drivers.
fn exchange(to: &str, devices: u32) -> Result<()> {
    let parameter = format!("{PARAMETERS}/takeover");
    fs::write(&parameter, to).with_context(|| format!("{to} to {parameter}"))?;
    check(if to == "1" { devices } else { 0 })
}

/// The module must have so many devices.
fn check(devices: u32) -> Result<()> {
    let path = format!("{PARAMETERS}/devices");
    let text = fs::read_to_string(&path).context(path)?;
    ensure!(
        text.trim() == devices.to_string(),
        "the module has {} devices instead of {devices}",
        text.trim()
    );
    Ok(())
}

struct Takeover<'a> {
    module: &'a Module,
    pairs: Pairs,
    samples: Vec<Sample>,
}

impl Takeover<'_> {
    fn push(&mut self, what: &str, unit: Unit, runs: Vec<f64>) {
        let scenario = format!("takeover/{what}/{}", self.pairs.count);
        println!("{scenario:32} {runs:9.3?}");
        self.samples.push(Sample {
            scenario,
            driver: Driver::Rust,
            unit,
            generator: None,
            runs,
        });
    }

    /// Whole loads and unloads: the time of the clock, and the longest hold of RTNL by any task.
    fn loads(&mut self) -> Result<()> {
        let (mut loads, mut unloads, mut longest) = (Vec::new(), Vec::new(), 0.0f64);
        for _ in 0..LOADS {
            let probes = Probes::new()?;
            let (time, holds) = probes.during(|| self.module.load())?;
            longest = longest.max(hold::longest(&holds));
            loads.push(time.as_secs_f64() * 1000.0);
            check(self.pairs.devices())?;
            let (time, holds) = probes.during(|| self.module.unload())?;
            longest = longest.max(hold::longest(&holds));
            unloads.push(time.as_secs_f64() * 1000.0);
        }
        self.push("load", Unit::Milliseconds, loads);
        self.push("unload", Unit::Milliseconds, unloads);
        self.push("hold-loading", Unit::Milliseconds, vec![longest]);
        Ok(())
    }

    /// Exchanges while nothing else happens. The worker that does them is the task that holds RTNL for the longest time.
    fn exchanges(&mut self) -> Result<()> {
        let devices = self.pairs.devices();
        exchange("0", devices)?;
        let probes = Probes::new()?;
        let mut runs = SIDES.map(|_| Vec::new());
        for _ in 0..RUNS {
            for (runs, (_, to)) in runs.iter_mut().zip(SIDES) {
                let ((), holds) = probes.during(|| exchange(to, devices))?;
                runs.push(hold::of_one_task(&holds));
            }
        }
        drop(probes);
        for (runs, (what, _)) in runs.into_iter().zip(SIDES) {
            let batches = runs.first().map_or(0, Vec::len) as f64;
            let longest = runs.iter().map(|holds| hold::longest(holds));
            let longest = longest.fold(0.0, f64::max);
            let instructions = runs.iter().map(|holds| hold::total(holds) * 1e6);
            self.push(what, Unit::Operation, instructions.collect());
            self.push(&format!("hold-{what}"), Unit::Milliseconds, vec![longest]);
            self.push(&format!("batches-{what}"), Unit::Count, vec![batches]);
        }
        exchange("1", devices)?;
        Ok(())
    }

    /// A load, exchanges and an unload, again and again, while the first pair has traffic.
    fn traffic(&mut self, exchanges: u32) -> Result<()> {
        let devices = self.pairs.devices();
        let near = (&Ns::own()?, end_to_end::CLIENT.parse()?);
        let far = (self.pairs.bed.far(), end_to_end::SERVER.parse()?);
        let each = |numbers: Range<u32>| -> Result<()> {
            for number in numbers {
                // Never the same distance, so that an exchange meets the traffic anywhere.
                thread::sleep(Duration::from_micros(1000 + u64::from(number * 97 % 1000)));
                SIDES
                    .iter()
                    .rev()
                    .try_for_each(|(_, to)| exchange(to, devices).map(drop))?;
            }
            Ok(())
        };
        let count = stream::beside(near, far, || {
            for _ in 0..LOADS_WITH_TRAFFIC {
                self.module.load()?;
                each(0..exchanges)?;
                self.module.unload()?;
            }
            Ok(())
        })?;
        let all = 2 * LOADS_WITH_TRAFFIC * (exchanges + 1);
        let numbers = [
            ("exchanges", u64::from(all)),
            ("sent", count.sent),
            ("lost", count.lost()),
            ("out-of-order", count.out_of_order),
        ];
        for (what, number) in numbers {
            self.push(what, Unit::Count, vec![number as f64]);
        }
        Ok(())
    }

    fn measure(&mut self, size: u32, exchanges: u32) -> Result<()> {
        self.pairs.grow(size)?;
        self.loads()?;
        self.module.load()?;
        self.exchanges()?;
        self.module.unload()?;
        self.traffic(exchanges)
    }
}

/// How much is measured.
#[derive(clap::Args)]
pub struct Extent {
    /// No more pairs than this
    #[arg(long, default_value_t = u32::MAX)]
    most: u32,
    /// So many namespaces have the other ends of the pairs
    #[arg(long, default_value_t = 4)]
    namespaces: u32,
    /// So many exchanges there and back after each load under traffic
    #[arg(long, default_value_t = 100)]
    exchanges: u32,
}

pub fn measure(module: &Module, extent: &Extent) -> Result<Vec<Sample>> {
    let mut takeover = Takeover {
        module,
        pairs: Pairs::new(extent.namespaces)?,
        samples: Vec::new(),
    };
    // What is allocated for good the first times is nobody's.
    module.load()?;
    module.unload()?;
    for size in up_to(extent.most, &SIZES) {
        takeover
            .measure(size, extent.exchanges)
            .with_context(|| format!("{size} pairs"))?;
    }
    Ok(takeover.samples)
}
