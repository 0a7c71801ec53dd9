//! Imports: the state of the file before one, and the plan of its counters.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, params};

use crate::counter::account::ImportReport;
use crate::counter::csv::Row;
use crate::counter::{Contribution, Day, PageAddress, Period, Register, SiteNumber, Source};
use crate::ledger::sqlite::tables::sources::SourceNumber;
use crate::ledger::sqlite::tables::{counts, rows, sources};

/// A counter of a site: a period, and a page or none for the site itself.
type Counter = (Period, Option<PageAddress>);

/// The file's state before an import.
#[derive(Debug, Default)]
pub struct Before {
    /// Counters that an earlier import of the name has set.
    counters: Vec<Counter>,
    last_generation: u64,
    is_remote: bool,
    /// Days of the import that other sources have counted too.
    days_also_counted: Vec<Day>,
}

/// Days of which an import brings the site's own count.
pub fn days(rows: &[Row]) -> Vec<Day> {
    let own = rows.iter().filter(|row| row.page.is_none());
    own.filter_map(|row| if let Period::Day(day) = row.period { Some(day) } else { None }).collect()
}

/// Reads the state before an import of these days.
pub fn read(connection: &Connection, site: SiteNumber, source: &Source, days: &[Day]) -> rusqlite::Result<Before> {
    let number = sources::find(connection, source)?;
    let days_also_counted = days_also_counted(connection, site, number, days)?;
    let Some(number) = number else { return Ok(Before { days_also_counted, ..Before::default() }) };
    Ok(Before {
        counters: counters_of(connection, site, number)?,
        last_generation: counts::last_generation(connection, site, number)?,
        is_remote: sources::is_remote(connection, number)?,
        days_also_counted,
    })
}

impl Before {
    /// The contributions of an import. Counters of an earlier import that this one lacks become 0.
    pub fn plan(self, source: &Source, rows: Vec<Row>, now: DateTime<Utc>) -> (Vec<Contribution>, ImportReport) {
        let now_us = u64::try_from(now.timestamp_micros()).unwrap_or(0);
        // Higher than the last one, whatever the clock says.
        let generation = now_us.max(self.last_generation + 1);
        let written = |period, page, hits| Contribution {
            source: source.clone(),
            period,
            page,
            register: Register::Written { generation, hits },
        };
        let named: HashSet<_> = rows.iter().map(|row| (row.period, row.page.clone())).collect();
        let cleared: Vec<_> = self.counters.into_iter().filter(|counter| !named.contains(counter)).collect();
        let report = ImportReport {
            source: source.to_string(),
            rows: rows.len() as u64,
            cleared: cleared.len() as u64,
            summed: 0,
            made_elsewhere: self.is_remote,
            days_also_counted_live: self.days_also_counted.iter().map(Day::to_string).collect(),
            generation: (rows.len() + cleared.len() > 0).then_some(generation),
        };
        let zeros = cleared.into_iter().map(|(period, page)| written(period, page, 0));
        let contributions = rows.into_iter().map(|row| written(row.period, row.page, row.hits)).chain(zeros).collect();
        (contributions, report)
    }
}

/// Counters that a source has set to something other than zero.
fn counters_of(connection: &Connection, site: SiteNumber, source: SourceNumber) -> rusqlite::Result<Vec<Counter>> {
    let sql = "SELECT c.period, p.address FROM counts c LEFT JOIN pages p ON p.number = c.page
               WHERE c.site = ? AND c.source = ? AND c.hits != 0";
    rows(connection, sql, params![site.0, source], |row| Ok((counts::period_at(row, 0)?, counts::page_at(row, 1)?)))
}

/// Days that other sources than `source` have counted too.
fn days_also_counted(
    connection: &Connection,
    site: SiteNumber,
    source: Option<SourceNumber>,
    days: &[Day],
) -> rusqlite::Result<Vec<Day>> {
    let mut counted = Vec::new();
    for day in days {
        let counts = counts::of_page(connection, site, Period::Day(*day), counts::SITE_ITSELF)?;
        if counts.iter().any(|count| Some(count.source) != source && count.register.hits() != 0) {
            counted.push(*day);
        }
    }
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(period: &str, page: Option<&str>, hits: i64) -> Row {
        Row { period: period.parse().unwrap(), page: page.map(PageAddress::from_stored), hits }
    }

    #[test]
    fn an_import_sets_its_rows_and_clears_what_it_lacks_of_the_earlier_one() {
        let source: Source = "import:old".parse().unwrap();
        let counter = |row: Row| (row.period, row.page);
        let before = Before {
            counters: vec![counter(row("2024", None, 1)), counter(row("total", Some("/a"), 1))],
            last_generation: 7,
            ..Before::default()
        };
        let rows = vec![row("2024", None, 5), row("2024-06-17", None, 2)];
        assert_eq!(days(&rows).len(), 1);
        let (contributions, report) = before.plan(&source, rows, DateTime::UNIX_EPOCH);
        assert_eq!((report.rows, report.cleared), (2, 1));
        let written: Vec<_> = contributions.iter().map(|one| (one.period.to_string(), one.register.hits())).collect();
        assert_eq!(written, [("2024".to_owned(), 5), ("2024-06-17".to_owned(), 2), ("total".to_owned(), 0)]);
        assert_eq!(contributions[2].page, Some(PageAddress::from_stored("/a")));
        // The clock is behind, and the import counts all the same.
        let is_later = |one: &Contribution| matches!(one.register, Register::Written { generation: 8, .. });
        assert!(contributions.iter().all(is_later));
    }
}
