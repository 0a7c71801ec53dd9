//! Ranges of days, and the counters whose sum they are.

use chrono::Days;

use super::{Day, Period};

/// Days from a first to a last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DayRange {
    first: Day,
    last: Day,
}

impl DayRange {
    /// None if it is backwards.
    pub fn new(first: Day, last: Day) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The days of a period; none for the total.
    pub fn of(period: Period) -> Option<Self> {
        Self::new(period.first_day()?, period.last_day()?)
    }

    /// So many days, of which the last is given.
    pub fn ending(last: Day, days: u64) -> Self {
        let first = last.date().checked_sub_days(Days::new(days.saturating_sub(1))).map_or(last, Day::from_date);
        Self { first: first.max(earliest()), last }
    }

    pub fn first(self) -> Day {
        self.first
    }

    pub fn last(self) -> Day {
        self.last
    }

    /// Number of its days.
    pub fn length(self) -> u64 {
        u64::from(self.last.number().saturating_sub(self.first.number())) + 1
    }

    pub fn holds(self, day: Day) -> bool {
        (self.first..=self.last).contains(&day)
    }

    pub fn days(self) -> impl Iterator<Item = Day> {
        (self.first.number()..=self.last.number()).filter_map(Day::from_number)
    }

    /// The part up to a day; none if that lies before.
    pub fn up_to(self, day: Day) -> Option<Self> {
        Self::new(self.first, self.last.min(day))
    }

    /// The part from a day on; none if that lies behind.
    pub fn from(self, day: Day) -> Option<Self> {
        Self::new(self.first.max(day), self.last)
    }

    /// Its first days, of which there are as many as given, if it has them.
    pub fn first_days(self, days: u64) -> Option<Self> {
        let more = days.checked_sub(1)?;
        let last = self.first.date().checked_add_days(Days::new(more)).map(Day::from_date)?;
        self.up_to(last)
    }

    /// As many days just before it; none before the first day of all.
    pub fn before(self) -> Option<Self> {
        let last = self.first.previous();
        (last < self.first && last >= earliest()).then(|| Self::ending(last, self.length()))
    }

    /// The counters whose sum is the range's: whole months where they fit, else days, and with `years` whole years. A
    /// period that `today` lies in is whole if the range holds its days up to today.
    pub fn counters(self, today: Day, years: bool) -> Vec<Period> {
        let mut counters = Vec::new();
        let mut next = self.first;
        while next <= self.last {
            let candidates = [years.then(|| next.year()), Some(next.month())];
            let fits = |period: &Period| {
                period.first_day() == Some(next)
                    && period
                        .last_day()
                        .is_some_and(|last| last <= self.last || (last.min(today) <= self.last && today >= next))
            };
            let period = candidates.into_iter().flatten().find(fits).unwrap_or(Period::Day(next));
            counters.push(period);
            match period.last_day().filter(|last| *last < self.last) {
                Some(last) => next = last.next(),
                None => break,
            }
        }
        counters
    }
}

fn earliest() -> Day {
    Day::from_number(0).unwrap_or_else(|| Day::from_date(chrono::NaiveDate::default()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> Day {
        text.parse::<Period>().unwrap().first_day().unwrap()
    }

    fn range(first: &str, last: &str) -> DayRange {
        DayRange::new(day(first), day(last)).unwrap()
    }

    fn counters(first: &str, last: &str, today: &str, years: bool) -> String {
        let counters = range(first, last).counters(day(today), years);
        counters.iter().map(Period::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_range_is_whole_months_where_they_fit_and_days_else() {
        let past = |first, last| counters(first, last, "2026-12-24", false);
        assert_eq!(past("2026-02-27", "2026-04-02"), "2026-02-27 2026-02-28 2026-03 2026-04-01 2026-04-02");
        assert_eq!(past("2026-02-01", "2026-02-28"), "2026-02");
        assert_eq!(past("2026-02-01", "2026-02-02"), "2026-02-01 2026-02-02");
        assert_eq!(counters("2025-01-01", "2026-02-01", "2026-12-24", true), "2025 2026-01 2026-02-01");
        // What is not over is whole as far as it goes.
        assert_eq!(counters("2026-11-01", "2026-12-24", "2026-12-24", false), "2026-11 2026-12");
        assert_eq!(counters("2026-01-01", "2026-12-24", "2026-12-24", true), "2026");
        assert_eq!(counters("2026-12-01", "2026-12-23", "2026-12-24", true).split(' ').count(), 23);
    }

    #[test]
    fn ranges_are_cut_and_moved_by_days() {
        let week = range("2026-11-23", "2026-11-29");
        assert_eq!((week.length(), week.before()), (7, Some(range("2026-11-16", "2026-11-22"))));
        assert_eq!(week.first_days(2), Some(range("2026-11-23", "2026-11-24")));
        assert_eq!((week.first_days(0), week.first_days(9)), (None, Some(week)));
        assert_eq!(week.up_to(day("2026-11-25")), Some(range("2026-11-23", "2026-11-25")));
        assert_eq!(week.up_to(day("2026-11-22")), None);
        assert_eq!(week.from(day("2026-11-28")), Some(range("2026-11-28", "2026-11-29")));
        assert_eq!(range("1970-01-01", "1970-01-02").before(), None);
        assert_eq!(DayRange::ending(day("1970-01-03"), 28).length(), 3);
        assert_eq!(DayRange::new(week.last(), week.first()), None);
    }

    proptest! {
        #[test]
        fn counters_cover_each_day_of_a_range_once(first in 0_u32..40_000, length in 0_u32..900, today in 0_u32..40_900, years: bool) {
            let at = |number| Day::from_number(number).unwrap();
            let range = DayRange::new(at(first), at(first + length)).unwrap();
            let (mut next, today) = (range.first(), at(today));
            for period in range.counters(today, years) {
                prop_assert_eq!(period.first_day(), Some(next));
                next = period.last_day().unwrap().next();
                // Behind the range there are only days to come.
                prop_assert!(next <= range.last().next() || range.last() >= today);
            }
            prop_assert!(next > range.last());
        }
    }
}
