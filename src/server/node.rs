//! What the server asks of the node it stands in front of. `app` answers.

use std::future::Future;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::bots::{Kind, UncountedRow};
use crate::counter::account::{ImportReport, SourceAccount};
use crate::counter::csv::Row;
use crate::counter::source::ImportName;
use crate::counter::verification::{Repair, Verification};
use crate::counter::{
    Arrival, ClientPrefix, Day, PageAddress, PageTitle, Period, RegisteredSite, Salt, Sites, Visit, VisitorCounts,
};

use super::repeats::Repeats;

/// A node: counts hits durably and knows the figures.
pub trait Node: Send + Sync + 'static {
    /// The sites as configured now.
    fn sites(&self) -> Arc<Sites>;

    /// Counts a hit: resolves when it is on disk. Called on a worker thread, whose hits share one
    /// hand-over to the committer.
    fn count(&self, arrival: Arrival) -> impl Future<Output = Result<(), Unavailable>>;

    /// Keeps that a reader has reloaded a page, which is no hit; resolves when it is on disk.
    fn reload(&self, site: &RegisteredSite, day: Day, visit: Visit) -> impl Future<Output = Result<(), Unavailable>>;

    /// Asks Redis, where there is one, for the site's totals unless they are younger than a second;
    /// resolves when they are in (or when waiting for them would take too long).
    fn refresh(&self, site: &Arc<RegisteredSite>) -> impl Future<Output = ()>;

    /// The version of the site's figures in memory and whether they are stale, as [`Node::hits`] last
    /// gave them if nothing has changed since; none if there are none.
    fn version(&self, site: &RegisteredSite) -> Option<(u64, bool)>;

    /// The site's hits in each of `periods`, from memory; the site is loaded first if it must be.
    fn hits(&self, site: &Arc<RegisteredSite>, periods: &[Period])
    -> impl Future<Output = Result<Counts, Unavailable>>;

    /// The salt of the site's day for its visitors' keys, if it is known already.
    fn salt(&self, site: &Arc<RegisteredSite>, day: Day) -> Option<Salt>;

    /// Has a salt for the site's day that outlives this process, and, where there is Redis, is the
    /// other nodes' too. None: there can be none now.
    fn draw_salt(&self, site: &Arc<RegisteredSite>, day: Day) -> impl Future<Output = Option<Salt>>;

    /// The site's visitors at `now`, and a number that changes whenever they do.
    fn visitors(
        &self,
        site: &Arc<RegisteredSite>,
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<(VisitorCounts, u64), Unavailable>>;

    /// Decides under which address a hit's page is counted: its own, or `(other)` for one page too
    /// many. `client`: none where clients have no limit.
    fn admit(
        &self,
        site: &Arc<RegisteredSite>,
        day: Day,
        page: PageAddress,
        client: Option<ClientPrefix>,
    ) -> impl Future<Output = PageAddress>;

    /// Takes the title that a page gave with its hit: text as it came. As a rule it is known.
    fn titled(&self, site: &RegisteredSite, page: &PageAddress, title: &str);

    /// The hits of each page in each period: all periods of the first page, and so on.
    fn page_hits(
        &self,
        site: &Arc<RegisteredSite>,
        pages: &[PageAddress],
        periods: &[Period],
    ) -> impl Future<Output = Result<Read<i64>, Unavailable>>;

    /// The most read pages of a period, the first first; of those with as many hits, by the bytes of
    /// their addresses.
    fn top_pages(
        &self,
        site: &Arc<RegisteredSite>,
        period: Period,
        limit: usize,
    ) -> impl Future<Output = Result<Read<TopPage>, Unavailable>>;

    /// The site's hits in each of many periods, which are not brought into memory.
    fn history(
        &self,
        site: &Arc<RegisteredSite>,
        periods: &[Period],
    ) -> impl Future<Output = Result<Read<i64>, Unavailable>>;

    fn import(
        &self,
        site: &Arc<RegisteredSite>,
        name: ImportName,
        rows: Vec<Row>,
    ) -> impl Future<Output = Result<ImportReport, Unavailable>>;

    /// Sets all that an import contributed to zero. None: there is no such import.
    fn forget(
        &self,
        site: &Arc<RegisteredSite>,
        name: ImportName,
    ) -> impl Future<Output = Result<Option<ImportReport>, Unavailable>>;

    fn sources(&self, site: &Arc<RegisteredSite>) -> impl Future<Output = Result<Vec<SourceAccount>, Unavailable>>;

    /// Up to `limit` rows of the site, summed over all sources, after the row `after` (period and
    /// page, the site's own first): called again and again, an export of any size in bounded memory.
    fn export(
        &self,
        site: &Arc<RegisteredSite>,
        after: Option<Row>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Row>, Unavailable>>;

    /// Holds all places that know the site's counts against one another.
    fn verify(&self, site: &Arc<RegisteredSite>) -> impl Future<Output = Result<Verification, Unavailable>>;

    /// Mends what Redis has of the site, as far as anyone can know what is right.
    fn repair(&self, site: &Arc<RegisteredSite>) -> impl Future<Output = Result<Repair, Unavailable>>;

    /// What this node's visitors have just seen, which its workers share.
    fn repeats(&self) -> &Repeats;

    /// Notes a hit that is not counted.
    fn spare(&self, site: &RegisteredSite, day: Day, kind: Kind);

    /// The hits that this node has not counted, by day and kind.
    fn uncounted(&self, site: &RegisteredSite) -> Vec<UncountedRow>;

    fn readiness(&self) -> Readiness;
}

/// A site's hits and the state they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// In the order of the periods asked for.
    pub hits: Vec<i64>,
    /// Changes with every change of the site's figures, so that an answer rendered for it can be sent
    /// again.
    pub version: u64,
    /// Redis is away: other nodes' newest hits are missing.
    pub stale: bool,
}

/// What was read for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read<T> {
    pub values: Vec<T>,
    /// Redis is away: other nodes' newest hits are missing.
    pub stale: bool,
}

/// A page and how often it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopPage {
    pub page: PageAddress,
    pub hits: i64,
    pub title: Option<PageTitle>,
}

/// Why something can't be done now; the client may try again later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unavailable {
    pub reason: String,
}

/// Whether hits can be made durable, and what else is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Why hits can't be made durable; none while they can.
    pub not_ready: Option<String>,
    /// Parts that are away or unwell while hits go on being counted: name and reason.
    pub degraded: Vec<(&'static str, String)>,
}
