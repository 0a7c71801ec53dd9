//! Bars of a range: a day, a week or a month each.

use crate::counter::{Day, DayRange, Period, Week};

/// The time of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BarStep {
    Day,
    Week,
    Month,
}

impl BarStep {
    pub const ALL: [(Self, &'static str); 3] = [(Self::Day, "day"), (Self::Week, "week"), (Self::Month, "month")];

    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(step, _)| *step == self).map_or("", |(_, name)| name)
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(step, _)| *step)
    }

    /// Steps that draw the range neither as one slab nor as a smear.
    pub fn fitting(range: DayRange) -> Vec<Self> {
        let days = range.length();
        let fits = |step: &Self| match step {
            Self::Day => days <= 366,
            Self::Week => (15..=1_500).contains(&days),
            Self::Month => days > 45,
        };
        Self::ALL.iter().map(|(step, _)| *step).filter(fits).collect()
    }

    /// The step of a range if none is asked for.
    pub fn usual(range: DayRange) -> Self {
        if range.length() <= 92 { Self::Day } else { Self::Month }
    }

    /// The days of the step's period that hold a day.
    fn around(self, day: Day) -> Option<DayRange> {
        match self {
            Self::Day => DayRange::new(day, day),
            Self::Week => {
                let week = Week::of(day);
                DayRange::new(week.days().next()?, week.days().last()?)
            }
            Self::Month => DayRange::of(day.month()),
        }
    }

    /// The range's bars, in order. The first and the last may be parts of a week or month.
    pub fn bars(self, range: DayRange) -> Vec<DayRange> {
        let mut bars = Vec::new();
        let mut rest = Some(range);
        while let Some(left) = rest {
            let whole = self.around(left.first()).unwrap_or(left);
            let bar = left.up_to(whole.last()).unwrap_or(left);
            bars.push(bar);
            rest = (bar.last() < left.last()).then(|| left.from(bar.last().next())).flatten();
        }
        bars
    }

    /// The counters of a bar.
    pub fn counters(self, bar: DayRange, today: Day) -> Vec<Period> {
        match self {
            Self::Day | Self::Week => bar.days().map(Period::Day).collect(),
            Self::Month => bar.counters(today, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        text.parse::<Period>().unwrap().first_day().unwrap()
    }

    fn range(first: &str, last: &str) -> DayRange {
        DayRange::new(day(first), day(last)).unwrap()
    }

    fn bars(step: BarStep, first: &str, last: &str) -> Vec<String> {
        let bars = step.bars(range(first, last));
        bars.iter().map(|bar| format!("{}+{}", bar.first(), bar.length())).collect()
    }

    #[test]
    fn bars_cover_a_range_and_its_ends_may_be_parts() {
        assert_eq!(bars(BarStep::Day, "2026-11-29", "2026-12-01"), ["2026-11-29+1", "2026-11-30+1", "2026-12-01+1"]);
        assert_eq!(bars(BarStep::Week, "2026-11-28", "2026-12-08"), ["2026-11-28+2", "2026-11-30+7", "2026-12-07+2"]);
        assert_eq!(
            bars(BarStep::Month, "2026-11-28", "2027-01-31"),
            ["2026-11-28+3", "2026-12-01+31", "2027-01-01+31"]
        );
        let all =
            |step: BarStep| step.bars(range("2007-01-01", "2026-11-30")).iter().map(|bar| bar.length()).sum::<u64>();
        assert_eq!(BarStep::ALL.map(|(step, _)| all(step)), [range("2007-01-01", "2026-11-30").length(); 3]);
    }

    #[test]
    fn steps_fit_the_range() {
        let fitting =
            |first, last| BarStep::fitting(range(first, last)).into_iter().map(BarStep::as_str).collect::<Vec<_>>();
        assert_eq!(fitting("2026-11-30", "2026-11-30"), ["day"]);
        assert_eq!(fitting("2026-11-01", "2026-11-30"), ["day", "week"]);
        assert_eq!(fitting("2026-01-01", "2026-12-31"), ["day", "week", "month"]);
        assert_eq!(fitting("2007-01-01", "2026-12-31"), ["month"]);
        for (first, last) in [("2026-11-30", "2026-11-30"), ("2026-10-01", "2026-12-31"), ("2007-01-01", "2026-12-31")]
        {
            assert!(BarStep::fitting(range(first, last)).contains(&BarStep::usual(range(first, last))));
        }
        assert!(BarStep::ALL.iter().all(|(step, name)| BarStep::named(name) == Some(*step)));
    }
}
