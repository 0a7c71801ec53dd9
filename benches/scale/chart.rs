//! Performance curves as SVG files.

use std::path::Path;

use askama::Template;

/// A name, and a value for each size.
pub type Curve = (&'static str, Vec<(u32, f64)>);

const COLORS: [&str; 2] = ["#1b6e9c", "#c04a2b"];
const LEFT: f64 = 76.0;
const RIGHT: f64 = 680.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 345.0;

/// A position, and the label of the grid line there.
type Tick = (f64, String);

#[derive(Template)]
#[template(path = "../benches/scale/chart.svg")]
struct Chart<'a> {
    title: &'a str,
    size_name: &'a str,
    unit: &'a str,
    size_ticks: Vec<Tick>,
    value_ticks: Vec<Tick>,
    curves: Vec<DrawnCurve>,
}

struct DrawnCurve {
    name: &'static str,
    color: &'static str,
    points: Vec<(f64, f64)>,
}

/// Draws sizes on a logarithmic scale, and values on a linear one from zero, so that flat looks flat.
pub fn draw(file: &Path, title: &str, size_name: &str, unit: &str, curves: &[Curve]) {
    let sizes = || curves.iter().flat_map(|(_, points)| points.iter().map(|(size, _)| *size));
    let values = curves.iter().flat_map(|(_, points)| points.iter().map(|(_, value)| *value));
    let least = f64::from(sizes().min().unwrap_or(1)).ln();
    let most = f64::from(sizes().max().unwrap_or(1)).ln().max(least + 0.1);
    let highest = values.fold(1.0, f64::max) * 1.15;
    let x = |size: u32| tenths(LEFT + (f64::from(size).ln() - least) / (most - least) * (RIGHT - LEFT));
    let y = |value: f64| tenths(BOTTOM - value / highest * (BOTTOM - TOP));
    let drawn = |((name, points), color): (&Curve, &'static str)| DrawnCurve {
        name,
        color,
        points: points.iter().map(|(size, value)| (x(*size), y(*value))).collect(),
    };
    let mut measured: Vec<_> = sizes().collect();
    measured.sort_unstable();
    measured.dedup();
    let chart = Chart {
        title,
        size_name,
        unit,
        size_ticks: measured.into_iter().map(|size| (x(size), with_commas(size))).collect(),
        value_ticks: values_up_to(highest).map(|value| (y(value), value.to_string())).collect(),
        curves: curves.iter().zip(COLORS.into_iter().cycle()).map(drawn).collect(),
    };
    let written = std::fs::write(file, chart.to_string());
    written.unwrap_or_else(|error| panic!("can't write {}: {error}", file.display()));
}

/// Multiples of 1, 2 or 5 × 10ⁿ from zero, at most eight of them.
fn values_up_to(highest: f64) -> impl Iterator<Item = f64> {
    let power = 10_f64.powf((highest / 7.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| highest / step < 7.0);
    // Rounded: three times 0.1 is not quite 0.3.
    let value = move |multiple: u32| (f64::from(multiple) * step.unwrap_or(highest) * 1e6).round() / 1e6;
    (0..).map(value).take_while(move |value| *value <= highest)
}

fn tenths(position: f64) -> f64 {
    (position * 10.0).round() / 10.0
}

fn with_commas(number: u32) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}
