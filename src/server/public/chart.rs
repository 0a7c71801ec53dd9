//! A site's history as a bar chart: the figures that `templates/chart.svg` draws.

use std::fmt;

use askama::Template;
use chrono::Datelike as _;

use crate::counter::history::Step;
use crate::counter::{Day, Language, Period, Site};

const WIDTH: i32 = 720;
const HEIGHT: i32 = 300;
const MARGIN: i32 = 12;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 264.0;
/// Right edge of the bars; half a label fits beyond it.
const RIGHT: i32 = WIDTH - 28;

/// Width of a digit or small letter in a label.
const LABEL_CHAR_WIDTH: f64 = 7.5;
/// Free space between two period labels.
const LABEL_GAP: f64 = 14.0;
/// Bars of so few periods would be slabs.
const BAR_WIDTH_MAX: f64 = 96.0;
/// Above this count, a gap between bars is less than a pixel.
const SPACED_BARS_MAX: usize = 120;
/// Spaces between grid lines, at most one more with negative values.
const TICK_STEPS_MAX: i128 = 5;

#[derive(Template)]
#[template(path = "chart.svg")]
struct Chart {
    width: i32,
    height: i32,
    lang: &'static str,
    title: String,
    description: String,
    /// The title, cut to the chart's width.
    heading: String,
    left: i32,
    right: i32,
    ticks: Vec<Tick>,
    /// Vertical position of the zero line.
    zero: Tenths,
    bars: Vec<Bar>,
    bar_width: String,
    /// Bars touch each other.
    dense: bool,
    periods: Vec<PeriodLabel>,
}

struct Tick {
    y: Tenths,
    label: String,
}

struct Bar {
    x: Tenths,
    y: Tenths,
    height: Tenths,
}

struct PeriodLabel {
    x: Tenths,
    label: String,
}

/// Draws the hits of these periods as an SVG document.
pub fn draw(site: &Site, step: Step, periods: &[Period], hits: &[i64]) -> String {
    let (title, description) = words(site, step, periods, hits);
    let lowest = hits.iter().copied().min().unwrap_or(0);
    let highest = hits.iter().copied().max().unwrap_or(0);
    let values = tick_values(lowest, highest);
    let (low, high) = (values.first().copied().unwrap_or(0) as f64, values.last().copied().unwrap_or(1) as f64);
    let y = |value: f64| BOTTOM - (value - low) / (high - low) * (BOTTOM - TOP);
    let zero = y(0.0);
    let labels: Vec<_> = values.iter().map(|value| site.language.number(*value)).collect();
    let left = MARGIN + 8 + widest(labels.iter()).ceil() as i32;
    let ticks = values.iter().zip(labels).map(|(value, label)| Tick { y: pixel(y(*value as f64)), label }).collect();

    let slot = f64::from(RIGHT - left) / periods.len().max(1) as f64;
    let center = |at: usize| f64::from(left) + slot * (at as f64 + 0.5);
    let dense = periods.len() > SPACED_BARS_MAX;
    // Dense bars overlap a little: edges that only meet would leave gaps after rounding to pixels.
    let bar_width = if dense { slot + 0.5 } else { (slot * 0.75).min(BAR_WIDTH_MAX) };
    let bars = hits.iter().enumerate().filter(|(_, hits)| **hits != 0).map(|(at, hits)| {
        // A pixel at least: few hits are not none.
        let height = (y(*hits as f64) - zero).abs().max(1.0);
        let top = if *hits > 0 { zero - height } else { zero };
        Bar { x: pixel(center(at) - bar_width / 2.0), y: pixel(top), height: pixel(height) }
    });

    let labels: Vec<_> = periods.iter().map(|period| period_label(*period, site.language)).collect();
    // Counted from the last bar, which is always labelled.
    let every = ((widest(labels.iter()) + LABEL_GAP) / slot).ceil().max(1.0) as usize;
    let labels = labels.into_iter().enumerate().filter(|(at, _)| (periods.len() - 1 - at).is_multiple_of(every));
    let chart = Chart {
        width: WIDTH,
        height: HEIGHT,
        lang: site.language.tag(),
        heading: cut(&title),
        title,
        description,
        left,
        right: RIGHT,
        ticks,
        zero: pixel(zero),
        bars: bars.collect(),
        bar_width: ((bar_width * 100.0).round() as f32 / 100.0).to_string(),
        dense,
        periods: labels.map(|(at, label)| PeriodLabel { x: pixel(center(at)), label }).collect(),
    };
    // Writing to a string can't fail.
    chart.render().unwrap_or_default()
}

/// Values of the grid lines: multiples of 1, 2 or 5 × 10ⁿ that enclose zero and all hits.
pub fn tick_values(lowest: i64, highest: i64) -> Vec<i64> {
    let lowest = i128::from(lowest.min(0));
    let highest = i128::from(highest.max(0)).max(lowest + 4);
    let steps =
        std::iter::successors(Some(1), |power| Some(power * 10)).flat_map(|power: i128| [power, 2 * power, 5 * power]);
    let fits = |step: &i128| highest - lowest <= step * TICK_STEPS_MAX;
    let Some(step) = steps.take(60).find(fits) else { return Vec::new() };
    let (first, last) = (lowest.div_euclid(step), -(-highest).div_euclid(step));
    let clamped = |value: i128| value.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
    (first..=last).map(|multiple| clamped(multiple * step)).collect()
}

/// A position or length in tenths of a pixel, which are enough, and faster to write than a float.
#[derive(Clone, Copy)]
struct Tenths(i32);

fn pixel(position: f64) -> Tenths {
    Tenths((position * 10.0).round() as i32)
}

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, tenth) = (self.0.unsigned_abs() / 10, self.0.unsigned_abs() % 10);
        if self.0 < 0 {
            f.write_str("-")?;
        }
        write!(f, "{whole}")?;
        if tenth > 0 { write!(f, ".{tenth}") } else { Ok(()) }
    }
}

fn widest<'a>(labels: impl Iterator<Item = &'a String>) -> f64 {
    labels.map(|label| label.chars().count()).max().unwrap_or(0) as f64 * LABEL_CHAR_WIDTH
}

/// As much of the title as fits into the chart's width.
fn cut(title: &str) -> String {
    // About 17 px high: 8 px for a small letter, 12 px for a capital one.
    let width = |char: char| if char.is_uppercase() || matches!(char, 'm' | 'w' | '—') { 12 } else { 8 };
    let mut free = WIDTH - 2 * MARGIN;
    let fits = |char: &char| {
        free -= width(*char);
        free >= width('m')
    };
    let heading: String = title.chars().take_while(fits).collect();
    if heading.len() < title.len() { heading + "…" } else { heading }
}

fn month_name(day: Day) -> &'static str {
    const NAMES: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    NAMES[day.date().month0() as usize]
}

/// The label of a period, short enough to stand under a bar.
fn period_label(period: Period, language: Language) -> String {
    match (period, language) {
        (Period::Day(day), Language::Vietnamese) => format!("{}/{}", day.date().day(), day.month_number()),
        (Period::Day(day), Language::English) => format!("{} {}", month_name(day), day.date().day()),
        (Period::Month { year, month }, Language::Vietnamese) => format!("{month}/{year}"),
        (period @ Period::Month { .. }, Language::English) => {
            period.first_day().map(|day| format!("{} {}", month_name(day), day.year())).unwrap_or_default()
        }
        (period, _) => period.to_string(),
    }
}

/// Title and description: the chart in words, for readers who can't see it.
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
    // Day labels leave the year out, so the title names it.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Day;
    use crate::counter::contribution::HITS_MAX;

    fn drawn(site: &Site, step: Step, count: usize, hits: impl Fn(usize) -> i64) -> String {
        let today = Day::from_ymd(2024, 6, 17).unwrap();
        let periods = step.from_to(step.first_of_last(count, today), step.of(today));
        let hits: Vec<_> = (0..periods.len()).map(hits).collect();
        draw(site, step, &periods, &hits)
    }

    fn site_named(name: &str) -> Site {
        let mut site = Site::with_defaults("vixuyen".parse().unwrap(), Vec::new());
        site.name = name.to_owned();
        site
    }

    /// The numbers of an attribute, in the order of the document.
    fn numbers(svg: &str, attribute: &str) -> Vec<f64> {
        let start = format!(" {attribute}=\"");
        svg.split(start.as_str()).skip(1).map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn a_chart_has_a_bar_for_each_period_and_says_in_words_what_it_shows() {
        let site = site_named("Huyện <Vị Xuyên> & bạn");
        let svg = drawn(&site, Step::Day, 30, |at| 1_000 + i64::try_from(at).unwrap());
        // The paper is a rectangle too.
        assert_eq!(svg.matches("<rect ").count(), 30 + 1);
        assert!(
            svg.contains("Từ 2024-05-19 đến 2024-06-17: tổng cộng 30.435 lượt; cao nhất 1.029 (2024-06-17)"),
            "{svg}"
        );
        assert!(svg.contains(">17/6</text>") && svg.contains(">1.500</text>") && svg.contains("lang=\"vi\""), "{svg}");
        assert!(svg.contains("prefers-color-scheme:dark") && svg.contains("role=\"img\""));
        let named = |step, count| drawn(&site, step, count, |_| 1);
        assert!(named(Step::Day, 30).contains("Lượt truy cập theo ngày, 2024: Huyện"));
        assert!(named(Step::Day, 300).contains("Lượt truy cập theo ngày, 2023–2024: Huyện"));
        assert!(named(Step::Month, 2).contains("Lượt truy cập theo tháng: Huyện"));
    }

    #[test]
    fn markup_in_a_sites_name_is_text_in_the_chart() {
        let svg = drawn(&site_named("</title><script>\"'&amp;"), Step::Year, 3, |_| 1);
        let name = "&#60;/title&#62;&#60;script&#62;&#34;&#39;&#38;amp;";
        assert!(svg.contains(&format!("năm: {name}</title>")) && svg.contains(&format!("năm: {name}</text>")), "{svg}");
        assert!(!svg.contains("<script"));
    }

    #[test]
    fn ticks_are_round_and_enclose_zero_and_all_values() {
        for (lowest, highest, ticks) in [
            (0, 0, &[0, 1, 2, 3, 4][..]),
            (0, 5, &[0, 1, 2, 3, 4, 5]),
            (3, 6, &[0, 2, 4, 6]),
            (0, 1_029, &[0, 500, 1_000, 1_500]),
            (-5, 0, &[-5, -4, -3, -2, -1, 0]),
            (-30, 100, &[-50, 0, 50, 100]),
            (0, 1_000_000_000_000_000, &[0, 200, 400, 600, 800, 1_000].map(|tick| tick * 1_000_000_000_000)),
        ] {
            assert_eq!(tick_values(lowest, highest), ticks, "{lowest} to {highest}");
        }
        let widest = tick_values(i64::MIN, i64::MAX);
        assert!(widest.len() > 2 && widest.is_sorted() && widest.contains(&0), "{widest:?}");
    }

    #[test]
    fn every_shape_of_a_history_stays_within_its_picture() {
        let site = site_named(&"Cổng thông tin điện tử HUYỆN ".repeat(9));
        for count in [1, 2, 12, 30, 121, 366, 1_100] {
            for (low, high) in [(0, 0), (1, 1), (-5, -5), (-7, 1_000), (-HITS_MAX, HITS_MAX), (0, HITS_MAX)] {
                for step in [Step::Day, Step::Month, Step::Year] {
                    let svg = drawn(&site, step, count, |at| if at % 2 == 0 { high } else { low });
                    let within = |attribute, end: i32| {
                        numbers(&svg, attribute).iter().all(|at| (0.0..=f64::from(end)).contains(at))
                    };
                    assert!(within("x", WIDTH) && within("x2", WIDTH) && within("width", WIDTH), "{svg}");
                    assert!(within("y", HEIGHT) && within("y1", HEIGHT) && within("height", HEIGHT), "{svg}");
                    assert!(svg.trim_end().ends_with("</svg>") && !svg.contains("NaN"));
                    let (_, labels) = svg.split_once("class=\"periods\"").unwrap();
                    assert!(numbers(labels, "x").windows(2).all(|pair| pair[1] - pair[0] > 30.0), "{labels}");
                }
            }
        }
    }

    #[test]
    fn few_hits_show_beside_many_and_corrections_hang_below_zero() {
        let svg = drawn(&site_named(""), Step::Day, 3, |at| [1, 1_000_000, -200_000][at]);
        let (_, bars) = svg.split_once("class=\"bars\"").unwrap();
        let (y, height) = (numbers(bars, "y"), numbers(bars, "height"));
        let zero = numbers(bars, "y1")[0];
        assert!(height[0] == 1.0 && (y[0] + 1.0 - zero).abs() < 0.2 && y[2] == zero, "{bars}");
        assert!((height[1] - 5.0 * height[2]).abs() < 1.0 && height[2] > 20.0, "{bars}");
    }
}
