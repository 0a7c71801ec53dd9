//! Uncounted hits of a site, by kind and by day, as this node has met them.

use super::locale::Locale;
use super::words::kind_label;
use crate::bots::{Kind, UncountedRow};
use crate::counter::{Day, DayRange, Period};

/// Numbers by day and kind.
#[derive(Debug, Clone, Default)]
pub struct NotCounted(Vec<(Day, Kind, i64)>);

/// A kind's number in a range.
pub struct ShownKind {
    pub label: &'static str,
    pub hits: String,
    pub share: String,
    /// Of the most frequent kind, in percent.
    pub width: String,
}

impl NotCounted {
    pub fn of(rows: &[UncountedRow]) -> Self {
        let row = |row: &UncountedRow| match row.day.parse() {
            Ok(Period::Day(day)) => Some((day, Kind::named(&row.kind)?, i64::try_from(row.hits).unwrap_or(i64::MAX))),
            _ => None,
        };
        Self(rows.iter().filter_map(row).collect())
    }

    /// The numbers of a range, by day.
    pub fn within(&self, days: DayRange) -> Vec<(Day, Kind, i64)> {
        let mut rows: Vec<_> = self.0.iter().copied().filter(|(day, ..)| days.holds(*day)).collect();
        rows.sort_by_key(|(day, _, hits)| (*day, std::cmp::Reverse(*hits)));
        rows
    }

    pub fn sum(&self, days: DayRange) -> i64 {
        self.0.iter().filter(|(day, ..)| days.holds(*day)).map(|(.., hits)| hits).sum()
    }

    /// The kinds of a range, the most frequent first.
    pub fn kinds(&self, locale: Locale, days: DayRange) -> Vec<ShownKind> {
        let of = |kind: Kind| {
            let rows = self.0.iter().filter(|(day, of, _)| *of == kind && days.holds(*day));
            (kind, rows.map(|(.., hits)| hits).sum::<i64>())
        };
        let mut kinds: Vec<_> = Kind::ALL.into_iter().map(|(kind, _)| of(kind)).filter(|(_, hits)| *hits > 0).collect();
        kinds.sort_by_key(|(_, hits)| std::cmp::Reverse(*hits));
        let sum = kinds.iter().map(|(_, hits)| hits).sum();
        let most = kinds.first().map_or(1, |(_, hits)| *hits);
        let shown = |(kind, hits): (Kind, i64)| ShownKind {
            label: kind_label(kind, locale.language),
            hits: locale.number(hits),
            share: locale.share(hits, sum),
            width: width(hits, most),
        };
        kinds.into_iter().map(shown).collect()
    }
}

/// Width of a bar in a table, whose longest is 100%.
pub fn width(value: i64, most: i64) -> String {
    format!("{}%", (value as f64 * 1000.0 / most.max(1) as f64).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Language;

    #[test]
    fn kinds_of_a_range_are_summed_and_the_most_frequent_comes_first() {
        let row = |day: &str, kind: &str, hits| UncountedRow { day: day.to_owned(), kind: kind.to_owned(), hits };
        let rows = [
            row("2026-11-30", "seo", 5),
            row("2026-11-29", "seo", 6),
            row("2026-11-29", "repeat", 20),
            row("2026-11-01", "repeat", 9),
        ];
        let (counts, day) = (NotCounted::of(&rows), |day| Day::from_ymd(2026, 11, day).unwrap());
        let days = DayRange::new(day(29), day(30)).unwrap();
        assert_eq!(counts.sum(days), 31);
        let kinds = counts.kinds(Locale { language: Language::English, is_chosen: false }, days);
        let shown: Vec<_> = kinds.iter().map(|kind| (kind.label, &*kind.hits, &*kind.share, &*kind.width)).collect();
        assert_eq!(shown, [("Reloads", "20", "65%", "100%"), ("Search marketing", "11", "35%", "55%")]);
    }
}
