//! Spans of time for figures and ranges: a counter's period, or a week.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike as _, Days, NaiveDate, Weekday};

use super::{Day, Period};

/// An ISO week, from Monday to Sunday: the sum of its days, not a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Week {
    monday: NaiveDate,
}

/// A stretch of days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Span {
    Period(Period),
    Week(Week),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a period: expected `2024`, `2024-06`, `2024-06-17` or `2024-W25` (years 1970 to 9999)")]
pub struct SpanError(String);

impl Week {
    pub fn of(day: Day) -> Self {
        let date = day.date();
        let since_monday = u64::from(date.weekday().num_days_from_monday());
        Self { monday: date.checked_sub_days(Days::new(since_monday)).unwrap_or(date) }
    }

    pub fn previous(self) -> Self {
        Self { monday: self.monday.checked_sub_days(Days::new(7)).unwrap_or(self.monday) }
    }

    pub fn days(self) -> impl Iterator<Item = Day> {
        (0..7).filter_map(move |days| self.monday.checked_add_days(Days::new(days))).map(Day::from_date)
    }
}

impl Span {
    /// The counters whose sum it is.
    pub fn periods(self) -> impl Iterator<Item = Period> {
        let (period, week) = match self {
            Self::Period(period) => (Some(period), None),
            Self::Week(week) => (None, Some(week)),
        };
        period.into_iter().chain(week.into_iter().flat_map(Week::days).map(Period::Day))
    }

    /// Its first and last day; none for the total, which has neither.
    pub fn days(self) -> Option<(Day, Day)> {
        match self {
            Self::Period(period) => Some((period.first_day()?, period.last_day()?)),
            Self::Week(week) => Some((week.days().next()?, week.days().last()?)),
        }
    }
}

impl From<Period> for Span {
    fn from(period: Period) -> Self {
        Self::Period(period)
    }
}

impl fmt::Display for Week {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let week = self.monday.iso_week();
        write!(f, "{:04}-W{:02}", week.year(), week.week())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Period(period) => period.fmt(f),
            Self::Week(week) => week.fmt(f),
        }
    }
}

impl FromStr for Week {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let error = || SpanError(text.chars().take(40).collect());
        let (year, week) = text.split_once("-W").ok_or_else(error)?;
        // Fixed widths and digits only: `str::parse` alone would take `+024`.
        let are_digits = |text: &str, width| text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit());
        if !are_digits(year, 4) || !are_digits(week, 2) {
            return Err(error());
        }
        let (year, week) = (year.parse().map_err(|_| error())?, week.parse().map_err(|_| error())?);
        if !Day::YEARS.contains(&year) {
            return Err(error());
        }
        NaiveDate::from_isoywd_opt(year, week, Weekday::Mon).map(|monday| Self { monday }).ok_or_else(error)
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        if text.contains('W') {
            return text.parse().map(Self::Week);
        }
        text.parse().map(Self::Period).map_err(|_| SpanError(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(year: i32, month: u32, day: u32) -> Day {
        Day::from_ymd(year, month, day).unwrap()
    }

    #[test]
    fn a_week_is_from_monday_to_sunday_and_may_begin_in_another_year() {
        let week = Week::of(day(2024, 6, 17));
        assert_eq!(week.to_string(), "2024-W25");
        let days: Vec<_> = week.days().map(|day| day.to_string()).collect();
        assert_eq!((days.len(), days[0].as_str(), days[6].as_str()), (7, "2024-06-17", "2024-06-23"));
        assert_eq!(Week::of(day(2024, 6, 23)), week);
        assert_eq!(Week::of(day(2024, 6, 16)), week.previous());
        assert_eq!(Week::of(day(2021, 1, 3)).to_string(), "2020-W53");
        assert_eq!(Week::of(day(2024, 12, 30)).to_string(), "2025-W01");
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in ["2024-W60", "2024-W53", "2024-W00", "2024-W5", "24-W25", "+024-W25", "2024-W25-1", "2024-02-30"] {
            let error = text.parse::<Span>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("2024-W25"), "{error}");
        }
        assert!("2020-W53".parse::<Span>().is_ok());
    }

    proptest! {
        #[test]
        fn a_week_reads_as_it_is_written_and_holds_its_days(number in 0_u32..200_000) {
            let day = Day::from_number(number).unwrap();
            let week = Week::of(day);
            prop_assert!(week.days().any(|of_week| of_week == day));
            prop_assert_eq!(week.days().count(), 7);
            prop_assert_eq!(week.to_string().parse::<Span>(), Ok(Span::Week(week)));
        }
    }
}
