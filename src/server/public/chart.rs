//! A site's history as a picture: bars, drawn by `plotters`, and what it lacks: words for those who
//! can't see it, and colours for dark screens and for paper.

use plotters::backend::SVGBackend;
use plotters::chart::ChartBuilder;
use plotters::coord::ranged1d::{IntoSegmentedCoord as _, SegmentValue};
use plotters::drawing::IntoDrawingArea as _;
use plotters::element::Rectangle;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, IntoFont as _, RGBColor, ShapeStyle};

use crate::counter::history::Step;
use crate::counter::{Language, Period, Site};

const WIDTH: u32 = 720;
const HEIGHT: u32 = 300;

/// What fits into the picture's width; the whole stands in its title.
const TITLE_CHARS_MAX: usize = 72;

const PAPER: RGBColor = RGBColor(255, 255, 255);
const INK: RGBColor = RGBColor(36, 41, 47);
const GRID: RGBColor = RGBColor(216, 222, 228);
const BAR: RGBColor = RGBColor(15, 98, 172);

/// The picture has a ground of its own: on a light page of a dark system its text must stay legible.
const STYLE: &str = r##"<style>
text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
@media screen and (prefers-color-scheme:dark){
[fill="#FFFFFF"]{fill:#161B22}[fill="#24292F"]{fill:#E6EDF3}[fill="#0F62AC"]{fill:#58A6FF}
[stroke="#24292F"]{stroke:#8B949E}[stroke="#D8DEE4"]{stroke:#30363D}
}
@media print{[fill="#0F62AC"]{fill:#000}}
@media (forced-colors:active){
[fill="#FFFFFF"]{fill:Canvas}[fill="#24292F"],[fill="#0F62AC"]{fill:CanvasText}
[stroke="#24292F"]{stroke:CanvasText}[stroke="#D8DEE4"]{stroke:CanvasText;stroke-opacity:.3}
}
</style>"##;

/// Draws the hits of these periods.
pub fn draw(site: &Site, step: Step, periods: &[Period], hits: &[i64]) -> Result<String, String> {
    let mut svg = String::new();
    let (title, description) = words(site, step, periods, hits);
    draw_bars(&mut svg, &title, site.language, periods, hits)?;
    let root_end = svg.find('>').ok_or("it has no root")?;
    let (root, rest) = svg.split_at(root_end);
    let root = root.trim_end();
    Ok(format!(
        "{root} role=\"img\" aria-labelledby=\"title desc\" lang=\"{}\">\n<title id=\"title\">{}</title>\n<desc id=\"desc\">{}</desc>\n{STYLE}{}",
        site.language.tag(),
        escaped(&title),
        escaped(&description),
        rest.strip_prefix('>').unwrap_or(rest),
    ))
}

fn draw_bars(
    svg: &mut String,
    title: &str,
    language: Language,
    periods: &[Period],
    hits: &[i64],
) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let area = SVGBackend::with_string(svg, (WIDTH, HEIGHT)).into_drawing_area();
    area.fill(&PAPER).map_err(|error| text(&error))?;
    let highest = hits.iter().copied().max().unwrap_or(0).max(4);
    let lowest = hits.iter().copied().min().unwrap_or(0).min(0);
    let last = periods.len().saturating_sub(1);
    let label_width = language.number(highest).len().max(language.number(lowest).len());
    let heading: String = title.chars().take(TITLE_CHARS_MAX).collect();
    let mut chart = ChartBuilder::on(&area)
        .caption(heading, ("sans-serif", 19).into_font().color(&INK))
        .margin(12)
        .margin_right(20)
        .x_label_area_size(30)
        .y_label_area_size(u32::try_from(label_width).unwrap_or(0) * 8 + 14)
        .build_cartesian_2d((0..last).into_segmented(), lowest..highest + highest / 12)
        .map_err(|error| text(&error))?;
    let small = ("sans-serif", 15).into_font().color(&INK);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(RGBColor(0, 0, 0).mix(0.0))
        .bold_line_style(GRID)
        .axis_style(INK)
        .x_labels(8)
        .y_labels(5)
        .x_label_style(small.clone().pos(Pos::new(HPos::Center, VPos::Top)))
        .y_label_style(small)
        .x_label_formatter(&|at| match at {
            SegmentValue::CenterOf(at) => periods.get(*at).map(|period| short(*period, language)).unwrap_or_default(),
            _ => String::new(),
        })
        .y_label_formatter(&|hits| language.number(*hits))
        .draw()
        .map_err(|error| text(&error))?;
    let count = u32::try_from(periods.len()).unwrap_or(u32::MAX).max(1);
    let gap = (WIDTH / 8 / count).max(u32::from(count <= 120));
    let bars = hits.iter().enumerate().map(|(at, hits)| {
        let corners = [(SegmentValue::Exact(at), *hits), (SegmentValue::Exact(at + 1), 0)];
        let mut bar = Rectangle::new(corners, ShapeStyle::from(BAR).filled());
        bar.set_margin(0, 0, gap, gap);
        bar
    });
    chart.draw_series(bars).map_err(|error| text(&error))?;
    area.present().map_err(|error| text(&error))
}

/// A period as it fits under a bar.
fn short(period: Period, language: Language) -> String {
    match (period, language) {
        (Period::Day(day), Language::Vietnamese) => day.date().format("%-d/%-m").to_string(),
        (Period::Day(day), Language::English) => day.date().format("%b %-d").to_string(),
        (Period::Month { year, month }, Language::Vietnamese) => format!("{month}/{year}"),
        (period @ Period::Month { .. }, Language::English) => {
            period.first_day().map(|day| day.date().format("%b %Y").to_string()).unwrap_or_default()
        }
        (period, _) => period.to_string(),
    }
}

/// The title and description, for those who can't see the bars.
fn words(site: &Site, step: Step, periods: &[Period], hits: &[i64]) -> (String, String) {
    let name = if site.name.is_empty() { site.id.as_str() } else { &site.name };
    let number = |hits: i64| site.language.number(hits);
    let (Some(first), Some(last)) = (periods.first(), periods.last()) else {
        return (name.to_owned(), String::new());
    };
    let sum = number(hits.iter().sum());
    let highest = hits.iter().zip(periods).max_by_key(|(hits, _)| **hits);
    let lowest = hits.iter().zip(periods).min_by_key(|(hits, _)| **hits);
    let (Some((most, most_at)), Some((least, least_at))) = (highest, lowest) else {
        return (name.to_owned(), String::new());
    };
    let (most, least) = (number(*most), number(*least));
    // Under the bars a day has no room for its year.
    let years = match (first, last) {
        (Period::Day(first), Period::Day(last)) if first.year() == last.year() => format!(", {}", last.year()),
        (Period::Day(first), Period::Day(last)) => format!(", {}–{}", first.year(), last.year()),
        _ => String::new(),
    };
    match site.language {
        Language::Vietnamese => {
            let by = match step {
                Step::Day => "ngày",
                Step::Month => "tháng",
                Step::Year => "năm",
            };
            (
                format!("Lượt truy cập theo {by}{years}: {name}"),
                format!(
                    "Từ {first} đến {last}: tổng cộng {sum} lượt; cao nhất {most} ({most_at}), thấp nhất {least} ({least_at})."
                ),
            )
        }
        Language::English => (
            format!("Visits by {}{years}: {name}", step.as_str()),
            format!(
                "From {first} to {last}: visits in all {sum}; most {most} ({most_at}), least {least} ({least_at})."
            ),
        ),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Day;

    fn drawn(site: &Site, step: Step, count: usize, hits: impl Fn(usize) -> i64) -> String {
        let periods = step.last(count, Day::from_ymd(2024, 6, 17).unwrap());
        let hits: Vec<_> = (0..count).map(hits).collect();
        draw(site, step, &periods, &hits).unwrap()
    }

    #[test]
    fn a_chart_has_a_bar_for_each_period_and_says_in_words_what_it_shows() {
        let mut site = Site::with_defaults("vixuyen".parse().unwrap(), Vec::new());
        site.name = "Huyện <Vị Xuyên> & bạn".to_owned();
        let svg = drawn(&site, Step::Day, 30, |at| 1_000 + i64::try_from(at).unwrap());
        assert_eq!(svg.matches("fill=\"#0F62AC\"").count(), 30 + STYLE.matches("fill=\"#0F62AC\"").count());
        assert!(
            svg.contains("<title id=\"title\">Lượt truy cập theo ngày, 2024: Huyện &lt;Vị Xuyên&gt; &amp; bạn</title>")
        );
        assert!(
            svg.contains("Từ 2024-05-19 đến 2024-06-17: tổng cộng 30.435 lượt; cao nhất 1.029 (2024-06-17)"),
            "{svg}"
        );
        assert!(svg.contains("prefers-color-scheme:dark") && svg.contains("role=\"img\""));
        let named = |step, count| drawn(&site, step, count, |_| 1);
        assert!(named(Step::Day, 300).contains("Lượt truy cập theo ngày, 2023–2024: Huyện"));
        assert!(named(Step::Month, 2).contains("Lượt truy cập theo tháng: Huyện"));
    }

    #[test]
    fn every_shape_of_a_history_can_be_drawn() {
        let site = Site::with_defaults("a".parse().unwrap(), Vec::new());
        for count in [1, 2, 366] {
            for hits in [0, 1, -5, crate::counter::contribution::HITS_MAX] {
                for step in [Step::Day, Step::Month] {
                    let svg = drawn(&site, step, count, |_| hits);
                    assert!(svg.trim_end().ends_with("</svg>"));
                }
            }
        }
    }
}
