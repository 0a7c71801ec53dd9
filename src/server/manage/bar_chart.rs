//! Bar chart of a page: geometry of an SVG whose widths are percentages, so that its text is never scaled.

use super::locale::Locale;
use crate::server::public::chart::tick_values;

/// Height of the picture, and the place of its bars, in pixels.
const HEIGHT: i32 = 236;
const TOP: f64 = 18.0;
const BOTTOM: f64 = 208.0;
/// Width of a digit of a label.
const DIGIT_WIDTH: usize = 8;
/// Labels below the bars on a wide page; on a phone every other one is shown.
const LABELS_MAX: usize = 10;
/// Bars with less room touch one another.
const SPACED_BARS_MAX: usize = 100;

/// A bar with its numbers.
#[derive(Debug, Clone, Default)]
pub struct Bar {
    /// Short, to stand below the bar.
    pub label: String,
    /// Long, for those who point at the bar.
    pub name: String,
    pub value: i64,
    /// Part of the value that came by imports.
    pub imported: i64,
    /// The former range's bar in this place.
    pub former: Option<i64>,
    pub is_weekend: bool,
    /// Its time is not over.
    pub is_unfinished: bool,
    /// Its time has not begun: there is no value.
    pub is_to_come: bool,
    pub notes: Vec<String>,
}

pub struct BarChart {
    /// Its own among the charts of a page.
    pub id: &'static str,
    pub label: String,
    /// The bars in words and numbers.
    pub lines: Vec<Line>,
    pub height: i32,
    pub axis_width: usize,
    /// Vertical position of the zero line.
    pub zero: String,
    pub ticks: Vec<Tick>,
    pub columns: Vec<Column>,
    pub labels: Vec<PlacedLabel>,
    pub has_former: bool,
    pub has_imported: bool,
    pub has_unfinished: bool,
}

/// A bar as a line of a table.
pub struct Line {
    pub name: String,
    pub value: String,
    pub former: String,
}

pub struct Tick {
    pub y: String,
    pub label: String,
}

/// A bar's share of the width, with what is drawn in it.
pub struct Column {
    /// Of the whole share.
    pub x: String,
    pub width: String,
    /// Of the bar in it.
    pub bar_x: String,
    pub bar_width: String,
    pub bar: Option<Extent>,
    pub imported: Option<Extent>,
    pub former: Option<Extent>,
    pub is_weekend: bool,
    pub is_unfinished: bool,
    /// Middle of the share.
    pub middle: String,
    /// What a pointer shows.
    pub title: String,
    pub has_notes: bool,
}

pub struct Extent {
    pub y: String,
    pub height: String,
}

pub struct PlacedLabel {
    pub x: String,
    pub text: String,
    /// Hidden where there is little room.
    pub is_minor: bool,
}

/// Words of a chart.
pub struct ChartWords {
    pub label: String,
    pub former: &'static str,
    pub imported: &'static str,
    pub so_far: &'static str,
}

impl BarChart {
    pub fn of(id: &'static str, locale: Locale, words: ChartWords, bars: &[Bar]) -> Self {
        let values = || bars.iter().flat_map(|bar| [bar.value, bar.former.unwrap_or(0)]);
        let tick_values = tick_values(values().min().unwrap_or(0), values().max().unwrap_or(0));
        let (low, high) = (tick_values.first().copied().unwrap_or(0), tick_values.last().copied().unwrap_or(1));
        let y = |value: i64| BOTTOM - (value - low) as f64 / (high - low).max(1) as f64 * (BOTTOM - TOP);
        let zero = y(0);
        let extent = |value: i64| {
            // A pixel at least: few hits are not none.
            let height = (zero - y(value)).max(1.0);
            (value > 0).then(|| Extent { y: tenths(zero - height), height: tenths(height) })
        };
        let slot = 100.0 / bars.len().max(1) as f64;
        let gap = if bars.len() > SPACED_BARS_MAX { 0.0 } else { slot * 0.18 };
        let column = |(at, bar): (usize, &Bar)| Column {
            x: percent(slot * at as f64),
            width: percent(slot),
            bar_x: percent(slot * at as f64 + gap / 2.0),
            bar_width: percent(slot - gap),
            bar: extent(bar.value).filter(|_| !bar.is_to_come),
            imported: extent(bar.imported.min(bar.value)).filter(|_| !bar.is_to_come),
            former: bar.former.and_then(extent),
            is_weekend: bar.is_weekend,
            is_unfinished: bar.is_unfinished,
            middle: percent(slot * (at as f64 + 0.5)),
            title: title(locale, &words, bar),
            has_notes: !bar.notes.is_empty(),
        };
        let ticks: Vec<_> =
            tick_values.iter().map(|value| Tick { y: tenths(y(*value)), label: locale.number(*value) }).collect();
        let widest = ticks.iter().map(|tick| tick.label.chars().count()).max().unwrap_or(0);
        let every = bars.len().div_ceil(LABELS_MAX).max(1);
        // Counted from the first bar: ranges begin with the first of a month or a Monday.
        let labelled = bars.iter().enumerate().step_by(every);
        let labels = labelled.enumerate().map(|(number, (at, bar))| PlacedLabel {
            x: percent(slot * (at as f64 + 0.5)),
            text: bar.label.clone(),
            is_minor: number % 2 == 1,
        });
        let lines = bars.iter().filter(|bar| !bar.is_to_come).map(|bar| Line {
            name: bar.name.clone(),
            value: locale.number(bar.value),
            former: bar.former.map_or(String::new(), |former| locale.number(former)),
        });
        Self {
            id,
            lines: lines.collect(),
            height: HEIGHT,
            axis_width: widest * DIGIT_WIDTH + 10,
            zero: tenths(zero),
            columns: bars.iter().enumerate().map(column).collect(),
            labels: labels.collect(),
            ticks,
            has_former: bars.iter().any(|bar| bar.former.is_some_and(|former| former > 0)),
            has_imported: bars.iter().any(|bar| bar.imported > 0),
            has_unfinished: bars.iter().any(|bar| bar.is_unfinished),
            label: words.label,
        }
    }
}

/// The bar in words.
fn title(locale: Locale, words: &ChartWords, bar: &Bar) -> String {
    let mut title = bar.name.clone();
    if !bar.is_to_come {
        title.push_str(": ");
        title.push_str(&locale.number(bar.value));
        if bar.is_unfinished {
            title.push_str(&format!(" ({})", words.so_far));
        }
    }
    if bar.imported > 0 {
        title.push_str(&format!("\n{}: {}", words.imported, locale.number(bar.imported)));
    }
    if let Some(former) = bar.former {
        title.push_str(&format!("\n{}: {}", words.former, locale.number(former)));
    }
    for note in &bar.notes {
        title.push('\n');
        title.push_str(note);
    }
    title
}

fn percent(value: f64) -> String {
    format!("{}%", (value * 1000.0).round() / 1000.0)
}

fn tenths(pixels: f64) -> String {
    ((pixels * 10.0).round() / 10.0).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Language;

    const LOCALE: Locale = Locale { language: Language::Vietnamese, is_chosen: false };

    fn words() -> ChartWords {
        ChartWords { label: "L".to_owned(), former: "Kỳ trước", imported: "Nhập", so_far: "chưa hết" }
    }

    fn bars(values: &[i64]) -> Vec<Bar> {
        values.iter().map(|value| Bar { value: *value, label: value.to_string(), ..Bar::default() }).collect()
    }

    fn number(text: &str) -> f64 {
        text.trim_end_matches('%').parse().unwrap()
    }

    #[test]
    fn bars_stand_on_zero_within_the_picture_whatever_their_number() {
        for count in [1, 2, 28, 31, 92, 366] {
            for most in [0, 1, 7, 2_455, 1_000_000_000_000] {
                let values: Vec<_> = (0..count).map(|at| most * (at + 1) / count).collect();
                let chart = BarChart::of("a", LOCALE, words(), &bars(&values));
                let mut end = 0.0;
                for (column, value) in chart.columns.iter().zip(&values) {
                    assert!((number(&column.x) - end).abs() < 0.01);
                    end = number(&column.x) + number(&column.width);
                    assert!(
                        number(&column.bar_x) >= number(&column.x)
                            && number(&column.bar_x) + number(&column.bar_width) <= end + 0.01
                    );
                    assert_eq!(column.bar.is_some(), *value > 0);
                    let Some(bar) = &column.bar else { continue };
                    assert!(number(&bar.y) >= TOP && number(&bar.height) >= 1.0);
                    assert!((number(&bar.y) + number(&bar.height) - number(&chart.zero)).abs() < 0.2);
                }
                assert!((end - 100.0).abs() < 0.5);
                assert!(chart.labels.len() <= LABELS_MAX && !chart.labels.is_empty());
            }
        }
    }

    #[test]
    fn a_bar_says_what_it_is_in_words() {
        let bar = Bar {
            name: "12/11/2026".to_owned(),
            value: 7_310,
            imported: 10,
            former: Some(2_455),
            is_unfinished: true,
            notes: vec!["Bị tấn công".to_owned()],
            ..Bar::default()
        };
        let chart = BarChart::of("a", LOCALE, words(), std::slice::from_ref(&bar));
        assert_eq!(chart.columns[0].title, "12/11/2026: 7.310 (chưa hết)\nNhập: 10\nKỳ trước: 2.455\nBị tấn công");
        assert!(chart.has_former && chart.has_imported && chart.has_unfinished && chart.columns[0].has_notes);
        let to_come = BarChart::of("a", LOCALE, words(), &[Bar { is_to_come: true, is_unfinished: false, ..bar }]);
        assert!(to_come.columns[0].bar.is_none() && !to_come.columns[0].title.contains("7.310"));
    }
}
