//! Port to the node: what the server needs of it. `app` implements it.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::bots::{Kind, UncountedRow};
use crate::counter::account::{ImportReport, SourceAccount};
use crate::counter::csv::{CsvError, Row, TakeLines};
use crate::counter::editor_rules::change::{Change, Refused};
use crate::counter::history::Block;
use crate::counter::source::ImportName;
use crate::counter::verification::{Repair, Verification};
use crate::counter::{
    Arrival, ClientPrefix, Day, EditorRule, EditorToken, Grants, Listing, PageAddress, PageTitle, Period,
    RegisteredSite, Salt, SiteId, Sites, Visit, VisitorCounts, tokens,
};

pub type Available<T> = Result<T, Unavailable>;

/// A node, which counts hits durably and knows the figures.
#[expect(async_fn_in_trait, reason = "a worker awaits them where it calls them: none needs to be `Send`")]
pub trait Node: Send + Sync + 'static {
    /// Takes the lines of an import, of any number.
    type ImportFile: TakeLines;

    /// The sites as configured now.
    fn sites(&self) -> Arc<Sites>;

    /// Counts a hit; resolves when it is on disk. Called on a worker thread, whose hits share a batch.
    async fn count(&self, arrival: Arrival) -> Available<()>;

    /// Records the visit of a reader who reloaded a page, which is no hit; resolves when it is on disk.
    async fn reload(&self, site: &RegisteredSite, day: Day, visit: Visit) -> Available<()>;

    /// Reads the site's totals from Redis, if it is configured and they are older than a second.
    /// Resolves when they are read, or when the wait takes too long.
    async fn refresh(&self, site: &Arc<RegisteredSite>);

    /// The version of the site's figures in memory, and true if they are stale. It equals the last one of
    /// [`Node::hits`] if nothing has changed since. None if no figures are in memory.
    fn version(&self, site: &RegisteredSite) -> Option<(u64, bool)>;

    /// The site's hits in each of `periods`, from memory, into which the site is loaded if need be.
    async fn hits(&self, site: &Arc<RegisteredSite>, periods: &[Period]) -> Available<Counts>;

    /// The salt for the visitor keys of a site's day, if it is known already.
    fn salt(&self, site: &Arc<RegisteredSite>, day: Day) -> Option<Salt>;

    /// Draws a salt for a site's day that outlives this process and, with Redis, is shared by all nodes.
    /// None if that can't be done now.
    async fn draw_salt(&self, site: &Arc<RegisteredSite>, day: Day) -> Option<Salt>;

    /// The site's visitors at `now`, and their version, which changes whenever they do.
    async fn visitors(&self, site: &Arc<RegisteredSite>, now: DateTime<Utc>) -> Available<(VisitorCounts, u64)>;

    /// The page under which a hit counts: its own, or `(other)` if its site, client or network has had its
    /// new pages of the day. Its network's reading helps to vouch for the page.
    async fn admit_page(
        &self,
        site: &Arc<RegisteredSite>,
        day: Day,
        page: PageAddress,
        reader: PageReader,
    ) -> AdmittedPage;

    /// Records the title that came with a counted hit. As a rule it is known; if not, `link` is called for the
    /// page's real address, and `reader` for its reader.
    fn note_title(
        &self,
        site: &RegisteredSite,
        page_and_day: (&PageAddress, Day),
        title: &str,
        link: &dyn Fn() -> Option<String>,
        reader: &dyn Fn() -> PageReader,
    );

    /// The hits of each page in each period: first all periods of the first page.
    async fn page_hits(
        &self,
        site: &Arc<RegisteredSite>,
        pages: &[PageAddress],
        periods: &[Period],
    ) -> Available<Read<i64>>;

    /// Titles of pages, an editor's before those of readers.
    async fn page_titles(
        &self,
        site: &Arc<RegisteredSite>,
        pages: Vec<PageAddress>,
    ) -> Available<Read<Option<PageTitle>>>;

    /// The most read pages of a period, the most read first. Equals are sorted by the bytes of their
    /// addresses.
    async fn top_pages(
        &self,
        site: &Arc<RegisteredSite>,
        period: Period,
        limit: usize,
        listing: Listing,
    ) -> Available<Read<TopPage>>;

    /// Changes a rule of the site's pages, unless its other rules are against it. The sites have it afterwards.
    async fn change_rule(&self, site: &Arc<RegisteredSite>, change: Change) -> Available<Result<EditorRule, Refused>>;

    /// Ids of sites that are not configured and have counts.
    async fn removed_sites(&self) -> Available<Vec<SiteId>>;

    /// The site whose counts are kept under an id, configured or removed.
    async fn stored_site(&self, id: &SiteId) -> Available<Option<Arc<RegisteredSite>>>;

    /// Editors' tokens that open something, as this node knows them.
    fn grants(&self) -> Arc<Grants>;

    /// Makes or revokes a token, unless the others are against it. This node goes by it afterwards.
    async fn change_token(&self, change: tokens::change::Change) -> Available<Result<EditorToken, Refused>>;

    /// The site's hits in each period of a block, which are not loaded into memory.
    async fn history(&self, site: &Arc<RegisteredSite>, block: Block) -> Available<Read<i64>>;

    /// The part of the site's hits in each of the periods that came by imports, as this node's file has it.
    async fn imported(&self, site: &RegisteredSite, periods: Vec<Period>) -> Available<Vec<i64>>;

    /// The site's hits in each of its last days, today's last, and in this month; they are not loaded into memory.
    async fn recent(&self, site: &Arc<RegisteredSite>, days: usize) -> Available<Read<i64>>;

    /// Time of the last hit that this node counted since its start, as far as memory knows it.
    fn last_hit(&self, site: &RegisteredSite) -> Option<DateTime<Utc>>;

    /// Begins an import: its lines go into the file, in a thread that may block.
    fn begin_import(&self) -> Available<Self::ImportFile>;

    /// Writes an import, wholly or not at all; refuses one with a wrong line.
    async fn finish_import(
        &self,
        site: &Arc<RegisteredSite>,
        name: ImportName,
        file: Self::ImportFile,
    ) -> Available<Result<ImportReport, CsvError>>;

    /// Sets all counters of an import to zero. None if there is no such import.
    async fn forget(&self, site: &Arc<RegisteredSite>, name: ImportName) -> Available<Option<ImportReport>>;

    /// Sets all figures of the site to zero, as they stand now.
    async fn reset(&self, site: &Arc<RegisteredSite>) -> Available<ImportReport>;

    /// Takes a reset back. None if there is none.
    async fn undo_reset(&self, site: &Arc<RegisteredSite>) -> Available<Option<ImportReport>>;

    async fn sources(&self, site: &Arc<RegisteredSite>) -> Available<Vec<SourceAccount>>;

    /// Up to `limit` rows of the site, summed over all sources, after the row `after` in the order of
    /// period and page. Repeated calls export any size in bounded memory.
    async fn export(&self, site: &Arc<RegisteredSite>, after: Option<Row>, limit: usize) -> Available<Vec<Row>>;

    /// Compares all places that hold the site's counts.
    async fn verify(&self, site: &Arc<RegisteredSite>) -> Available<Verification>;

    /// Repairs the site's keys in Redis, as far as the right values are known.
    async fn repair(&self, site: &Arc<RegisteredSite>) -> Available<Repair>;

    /// Believes the node's clock, since an operator says that it is right; returns its time.
    async fn accept_clock(&self) -> Available<DateTime<Utc>>;

    /// Records a hit that is not counted.
    fn note_uncounted(&self, site: &RegisteredSite, day: Day, kind: Kind);

    /// Hits that this node did not count, by day and kind.
    fn uncounted(&self, site: &RegisteredSite) -> Vec<UncountedRow>;

    fn readiness(&self) -> Readiness;
}

/// The reader of a page, as far as its network vouches for the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageReader {
    /// None where no address is known.
    pub client: Option<ClientPrefix>,
    /// False where nothing limits clients: each page is vouched for.
    pub is_limited: bool,
}

/// The page under which a hit counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmittedPage {
    pub page: PageAddress,
    /// The page's other hits of the day count alike, and no network's reading matters any more.
    pub is_settled: bool,
    /// The site has nearly as many new pages today as its `page_cap`.
    pub is_cap_filling: bool,
}

/// A site's hits, and the version of the figures that they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// In the order of the requested periods.
    pub hits: Vec<i64>,
    /// Changes with every change of the site's figures. An answer rendered for it can be sent again.
    pub version: u64,
    /// Redis is away: other nodes' newest hits are missing.
    pub stale: bool,
}

/// Values read for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read<T> {
    pub values: Vec<T>,
    /// Redis is away: other nodes' newest hits are missing.
    pub stale: bool,
}

/// A page, and the number of its hits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopPage {
    pub page: PageAddress,
    pub hits: i64,
    pub title: Option<PageTitle>,
}

/// A failure that may pass; the client may try again later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unavailable {
    pub reason: String,
}

/// State of the node: hits can be made durable or not, and which parts are degraded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// The reason why hits can't be made durable; none while they can.
    pub not_ready: Option<String>,
    /// Parts that fail while hits are still counted: name and reason.
    pub degraded: Vec<(&'static str, String)>,
}
