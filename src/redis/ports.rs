//! Ports: what `redis` needs of the node whose counts it publishes. `app` implements them.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use crate::counter::{
    ChangedPage, Contribution, Day, PageAddress, PageTitle, Period, Register, RegisteredSite, Salt, SiteNumber, Sites,
    Sketch, Source, Window,
};

/// Node, as publication of its counts sees it.
pub trait Node: Send + Sync + 'static {
    fn sites(&self) -> Arc<Sites>;

    /// Takes up to `limit` sites whose own counters changed since they were last taken, with the time of
    /// the first change. The longest waiting come first.
    fn take_changed_sites(&self, limit: usize) -> Vec<(SiteNumber, Instant)>;

    /// Returns a taken site whose publication failed to the changed ones.
    fn put_back_changed_site(&self, site: SiteNumber, since: Instant);

    /// Requests publication of a site, though nothing has changed.
    fn note_changed_site(&self, site: SiteNumber);

    /// Time of the change that has waited longest; none where nothing waits.
    fn oldest_site_change(&self) -> Option<Instant>;

    /// The current run's site counters that may have changed lately, from memory: a handful of periods,
    /// `total` last. Empty if the run has no hit of the site.
    fn recent(&self, site: SiteNumber) -> Vec<Contribution>;

    /// Source of the current run.
    fn run(&self) -> &Source;

    /// Takes all pages whose counters of the current run were changed by folding.
    fn take_changed_pages(&self) -> Vec<ChangedPage>;

    fn has_changed_pages(&self) -> bool;

    /// True if there will soon be more than are remembered.
    fn has_many_changed_pages(&self) -> bool;

    /// Takes up to `limit` titles that Redis may lack.
    fn take_changed_titles(&self, limit: usize) -> Vec<ChangedTitle>;

    /// Takes sites of which more page counters changed than are remembered: the current run must be
    /// backfilled for them.
    fn take_overflowed_sites(&self) -> Vec<SiteNumber>;

    /// Up to `limit` rows of the node's file for a site, in the file's order after `after`: pages and site
    /// counters, runs and imports. With `unpublished_only`, only of sources that the file doesn't mark as
    /// published, the current run among them.
    fn rows(
        &self,
        site: SiteNumber,
        after: Option<RowKey>,
        limit: usize,
        unpublished_only: bool,
    ) -> impl Future<Output = Result<Vec<(RowKey, Contribution)>, String>> + Send;

    /// Sites that have unpublished sources, the current run apart.
    fn unpublished_sites(&self) -> impl Future<Output = Result<Vec<SiteNumber>, String>> + Send;

    /// Up to `limit` sources that the file marks as published: imports first, then the newest runs.
    fn published_sources(
        &self,
        site: SiteNumber,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Source>, String>> + Send;

    /// Sources whose counts of the site are wholly in this node's file, the current run among them.
    fn own_sources(&self, site: SiteNumber) -> impl Future<Output = Result<Vec<Source>, String>> + Send;

    /// Marks these frozen sources of the site as published, durably.
    fn mark_published(&self, site: SiteNumber, sources: Vec<Source>) -> impl Future<Output = ()> + Send;

    /// Site counters in memory that figures need from Redis: each period with the sources of which this
    /// node may know more than Redis.
    fn counters_to_read(&self, site: SiteNumber) -> Vec<(Period, Vec<Source>)>;

    /// Applies Redis's totals and the contributions of these sources to them, read atomically.
    fn apply_remote(&self, site: SiteNumber, counters: Vec<RemoteCounter>);

    /// Stores other sources' counters of the site, read from Redis, in the node's file.
    fn store_remote(&self, site: SiteNumber, contributions: Vec<Contribution>) -> impl Future<Output = ()> + Send;
}

/// Node, as publication of its visitors sees it.
pub trait VisitorNode: Node {
    /// Takes up to `limit` sites whose visitors Redis may lack.
    fn take_changed_visitors(&self, limit: usize) -> Vec<SiteNumber>;

    /// Takes the site's sketches that Redis may lack, all of whose visitors are durable.
    fn take_sketches(&self, site: SiteNumber) -> Vec<(Window, Sketch)>;

    /// Returns taken sketches whose publication failed.
    fn put_back_sketches(&self, site: SiteNumber, windows: &[Window]);

    /// Marks all visitors as changed: Redis may have forgotten them.
    fn publish_all_visitors_again(&self);

    /// Visitors of each of the site's days that the file knows.
    fn visitor_estimates(&self, site: SiteNumber) -> impl Future<Output = Result<Vec<(Day, u64)>, String>> + Send;

    /// Windows whose sketches make up the site's figures now, brought into memory. Empty if the site counts
    /// no visitors.
    fn shown_windows(&self, site: &RegisteredSite) -> impl Future<Output = Vec<Window>> + Send;

    /// Applies a sketch that was read from Redis.
    fn apply_remote_visitors(&self, site: SiteNumber, window: Window, sketch: &Sketch);

    /// Days whose salt other nodes may lack, and days ahead that need one.
    fn salts_to_share(&self) -> Vec<(SiteNumber, Day)>;

    fn salt(&self, site: SiteNumber, day: Day) -> Option<Salt>;

    fn keep_shared_salt(&self, site: SiteNumber, day: Day, salt: Salt) -> impl Future<Output = ()> + Send;
}

/// Title that a page gave itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedTitle {
    pub site: SiteNumber,
    pub page: PageAddress,
    pub title: PageTitle,
    /// Unix milliseconds. Of several titles the latest holds.
    pub given_ms: i64,
}

/// Site counter as it stands in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteCounter {
    pub period: Period,
    pub total: i64,
    /// Contributions of the sources asked for, in their order; none where Redis has nothing.
    pub contributed: Vec<(Source, Option<Register>)>,
}

/// Place of a row in the node's file, in the file's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// `Period::number`.
    pub period: u32,
    /// 0 for the site itself, more for pages: a period's own counters come before its pages.
    pub page: i64,
    /// Opaque here.
    pub source: i64,
}
