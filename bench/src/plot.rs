// SPDX-License-Identifier: GPL-2.0
//! The plots: every scenario's cost relative to C, and how the cost grows with the number of programs.

use std::path::Path;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::raw::Driver;
use crate::raw::Unit;
use crate::report::Outcome;

const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(60, 60, 60);
const GRID: RGBColor = RGBColor(225, 225, 225);

fn colour(driver: Driver) -> RGBColor {
    match driver {
        Driver::C => RGBColor(86, 114, 158),
        Driver::Rust => RGBColor(206, 92, 40),
        Driver::Veth => RGBColor(150, 150, 150),
        Driver::Dummy => GRID,
    }
}

fn label(driver: Driver) -> &'static str {
    match driver {
        Driver::C => "C",
        Driver::Rust => "Rust",
        Driver::Veth => "veth",
        Driver::Dummy => "dummy",
    }
}

fn canvas<'a>(
    path: &'a Path,
    width: u32,
    height: u32,
) -> Result<DrawingArea<SVGBackend<'a>, Shift>> {
    let area = SVGBackend::new(path, (width, height)).into_drawing_area();
    area.fill(&WHITE)?;
    Ok(area)
}

/// Bars from 1.00, to the left where it costs less than C, to the right where more.
pub fn ratios(outcomes: &[Outcome], path: &Path) -> Result<()> {
    let of = |name: &str, driver| {
        let mut all = outcomes.iter();
        all.find(|outcome| outcome.scenario == name && outcome.driver == driver)?
            .ratio_to_c
    };
    let names: Vec<&str> = outcomes
        .iter()
        .filter(|outcome| outcome.driver == Driver::Rust && outcome.ratio_to_c.is_some())
        .map(|outcome| outcome.scenario.as_str())
        .collect();
    let (row, left, top, width) = (24, 210, 56, 860);
    let bottom = top + row * names.len() as i32;
    let area = canvas(path, width as u32, bottom as u32 + 34)?;
    let all = |driver| names.iter().filter_map(move |name| of(name, driver));
    let ratios = || all(Driver::Rust).chain(all(Driver::Veth));
    // A scale in steps of a tenth which holds everything; what is far out is cut off and written beside.
    let low = (ratios().fold(0.9, f64::min).max(0.5) * 10.0).floor() / 10.0;
    let high = (ratios().fold(1.1, f64::max).min(1.5) * 10.0).ceil() / 10.0;
    let x = |ratio: f64| {
        let part = (ratio.clamp(low, high) - low) / (high - low);
        left + (part * f64::from(width - left - 60)).round() as i32
    };
    let text = (FONT, 13).into_font().color(&INK);
    area.draw(&Text::new(
        "Instructions relative to the C driver",
        (10, 10),
        (FONT, 18).into_font().color(&INK),
    ))?;
    for (place, driver) in [(620, Driver::Rust), (700, Driver::Veth)] {
        area.draw(&Rectangle::new(
            [(place, 14), (place + 12, 26)],
            colour(driver).filled(),
        ))?;
        area.draw(&Text::new(label(driver), (place + 18, 13), text.clone()))?;
    }
    let steps = ((high - low) * 10.0).round() as i32;
    for step in 0..=steps {
        let ratio = low + f64::from(step) / 10.0;
        let style = if (ratio - 1.0).abs() < 1e-6 {
            INK
        } else {
            GRID
        };
        area.draw(&PathElement::new(
            vec![(x(ratio), top - 6), (x(ratio), bottom)],
            style,
        ))?;
        area.draw(&Text::new(
            format!("{ratio:.1}"),
            (x(ratio) - 9, bottom + 8),
            text.clone(),
        ))?;
    }
    for (index, name) in names.iter().enumerate() {
        let y = top + row * index as i32;
        area.draw(&Text::new((*name).to_owned(), (10, y + 4), text.clone()))?;
        for (offset, driver) in [(2, Driver::Rust), (12, Driver::Veth)] {
            let Some(ratio) = of(name, driver) else {
                continue;
            };
            let ends = (
                x(1.0).min(x(ratio)),
                x(1.0).max(x(ratio)).max(x(1.0).min(x(ratio)) + 1),
            );
            area.draw(&Rectangle::new(
                [(ends.0, y + offset), (ends.1, y + offset + 8)],
                colour(driver).filled(),
            ))?;
            if driver == Driver::Rust {
                area.draw(&Text::new(
                    format!("{ratio:.3}"),
                    (width - 48, y + 4),
                    text.clone(),
                ))?;
            }
        }
    }
    area.present()?;
    Ok(())
}

/// The number of programs that a scenario runs, if it is one of that row.
fn programs_of(name: &str) -> Option<u32> {
    match name {
        "forward/l2/other-ns/64" => Some(0),
        "program/l2/next" => Some(1),
        _ => name.strip_prefix("programs/")?.parse().ok(),
    }
}

pub fn programs(outcomes: &[Outcome], path: &Path) -> Result<()> {
    let points = |driver| -> Vec<(u32, f64)> {
        let mut points: Vec<(u32, f64)> = outcomes
            .iter()
            .filter(|outcome| outcome.driver == driver && outcome.unit == Unit::Packet)
            .filter_map(|outcome| Some((programs_of(&outcome.scenario)?, outcome.instructions?)))
            .collect();
        points.sort_by_key(|point| point.0);
        points
    };
    let drivers = [Driver::C, Driver::Rust, Driver::Veth];
    let highest = drivers
        .into_iter()
        .flat_map(points)
        .map(|point| point.1)
        .fold(100.0, f64::max);
    let area = canvas(path, 860, 380)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(
            "Instructions a packet by number of programs (generator subtracted)",
            (FONT, 18).into_font().color(&INK),
        )
        .margin(10)
        .margin_right(24)
        .x_label_area_size(28)
        .y_label_area_size(52)
        .build_cartesian_2d(0u32..64u32, 0.0..highest * 1.1)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style((FONT, 13).into_font().color(&INK))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .draw()?;
    for driver in drivers {
        let colour = colour(driver);
        let line = points(driver);
        chart
            .draw_series(LineSeries::new(line.clone(), colour.stroke_width(2)))?
            .label(label(driver))
            .legend(move |(x, y)| {
                PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2))
            });
        chart.draw_series(
            line.iter()
                .map(|point| Circle::new(*point, 3, colour.filled())),
        )?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font((FONT, 13).into_font().color(&INK))
        .border_style(GRID)
        .background_style(WHITE)
        .draw()?;
    area.present()?;
    Ok(())
}
