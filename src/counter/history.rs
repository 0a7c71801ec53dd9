//! Which periods a history shows.

use std::str::FromStr;

use chrono::{Datelike as _, NaiveDate};

use super::{Day, Period};

/// The period of one line of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    Day,
    Month,
    Year,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    #[error("`{0}` is no step: expected day, month or year")]
    Step(String),
    #[error("from {from} to {to} is backwards: `from` must not be after `to`")]
    Backwards { from: Day, to: Day },
    #[error("from {from} to {to} by {by} is more than {most} lines; ask for less at once, or for longer steps")]
    Long { from: Day, to: Day, by: &'static str, most: usize },
}

impl Step {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    pub fn of(self, day: Day) -> Period {
        match self {
            Self::Day => Period::Day(day),
            Self::Month => day.month(),
            Self::Year => day.year(),
        }
    }

    /// Default number of lines.
    pub fn usual_count(self) -> usize {
        match self {
            Self::Day => 30,
            Self::Month => 12,
            Self::Year => 10,
        }
    }

    /// The first of the last `count` periods, of which the one of `last_day` is the last; none is before 1970.
    pub fn first_of_last(self, count: usize, last_day: Day) -> Period {
        let first = self.place(self.of(last_day)) - i64::try_from(count).unwrap_or(i64::MAX).saturating_sub(1);
        self.at(first.max(0)).unwrap_or(self.of(last_day))
    }

    /// The period of `first_day`, if at most `most` periods have a day in them that lies from there to `last_day`.
    pub fn first_between(self, first_day: Day, last_day: Day, most: usize) -> Result<Period, HistoryError> {
        if first_day > last_day {
            return Err(HistoryError::Backwards { from: first_day, to: last_day });
        }
        let first = self.of(first_day);
        if self.place(self.of(last_day)) - self.place(first) >= i64::try_from(most).unwrap_or(i64::MAX) {
            return Err(HistoryError::Long { from: first_day, to: last_day, by: self.as_str(), most });
        }
        Ok(first)
    }

    /// All periods from one to another.
    pub fn from_to(self, first: Period, last: Period) -> Vec<Period> {
        (self.place(first)..=self.place(last)).map_while(|place| self.at(place)).collect()
    }

    /// A period's place among all of its step, from 1970 on.
    fn place(self, period: Period) -> i64 {
        let years = |year: u16| i64::from(year) - i64::from(*Day::YEARS.start());
        match period {
            Period::Day(day) => i64::from(day.date().to_epoch_days()),
            Period::Month { year, month } => 12 * years(year) + i64::from(month) - 1,
            Period::Year(year) => years(year),
            Period::Total => 0,
        }
    }

    /// The period at a place.
    fn at(self, place: i64) -> Option<Period> {
        let year = |years: i64| u16::try_from(years + i64::from(*Day::YEARS.start())).ok();
        match self {
            Self::Day => NaiveDate::from_epoch_days(i32::try_from(place).ok()?).map(Day::from_date).map(Period::Day),
            Self::Month => Some(Period::Month { year: year(place / 12)?, month: u8::try_from(place % 12 + 1).ok()? }),
            Self::Year => Some(Period::Year(year(place)?)),
        }
    }
}

/// A stretch of a history that does not depend on any question: a year of days, thirty of months, a century of years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Block {
    step: Step,
    first_year: u16,
}

impl Block {
    /// The block that a period lies in; none for the total.
    pub fn of(period: Period) -> Option<Self> {
        let (step, year) = match period {
            Period::Day(day) => (Step::Day, day.year_number()),
            Period::Month { year, .. } => (Step::Month, year),
            Period::Year(year) => (Step::Year, year),
            Period::Total => return None,
        };
        let first_year = *Day::YEARS.start() as u16;
        let years = Self { step, first_year }.years();
        Some(Self { step, first_year: year - (year - first_year) % years })
    }

    /// All its periods, in order.
    pub fn periods(self) -> Vec<Period> {
        let last_year = (i32::from(self.first_year) + i32::from(self.years()) - 1).min(*Day::YEARS.end());
        let (first, last) = (Day::from_ymd(i32::from(self.first_year), 1, 1), Day::from_ymd(last_year, 12, 31));
        let periods = |(first, last)| self.step.from_to(self.step.of(first), self.step.of(last));
        first.zip(last).map(periods).unwrap_or_default()
    }

    /// Their number.
    pub fn count(self) -> usize {
        let last_year = (self.first_year + self.years() - 1).min(*Day::YEARS.end() as u16);
        let years = usize::from(last_year - self.first_year + 1);
        match self.step {
            Step::Day => Day::from_ymd(i32::from(last_year), 12, 31).map_or(0, |day| day.date().ordinal() as usize),
            Step::Month => 12 * years,
            Step::Year => years,
        }
    }

    /// A period's place among them.
    pub fn place(self, period: Period) -> usize {
        let years = |year: u16| usize::from(year - self.first_year);
        match period {
            Period::Day(day) => day.date().ordinal0() as usize,
            Period::Month { year, month } => 12 * years(year) + usize::from(month) - 1,
            Period::Year(year) => years(year),
            Period::Total => 0,
        }
    }

    fn years(self) -> u16 {
        match self.step {
            Step::Day => 1,
            Step::Month => 30,
            Step::Year => 100,
        }
    }
}

impl FromStr for Step {
    type Err = HistoryError;

    fn from_str(text: &str) -> Result<Self, HistoryError> {
        [Self::Day, Self::Month, Self::Year]
            .into_iter()
            .find(|step| step.as_str() == text)
            .ok_or_else(|| HistoryError::Step(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Span;
    use super::*;

    fn between(step: Step, from: &str, to: &str) -> Result<Vec<String>, HistoryError> {
        let days = |text: &str| text.parse::<Span>().unwrap().days().unwrap();
        let periods = all(step, days(from).0, days(to).1, 1_100)?;
        Ok(periods.into_iter().map(|period| period.to_string()).collect())
    }

    fn all(step: Step, first_day: Day, last_day: Day, most: usize) -> Result<Vec<Period>, HistoryError> {
        Ok(step.from_to(step.first_between(first_day, last_day, most)?, step.of(last_day)))
    }

    fn last(step: Step, count: usize, last_day: Day) -> Vec<Period> {
        step.from_to(step.first_of_last(count, last_day), step.of(last_day))
    }

    #[test]
    fn a_history_has_every_period_it_touches() {
        assert_eq!(between(Step::Day, "2024-02-28", "2024-03-01").unwrap(), ["2024-02-28", "2024-02-29", "2024-03-01"]);
        assert_eq!(between(Step::Day, "2024-W25", "2024-W25").unwrap().len(), 7);
        assert_eq!(between(Step::Month, "2023-12-31", "2024-02").unwrap(), ["2023-12", "2024-01", "2024-02"]);
        assert_eq!(between(Step::Year, "2023", "2024-01-01").unwrap(), ["2023", "2024"]);
        let days: Vec<_> =
            last(Step::Day, 30, Day::from_ymd(2024, 6, 17).unwrap()).iter().map(Period::to_string).collect();
        assert_eq!((days.len(), days[0].as_str(), days[29].as_str()), (30, "2024-05-19", "2024-06-17"));
        assert_eq!(last(Step::Month, 500, Day::from_ymd(1970, 2, 1).unwrap()).len(), 2);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for (step, from, to, said) in [
            (Step::Day, "2024-06-17", "2024-06-16", "must not be after"),
            (Step::Day, "1970", "2069", "more than 1100 lines"),
            (Step::Month, "1970", "2069", "more than 1100 lines"),
        ] {
            let error = between(step, from, to).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert_eq!(between(Step::Year, "1970", "2069").unwrap().len(), 100);
        assert!("week".parse::<Step>().is_err());
    }

    #[test]
    fn a_range_may_be_one_day_and_as_long_as_the_limit() {
        let day = |day| Day::from_ymd(2024, 6, day).unwrap();
        assert_eq!(all(Step::Day, day(17), day(17), 1), Ok(vec![Period::Day(day(17))]));
        assert_eq!(all(Step::Day, day(16), day(17), 2).unwrap().len(), 2);
        assert!(all(Step::Day, day(15), day(17), 2).is_err());
    }

    #[test]
    fn each_period_lies_in_one_block_at_its_place() {
        let day = |year, month, day| Day::from_ymd(year, month, day).unwrap();
        for (step, first, last) in [
            (Step::Day, day(1970, 1, 1), day(1973, 12, 31)),
            (Step::Day, day(9998, 12, 30), day(9999, 12, 31)),
            (Step::Month, day(1970, 1, 1), day(2060, 12, 31)),
            (Step::Month, day(9950, 1, 1), day(9999, 12, 31)),
            (Step::Year, day(1970, 1, 1), day(9999, 12, 31)),
        ] {
            for period in all(step, first, last, 10_000).unwrap() {
                let block = Block::of(period).unwrap();
                assert_eq!(block.periods()[block.place(period)], period);
                assert_eq!(block.periods().len(), block.count());
            }
        }
        assert_eq!(Block::of(Period::Total), None);
        assert_eq!(Block::of(Period::Day(day(2024, 2, 1))).unwrap().periods().len(), 366);
    }

    #[test]
    fn a_step_has_its_name_and_its_usual_count() {
        let steps = [Step::Day, Step::Month, Step::Year];
        assert_eq!(["day", "month", "year"].map(|name| name.parse::<Step>().unwrap()), steps);
        assert_eq!(steps.map(Step::usual_count), [30, 12, 10]);
    }
}
