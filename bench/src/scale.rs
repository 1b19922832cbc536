// SPDX-License-Identifier: GPL-2.0
//! Measures how the cost of operations grows with the number of pairs, and how much memory a pair takes.
//!
//! The pairs are down and idle. Each operation is measured for each number of pairs. A figure of `dump` is for one
//! device of the dump.

use std::fs;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

use crate::bed;
use crate::bpf;
use crate::bpf::Prog;
use crate::busy::per_operation;
use crate::nl::Netlink;
use crate::raw::Driver;
use crate::raw::Sample;
use crate::raw::Unit;

pub const SIZES: [u32; 6] = [1, 10, 100, 1000, 5000, 10000];
const RUNS: usize = 3;
const GROUP: u32 = 77;
/// Pairs that are created and deleted beside those that are there.
const EXTRA: u32 = 16;
const CALLS: u32 = 40;
/// Fewer pairs than this are lost in what the kernel's caches do on their own.
const ENOUGH_FOR_MEMORY: u32 = 1000;

/// The sizes that are no more than `most`.
pub fn up_to(most: u32, sizes: &[u32]) -> Vec<u32> {
    sizes.iter().copied().filter(|size| *size <= most).collect()
}

struct Scale {
    driver: Driver,
    netlink: Netlink,
    samples: Vec<Sample>,
}

/// What the kernel says about its memory, in bytes.
#[derive(Clone, Copy)]
struct Memory {
    slab: f64,
    per_cpu: f64,
}

impl Memory {
    fn now() -> Result<Self> {
        bed::settle();
        let text = fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            let kib = number.with_context(|| format!("/proc/meminfo has no {name}"));
            kib.map(|kib| kib * 1024.0)
        };
        Ok(Self {
            slab: of("Slab:")?,
            per_cpu: of("Percpu:")?,
        })
    }
}

impl Scale {
    fn push(&mut self, operation: &str, size: u32, unit: Unit, runs: Vec<f64>) {
        let scenario = format!("scale/{operation}/{size}");
        println!("{scenario:32} {:6} {runs:9.0?}", self.driver.name());
        self.samples.push(Sample {
            scenario,
            driver: self.driver,
            unit,
            generator: None,
            runs,
        });
    }

    fn create(&self, prefix: &str, number: u32) -> Result<()> {
        let (near, far) = (format!("{prefix}a{number}"), format!("{prefix}b{number}"));
        let kind = self.driver.kind();
        self.netlink.create_named(kind, &near, &far, GROUP)
    }

    fn create_and_delete(&mut self, size: u32) -> Result<()> {
        let (mut creates, mut deletes) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            let mut number = 0;
            creates.push(per_operation(EXTRA, || {
                number += 1;
                self.create("extra-", number)
            })?);
            deletes.push(per_operation(EXTRA, || {
                number -= 1;
                self.netlink.delete(&format!("extra-a{}", number + 1))
            })?);
        }
        self.push("create", size, Unit::Operation, creates);
        self.push("delete", size, Unit::Operation, deletes);
        Ok(())
    }

    fn programs(&mut self, size: u32, prog: &Prog) -> Result<()> {
        let last = size - 1;
        let (name, hook) = match self.driver {
            Driver::Veth => (format!("b{last}"), bpf::TCX_INGRESS),
            _ => (format!("a{last}"), bpf::NETKIT_PRIMARY),
        };
        let ifindex = bed::index(&name)?;
        let mut attach_detach = || {
            prog.attach(ifindex, hook)?;
            prog.detach(ifindex, hook)
        };
        attach_detach()?;
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(per_operation(CALLS, &mut attach_detach)?);
        }
        self.push("attach-detach", size, Unit::Operation, runs);
        prog.attach(ifindex, hook)?;
        let mut query = || match bpf::query(ifindex, hook)? {
            1 => Ok(()),
            count => bail!("{count} programs instead of one"),
        };
        query()?;
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(per_operation(CALLS, &mut query)?);
        }
        self.push("query", size, Unit::Operation, runs);
        prog.detach(ifindex, hook)
    }

    fn dump(&mut self, size: u32) -> Result<()> {
        let devices = self.netlink.dump()?;
        if devices < 2 * size as usize {
            bail!("a dump has {devices} devices of {size} pairs");
        }
        let dumps = (1000 / size).max(1);
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            let run = per_operation(dumps, || self.netlink.dump().map(drop))?;
            runs.push(run / devices as f64);
        }
        self.push("dump", size, Unit::Operation, runs);
        Ok(())
    }

    fn grow(&mut self, sizes: &[u32]) -> Result<()> {
        let prog = Prog::load("pass", 0)?;
        // What is allocated for good the first times is nobody's.
        self.create_and_delete(0)?;
        self.samples.clear();
        let empty = Memory::now()?;
        let mut have = 0;
        for &size in sizes {
            for number in have..size {
                self.create("", number)?;
            }
            have = size;
            if size >= ENOUGH_FOR_MEMORY {
                let full = Memory::now()?;
                let each = |full, empty| vec![(full - empty) / f64::from(size)];
                let slab = each(full.slab, empty.slab);
                let per_cpu = each(full.per_cpu, empty.per_cpu);
                self.push("memory-slab", size, Unit::Bytes, slab);
                self.push("memory-per-cpu", size, Unit::Bytes, per_cpu);
            }
            self.create_and_delete(size)?;
            self.programs(size, &prog)?;
            self.dump(size)?;
        }
        let all = per_operation(1, || self.netlink.delete_group(GROUP))?;
        self.push(
            "delete-all",
            have,
            Unit::Operation,
            vec![all / f64::from(have)],
        );
        Ok(())
    }
}

pub fn measure(driver: Driver, sizes: &[u32]) -> Result<Vec<Sample>> {
    let netlink = Netlink::open()?;
    let mut scale = Scale {
        driver,
        netlink,
        samples: Vec::new(),
    };
    scale
        .grow(sizes)
        .with_context(|| driver.name().to_owned())?;
    Ok(scale.samples)
}
