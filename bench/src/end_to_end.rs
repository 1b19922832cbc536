// SPDX-License-Identifier: GPL-2.0
//! Measures what users see: sockets that communicate across the pair, without programs.

use anyhow::Result;

use crate::bed;
use crate::bed::Bed;
use crate::bed::Mode;
use crate::bed::Shape;
use crate::netns::Ns;
use crate::raw::Driver;
use crate::raw::Sample;
use crate::sockets::Ends;

pub const CLIENT: &str = "198.18.3.1";
pub const SERVER: &str = "198.18.3.2";

/// A pair with an address at each end.
pub fn bed(driver: Driver) -> Result<Bed> {
    let shape = Shape {
        mode: Mode::L2,
        far: true,
        blackhole: false,
        switch_after: false,
    };
    let bed = Bed::new(driver, shape)?;
    let (near, far) = (bed::NEAR, bed::FAR);
    bed::ip(&format!("addr add {CLIENT}/24 dev {near}\n"))?;
    bed.in_far(|| bed::ip(&format!("addr add {SERVER}/24 dev {far}\n")))?;
    Ok(bed)
}

pub fn measure(driver: Driver) -> Result<Vec<Sample>> {
    let bed = bed(driver)?;
    let ends = Ends {
        client: &Ns::own()?,
        server: bed.far(),
        address: SERVER.parse()?,
    };
    let samples = ends.measure("end-to-end", driver);
    bed.remove()?;
    samples
}
