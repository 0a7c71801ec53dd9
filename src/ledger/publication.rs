//! Reads and writes of publication: the rows and sketches to publish, and counts from Redis.

use std::time::Duration;

use super::Ledger;
use super::error::LedgerError;
use super::memory::lock;
use super::sqlite::tables::counts::{self, PublishedRow};
use super::sqlite::tables::{last_shown, sources, visitors};
use crate::counter::{
    Contribution, Day, FileDigest, Known, Period, RemoteCounter, RowKey, ShownFigure, SiteNumber, Sketch, Source,
    Window,
};

/// Sites of one transaction: some milliseconds, for which hits may wait.
const FLOORS_STEP: usize = 32;
const FLOORS_AT_THE_END: usize = 1_000;
/// Pause between two transactions, so that they take a small part of the committer's time.
const FLOORS_PAUSE: Duration = Duration::from_millis(20);

impl Ledger {
    /// The current run's contributions to the site's own counters, the total last.
    pub fn recent(&self, site: SiteNumber) -> Vec<Contribution> {
        self.state.counters.get(site).map(|counters| counters.recent(&self.state.run)).unwrap_or_default()
    }

    /// The site's counters to read from Redis, each with the sources to ask for.
    pub fn counters_to_read(&self, site: SiteNumber) -> Vec<(Period, Vec<Source>)> {
        self.state
            .counters
            .get(site)
            .map(|counters| counters.counters_to_read(Some(&self.state.run)))
            .unwrap_or_default()
    }

    /// Takes over Redis's totals of a site's counters. False: Redis has less than this node knows or has shown.
    pub fn apply_remote(&self, site: SiteNumber, remote: &[RemoteCounter]) -> bool {
        let Some(counters) = self.state.counters.get(site) else { return true };
        let confirmed = counters.apply_remote(remote, Some(&self.state.run));
        if !counters.old_floors().is_empty() {
            lock(&self.state.old_floors).insert(site);
        }
        self.state.metrics.redis_unpublished_hits.sub(confirmed);
        !counters.is_behind()
    }

    /// Digests of a site's rows, all of one moment.
    pub async fn digests(&self, site: SiteNumber) -> Result<Vec<FileDigest>, LedgerError> {
        self.reader.read(move |connection| counts::digests(connection, site)).await
    }

    /// Up to `limit` rows of a site after a key.
    pub async fn rows(
        &self,
        site: SiteNumber,
        after: Option<RowKey>,
        limit: usize,
    ) -> Result<Vec<PublishedRow>, LedgerError> {
        self.reader
            .read(move |connection| counts::rows_after(connection, site, after.unwrap_or(RowKey::START), limit))
            .await
    }

    /// Sources whose counts of a site are wholly in this file.
    pub async fn own_sources(&self, site: SiteNumber) -> Result<Vec<Source>, LedgerError> {
        self.reader.read(move |connection| sources::own(connection, site)).await
    }

    /// Merges other nodes' counts from Redis into the file.
    pub async fn merge_remote(&self, site: SiteNumber, contributions: Vec<Contribution>) -> Result<(), LedgerError> {
        self.queue.run(move |file| file.merge(site, &contributions, true)).await
    }

    /// Takes over figures of a site's history, which were read later than those in memory.
    pub fn raise_shown<'a>(&self, site: SiteNumber, shown: impl Iterator<Item = (Period, &'a Known, i64)>) {
        if let Some(counters) = self.state.counters.get(site) {
            counters.raise(shown);
            if !counters.old_floors().is_empty() {
                lock(&self.state.old_floors).insert(site);
            }
        }
    }

    /// Writes what is shown of other nodes' hits of sites, so that no figure falls after a restart without Redis.
    /// `is_end`: nothing waits for the file.
    pub async fn write_floors(&self, is_end: bool) -> Result<(), LedgerError> {
        let sites: Vec<_> = std::mem::take(&mut *lock(&self.state.old_floors)).into_iter().collect();
        let step = if is_end { FLOORS_AT_THE_END } else { FLOORS_STEP };
        for (number, step_sites) in sites.chunks(step).enumerate() {
            let step_sites = step_sites.to_vec();
            if let Err(error) = self.queue.run(move |file| file.write_floors(&step_sites)).await {
                lock(&self.state.old_floors).extend(&sites[number * step..]);
                return Err(error);
            }
            if !is_end {
                tokio::time::sleep(FLOORS_PAUSE).await;
            }
        }
        Ok(())
    }

    /// Keeps figures that were shown over a restart.
    pub async fn keep_shown(&self, figures: Vec<ShownFigure>) -> Result<(), LedgerError> {
        self.queue.run(move |file| file.change(|connection| last_shown::write(connection, &figures))).await
    }

    /// The figures that the last clean stop kept.
    pub async fn take_shown(&self) -> Result<Vec<ShownFigure>, LedgerError> {
        self.queue.run(|file| file.change(last_shown::take)).await
    }

    /// Takes up to `limit` sites of which more of other nodes' hits is shown than the file has, all unchanged for a time.
    pub fn take_unsynced(&self, unchanged: Duration, limit: usize) -> Vec<SiteNumber> {
        let mut unsynced = lock(&self.state.unsynced);
        let at_rest = unsynced.iter().filter(|(_, since)| since.elapsed() >= unchanged).map(|(site, _)| *site);
        let taken: Vec<_> = at_rest.take(limit).collect();
        unsynced.retain(|site, _| !taken.contains(site));
        taken
    }

    /// The visitor estimates of a site's days, as far as they are folded.
    pub async fn visitor_estimates(&self, site: SiteNumber) -> Result<Vec<(Day, u64)>, LedgerError> {
        self.reader.read(move |connection| visitors::estimates(connection, site)).await
    }

    /// The site's sketches that Redis may lack, marked as published.
    pub fn take_sketches(&self, site: SiteNumber) -> Vec<(Window, Sketch)> {
        self.state.sketches.get(site).map(|sketches| sketches.take_unpublished()).unwrap_or_default()
    }

    /// Marks sketches that Redis did not get.
    pub fn put_back_sketches(&self, site: SiteNumber, windows: &[Window]) {
        self.state.sketches.put_back_unpublished(site, windows);
    }

    /// Marks all sketches as unpublished: Redis may have lost them.
    pub fn publish_all_sketches_again(&self) {
        self.state.sketches.publish_all_again();
    }

    /// Merges Redis's sketch into memory, if the site's sketches are loaded.
    pub fn apply_remote_sketch(&self, site: SiteNumber, window: Window, sketch: &Sketch) {
        self.state.sketches.apply_remote(site, window, sketch);
    }
}
