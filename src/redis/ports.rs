//! Ports: what `redis` needs of the node whose counts it publishes. `app` implements them.

use std::future::Future;
use std::sync::Arc;

use crate::change_feed::ChangeFeed;
use crate::counter::vouching::{Counted, Vote};
use crate::counter::{
    Contribution, Day, EditorRule, EditorToken, EditorTokens, FileDigest, PageAddress, Period, RegisteredSite,
    RemoteCounter, RowKey, Salt, SiteNumber, Sites, Sketch, Source, Window,
};

/// Node, as publication of its counts sees it.
pub trait Node: Send + Sync + 'static {
    fn sites(&self) -> Arc<Sites>;

    fn site(&self, number: SiteNumber) -> Option<Arc<RegisteredSite>> {
        self.sites().by_number(number).cloned()
    }

    /// Changes that wait to be published.
    fn changes(&self) -> &ChangeFeed;

    /// The current run's site counters that may have changed lately, from memory: a handful of periods,
    /// `total` last. Empty if the run has no hit of the site.
    fn recent(&self, site: SiteNumber) -> Vec<Contribution>;

    /// Source of the current run.
    fn run(&self) -> &Source;

    /// Up to `limit` rows of the node's file for a site, in the file's order after `after`: pages and site
    /// counters, runs and imports.
    fn rows(
        &self,
        site: SiteNumber,
        after: Option<RowKey>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(RowKey, Contribution)>, String>> + Send;

    /// Digests of the rows of the node's file for a site, all of one moment.
    fn digests(&self, site: SiteNumber) -> impl Future<Output = Result<Vec<FileDigest>, String>> + Send;

    /// Sources whose counts of the site are wholly in this node's file, the current run among them.
    fn own_sources(&self, site: SiteNumber) -> impl Future<Output = Result<Vec<Source>, String>> + Send;

    /// Site counters in memory that figures need from Redis: each period with the sources of which this
    /// node may know more than Redis.
    fn counters_to_read(&self, site: SiteNumber) -> Vec<(Period, Vec<Source>)>;

    /// Applies Redis's totals and the contributions of these sources to them, read atomically. Returns false
    /// if Redis shows less than this node knows.
    fn apply_remote(&self, site: SiteNumber, counters: Vec<RemoteCounter>) -> bool;

    /// Stores other sources' counters of the site, read from Redis, in the node's file.
    fn store_remote(&self, site: SiteNumber, contributions: Vec<Contribution>) -> impl Future<Output = ()> + Send;

    /// Takes up to `limit` votes of networks that Redis may lack.
    fn take_votes(&self, limit: usize) -> Vec<Vote>;

    /// Returns taken votes that couldn't be shared.
    fn put_back_votes(&self, votes: Vec<Vote>);

    /// Applies votes of a site's day, with those of all nodes.
    fn apply_votes(&self, site: SiteNumber, day: Day, counted: Vec<Counted>) -> impl Future<Output = ()> + Send;

    /// Up to `limit` unvouched pages of all sites, after the page of this number in the node's file.
    fn unvouched_pages(
        &self,
        after: i64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(i64, SiteNumber, PageAddress)>, String>> + Send;

    /// Vouches for pages, as another node has.
    fn vouch_pages(&self, site: SiteNumber, pages: Vec<PageAddress>) -> impl Future<Output = ()> + Send;

    /// Writes rules of pages that editors have changed on other nodes, by site.
    fn learn_rules(&self, learned: Vec<(SiteNumber, Vec<EditorRule>)>) -> impl Future<Output = ()> + Send;

    /// Editors' tokens of the node's file.
    fn tokens(&self) -> Arc<EditorTokens>;

    /// Writes editors' tokens that were made or revoked on other nodes.
    fn learn_tokens(&self, learned: Vec<EditorToken>) -> impl Future<Output = ()> + Send;

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
