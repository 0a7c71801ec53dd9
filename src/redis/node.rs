//! What publication asks of the node whose counts it publishes. `app` answers.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

pub use crate::counter::ChangedTitle;
use crate::counter::{ChangedPage, Contribution, Period, Register, SiteNumber, Sites, Source};

/// A node, seen from Redis.
pub trait Node: Send + Sync + 'static {
    fn sites(&self) -> Arc<Sites>;

    /// Takes up to `limit` sites whose own counters have changed since they were last taken, the
    /// longest waiting first; each with since when its first change waits.
    fn take_changed_sites(&self, limit: usize) -> Vec<(SiteNumber, Instant)>;

    /// Puts a site that was taken back among the changed: its publication failed.
    fn put_back_changed_site(&self, site: SiteNumber, since: Instant);

    /// A site is to be published again, though nothing has changed.
    fn note_changed_site(&self, site: SiteNumber);

    /// Since when the change waits that has waited longest; none: nothing does.
    fn oldest_site_change(&self) -> Option<Instant>;

    /// What the current run says of the site's own counters (pages apart) that may have changed of
    /// late, from memory: a handful of periods, `total` last. Empty if the run has no hit there.
    fn recent(&self, site: SiteNumber) -> Vec<Contribution>;

    fn run(&self) -> &Source;

    /// Takes all pages of which folding has changed the current run's counters.
    fn take_changed_pages(&self) -> Vec<ChangedPage>;

    fn has_changed_pages(&self) -> bool;

    /// Whether there will soon be more than are remembered.
    fn has_many_changed_pages(&self) -> bool;

    /// Takes up to `limit` titles that Redis may not have.
    fn take_changed_titles(&self, limit: usize) -> Vec<ChangedTitle>;

    /// More page counters changed than are remembered, since this was last asked: the current run
    /// must be swept for these sites.
    fn take_overflowed_sites(&self) -> Vec<SiteNumber>;

    /// Up to `limit` rows of the node's file for a site, in the file's order after `after`; pages
    /// and site counters mixed, runs and imports alike. With `unpublished_only`, those sources only
    /// that are not yet known to be wholly in Redis (the current run among them).
    fn rows(
        &self,
        site: SiteNumber,
        after: Option<RowKey>,
        limit: usize,
        unpublished_only: bool,
    ) -> impl Future<Output = Result<Vec<(RowKey, Contribution)>, String>> + Send;

    /// Sites that have sources which are not yet known to be wholly in Redis, the current run apart.
    fn unpublished_sites(&self) -> impl Future<Output = Result<Vec<SiteNumber>, String>> + Send;

    /// Up to `limit` of the sources of which the file says that Redis has all: imports first, then
    /// the newest runs.
    fn published_sources(
        &self,
        site: SiteNumber,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Source>, String>> + Send;

    /// Sources of which all that was counted for the site is in this node's file, the current run
    /// among them.
    fn own_sources(&self, site: SiteNumber) -> impl Future<Output = Result<Vec<Source>, String>> + Send;

    /// Remembers durably that these frozen sources' counts of the site are wholly in Redis.
    fn mark_published(&self, site: SiteNumber, sources: Vec<Source>) -> impl Future<Output = ()> + Send;

    /// What to read from Redis for the figures that are asked for, of what is in memory: each period
    /// with the sources of which this node knows more than Redis may.
    fn wanted(&self, site: SiteNumber) -> Vec<(Period, Vec<Source>)>;

    /// Redis's totals and what these sources contributed to them, read atomically.
    fn saw(&self, site: SiteNumber, sightings: Vec<Sighting>);

    /// Other sources' counters of the site, read from Redis, to be kept in this node's file.
    fn learn(&self, site: SiteNumber, contributions: Vec<Contribution>) -> impl Future<Output = ()> + Send;
}

/// One of the site's counters as it stands in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    pub period: Period,
    pub total: i64,
    /// What Redis has of the sources asked for, in their order; none where it has nothing.
    pub contributed: Vec<(Source, Option<Register>)>,
}

/// Where a row stands in the node's file, and how rows are ordered there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// `Period::number`.
    pub period: u32,
    /// 0 for the site itself, more for pages: a period's own counters come before its pages.
    pub page: i64,
    /// Opaque here.
    pub source: i64,
}
