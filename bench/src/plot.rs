// SPDX-License-Identifier: GPL-2.0
//! The plots: every scenario's cost relative to C, and how the cost grows with the number of programs.

use std::path::Path;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::outcome::find;
use crate::outcome::Outcome;
use crate::raw::Driver;
use crate::raw::Unit;
use crate::report::names;

pub const FONT: &str = "sans-serif";
/// plotters makes them smaller when it writes SVG.
pub const SMALL: i32 = 15;
pub const LARGE: i32 = 20;
pub const INK: RGBColor = RGBColor(60, 60, 60);
pub const GRID: RGBColor = RGBColor(225, 225, 225);

pub fn colour(driver: Driver) -> RGBColor {
    match driver {
        Driver::C => RGBColor(86, 114, 158),
        Driver::Rust => RGBColor(206, 92, 40),
        Driver::Veth => RGBColor(150, 150, 150),
        Driver::Dummy => GRID,
    }
}

pub fn label(driver: Driver) -> &'static str {
    match driver {
        Driver::C => "C",
        Driver::Rust => "Rust",
        Driver::Veth => "veth",
        Driver::Dummy => "dummy",
    }
}

pub fn canvas(path: &Path, width: u32, height: u32) -> Result<DrawingArea<SVGBackend<'_>, Shift>> {
    let area = SVGBackend::new(path, (width, height)).into_drawing_area();
    area.fill(&WHITE)?;
    Ok(area)
}

/// Where the ratios go: rows below each other, a scale in steps of a tenth.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    const ROW: i32 = 24;
    const LEFT: i32 = 330;
    const RIGHT: i32 = 800;
    const TOP: i32 = 60;
    const WIDTH: i32 = 920;
    /// The columns with the numbers.
    const NUMBERS: [(i32, Driver); 2] = [(820, Driver::Rust), (872, Driver::Veth)];

    /// Holds everything but what is far out, whose bar is cut off; its number stands beside it.
    fn new(ratios: &[f64]) -> Self {
        let lowest = ratios.iter().copied().fold(0.9, f64::min).max(0.5);
        let highest = ratios.iter().copied().fold(1.1, f64::max).min(1.5);
        Self {
            low: (lowest * 10.0).floor() / 10.0,
            high: (highest * 10.0).ceil() / 10.0,
        }
    }

    fn x(&self, ratio: f64) -> i32 {
        let part = (ratio.clamp(self.low, self.high) - self.low) / (self.high - self.low);
        Self::LEFT + (part * f64::from(Self::RIGHT - Self::LEFT)).round() as i32
    }

    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>, bottom: i32) -> Result<()> {
        let text = (FONT, SMALL).into_font().color(&INK);
        let steps = ((self.high - self.low) * 10.0).round() as i32;
        for step in 0..=steps {
            let ratio = self.low + f64::from(step) / 10.0;
            let one = (ratio - 1.0).abs() < 1e-6;
            let x = self.x(ratio);
            let ends = vec![(x, Self::TOP - 6), (x, bottom)];
            area.draw(&PathElement::new(ends, if one { INK } else { GRID }))?;
            let number = format!("{ratio:.1}");
            area.draw(&Text::new(number, (x - 9, bottom + 8), text.clone()))?;
        }
        for (place, driver) in Self::NUMBERS {
            let square = Rectangle::new([(place, 36), (place + 10, 46)], colour(driver).filled());
            area.draw(&square)?;
            let place = (place + 14, 34);
            area.draw(&Text::new(label(driver), place, text.clone()))?;
        }
        Ok(())
    }
}

/// Bars from 1.00, to the left where it costs less than C, to the right where more.
pub fn ratios(outcomes: &[Outcome], path: &Path) -> Result<()> {
    let of = |name: &str, driver| find(outcomes, name, driver)?.ratio_to_c;
    let mut names = names(outcomes);
    names.retain(|name| of(name, Driver::Rust).is_some());
    let all: Vec<f64> = outcomes
        .iter()
        .filter_map(|outcome| outcome.ratio_to_c)
        .collect();
    let scale = Scale::new(&all);
    let bottom = Scale::TOP + Scale::ROW * names.len() as i32;
    let area = canvas(path, Scale::WIDTH as u32, bottom as u32 + 34)?;
    let title = (FONT, LARGE).into_font().color(&INK);
    area.draw(&Text::new(
        "Instructions relative to the C driver",
        (10, 10),
        title,
    ))?;
    scale.draw(&area, bottom)?;
    let text = (FONT, SMALL).into_font().color(&INK);
    for (index, name) in names.iter().enumerate() {
        let y = Scale::TOP + Scale::ROW * index as i32;
        area.draw(&Text::new((*name).to_owned(), (10, y + 4), text.clone()))?;
        for (offset, (place, driver)) in [2, 12].into_iter().zip(Scale::NUMBERS) {
            let Some(ratio) = of(name, driver) else {
                continue;
            };
            let (one, end) = (scale.x(1.0), scale.x(ratio));
            let corners = [
                (one.min(end), y + offset),
                (one.max(end).max(one + 1), y + offset + 8),
            ];
            area.draw(&Rectangle::new(corners, colour(driver).filled()))?;
            let number = format!("{ratio:.3}");
            area.draw(&Text::new(number, (place, y + 4), text.clone()))?;
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
            .filter_map(|outcome| Some((programs_of(&outcome.scenario)?, outcome.instructions)))
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
            (FONT, LARGE).into_font().color(&INK),
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
        .label_style((FONT, SMALL).into_font().color(&INK))
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
        .label_font((FONT, SMALL).into_font().color(&INK))
        .border_style(GRID)
        .background_style(WHITE)
        .draw()?;
    area.present()?;
    Ok(())
}
