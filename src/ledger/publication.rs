//! Reads and writes of publication: the rows and sketches to publish, and counts from Redis.

use super::Ledger;
use super::error::LedgerError;
use super::memory::lock;
use super::sqlite::tables::counts::{self, PublishedRow};
use super::sqlite::tables::{sources, visitors};
use crate::counter::{
    Contribution, Day, FileDigest, Period, RemoteCounter, RowKey, SiteNumber, Sketch, Source, Window,
};

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
        if counters.has_old_floor() {
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

    /// Merges other nodes' counts from Redis into the file. True: another import was among them.
    pub async fn merge_remote(&self, site: SiteNumber, contributions: Vec<Contribution>) -> Result<bool, LedgerError> {
        self.queue.run(move |file| file.merge(site, &contributions, true)).await
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
