//! Days in a site's own time zone.
//!
//! The day of a hit is decided once, when the hit is accepted; month and year derive from it. Only
//! the direction UTC → local date is ever computed, which every zone defines without gaps or
//! doubles, so daylight saving needs no special case.

use std::fmt;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

/// A calendar day in the site's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(NaiveDate);

impl Day {
    /// Years of the days that the node's file and figures can hold.
    pub const YEARS: std::ops::RangeInclusive<i32> = 1970..=9999;

    /// The day of `now` in `time_zone`.
    pub fn at(now: DateTime<Utc>, time_zone: Tz) -> Self {
        Self(now.with_timezone(&time_zone).date_naive())
    }

    pub fn from_ymd(year: i32, month: u32, day: u32) -> Option<Self> {
        Self::YEARS.contains(&year).then(|| NaiveDate::from_ymd_opt(year, month, day).map(Self)).flatten()
    }

    /// Days since 1970-01-01, the form in which a day is journalled.
    pub fn number(self) -> u32 {
        let epoch = NaiveDate::default();
        u32::try_from((self.0 - epoch).num_days()).unwrap_or(0)
    }

    pub fn from_number(number: u32) -> Option<Self> {
        let date = NaiveDate::default().checked_add_days(Days::new(u64::from(number)))?;
        Self::YEARS.contains(&date.year()).then_some(Self(date))
    }

    pub fn previous(self) -> Self {
        Self(self.0.pred_opt().unwrap_or(self.0))
    }

    pub fn next(self) -> Self {
        Self(self.0.succ_opt().unwrap_or(self.0))
    }

    /// The instant at which the next day begins in `time_zone`. If its midnight is skipped, it begins when the clocks
    /// have gone on; if its midnight comes twice, with the first.
    pub fn ends_at(self, time_zone: Tz) -> DateTime<Utc> {
        /// Gaps end at a quarter of an hour, and the longest is the day that Samoa skipped.
        const QUARTERS_MAX: i64 = 24 * 4;
        let midnight = self.next().0.and_time(NaiveTime::MIN);
        let first =
            |quarters| time_zone.from_local_datetime(&(midnight + TimeDelta::minutes(15 * quarters))).earliest();
        let end = (0..=QUARTERS_MAX).find_map(first);
        end.map_or_else(|| midnight.and_utc(), |end| end.with_timezone(&Utc))
    }

    pub fn date(self) -> NaiveDate {
        self.0
    }

    /// The day of a date that was derived from another day.
    pub fn from_date(date: NaiveDate) -> Self {
        Self(date)
    }

    pub fn year_number(self) -> u16 {
        // In range by construction (`YEARS`), but a clock may say anything.
        u16::try_from(self.0.year()).unwrap_or(0)
    }

    pub fn month_number(self) -> u8 {
        u8::try_from(self.0.month()).unwrap_or(1)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Digit by digit, since a history has a thousand days: formatting with widths costs five times as much.
        let (year, month, day) = (self.0.year().clamp(0, 9_999) as u32, self.0.month(), self.0.day());
        let digit = |number: u32| b'0' + (number % 10) as u8;
        let text = [
            digit(year / 1_000),
            digit(year / 100),
            digit(year / 10),
            digit(year),
            b'-',
            digit(month / 10),
            digit(month),
            b'-',
            digit(day / 10),
            digit(day),
        ];
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn midnight_in_vietnam_is_17_hours_utc() {
        let zone = chrono_tz::Asia::Ho_Chi_Minh;
        let at = |h, m, s| Day::at(Utc.with_ymd_and_hms(2024, 6, 17, h, m, s).unwrap(), zone).to_string();
        assert_eq!(at(16, 59, 59), "2024-06-17");
        assert_eq!(at(17, 0, 0), "2024-06-18");
    }

    #[test]
    fn a_day_ends_at_midnight_or_when_the_clocks_have_skipped_it() {
        use chrono_tz::{Africa, America, Asia, Pacific};
        for (zone, year, month, day, end) in [
            (Asia::Ho_Chi_Minh, 2024, 6, 17, "2024-06-17T17:00:00Z"),
            (America::Santiago, 2024, 9, 7, "2024-09-08T04:00:00Z"),
            (Asia::Beirut, 2024, 3, 30, "2024-03-30T22:00:00Z"),
            (America::Sao_Paulo, 2018, 11, 3, "2018-11-04T03:00:00Z"),
            (Africa::Cairo, 2024, 4, 25, "2024-04-25T22:00:00Z"),
            (America::Havana, 2024, 3, 9, "2024-03-10T05:00:00Z"),
            // A whole day is skipped.
            (Pacific::Apia, 2011, 12, 29, "2011-12-30T10:00:00Z"),
            // Midnight comes twice: 01:00 goes back to 00:00.
            (America::Havana, 2024, 11, 2, "2024-11-03T04:00:00Z"),
        ] {
            let day = Day::from_ymd(year, month, day).unwrap();
            let ends = day.ends_at(zone);
            assert_eq!(ends, end.parse::<DateTime<Utc>>().unwrap(), "{zone} {day}");
            assert!(Day::at(ends, zone) > day && Day::at(ends - TimeDelta::seconds(1), zone) == day, "{zone} {day}");
        }
    }
}
