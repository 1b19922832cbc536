// SPDX-License-Identifier: GPL-2.0
//! The plot of what a takeover costs, by the number of pairs.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;

use crate::outcome::Outcome;
use crate::plot::canvas;
use crate::plot::colour;
use crate::plot::FONT;
use crate::plot::INK;
use crate::plot::LARGE;
use crate::plot_scale::chart;
use crate::plot_scale::Line;
use crate::raw::Driver;
use crate::takeover::SIZES;
use crate::takeover_report::per_device;
use crate::takeover_report::value;
use crate::takeover_report::LIMIT;

pub fn plot(outcomes: &[Outcome], path: &Path) -> Result<()> {
    // The colour of the driver that the devices go to.
    let lines = |prefix: &str, of: fn(&[Outcome], &str, u32) -> Option<f64>| {
        let line = |label, what, driver| Line {
            label,
            colour: colour(driver),
            points: SIZES
                .into_iter()
                .filter_map(|size| {
                    let what = format!("{prefix}{what}");
                    Some((f64::from(size), of(outcomes, &what, size)?))
                })
                .collect(),
        };
        vec![
            line("take over", "take-over", Driver::Rust),
            line("hand back", "hand-back", Driver::C),
        ]
    };
    let mut holds = lines("hold-", value);
    holds.push(Line {
        label: "limit",
        colour: INK,
        points: SIZES.map(|size| (f64::from(size), LIMIT)).to_vec(),
    });
    let area = canvas(path, 860, 320)?;
    let title = (FONT, LARGE).into_font().color(&INK);
    let titled = area.titled(
        "Changing the driver of all devices, by number of pairs",
        title,
    )?;
    let charts = [
        ("instructions per device", lines("", per_device)),
        ("longest hold of RTNL, ms", holds),
    ];
    for ((title, lines), panel) in charts.into_iter().zip(titled.split_evenly((1, 2))) {
        chart(&panel, title, &lines, SeriesLabelPosition::MiddleRight)?;
    }
    area.present()?;
    Ok(())
}
