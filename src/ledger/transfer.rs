//! Imports, exports, and the accounts of sources.

use chrono::{DateTime, Utc};

use super::Ledger;
use super::error::LedgerError;
use super::query::{export, import};
use crate::counter::account::{ImportReport, SourceAccount};
use crate::counter::csv::Row;
use crate::counter::source::ImportName;
use crate::counter::{SiteNumber, Source};

/// Counters that one transaction of an import writes: few, so that hits go on between.
const IMPORT_STEP: usize = 1_000;

impl Ledger {
    /// Writes an import. Counters of an earlier import of its name that this one lacks become 0.
    pub async fn import(
        &self,
        site: SiteNumber,
        name: ImportName,
        rows: Vec<Row>,
        now: DateTime<Utc>,
    ) -> Result<ImportReport, LedgerError> {
        let Ok(_permit) = self.imports.try_acquire() else {
            return Err(LedgerError::new("another import is running; try again when it has ended"));
        };
        self.fold().await?;
        let source = Source::Import(name);
        let (named, days) = (source.clone(), import::days(&rows));
        let before = self.reader.read(move |connection| import::read(connection, site, &named, &days)).await?;
        let (contributions, report) = before.plan(&source, rows, now);
        for step in contributions.chunks(IMPORT_STEP) {
            let contributions = step.to_vec();
            self.queue.run(move |file| file.merge(site, &contributions, false)).await?;
        }
        Ok(report)
    }

    /// Sets all counters of an import to 0. None: it has none.
    pub async fn forget(
        &self,
        site: SiteNumber,
        name: ImportName,
        now: DateTime<Utc>,
    ) -> Result<Option<ImportReport>, LedgerError> {
        let report = self.import(site, name, Vec::new(), now).await?;
        Ok((report.cleared > 0).then_some(report))
    }

    /// Each source's account of a site.
    pub async fn sources(&self, site: SiteNumber) -> Result<Vec<SourceAccount>, LedgerError> {
        self.fold().await?;
        let run = self.state.run.to_string();
        self.reader.read(move |connection| export::accounts(connection, site, &run)).await
    }

    /// Up to `limit` counts after a row, summed over all sources.
    pub async fn export(&self, site: SiteNumber, after: Option<Row>, limit: usize) -> Result<Vec<Row>, LedgerError> {
        if after.is_none() {
            self.fold().await?;
        }
        self.reader.read(move |connection| export::export(connection, site, after.as_ref(), limit)).await
    }
}
