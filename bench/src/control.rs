// SPDX-License-Identifier: GPL-2.0
//! Measures the control path of one driver: pairs, programs, links, queries.

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

use crate::bed::Bed;
use crate::bed::Mode;
use crate::bed::Shape;
use crate::bpf;
use crate::bpf::Prog;
use crate::busy::per_operation;
use crate::nl::Netlink;
use crate::raw::Driver;
use crate::raw::Sample;
use crate::raw::Unit;

const RUNS: usize = 3;
/// The most that a device takes: `bpf_mprog_max()`, an array of 64 less the null that ends it.
const MANY: usize = 63;

/// An operation that does next to nothing in the driver: what it costs more than in C is the detour by which the
/// livepatch reaches our functions.
pub const DETOUR: &str = "control/link-info";

/// How many of the functions that a livepatch replaces an operation calls.
pub fn detours(scenario: &str) -> u32 {
    match scenario {
        "control/attach-detach" | "control/link-update" => 2,
        // Created, released, freed.
        "control/link-create-close" => 3,
        "control/query-63" | DETOUR => 1,
        _ => 0,
    }
}

fn sample(
    scenario: &str,
    driver: Driver,
    count: u32,
    mut operation: impl FnMut() -> Result<()>,
) -> Result<Sample> {
    // What the kernel allocates for good the first times is no part of the operation.
    for _ in 0..count {
        operation().with_context(|| format!("{scenario} on {}", driver.name()))?;
    }
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(per_operation(count, &mut operation)?);
    }
    println!("{scenario:32} {:6} {runs:9.0?}", driver.name());
    Ok(Sample {
        scenario: scenario.to_owned(),
        driver,
        unit: Unit::Operation,
        generator: None,
        runs,
    })
}

pub fn measure(driver: Driver) -> Result<Vec<Sample>> {
    let kind = driver.kind();
    let netlink = Netlink::open()?;
    let mut samples = vec![sample("control/create-delete", driver, 40, || {
        netlink.create(kind, "pair0")?;
        netlink.delete("pair0")
    })?];

    let shape = Shape {
        mode: Mode::L2,
        far: true,
        blackhole: false,
        switch_after: false,
    };
    let bed = Bed::new(driver, shape)?;
    let one = Prog::load("pass", 0)?;
    let other = Prog::load("next", 0)?;
    let mut many = Vec::new();
    for _ in 0..MANY {
        many.push(Prog::load("next", 0)?);
    }
    bed.at_hook(|ifindex, hook| {
        samples.push(sample("control/attach-detach", driver, 200, || {
            one.attach(ifindex, hook)?;
            one.detach(ifindex, hook)
        })?);
        samples.push(sample("control/link-create-close", driver, 200, || {
            one.link(ifindex, hook).map(drop)
        })?);
        let link = one.link(ifindex, hook)?;
        samples.push(sample("control/link-update", driver, 200, || {
            link.update(&other)?;
            link.update(&one)
        })?);
        samples.push(sample(DETOUR, driver, 400, || match link.ifindex()? {
            0 => bail!("the link has no device"),
            _ => Ok(()),
        })?);
        drop(link);
        many.iter()
            .try_for_each(|prog| prog.attach(ifindex, hook))?;
        samples.push(sample("control/query-63", driver, 400, || {
            match bpf::query(ifindex, hook)? as usize {
                MANY => Ok(()),
                count => bail!("{count} programs instead of {MANY}"),
            }
        })?);
        many.iter().try_for_each(|prog| prog.detach(ifindex, hook))
    })?;
    bed.remove()?;
    Ok(samples)
}
