// SPDX-License-Identifier: GPL-2.0
//! Charts by the number of pairs, and the plot of how the cost of operations grows: one small chart for each operation.

use std::path::Path;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::outcome::find;
use crate::outcome::Outcome;
use crate::plot::canvas;
use crate::plot::colour;
use crate::plot::label;
use crate::plot::FONT;
use crate::plot::GRID;
use crate::plot::INK;
use crate::plot::LARGE;
use crate::plot::SMALL;
use crate::raw::Driver;
use crate::scale::SIZES;
use crate::scale_report::OPERATIONS;

const DRIVERS: [Driver; 3] = [Driver::Veth, Driver::C, Driver::Rust];

/// 1234567 is "1.2M": the axis is narrow.
fn short(value: f64) -> String {
    match value {
        _ if value >= 1e6 => format!("{:.1}M", value / 1e6),
        _ if value >= 1e3 => format!("{:.0}k", value / 1e3),
        _ if value >= 10.0 || value == value.round() => format!("{value:.0}"),
        _ => format!("{value:.1}"),
    }
}

/// A line of a chart, over the number of pairs.
pub struct Line {
    pub label: &'static str,
    pub colour: RGBColor,
    pub points: Vec<(f64, f64)>,
}

pub fn chart(
    panel: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    lines: &[Line],
    legend: SeriesLabelPosition,
) -> Result<()> {
    let highest = lines
        .iter()
        .flat_map(|line| &line.points)
        .map(|point| point.1)
        .fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(panel)
        .caption(title, (FONT, SMALL).into_font().color(&INK))
        .margin(6)
        .margin_right(16)
        .x_label_area_size(24)
        .y_label_area_size(46)
        .build_cartesian_2d((1.0..10_000.0).log_scale(), 0.0..highest * 1.15)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .axis_style(INK)
        .x_labels(5)
        .y_labels(5)
        .label_style((FONT, SMALL - 2).into_font().color(&INK))
        .x_label_formatter(&|value| short(*value))
        .y_label_formatter(&|value| short(*value))
        .draw()?;
    for line in lines {
        let colour = line.colour;
        chart
            .draw_series(LineSeries::new(
                line.points.iter().copied(),
                colour.stroke_width(2),
            ))?
            .label(line.label)
            .legend(move |(x, y)| {
                PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2))
            });
        let circle = |point: &(f64, f64)| Circle::new(*point, 3, colour.filled());
        chart.draw_series(line.points.iter().map(circle))?;
    }
    chart
        .configure_series_labels()
        .position(legend)
        .label_font((FONT, SMALL - 2).into_font().color(&INK))
        .border_style(GRID)
        .background_style(WHITE)
        .draw()?;
    Ok(())
}

pub fn growth(outcomes: &[Outcome], path: &Path) -> Result<()> {
    let area = canvas(path, 860, 560)?;
    let titled = area.titled(
        "Instructions by number of pairs",
        (FONT, LARGE).into_font().color(&INK),
    )?;
    for ((operation, title), panel) in OPERATIONS.into_iter().zip(titled.split_evenly((2, 3))) {
        let lines = DRIVERS.map(|driver| {
            let of = |size: u32| {
                let name = format!("scale/{operation}/{size}");
                Some((f64::from(size), find(outcomes, &name, driver)?.instructions))
            };
            Line {
                label: label(driver),
                colour: colour(driver),
                points: SIZES.into_iter().filter_map(of).collect(),
            }
        });
        // The last operation has one figure only.
        if lines.iter().any(|line| line.points.len() > 1) {
            chart(&panel, title, &lines, SeriesLabelPosition::LowerRight)?;
        }
    }
    area.present()?;
    Ok(())
}
