//! The clock, as far as the file knows it: its record, and the newest day with hits.

use std::path::Path;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use rusqlite::Connection;
use rustc_hash::FxHashMap;

use super::Ledger;
use super::error::LedgerError;
use super::sqlite::file;
use super::sqlite::tables::{counts, meta, sites};
use crate::counter::clock_trust::{self, ClockRecord, Doubt, NewestDay};
use crate::counter::{Site, SiteNumber, Sites};

/// Sites that one read looks at, so that other reads go on between.
const SITES_STEP: usize = 500;

/// Knowledge of the file at the start.
#[derive(Debug, Clone, Copy)]
pub struct AtStart {
    record: Option<ClockRecord>,
    /// Read only in a file without a record, so that many sites don't delay each start.
    newest: Option<NewestDay>,
    /// Of nodes or of imports.
    had_hits: bool,
}

impl AtStart {
    pub fn read(connection: &Connection, configured: &Sites, has_journal: bool) -> rusqlite::Result<Self> {
        let record = meta::read_clock(connection)?;
        let newest = match record {
            Some(_) => None,
            None => newest_of(connection, &with_zones(sites::ids(connection)?.into_keys(), configured))?,
        };
        Ok(Self { record, newest, had_hits: has_journal || counts::exist(connection)? })
    }
}

impl Ledger {
    /// The record that the file had at the start.
    pub fn clock_record(&self) -> Option<ClockRecord> {
        self.start.record
    }

    /// The newest day that a file without a record had at the start.
    pub fn newest_day_at_start(&self) -> Option<NewestDay> {
        self.start.newest
    }

    /// True if the file had hits at the start, of nodes or of imports.
    pub fn had_hits(&self) -> bool {
        self.start.had_hits
    }

    /// True if the file has hits now.
    pub async fn has_hits(&self) -> Result<bool, LedgerError> {
        Ok(self.start.had_hits
            || self.queue.run(|file| Ok(file.last_row() > 0 || counts::exist(&file.connection)?)).await?)
    }

    /// Writes the record of a clock that is believed.
    pub async fn note_clock(&self, record: ClockRecord) -> Result<(), LedgerError> {
        self.queue.run(move |file| file.change(|c| meta::write_clock(c, record))).await
    }

    /// The newest day with hits of all sites of the file; none if no run has counted. Hits of the journal's rest are
    /// not looked at.
    pub async fn newest_day(&self, configured: &Sites) -> Result<Option<NewestDay>, LedgerError> {
        let all = self.reader.read(sites::ids).await?;
        let all = with_zones(all.into_keys(), configured);
        let mut newest = None;
        for step in all.chunks(SITES_STEP) {
            let sites = step.to_vec();
            let of_step = self.reader.read(move |connection| newest_of(connection, &sites)).await?;
            newest = newer(newest, of_step);
        }
        Ok(newest)
    }

    /// `now`, or the moment that the file has reached if a clock says less. Deletions have gone by that moment.
    pub(super) fn latest_known(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.start.record.map_or(now, |record| now.max(record.believed_at))
    }
}

/// Each site with its zone; none if it is not configured.
fn with_zones(numbers: impl Iterator<Item = u32>, configured: &Sites) -> Vec<(SiteNumber, Option<Tz>)> {
    let zone = |site| configured.by_number(site).map(|site| site.site.time_zone);
    numbers.map(SiteNumber).map(|site| (site, zone(site))).collect()
}

fn newest_of(connection: &Connection, sites: &[(SiteNumber, Option<Tz>)]) -> rusqlite::Result<Option<NewestDay>> {
    let mut newest = None;
    for (site, zone) in sites {
        let day = counts::newest_day(connection, *site)?;
        newest = newer(newest, day.map(|day| NewestDay::of(day, *zone)));
    }
    Ok(newest)
}

fn newer(one: Option<NewestDay>, other: Option<NewestDay>) -> Option<NewestDay> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.or_newer(other)),
        (one, other) => one.or(other),
    }
}

/// The doubt that a stopped node's file raises about a clock that says `now`. Changes nothing.
pub fn doubt_of_stopped(directory: &Path, configured: &[Site], now: DateTime<Utc>) -> rusqlite::Result<Option<Doubt>> {
    let connection = file::open_to_look(directory)?;
    let zones: FxHashMap<_, _> = configured.iter().map(|site| (site.counted_as.as_str(), site.time_zone)).collect();
    let ids = sites::ids(&connection)?;
    let sites: Vec<_> = ids.iter().map(|(number, id)| (SiteNumber(*number), zones.get(id.as_str()).copied())).collect();
    let newest = newest_of(&connection, &sites)?;
    Ok(clock_trust::doubt(now, meta::read_clock(&connection)?, newest))
}
