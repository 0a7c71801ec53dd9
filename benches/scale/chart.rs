//! A curve as a picture.

use std::path::Path;

use plotters::prelude::*;

/// A name, and a value for each size.
pub type Curve = (&'static str, Vec<(u32, f64)>);

const COLORS: [RGBColor; 2] = [RGBColor(0x1b, 0x6e, 0x9c), RGBColor(0xc0, 0x4a, 0x2b)];

/// Sizes on a logarithmic scale, values on a linear one from zero, so that flat looks flat.
pub fn draw(file: &Path, title: &str, size_name: &str, unit: &str, curves: &[Curve]) {
    let sizes = || curves.iter().flat_map(|(_, points)| points.iter().map(|(size, _)| *size));
    let values = curves.iter().flat_map(|(_, points)| points.iter().map(|(_, value)| *value));
    let (least, most) = (sizes().min().unwrap_or(1), sizes().max().unwrap_or(1));
    let highest = values.fold(0.0, f64::max) * 1.15;
    let drawn = || -> Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::new(file, (720, 400)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            // For the half of the last size's name that stands beyond the axis.
            .margin_right(40)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d((least..most + 1).log_scale(), 0.0..highest)?;
        chart
            .configure_mesh()
            .x_desc(size_name)
            .y_desc(unit)
            .x_label_formatter(&|size| with_commas(*size))
            .y_label_formatter(&|value| format!("{value:.0}"))
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .draw()?;
        for ((name, points), color) in curves.iter().zip(COLORS.into_iter().cycle()) {
            chart
                .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
            chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, color.filled())))?;
        }
        // One curve is what the axis says.
        if curves.len() > 1 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::LowerRight)
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK.mix(0.3))
                .draw()?;
        }
        area.present()?;
        Ok(())
    };
    drawn().unwrap_or_else(|error| panic!("can't draw {}: {error}", file.display()));
}

fn with_commas(number: u32) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}
