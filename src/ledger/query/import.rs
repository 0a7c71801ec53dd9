//! Imports: the state of the file before one, and the counters that it sets.

use std::collections::BTreeSet;
use std::io;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, params};

use super::import_file::{Checked, ImportFile};
use crate::counter::account::ImportReport;
use crate::counter::source::ImportName;
use crate::counter::{Day, Period, SiteNumber, Source};
use crate::ledger::sqlite::tables::sources::SourceNumber;
use crate::ledger::sqlite::tables::{counts, sources};

/// The file's state before an import.
#[derive(Debug, Default)]
pub struct Before {
    last_generation: u64,
    is_remote: bool,
    is_after_reset: bool,
    /// Days of the import that other sources have counted too.
    days_also_counted: Vec<Day>,
}

/// Reads the state before an import, and adds to it the zeros of the earlier one's counters.
pub fn read(
    connection: &Connection,
    site: SiteNumber,
    source: &Source,
    file: &mut ImportFile,
) -> rusqlite::Result<io::Result<Before>> {
    let number = sources::find(connection, source)?;
    let days_also_counted = days_also_counted(connection, site, number, &file.days)?;
    let Some(number) = number else { return Ok(Ok(Before { days_also_counted, ..Before::default() })) };
    if let Err(error) = clear(connection, site, number, file)? {
        return Ok(Err(error));
    }
    Ok(Ok(Before {
        last_generation: counts::last_generation(connection, site, number)?,
        is_remote: sources::is_remote(connection, number)?,
        is_after_reset: is_after_reset(connection, site, source)?,
        days_also_counted,
    }))
}

impl Before {
    /// The import's generation: higher than the last one, whatever the clock says.
    pub fn generation(&self, now: DateTime<Utc>) -> u64 {
        let now_us = u64::try_from(now.timestamp_micros()).unwrap_or(0);
        now_us.max(self.last_generation + 1)
    }

    pub fn report(&self, source: &Source, checked: Checked, generation: u64) -> ImportReport {
        ImportReport {
            source: source.to_string(),
            rows: checked.rows,
            cleared: checked.cleared,
            summed: checked.summed,
            made_elsewhere: self.is_remote,
            after_reset: self.is_after_reset,
            days_also_counted_live: self.days_also_counted.iter().map(Day::to_string).collect(),
            generation: (checked.rows + checked.cleared > 0).then_some(generation),
        }
    }
}

/// True for another import than a reset, where one has set figures to zero.
fn is_after_reset(connection: &Connection, site: SiteNumber, source: &Source) -> rusqlite::Result<bool> {
    let reset = Source::Import(ImportName::reset());
    let Some(number) = sources::find(connection, &reset)?.filter(|_| *source != reset) else { return Ok(false) };
    let sql = "SELECT EXISTS (SELECT 1 FROM counts WHERE site = ? AND source = ? AND hits != 0)";
    connection.prepare_cached(sql)?.query_row(params![site.0, number], |row| row.get(0))
}

/// Adds zeros to an import for counters that a source has set to something else.
fn clear(
    connection: &Connection,
    site: SiteNumber,
    source: SourceNumber,
    file: &mut ImportFile,
) -> rusqlite::Result<io::Result<()>> {
    let sql = "SELECT c.period, p.address FROM counts c LEFT JOIN pages p ON p.number = c.page
               WHERE c.site = ? AND c.source = ? AND c.hits != 0";
    let mut counters = connection.prepare_cached(sql)?;
    let mut counters = counters.query(params![site.0, source])?;
    while let Some(row) = counters.next()? {
        let page = row.get_ref(1)?.as_str_or_null()?.unwrap_or_default();
        if let Err(error) = file.clear(counts::period_at(row, 0)?, page) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

/// Days that other sources than `source` have counted too.
fn days_also_counted(
    connection: &Connection,
    site: SiteNumber,
    source: Option<SourceNumber>,
    days: &BTreeSet<Day>,
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
