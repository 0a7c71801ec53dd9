//! The range of days that a site's page shows: a preset around a day, or from one day to another.

use chrono::Datelike as _;

use super::locale::Locale;
use crate::counter::{Day, DayRange, Period};
use crate::server::http::{HttpError, form, shown};

/// Longest range, in days: some twenty years.
const DAYS_MAX: u64 = 7_400;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    Today,
    Days7,
    Days28,
    Month,
    Quarter,
    Year,
}

impl Preset {
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Today, "today"),
        (Self::Days7, "7"),
        (Self::Days28, "28"),
        (Self::Month, "month"),
        (Self::Quarter, "quarter"),
        (Self::Year, "year"),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(preset, _)| *preset == self).map_or("", |(_, name)| name)
    }

    /// The range around a day, which is the last of so many days.
    fn around(self, day: Day) -> DayRange {
        let of = |period| DayRange::of(period).unwrap_or(DayRange::ending(day, 1));
        match self {
            Self::Today => DayRange::ending(day, 1),
            Self::Days7 => DayRange::ending(day, 7),
            Self::Days28 => DayRange::ending(day, 28),
            Self::Month => of(day.month()),
            Self::Quarter => quarter(day).unwrap_or(of(day.month())),
            Self::Year => of(day.year()),
        }
    }
}

fn quarter(day: Day) -> Option<DayRange> {
    let first_month = (day.date().month0() / 3) * 3 + 1;
    let first = Day::from_ymd(day.date().year(), first_month, 1)?;
    let last_month = Period::Month { year: day.year_number(), month: u8::try_from(first_month + 2).ok()? };
    DayRange::new(first, last_month.last_day()?)
}

/// The chosen range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChosenRange {
    /// None: from one day to another.
    pub preset: Option<Preset>,
    /// The days; those after today are still to come.
    pub days: DayRange,
    today: Day,
}

impl ChosenRange {
    /// The range that the query names, or the last 28 days.
    pub fn of(query: &str, today: Day) -> Result<Self, HttpError> {
        let from = day(query, "from")?;
        let to = day(query, "to")?;
        if from.is_some() || to.is_some() {
            let last = to.unwrap_or(today);
            let first = from.unwrap_or(last);
            // Typed the wrong way round, it is clear nevertheless.
            let days = DayRange::new(first.min(last), first.max(last)).filter(|days| days.length() <= DAYS_MAX);
            let days =
                days.ok_or_else(|| HttpError::field("from", format!("the range has more than {DAYS_MAX} days")))?;
            return Ok(Self { preset: None, days, today });
        }
        let name = form::field(query, "range")?;
        let named = |name: &str| Preset::ALL.iter().find(|(_, known)| *known == name).map(|(preset, _)| *preset);
        let preset = match name.as_deref() {
            None | Some("") => Preset::Days28,
            Some(name) => {
                named(name).ok_or_else(|| HttpError::field("range", format!("there is no range `{}`", shown(name))))?
            }
        };
        let on = day(query, "on")?.unwrap_or(today).min(today);
        Ok(Self { preset: Some(preset), days: preset.around(on), today })
    }

    /// A preset around a day.
    pub fn around(preset: Preset, day: Day, today: Day) -> Self {
        Self { preset: Some(preset), days: preset.around(day), today }
    }

    /// A preset that ends with today, or holds it.
    pub fn preset(preset: Preset, today: Day) -> Self {
        Self { preset: Some(preset), days: preset.around(today), today }
    }

    pub fn today(self) -> Day {
        self.today
    }

    /// The days that are over or have begun; none of a range to come.
    pub fn begun(self) -> Option<DayRange> {
        self.days.up_to(self.today)
    }

    /// The days that are over.
    pub fn over(self) -> Option<DayRange> {
        self.days.up_to(self.today.previous())
    }

    /// The range before, of the same kind.
    pub fn previous(self) -> Option<Self> {
        let before = self.days.first().previous();
        if before >= self.days.first() || before.number() == 0 {
            return None;
        }
        let days = match self.preset {
            Some(preset) => preset.around(before),
            None => self.days.before()?,
        };
        Some(Self { days, ..self })
    }

    /// The range after, of the same kind, unless it is all to come.
    pub fn next(self) -> Option<Self> {
        let after = self.days.last().next();
        if after > self.today {
            return None;
        }
        let days = match self.preset {
            // Those of so many days end with today at the latest, as if it were chosen.
            Some(preset) => {
                let on = match preset {
                    Preset::Today | Preset::Days7 | Preset::Days28 => {
                        let last = u64::from(self.days.last().number()) + self.days.length();
                        Day::from_number(u32::try_from(last).ok()?)?
                    }
                    _ => after,
                };
                preset.around(on.min(self.today))
            }
            None => {
                let last = u64::from(self.days.last().number()) + self.days.length();
                DayRange::new(after, Day::from_number(u32::try_from(last).ok()?)?)?
            }
        };
        Some(Self { days, ..self })
    }

    /// Days of the former range that compare with those of this one that are over: all if this one is over, else as
    /// many first ones.
    pub fn compared(self) -> Option<(DayRange, DayRange)> {
        let over = self.over()?;
        let former = self.previous()?.days;
        let is_whole = self.days.last() < self.today;
        let compared = if is_whole { former } else { former.first_days(over.length())? };
        Some((over, compared))
    }

    /// The query that names it.
    pub fn query(self) -> Vec<(&'static str, String)> {
        match self.preset {
            Some(preset) => {
                let on = self.days.last().min(self.today);
                let is_default = preset == Preset::Days28;
                let range = if is_default { String::new() } else { preset.as_str().to_owned() };
                let on = if on == self.today { String::new() } else { on.to_string() };
                vec![("range", range), ("on", on)]
            }
            None => vec![("from", self.days.first().to_string()), ("to", self.days.last().to_string())],
        }
    }

    /// Its name: `Tháng 11/2026`, `Quý IV/2026`, `24/11/2026 – 30/11/2026`.
    pub fn title(self, locale: Locale) -> String {
        let first = self.days.first();
        match self.preset {
            Some(Preset::Month) => locale.month(first),
            Some(Preset::Quarter) => locale.quarter(first),
            Some(Preset::Year) => first.year_number().to_string(),
            _ => locale.days(self.days),
        }
    }
}

/// A day of the query, as a browser's field for dates writes it.
fn day(query: &str, field: &'static str) -> Result<Option<Day>, HttpError> {
    let Some(text) = form::field(query, field)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.parse() {
        Ok(Period::Day(day)) => Ok(Some(day)),
        _ => Err(HttpError::field(field, format!("`{}` is no day; expected for example `2024-06-17`", shown(&text)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Day {
        text.parse::<Period>().unwrap().first_day().unwrap()
    }

    fn of(query: &str) -> ChosenRange {
        ChosenRange::of(query, at("2026-11-30")).unwrap()
    }

    fn days(range: ChosenRange) -> String {
        format!("{} {}", range.days.first(), range.days.last())
    }

    #[test]
    fn a_preset_lies_around_its_day_and_moves_by_its_kind() {
        for (query, now, before) in [
            ("", "2026-11-03 2026-11-30", "2026-10-06 2026-11-02"),
            ("range=today", "2026-11-30 2026-11-30", "2026-11-29 2026-11-29"),
            ("range=7&on=2026-11-20", "2026-11-14 2026-11-20", "2026-11-07 2026-11-13"),
            ("range=month", "2026-11-01 2026-11-30", "2026-10-01 2026-10-31"),
            ("range=quarter", "2026-10-01 2026-12-31", "2026-07-01 2026-09-30"),
            ("range=year&on=2024-02-29", "2024-01-01 2024-12-31", "2023-01-01 2023-12-31"),
            ("from=2026-11-01&to=2026-11-10", "2026-11-01 2026-11-10", "2026-10-22 2026-10-31"),
            ("from=2026-11-10&to=2026-11-01", "2026-11-01 2026-11-10", "2026-10-22 2026-10-31"),
        ] {
            let range = of(query);
            assert_eq!(days(range), now, "{query}");
            let previous = range.previous().unwrap();
            assert_eq!(days(previous), before, "{query}");
            assert_eq!(previous.next().map(days), Some(now.to_owned()), "{query}");
            // Its own query names it again.
            let pairs: Vec<_> = previous.query().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(days(of(&pairs.join("&"))), before, "{pairs:?}");
        }
        assert_eq!(of("").next(), None);
        assert_eq!(of("range=year").next(), None, "the rest of the year is to come");
        assert_eq!(days(of("range=7&on=2026-11-29").next().unwrap()), "2026-11-24 2026-11-30");
        assert_eq!(days(of("on=2027-01-01")), days(of("")), "no day to come is chosen");
    }

    #[test]
    fn an_unfinished_range_is_compared_with_the_same_part_of_the_former() {
        let compared = |query: &str| {
            let (now, former) = of(query).compared()?;
            Some(format!("{}..{} {}..{}", now.first(), now.last(), former.first(), former.last()))
        };
        assert_eq!(compared("range=month").unwrap(), "2026-11-01..2026-11-29 2026-10-01..2026-10-29");
        assert_eq!(compared("range=month&on=2026-02-10").unwrap(), "2026-02-01..2026-02-28 2026-01-01..2026-01-31");
        assert_eq!(compared("range=quarter").unwrap(), "2026-10-01..2026-11-29 2026-07-01..2026-08-29");
        assert_eq!(compared("range=today"), None, "nothing of today is over");
    }

    #[test]
    fn a_wrong_range_is_refused() {
        for query in ["range=week", "on=2026", "from=x", "from=1970-01-01&to=2026-11-30", "to=2026-02-30"] {
            assert!(ChosenRange::of(query, at("2026-11-30")).is_err(), "{query}");
        }
    }
}
