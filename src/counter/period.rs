//! Days, months, years and the total, as counters are kept for.

use std::fmt;
use std::str::FromStr;

use chrono::Datelike as _;

use super::Day;

/// The time that a counter covers: a day, a month, a year, or all time.
///
/// Ordered by its number, as in the node's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    Day(Day),
    Month { year: u16, month: u8 },
    Year(u16),
    Total,
}

impl Day {
    pub fn month(self) -> Period {
        Period::Month { year: self.year_number(), month: self.month_number() }
    }

    pub fn year(self) -> Period {
        Period::Year(self.year_number())
    }

    /// The periods whose site counters a hit of this day raises.
    pub fn site_periods(self) -> [Period; 4] {
        [Period::Day(self), self.month(), self.year(), Period::Total]
    }

    /// The periods whose page counters a hit of this day raises: pages keep no years.
    pub fn page_periods(self) -> [Period; 3] {
        [Period::Day(self), self.month(), Period::Total]
    }
}

impl Period {
    /// `20240617`, `20240600`, `20240000` or `0`: a number that a person with an SQLite shell can
    /// read, and that sorts.
    pub fn number(self) -> u32 {
        match self {
            Self::Day(day) => {
                u32::from(day.year_number()) * 10_000 + u32::from(day.month_number()) * 100 + day.date().day()
            }
            Self::Month { year, month } => u32::from(year) * 10_000 + u32::from(month) * 100,
            Self::Year(year) => u32::from(year) * 10_000,
            Self::Total => 0,
        }
    }

    pub fn from_number(number: u32) -> Option<Self> {
        let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
        match (year, month, day) {
            (0, 0, 0) => Some(Self::Total),
            (_, 0, 0) => Self::checked_year(year),
            (_, _, 0) => Self::checked_month(year, month),
            _ => Day::from_ymd(i32::try_from(year).ok()?, month, day).map(Self::Day),
        }
    }

    /// The first day that belongs to the period; none for the total.
    pub fn first_day(self) -> Option<Day> {
        match self {
            Self::Day(day) => Some(day),
            Self::Month { year, month } => Day::from_ymd(i32::from(year), u32::from(month), 1),
            Self::Year(year) => Day::from_ymd(i32::from(year), 1, 1),
            Self::Total => None,
        }
    }

    /// The period of the same kind before it; none for the total, and before the first of all.
    pub fn previous(self) -> Option<Self> {
        let day = self.first_day()?.previous();
        match self {
            Self::Day(_) => Some(Self::Day(day)),
            Self::Month { .. } => Some(day.month()),
            Self::Year(_) => Some(day.year()),
            Self::Total => None,
        }
    }

    /// The period of the same kind after it; none for the total.
    pub fn next(self) -> Option<Self> {
        let day = self.last_day()?.next();
        match self {
            Self::Day(_) => Some(Self::Day(day)),
            Self::Month { .. } => Some(day.month()),
            Self::Year(_) => Some(day.year()),
            Self::Total => None,
        }
    }

    /// The last day that belongs to the period; none for the total, which never ends.
    pub fn last_day(self) -> Option<Day> {
        let first_of_next = match self {
            Self::Day(day) => return Some(day),
            Self::Total => return None,
            Self::Year(year) | Self::Month { year, month: 12 } => Day::from_ymd(i32::from(year) + 1, 1, 1),
            Self::Month { year, month } => Day::from_ymd(i32::from(year), u32::from(month) + 1, 1),
        };
        // The last year that a day can have.
        first_of_next.map_or_else(|| Day::from_ymd(*Day::YEARS.end(), 12, 31), |day| Some(day.previous()))
    }

    fn checked_year(year: u32) -> Option<Self> {
        let year = u16::try_from(year).ok()?;
        Day::YEARS.contains(&i32::from(year)).then_some(Self::Year(year))
    }

    fn checked_month(year: u32, month: u32) -> Option<Self> {
        Self::checked_year(year)?;
        let (year, month) = (u16::try_from(year).ok()?, u8::try_from(month).ok()?);
        (1..=12).contains(&month).then_some(Self::Month { year, month })
    }
}

impl PartialOrd for Period {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Period {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.number().cmp(&other.number())
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::Month { year, month } => write!(f, "{year:04}-{month:02}"),
            Self::Year(year) => write!(f, "{year:04}"),
            Self::Total => f.write_str("total"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a period: expected `2024`, `2024-06`, `2024-06-17` (years 1970 to 9999) or `total`")]
pub struct PeriodError(String);

impl Period {
    /// Periods in which pages are counted, in words.
    pub const OF_PAGES: &str = "a day such as `2024-06-17`, a month such as `2024-06`, or `total`";

    /// A period in which pages are counted.
    pub fn of_pages(text: &str) -> Option<Self> {
        text.parse().ok().filter(|period| !matches!(period, Self::Year(_)))
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let error = || PeriodError(text.chars().take(40).collect());
        if text == "total" {
            return Ok(Self::Total);
        }
        // Fixed widths and digits only: `str::parse` alone would take `+024`.
        let shape_is_right = text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
        if !shape_is_right {
            return Err(error());
        }
        let number = |range: std::ops::Range<usize>| text[range].parse::<u32>().map_err(|_| error());
        match text.len() {
            4 => Self::checked_year(number(0..4)?),
            7 => Self::checked_month(number(0..4)?, number(5..7)?),
            10 => i32::try_from(number(0..4)?)
                .ok()
                .and_then(|year| Some(Self::Day(Day::from_ymd(year, number(5..7).ok()?, number(8..10).ok()?)?))),
            _ => None,
        }
        .ok_or_else(error)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    fn period(text: &str) -> Period {
        text.parse().unwrap()
    }

    #[test]
    fn a_period_reads_as_it_is_written() {
        for text in ["2024", "2024-06", "2024-06-17", "total", "2024-02-29", "1970-01-01"] {
            assert_eq!(period(text).to_string(), text);
            assert_eq!(Period::from_number(period(text).number()), Some(period(text)));
        }
    }

    #[test]
    fn periods_sort_as_their_numbers_and_the_total_before_all_others() {
        let sorted = ["total", "2023-12-31", "2024", "2024-01", "2024-01-01", "2024-02"].map(period);
        for (at, earlier) in sorted.iter().enumerate() {
            for later in &sorted[at + 1..] {
                assert_eq!(earlier.cmp(later), std::cmp::Ordering::Less, "{earlier} {later}");
                assert_eq!(later.partial_cmp(earlier), Some(std::cmp::Ordering::Greater), "{earlier} {later}");
            }
        }
    }

    #[test]
    fn what_is_no_period_is_refused() {
        for text in [
            "",
            "2023-02-29",
            "2024-13",
            "2024-00",
            "2024-6",
            "24",
            "+024",
            "2024-06-31",
            "1969",
            "0000",
            "2024-06-17 ",
            "Total",
            "2024/06",
            "２０２４",
            "2024-W25",
            "99999",
        ] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_period_ends_with_its_last_day() {
        let last = |text: &str| period(text).last_day().map(|day| day.to_string());
        assert_eq!(last("2024-02").as_deref(), Some("2024-02-29"));
        assert_eq!(last("2024-12").as_deref(), Some("2024-12-31"));
        assert_eq!(last("2023").as_deref(), Some("2023-12-31"));
        assert_eq!(last("total"), None);
    }

    proptest! {
        /// Over every zone and a century, across every change of its clocks: the local date never
        /// runs back by more than the zone's own jump over the date line, and the day journalled is
        /// the day read back.
        #[test]
        fn days_in_every_zone(zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()), second in 0_i64..3_500_000_000) {
            let now = DateTime::from_timestamp(second, 0).unwrap();
            let day = Day::at(now, zone);
            prop_assume!(Day::YEARS.contains(&day.date().year()));
            let expected = now.with_timezone(&zone).naive_local().date();
            prop_assert_eq!(day.date(), expected);
            prop_assert_eq!(Day::from_number(day.number()), Some(day));
            prop_assert_eq!(Period::from_number(Period::Day(day).number()), Some(Period::Day(day)));
            let hour_later = Day::at(now + chrono::TimeDelta::hours(1), zone);
            prop_assert!(hour_later >= day.previous() && hour_later <= day.next().next());
            for period in day.site_periods() {
                prop_assert_eq!(period.to_string().parse::<Period>(), Ok(period));
                prop_assert!(period.last_day().is_none_or(|last| last >= day));
            }
        }

        #[test]
        fn any_text_is_a_period_or_an_error(text in "\\PC{0,12}") {
            if let Ok(period) = text.parse::<Period>() {
                prop_assert_eq!(period.to_string(), text);
            }
        }
    }
}
