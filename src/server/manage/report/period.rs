//! The period of a report: a month, a quarter or a year.

use chrono::Datelike as _;

use super::super::chosen_range::{ChosenRange, Preset};
use crate::counter::{Day, Period};
use crate::server::http::{HttpError, form, shown};

/// The period that a query names, or the former month.
pub fn of(query: &str, today: Day) -> Result<ChosenRange, HttpError> {
    let mut named = Vec::new();
    for (field, preset) in [("month", Preset::Month), ("quarter", Preset::Quarter), ("year", Preset::Year)] {
        if let Some(text) = form::field(query, field)?.filter(|text| !text.is_empty()) {
            named.push((field, preset, first_day(field, &text)?));
        }
    }
    let range = match named[..] {
        [] => {
            let first = today.month().first_day().unwrap_or(today);
            ChosenRange::around(Preset::Month, first.previous(), today)
        }
        [(_, preset, first)] => ChosenRange::around(preset, first, today),
        _ => return Err(HttpError::malformed("a report is of one period; send `month`, `quarter` or `year`")),
    };
    if range.days.first() > today {
        let detail = format!("this period begins after today, {today}");
        return Err(HttpError::field(named.first().map_or("month", |(field, ..)| *field), detail));
    }
    Ok(range)
}

fn first_day(field: &'static str, text: &str) -> Result<Day, HttpError> {
    let (first, expected) = match field {
        "quarter" => (first_of_quarter(text), "2024-Q2"),
        "month" => (
            text.parse().ok().filter(|period| matches!(period, Period::Month { .. })).and_then(Period::first_day),
            "2024-06",
        ),
        _ => (text.parse().ok().filter(|period| matches!(period, Period::Year(_))).and_then(Period::first_day), "2024"),
    };
    let wrong = || format!("`{}` is no {field}; expected for example `{expected}`", shown(text));
    first.ok_or_else(|| HttpError::field(field, wrong()))
}

fn first_of_quarter(text: &str) -> Option<Day> {
    let (year, quarter) = text.split_once("-Q")?;
    let year = year.parse::<Period>().ok().filter(|period| matches!(period, Period::Year(_)))?.first_day()?;
    let quarter = quarter.parse::<u32>().ok().filter(|number| (1..=4).contains(number) && quarter.len() == 1)?;
    Day::from_ymd(year.date().year(), quarter * 3 - 2, 1)
}

/// The query of a range's report.
pub fn query_of(range: ChosenRange) -> (&'static str, String) {
    let range = super::reported(range);
    let first = range.days.first();
    match range.preset {
        Some(Preset::Year) => ("year", first.year().to_string()),
        Some(Preset::Quarter) => ("quarter", format!("{}-Q{}", first.year(), first.date().month0() / 3 + 1)),
        _ => ("month", first.month().to_string()),
    }
}

/// Its name in a file's.
pub fn name(range: ChosenRange) -> String {
    query_of(range).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_query(query: &str) -> Result<String, HttpError> {
        let range = of(query, Day::from_ymd(2026, 11, 30).unwrap())?;
        let (field, value) = query_of(range);
        Ok(format!("{field}={value} {} {}", range.days.first(), range.days.last()))
    }

    #[test]
    fn a_report_is_of_a_month_a_quarter_or_a_year_and_else_of_the_former_month() {
        for (query, period) in [
            ("", "month=2026-10 2026-10-01 2026-10-31"),
            ("lang=en&month=", "month=2026-10 2026-10-01 2026-10-31"),
            ("month=2026-11", "month=2026-11 2026-11-01 2026-11-30"),
            ("quarter=2026-Q4", "quarter=2026-Q4 2026-10-01 2026-12-31"),
            ("quarter=2024-Q1", "quarter=2024-Q1 2024-01-01 2024-03-31"),
            ("year=2024", "year=2024 2024-01-01 2024-12-31"),
        ] {
            assert_eq!(of_query(query).unwrap(), period, "{query}");
        }
        for (query, field) in [
            ("month=2026", Some("month")),
            ("month=2026-11-01", Some("month")),
            ("month=2026-12", Some("month")),
            ("quarter=2026-Q5", Some("quarter")),
            ("quarter=2026-Q04", Some("quarter")),
            ("quarter=2026", Some("quarter")),
            ("year=2026-11", Some("year")),
            ("year=2027", Some("year")),
            ("month=2026-11&year=2026", None),
        ] {
            let error = of_query(query).unwrap_err();
            assert_eq!((error.status.as_u16(), error.field), (400, field), "{query}");
        }
    }
}
