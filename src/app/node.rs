//! The node: the ledger and, where there is one, its publication, as the server and Redis see them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

use crate::bots::{Kind as UncountedKind, UncountedRow};
use crate::change_feed::ChangeFeed;
use crate::clock;
use crate::counter::account::{ImportReport, SourceAccount};
use crate::counter::clock_trust::{Verdict, Witnesses};
use crate::counter::csv::{CsvError, Row};
use crate::counter::editor_rules::change::{Change, Refused};
use crate::counter::history::Block;
use crate::counter::page::TOP_MAX;
use crate::counter::page_index;
use crate::counter::source::ImportName;
use crate::counter::verification::{Repair, Verification};
use crate::counter::vouching::{Counted, NetworkTag, Vote};
use crate::counter::{
    Arrival, ChangedTitle, Contribution, Counter, Day, EditorRule, EditorToken, EditorTokens, FileDigest, GivenTitle,
    Grant, Grants, Known, Listing, PageAddress, PageIndex, PageTitle, Period, RegisteredSite, RemoteCounter, RowKey,
    Salt, Site, SiteId, SiteNumber, Sites, Sketch, Source, Standing, TokenName, Visit, VisitorCounts, Window, tokens,
};
use crate::ledger::{Admitted, Cleared, ImportFile, Ledger, LedgerError, OwnImport, Reading, SiteHits};
use crate::page::rule_1;
use crate::redis::{self, Publication};
use crate::server;
use crate::server::ports::{AdmittedPage, Counts, PageReader, Read, Readiness, TopPage, Unavailable};

use super::clock_watch::ClockWatch;
use super::former_pages::{self, FormerPages};
use super::live_grants::LiveGrants;
use super::recent_imports::{RecentImport, RecentImports};
use super::settled_reads::SettledReads;
use super::shown_figures::ShownFigures;
use super::uncounted::UncountedFile;

/// Figures that a reset reads at once.
const STANDING_STEP: usize = 500;

/// A counting node.
pub struct Node {
    pub(super) ledger: Ledger,
    sites: RwLock<Arc<Sites>>,
    /// Held while another table of sites is made.
    changing_sites: Mutex<()>,
    /// Set once, at start, where Redis is configured.
    publication: OnceLock<Publication>,
    pub(super) uncounted: UncountedFile,
    pub(super) now: fn() -> DateTime<Utc>,
    clock: ClockWatch,
    shown_figures: ShownFigures,
    pub(super) settled: SettledReads,
    recent_imports: RecentImports,
    former_pages: FormerPages,
    grants: LiveGrants,
}

impl Node {
    pub fn new(ledger: Ledger, sites: Sites, uncounted: UncountedFile, now: fn() -> DateTime<Utc>) -> Self {
        let clock = ClockWatch::of(&ledger);
        let grants = LiveGrants::default();
        grants.take(|| ledger.tokens());
        Self {
            ledger,
            sites: RwLock::new(Arc::new(sites)),
            changing_sites: Mutex::default(),
            publication: OnceLock::new(),
            uncounted,
            now,
            clock,
            shown_figures: ShownFigures::default(),
            settled: SettledReads::default(),
            recent_imports: RecentImports::default(),
            former_pages: FormerPages::default(),
            grants,
        }
    }

    /// Takes over the figures that were shown before the last clean stop.
    pub async fn recall_shown(&self) {
        match self.ledger.take_shown().await {
            Ok(figures) => self.shown_figures.recall(figures),
            Err(error) => tracing::warn!("the figures that were shown last can't be read: {error}"),
        }
    }

    /// Takes over the imports that earlier runs made.
    pub async fn recall_imports(&self) {
        let imports = match self.ledger.own_imports().await {
            Ok(imports) => imports,
            Err(error) => return tracing::warn!("the imports that were made here can't be read: {error}"),
        };
        for OwnImport { site, source, generation, is_compared } in imports {
            match is_compared {
                true => self.recent_imports.note_compared(site, source, generation),
                false => {
                    let import = RecentImport { site, source, generation: Some(generation) };
                    self.recent_imports.note(import, Instant::now());
                }
            }
        }
    }

    pub async fn keep_shown(&self) {
        if let Err(error) = self.ledger.keep_shown(self.shown_figures.all()).await {
            tracing::warn!("the figures that were shown last can't be written: {error}");
        }
    }

    pub fn publish_through(&self, publication: Publication) {
        // Only `app` calls it, once.
        let _ = self.publication.set(publication);
    }

    pub fn publication(&self) -> Option<&Publication> {
        self.publication.get()
    }

    /// Takes the tokens that the configuration has.
    pub fn replace_configured_tokens(&self, configured: BTreeMap<TokenName, Grant>) {
        self.grants.configure(configured, || self.ledger.tokens());
    }

    pub fn replace_sites(&self, sites: Sites) {
        self.change_sites(|_| sites);
    }

    /// Gives the sites the editors' rules that the file has now. Caches know the entries of such a site by its object.
    fn take_rules(&self) {
        self.change_sites(|current| Sites::clone(&current));
    }

    /// Replaces the table of sites, with the rules of this moment. Requests meanwhile use the table before.
    fn change_sites(&self, make: impl FnOnce(Arc<Sites>) -> Sites) {
        let _one_at_a_time = self.changing_sites.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sites = make(self.current_sites());
        sites.set_rules(self.ledger.editor_rules());
        *self.sites.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(sites);
    }

    /// Reads other nodes' counts of the site from Redis, and all of an import's; logs `loss` if that fails.
    async fn sync(&self, site: &RegisteredSite, import: Option<&Source>, loss: &str) {
        if let Some(publication) = self.publication.get()
            && !publication.sync_remote(self, site, import, Some(redis::SYNC_WAIT_MAX)).await
        {
            tracing::warn!(site = %site.site.id, "Redis could not be asked for other nodes' counts: {loss}");
        }
    }

    /// Reads an import's rows that another node may have made: a counter that it left out is set to 0 only if known here.
    async fn sync_before_change(&self, site: &RegisteredSite, name: &ImportName) {
        let import = Source::Import(name.clone());
        self.sync(site, Some(&import), "rows of this import that only another node knows stay").await;
    }

    /// Forgets what was shown or kept of a site, since its figures may fall.
    fn forget_figures(&self, site: SiteNumber) {
        self.shown_figures.forget(site);
        self.settled.forget(site);
    }

    fn note_import(&self, site: &RegisteredSite, name: ImportName, generation: Option<u64>) {
        // It may lower figures.
        self.forget_figures(site.number);
        let import = RecentImport { site: site.number, source: Source::Import(name), generation };
        self.recent_imports.note(import, Instant::now());
    }

    /// Figures of counters with Redis's, or, while it is away, without; none below what was shown a short time ago.
    pub(super) async fn shared_figures(
        &self,
        site: &RegisteredSite,
        publication: &Publication,
        mut counters: Vec<(Counter, Known)>,
    ) -> Read<i64> {
        let asked = self.shown_figures.fill(site.number, &mut counters);
        let shared = publication.queries.figures(&site.site, &counters).await;
        if let Some((figures, is_behind)) = &shared {
            let shown = (&figures[..], *is_behind);
            if self.shown_figures.note(site.number, &counters, shown, asked, Instant::now()) {
                let shown = counters.iter().zip(figures).filter(|(((_, page), _), _)| page.is_none());
                self.ledger
                    .raise_shown(site.number, shown.map(|(((period, _), known), figure)| (*period, known, *figure)));
            }
            if *is_behind {
                publication.shared.suspects.add(site.number);
            }
        }
        or_own(shared, counters.iter().map(|(_, known)| known.alone()).collect())
    }

    /// As `sync`, but without a limit of time and with nothing lost by a failure. True if nothing is left to read.
    pub async fn sync_now(&self, number: SiteNumber, import: Option<&Source>) -> bool {
        let (sites, publication) = (self.current_sites(), self.publication.get());
        let (Some(site), Some(publication)) = (sites.by_number(number), publication) else { return true };
        publication.shared.connections.is_up() && publication.sync_remote(self, site, import, None).await
    }

    /// Reads what Redis has of recent imports: another node may have made one of the same name at the same time. The node
    /// that has made the later one clears the rest of the other; the other node then reads that.
    pub async fn compare_imports(&self) {
        for import in self.recent_imports.take(Instant::now()) {
            let RecentImport { site, source, generation } = &import;
            if !self.sync_now(*site, Some(source)).await {
                self.recent_imports.note_again(import, Instant::now());
                continue;
            }
            let Some(generation) = *generation else { continue };
            let cleared = self.ledger.clear_earlier_imports(*site, source, generation).await;
            self.settled.forget(*site);
            match cleared {
                // More may be on its way.
                Ok(Cleared::Some) | Err(_) => {
                    self.recent_imports.note_again(import, Instant::now());
                    continue;
                }
                Ok(Cleared::Nothing) => {}
                Ok(Cleared::IsEarlier) => {
                    let import = RecentImport { generation: None, ..import.clone() };
                    self.recent_imports.note_again(import, Instant::now());
                }
            }
            if let Err(error) = self.ledger.note_compared(*site, source, generation).await {
                // The next start compares it again.
                tracing::debug!("a compared import can't be noted: {error}");
            }
        }
    }

    /// The site's addresses that are read together as one page.
    async fn page_index(&self, site: &RegisteredSite) -> Result<Arc<PageIndex>, Unavailable> {
        let (rules, now) = (&site.site.page_rules, Instant::now());
        if let Some(index) = self.former_pages.get(site, now) {
            return Ok(index);
        }
        let of_file = rules.clone();
        let present = move |page: &PageAddress| rule_1::present(page, &of_file);
        let read = self.ledger.former_pages(site.number, page_index::FORMER_MAX, present).await;
        let mut pairs = read.map_err(unavailable)?;
        let redis = match self.publication.get() {
            None => former_pages::Redis::None,
            Some(publication) => {
                let is_former = |page: &PageAddress| rule_1::is_recognised(page, rules);
                let (pages, is_whole) = publication.queries.former_pages(&site.site, is_former).await;
                pairs.extend(pages.into_iter().filter_map(|old| rule_1::present(&old, rules).map(|page| (old, page))));
                if is_whole { former_pages::Redis::Whole } else { former_pages::Redis::Part }
            }
        };
        Ok(self.former_pages.put(site, pairs, redis, now))
    }

    /// The hits that stand under each of these addresses, read now.
    pub(super) async fn read_hits_under(
        &self,
        site: &RegisteredSite,
        addresses: Vec<PageAddress>,
        periods: &[Period],
    ) -> Result<Read<i64>, Unavailable> {
        let counts = self.ledger.page_counts(site.number, addresses.clone(), periods.to_vec());
        let known = counts.await.map_err(unavailable)?;
        let Some(publication) = self.publication.get() else {
            return Ok(Read { values: known.iter().map(Known::hits).collect(), stale: false });
        };
        let places = addresses.iter().flat_map(|page| periods.iter().map(move |period| (*period, Some(page.clone()))));
        Ok(self.shared_figures(site, publication, places.zip(known).collect()).await)
    }

    /// The most read pages of a period, read now.
    pub(super) async fn most_read(
        &self,
        site: &Arc<RegisteredSite>,
        period: Period,
        limit: usize,
        listing: Listing,
    ) -> Result<Read<TopPage>, Unavailable> {
        let index = self.page_index(site).await?;
        let listed_max = index.candidates(limit);
        let own = self.ledger.top_pages(site.number, period, listed_max.max(TOP_MAX)).await.map_err(unavailable)?;
        let shared = match self.publication.get() {
            None => None,
            Some(publication) => publication.queries.top_pages(&site.site, period, listed_max).await,
        };
        let is_unread = shared.is_none() && self.publication.get().is_some();
        let mut pages = shared.unwrap_or_default();
        // Of its own, those that Redis may not have yet.
        let known: std::collections::HashSet<_> = pages.iter().cloned().collect();
        pages.extend(own.iter().filter(|page| !known.contains(page)).cloned());
        let pages = index.presented(pages, listing);
        let hits = server::ports::Node::page_hits(self, site, &pages, &[period]).await?;
        let counted = most_read(pages.into_iter().zip(hits.values), limit);
        let addresses = counted.iter().flat_map(|(page, _)| index.addresses(page)).cloned();
        let read = self.titles(site, addresses.collect()).await?;
        let mut titles = read.values.into_iter();
        let titled = |(page, hits): (PageAddress, i64)| {
            // The shown page's own comes first.
            let of_page: Vec<_> = titles.by_ref().take(index.addresses(&page).count()).collect();
            TopPage { title: of_page.into_iter().flatten().next(), page, hits }
        };
        let values = counted.into_iter().map(titled).collect();
        Ok(Read { values, stale: is_unread || hits.stale || read.stale })
    }

    /// Titles of pages, an editor's before those of readers; stale where Redis couldn't be read.
    async fn titles(
        &self,
        site: &RegisteredSite,
        pages: Vec<PageAddress>,
    ) -> Result<Read<Option<PageTitle>>, Unavailable> {
        let rules = site.editor_rules.as_deref();
        let given: Vec<_> = pages.iter().map(|page| rules?.title(page)).collect();
        let read = match site.site.titles {
            true => self.readers_titles(site, pages).await?,
            false => Read { values: vec![None; pages.len()], stale: false },
        };
        let joined = given.into_iter().zip(read.values).map(|(given, readers)| PageTitle::shown(given, readers));
        Ok(Read { values: joined.collect(), stale: read.stale })
    }

    /// Titles that readers gave pages, stale where Redis couldn't be read. Those that Redis lacks are brought there.
    async fn readers_titles(
        &self,
        site: &RegisteredSite,
        pages: Vec<PageAddress>,
    ) -> Result<Read<Option<PageTitle>>, Unavailable> {
        let own = self.ledger.titles(site.number, pages.clone()).await.map_err(unavailable)?;
        let shared = match self.publication.get() {
            None => None,
            Some(publication) => publication.queries.titles(&site.site, &pages).await,
        };
        let Some(shared) = shared else {
            let values = own.into_iter().map(|own| Some(own?.title)).collect();
            return Ok(Read { values, stale: self.publication.get().is_some() });
        };
        let latest = pages.into_iter().zip(own).zip(shared).map(|((page, own), shared)| match newest(own, shared) {
            Newest::Own(GivenTitle { title, given_ms }) => {
                let changed = ChangedTitle { site: site.number, page, title: title.clone(), given_ms };
                self.ledger.changes().note_title(changed);
                Some(title)
            }
            Newest::Shared(title) => title,
        });
        Ok(Read { values: latest.collect(), stale: false })
    }

    /// All counters of the site with their figures, those of pages among them that only other nodes have counted.
    async fn standing_figures(&self, site: &Arc<RegisteredSite>) -> Result<Vec<(Standing, i64)>, Unavailable> {
        let mut standing = self.ledger.standing(site.number).await.map_err(unavailable)?;
        let Some(publication) = self.publication.get() else {
            return Ok(standing.into_iter().map(|one| (one.clone(), one.sum)).collect());
        };
        let behind = || Unavailable {
            reason: "Redis can't be read or lacks some counts, so other nodes' are not known; try again in a minute"
                .to_owned(),
        };
        let known: HashSet<_> = standing.iter().map(|one| (one.period, one.page.clone())).collect();
        for period in Publication::page_periods(site, (self.now)()) {
            let pages = publication.queries.pages(&site.site, period).await.ok_or_else(behind)?;
            let elsewhere = pages.into_iter().map(Some).filter(|page| !known.contains(&(period, page.clone())));
            standing.extend(elsewhere.map(|page| Standing { period, page, sum: 0, reset: 0 }));
        }
        // What was shown in the last minute is no floor here.
        self.shown_figures.forget(site.number);
        let mut figures = Vec::with_capacity(standing.len());
        standing.sort_by_key(|one| (one.page.is_some(), one.period.number()));
        for of_period in standing.chunk_by(same_key) {
            for some in of_period.chunks(STANDING_STEP) {
                let read = match some.first() {
                    Some(Standing { period, page: Some(_), .. }) => {
                        let pages = some.iter().filter_map(|one| one.page.clone()).collect();
                        self.read_hits_under(site, pages, &[*period]).await?
                    }
                    _ => {
                        let periods: Vec<_> = some.iter().map(|one| one.period).collect();
                        self.site_figures(site, &periods).await?
                    }
                };
                if read.stale {
                    return Err(behind());
                }
                figures.extend(some.iter().cloned().zip(read.values));
            }
        }
        Ok(figures)
    }

    /// The vote of a page's reader.
    fn reading(&self, site: &RegisteredSite, day: Day, reader: PageReader) -> Reading {
        let wanted = site.site.vouching_networks;
        let salt = (wanted > 1).then(|| self.ledger.salt(site.number, day)).flatten();
        let tag = salt.map(|salt| NetworkTag::of(&salt, &site.site.counted_as, reader.client));
        Reading { tag, wanted }
    }

    /// Redis is away: other nodes' newest hits are missing.
    fn is_stale(&self) -> bool {
        self.publication.get().is_some_and(|publication| !publication.shared.connections.is_up())
    }

    /// The time by a clock that is believed. None: nothing may be deleted.
    pub fn believed_now(&self) -> Option<DateTime<Utc>> {
        let now = (self.now)();
        (self.clock.judge(now, self) == Verdict::Believed).then_some(now)
    }

    /// The doubt about the clock, in words.
    fn clock_doubt(&self) -> Option<String> {
        let now = (self.now)();
        match self.clock.judge(now, self) {
            Verdict::Doubted(doubt) => Some(doubt.in_words(now)),
            Verdict::Believed => None,
        }
    }

    /// Judges the clock by what the file knows; records that it is believed, now and then and at the end.
    pub async fn look_at_clock(&self, is_end: bool) {
        let (now, sites) = ((self.now)(), self.current_sites());
        if is_end {
            self.clock.record_soon();
        }
        let looked = self.clock.look(now, self, &self.ledger, &sites).await;
        if let Err(error) = looked {
            // Tried again soon; at the end, the next start goes by an older record.
            tracing::debug!("the file can't be asked about the clock now: {error}");
        }
    }

    /// Writes the figures that were shown, as far as the file has less.
    pub async fn write_floors(&self, is_end: bool) {
        if let Err(error) = self.ledger.write_floors(is_end).await {
            // Tried again soon.
            tracing::debug!("the figures that were shown can't be written now: {error}");
        }
    }

    pub fn current_sites(&self) -> Arc<Sites> {
        Arc::clone(&self.sites.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// True if Redis has both counters in one key.
fn same_key(a: &Standing, b: &Standing) -> bool {
    let key = |one: &Standing| one.page.as_ref().map(|_| one.period);
    key(a) == key(b)
}

/// The figures with Redis's, or, while it is away, what the node knows by itself.
fn or_own(shared: Option<(Vec<i64>, bool)>, own: Vec<i64>) -> Read<i64> {
    match shared {
        Some((values, stale)) => Read { values, stale },
        None => Read { values: own, stale: true },
    }
}

/// A page's title, with the place that has the latest one.
#[derive(Debug, PartialEq, Eq)]
enum Newest {
    /// This node; Redis lacks it.
    Own(GivenTitle),
    Shared(Option<PageTitle>),
}

/// The later of this node's title and Redis's.
fn newest(own: Option<GivenTitle>, shared: Option<(i64, PageTitle)>) -> Newest {
    match (own, shared) {
        (Some(own), shared) if shared.as_ref().is_none_or(|(given_ms, _)| own.given_ms > *given_ms) => Newest::Own(own),
        (_, shared) => Newest::Shared(shared.map(|(_, title)| title)),
    }
}

/// The pages with most hits, first by hits and then by address; none without hits.
fn most_read(pages: impl Iterator<Item = (PageAddress, i64)>, limit: usize) -> Vec<(PageAddress, i64)> {
    let mut pages: Vec<_> = pages.filter(|(_, hits)| *hits > 0).collect();
    pages.sort_by(|(page, hits), (other_page, other_hits)| (other_hits, page).cmp(&(hits, other_page)));
    pages.truncate(limit);
    pages
}

impl Witnesses for Node {
    fn redis(&self) -> Option<DateTime<Utc>> {
        self.publication.get().and_then(|publication| publication.shared.server_time.now())
    }

    fn kernel(&self, now: DateTime<Utc>) -> bool {
        clock::is_synchronised(now) == Some(true)
    }
}

pub(super) fn unavailable(error: LedgerError) -> Unavailable {
    Unavailable { reason: error.0.to_string() }
}

impl server::ports::Node for Node {
    type ImportFile = ImportFile;

    fn sites(&self) -> Arc<Sites> {
        self.current_sites()
    }

    async fn count(&self, arrival: Arrival) -> Result<(), Unavailable> {
        self.ledger.count(arrival).await.map_err(unavailable)
    }

    async fn reload(&self, site: &RegisteredSite, day: Day, visit: Visit) -> Result<(), Unavailable> {
        self.ledger.reload(site.number, day, visit).await.map_err(unavailable)
    }

    async fn refresh(&self, site: &Arc<RegisteredSite>) {
        if let Some(publication) = self.publication.get() {
            publication.totals.refresh(site.number).await;
        }
    }

    fn version(&self, site: &RegisteredSite) -> Option<(u64, bool)> {
        let (version, is_behind) = self.ledger.version(site.number)?;
        Some((version, is_behind || self.is_stale()))
    }

    async fn hits(&self, site: &Arc<RegisteredSite>, periods: &[Period]) -> Result<Counts, Unavailable> {
        let SiteHits { mut hits, mut version, mut is_behind, were_read } =
            self.ledger.hits(site.number, periods).await.map_err(unavailable)?;
        if !were_read && let Some(publication) = self.publication.get() {
            publication.totals.read_again(site.number).await;
            SiteHits { hits, version, is_behind, .. } =
                self.ledger.hits(site.number, periods).await.map_err(unavailable)?;
        }
        Ok(Counts { hits, version, stale: is_behind || self.is_stale() })
    }

    fn salt(&self, site: &Arc<RegisteredSite>, day: Day) -> Option<Salt> {
        self.ledger.salt(site.number, day)
    }

    async fn draw_salt(&self, site: &Arc<RegisteredSite>, day: Day) -> Option<Salt> {
        let drawn = Salt::new(rand::random());
        let shared = match self.publication.get() {
            Some(publication) => publication.share_salt(&site.site, day, drawn).await,
            None => None,
        };
        let is_shared = shared.is_some();
        let kept = self.ledger.keep_salt(site.number, day, shared.unwrap_or(drawn), is_shared).await;
        kept.map_err(|error| tracing::debug!(site = %site.site.id, "no visitor is counted: {error}")).ok()
    }

    async fn visitors(
        &self,
        site: &Arc<RegisteredSite>,
        now: DateTime<Utc>,
    ) -> Result<(VisitorCounts, u64), Unavailable> {
        self.ledger.visitors(site, now).await.map_err(unavailable)
    }

    async fn admit_page(
        &self,
        site: &Arc<RegisteredSite>,
        day: Day,
        page: PageAddress,
        reader: PageReader,
    ) -> AdmittedPage {
        let client = reader.client.filter(|_| reader.is_limited);
        if site.site.vouching_networks > 1 && self.ledger.salt(site.number, day).is_none() {
            // Without one, this hit's network vouches for nothing.
            let _ = server::ports::Node::draw_salt(self, site, day).await;
        }
        let reading = self.reading(site, day, reader);
        let elsewhere = async || match self.publication.get() {
            None => Some(false),
            Some(publication) => publication.queries.is_vouched(&site.site, &page).await,
        };
        let Admitted { excess, is_settled, is_cap_filling } =
            self.ledger.admit_page(site, day, &page, client, reading, elsewhere).await;
        let page = if excess.is_none() { page } else { PageAddress::other() };
        AdmittedPage { page, is_settled, is_cap_filling }
    }

    fn note_title(
        &self,
        site: &RegisteredSite,
        (page, day): (&PageAddress, Day),
        title: &str,
        link: &dyn Fn() -> Option<String>,
        reader: &dyn Fn() -> PageReader,
    ) {
        let reading = || self.reading(site, day, reader());
        self.ledger.note_title((site.number, page, day), title, link, (self.now)().timestamp_millis(), reading);
    }

    async fn page_hits(
        &self,
        site: &Arc<RegisteredSite>,
        pages: &[PageAddress],
        periods: &[Period],
    ) -> Result<Read<i64>, Unavailable> {
        let index = self.page_index(site).await?;
        // A query may name a page many times, under each of its addresses.
        let mut places = HashMap::new();
        let mut shown = Vec::new();
        for page in pages.iter().filter_map(|page| index.shown(page)) {
            places.entry(page).or_insert_with(|| {
                shown.push(page);
                shown.len() - 1
            });
        }
        let addresses = shown.iter().flat_map(|page| index.addresses(page)).cloned().collect();
        let read = self.hits_under(site, addresses, periods).await?;
        let mut hits = read.values.into_iter();
        let sums: Vec<_> = shown
            .iter()
            .map(|page| {
                let mut sums = vec![0; periods.len()];
                for _ in index.addresses(page) {
                    sums.iter_mut().zip(&mut hits).for_each(|(sum, hits)| *sum += hits);
                }
                sums
            })
            .collect();
        let of_page = |page| match index.shown(page).and_then(|shown| places.get(shown)) {
            Some(place) => sums[*place].clone(),
            None => vec![0; periods.len()],
        };
        Ok(Read { values: pages.iter().flat_map(of_page).collect(), stale: read.stale })
    }

    async fn page_titles(
        &self,
        site: &Arc<RegisteredSite>,
        pages: Vec<PageAddress>,
    ) -> Result<Read<Option<PageTitle>>, Unavailable> {
        self.titles(site, pages).await
    }

    async fn top_pages(
        &self,
        site: &Arc<RegisteredSite>,
        period: Period,
        limit: usize,
        listing: Listing,
    ) -> Result<Read<TopPage>, Unavailable> {
        self.listed(site, period, limit, listing).await
    }

    async fn change_rule(
        &self,
        site: &Arc<RegisteredSite>,
        change: Change,
    ) -> Result<Result<EditorRule, Refused>, Unavailable> {
        let now_ms = (self.now)().timestamp_millis();
        let changed = self.ledger.change_rule(site.number, change, now_ms).await.map_err(unavailable)?;
        if let Ok(rule) = &changed {
            self.take_rules();
            if let Some(publication) = self.publication.get() {
                publication.publish_rule(&site.site, rule).await;
            }
        }
        Ok(changed)
    }

    async fn removed_sites(&self) -> Result<Vec<SiteId>, Unavailable> {
        let sites = self.current_sites();
        let mut removed = self.ledger.removed_sites(&sites).await.map_err(unavailable)?;
        let Some(publication) = self.publication.get() else { return Ok(removed) };
        let mut known: HashSet<_> = sites.iter().map(|site| site.site.counted_as.clone()).collect();
        known.extend(removed.iter().cloned());
        for id in publication.queries.site_ids().await.unwrap_or_default() {
            if known.insert(id.clone()) {
                let site = Site::with_defaults(id, Vec::new());
                removed.extend((publication.queries.has_hits(&site).await == Some(true)).then_some(site.id));
            }
        }
        Ok(removed)
    }

    async fn stored_site(&self, id: &SiteId) -> Result<Option<Arc<RegisteredSite>>, Unavailable> {
        let stored = self.ledger.stored_site(&self.current_sites(), id).await.map_err(unavailable)?;
        if let (None, Some(publication)) = (&stored, self.publication.get()) {
            let site = Site::with_defaults(id.clone(), Vec::new());
            if publication.queries.has_hits(&site).await == Some(true) {
                // The file takes other nodes' counts.
                let registered = self.ledger.register(vec![site]).await.map_err(unavailable)?;
                return Ok(registered.get(id.as_str()).cloned());
            }
        }
        Ok(stored)
    }

    fn grants(&self) -> Arc<Grants> {
        self.grants.get()
    }

    async fn change_token(&self, change: tokens::change::Change) -> Result<Result<EditorToken, Refused>, Unavailable> {
        let (configured, now_ms) = (self.grants.configured(), (self.now)().timestamp_millis());
        let changed = self.ledger.change_token(change, configured, now_ms).await.map_err(unavailable)?;
        if let Ok(token) = &changed {
            self.grants.take(|| self.ledger.tokens());
            if let Some(publication) = self.publication.get() {
                publication.publish_token(token).await;
            }
        }
        Ok(changed)
    }

    async fn history(&self, site: &Arc<RegisteredSite>, block: Block) -> Result<Read<i64>, Unavailable> {
        self.block(site, block).await
    }

    async fn imported(&self, site: &RegisteredSite, periods: Vec<Period>) -> Result<Vec<i64>, Unavailable> {
        self.ledger.imported(site.number, periods).await.map_err(unavailable)
    }

    async fn recent(&self, site: &Arc<RegisteredSite>, days: usize) -> Result<Read<i64>, Unavailable> {
        self.last_days_and_month(site, days).await
    }

    fn last_hit(&self, site: &RegisteredSite) -> Option<DateTime<Utc>> {
        let since = self.ledger.since_last_hit(site.number)?;
        (self.now)().checked_sub_signed(TimeDelta::from_std(since).ok()?)
    }

    fn begin_import(&self) -> Result<ImportFile, Unavailable> {
        self.ledger.begin_import().map_err(unavailable)
    }

    async fn finish_import(
        &self,
        site: &Arc<RegisteredSite>,
        name: ImportName,
        file: ImportFile,
    ) -> Result<Result<ImportReport, CsvError>, Unavailable> {
        self.sync_before_change(site, &name).await;
        // Before it too: it is completed even if the caller goes away.
        self.note_import(site, name.clone(), None);
        let imported = self.ledger.finish_import(site.number, name.clone(), file, (self.now)()).await;
        let report = imported.as_ref().ok().and_then(|imported| imported.as_ref().ok());
        self.note_import(site, name, report.and_then(|report| report.generation));
        imported.map_err(unavailable)
    }

    async fn forget(&self, site: &Arc<RegisteredSite>, name: ImportName) -> Result<Option<ImportReport>, Unavailable> {
        self.sync_before_change(site, &name).await;
        self.note_import(site, name.clone(), None);
        let forgotten = self.ledger.forget(site.number, name.clone(), (self.now)()).await;
        let generation = forgotten.as_ref().ok().and_then(|report| report.as_ref()?.generation);
        self.note_import(site, name, generation);
        forgotten.map_err(unavailable)
    }

    async fn reset(&self, site: &Arc<RegisteredSite>) -> Result<ImportReport, Unavailable> {
        let name = ImportName::reset();
        self.sync_before_change(site, &name).await;
        let figures = self.standing_figures(site).await?;
        self.note_import(site, name.clone(), None);
        let reset = self.ledger.reset(site.number, figures, (self.now)()).await;
        self.note_import(site, name, reset.as_ref().ok().and_then(|report| report.generation));
        reset.map_err(unavailable)
    }

    async fn undo_reset(&self, site: &Arc<RegisteredSite>) -> Result<Option<ImportReport>, Unavailable> {
        server::ports::Node::forget(self, site, ImportName::reset()).await
    }

    async fn sources(&self, site: &Arc<RegisteredSite>) -> Result<Vec<SourceAccount>, Unavailable> {
        self.sync(site, None, "the list of sources may be ten minutes old").await;
        self.ledger.sources(site.number).await.map_err(unavailable)
    }

    async fn export(
        &self,
        site: &Arc<RegisteredSite>,
        after: Option<Row>,
        limit: usize,
    ) -> Result<Vec<Row>, Unavailable> {
        if after.is_none() {
            self.sync(site, None, "the export may lack those of the last ten minutes").await;
        }
        self.ledger.export(site.number, after, limit).await.map_err(unavailable)
    }

    async fn verify(&self, site: &Arc<RegisteredSite>) -> Result<Verification, Unavailable> {
        self.ledger.fold().await.map_err(unavailable)?;
        let faults = self.ledger.faults(site, (self.now)()).await.map_err(unavailable)?;
        let with_advice = |fault| format!("the node's file: {fault}; stop the node and restore a backup");
        let compared = match self.publication.get() {
            None => None,
            Some(publication) => Some(publication.verify(self, site).await),
        };
        Ok(Verification::of(faults.into_iter().map(with_advice), compared))
    }

    async fn repair(&self, site: &Arc<RegisteredSite>) -> Result<Repair, Unavailable> {
        match self.publication.get() {
            None => Ok(Repair::default()),
            Some(publication) => {
                let repaired = publication.repair(self, site).await.map_err(|reason| Unavailable { reason })?;
                // It may have been shown that Redis had too much. First in memory: what was read before is noted no more.
                self.forget_figures(site.number);
                self.ledger.forget_shown(site.number).await.map_err(unavailable)?;
                Ok(repaired)
            }
        }
    }

    async fn accept_clock(&self) -> Result<DateTime<Utc>, Unavailable> {
        let now = (self.now)();
        self.clock.accept(now, &self.ledger, &self.current_sites()).await.map_err(unavailable)?;
        Ok(now)
    }

    fn note_uncounted(&self, site: &RegisteredSite, day: Day, kind: UncountedKind) {
        self.uncounted.note(&site.site.counted_as, day, kind);
    }

    fn uncounted(&self, site: &RegisteredSite) -> Vec<UncountedRow> {
        self.uncounted.rows(&site.site.counted_as)
    }

    fn readiness(&self) -> Readiness {
        Readiness {
            not_ready: self.ledger.failed().map(|reason| reason.to_string()),
            degraded: self
                .ledger
                .damage()
                .map(|damage| ("file", damage.to_owned()))
                .into_iter()
                .chain(self.clock_doubt().map(|doubt| ("clock", doubt)))
                .chain(self.publication.get().map(Publication::degraded).unwrap_or_default())
                .collect(),
        }
    }
}

impl redis::ports::Node for Node {
    fn sites(&self) -> Arc<Sites> {
        self.current_sites()
    }

    fn changes(&self) -> &ChangeFeed {
        self.ledger.changes()
    }

    fn recent(&self, site: SiteNumber) -> Vec<Contribution> {
        self.ledger.recent(site)
    }

    fn run(&self) -> &Source {
        self.ledger.run()
    }

    async fn rows(
        &self,
        site: SiteNumber,
        after: Option<RowKey>,
        limit: usize,
    ) -> Result<Vec<(RowKey, Contribution)>, String> {
        let rows = self.ledger.rows(site, after, limit).await;
        rows.map_err(|error| error.to_string())
    }

    async fn digests(&self, site: SiteNumber) -> Result<Vec<FileDigest>, String> {
        self.ledger.digests(site).await.map_err(|error| error.to_string())
    }

    async fn own_sources(&self, site: SiteNumber) -> Result<Vec<Source>, String> {
        self.ledger.own_sources(site).await.map_err(|error| error.to_string())
    }

    fn counters_to_read(&self, site: SiteNumber) -> Vec<(Period, Vec<Source>)> {
        self.ledger.counters_to_read(site)
    }

    fn apply_remote(&self, site: SiteNumber, counters: Vec<RemoteCounter>) -> bool {
        self.ledger.apply_remote(site, &counters)
    }

    async fn store_remote(&self, site: SiteNumber, contributions: Vec<Contribution>) {
        self.recent_imports.look_at(site, &contributions, Instant::now());
        let is_reset = |source: &Source| matches!(source, Source::Import(name) if name.is_reset());
        let reset = contributions.iter().map(|one| &one.source).find(|source| is_reset(source)).cloned();
        match self.ledger.merge_remote(site, contributions).await {
            Ok(false) => self.settled.forget(site),
            // It may lower figures.
            Ok(true) => {
                self.forget_figures(site);
                if let Some(source) = reset {
                    // Its pages are read soon: of other imports' nobody needs to know more than their sum.
                    self.recent_imports.note_again(RecentImport { site, source, generation: None }, Instant::now());
                }
            }
            Err(error) => tracing::debug!("failed to store other nodes' counters: {error}"),
        }
    }

    fn take_votes(&self, limit: usize) -> Vec<Vote> {
        self.ledger.take_votes(limit)
    }

    fn put_back_votes(&self, votes: Vec<Vote>) {
        self.ledger.put_back_votes(votes);
    }

    async fn apply_votes(&self, site: SiteNumber, day: Day, counted: Vec<Counted>) {
        if let Err(error) = self.ledger.apply_votes(site, day, counted).await {
            // Found again by the next look.
            tracing::debug!("failed to vouch for pages: {error}");
        }
    }

    async fn unvouched_pages(&self, after: i64, limit: usize) -> Result<Vec<(i64, SiteNumber, PageAddress)>, String> {
        self.ledger.unvouched_pages(after, limit).await.map_err(|error| error.to_string())
    }

    async fn vouch_pages(&self, site: SiteNumber, pages: Vec<PageAddress>) {
        if let Err(error) = self.ledger.vouch_pages(site, pages).await {
            tracing::debug!("failed to vouch for pages: {error}");
        }
    }

    async fn learn_rules(&self, learned: Vec<(SiteNumber, Vec<EditorRule>)>) {
        let mut has_changed = false;
        for (site, rules) in learned {
            match self.ledger.learn_rules(site, rules).await {
                Ok(is_later) => has_changed |= is_later,
                // Found again by the next exchange.
                Err(error) => tracing::debug!("failed to write other nodes' rules of pages: {error}"),
            }
        }
        if has_changed {
            self.take_rules();
        }
    }

    fn tokens(&self) -> Arc<EditorTokens> {
        self.ledger.tokens()
    }

    async fn learn_tokens(&self, learned: Vec<EditorToken>) {
        match self.ledger.learn_tokens(learned).await {
            Ok(true) => self.grants.take(|| self.ledger.tokens()),
            Ok(false) => {}
            // Found again by the next exchange.
            Err(error) => tracing::debug!("failed to write other nodes' tokens of editors: {error}"),
        }
    }

    fn take_sketches(&self, site: SiteNumber) -> Vec<(Window, Sketch)> {
        self.ledger.take_sketches(site)
    }

    fn put_back_sketches(&self, site: SiteNumber, windows: &[Window]) {
        self.ledger.put_back_sketches(site, windows);
    }

    fn publish_all_visitors_again(&self) {
        self.ledger.publish_all_sketches_again();
    }

    async fn visitor_estimates(&self, site: SiteNumber) -> Result<Vec<(Day, u64)>, String> {
        self.ledger.visitor_estimates(site).await.map_err(|error| error.to_string())
    }

    async fn shown_windows(&self, site: &RegisteredSite) -> Vec<Window> {
        let now = (self.now)();
        // What is read is merged into what is in memory.
        if !site.site.counts_visitors() || self.ledger.visitors(site, now).await.is_err() {
            return Vec::new();
        }
        crate::counter::visitor::shown_windows(&site.site, now)
    }

    fn apply_remote_visitors(&self, site: SiteNumber, window: Window, sketch: &Sketch) {
        self.ledger.apply_remote_sketch(site, window, sketch);
    }

    fn salts_to_share(&self) -> Vec<(SiteNumber, Day)> {
        self.ledger.salts_to_share(&self.current_sites(), (self.now)())
    }

    fn salt(&self, site: SiteNumber, day: Day) -> Option<Salt> {
        self.ledger.salt(site, day)
    }

    async fn keep_shared_salt(&self, site: SiteNumber, day: Day, salt: Salt) {
        if let Err(error) = self.ledger.keep_salt(site, day, salt, true).await {
            // It is asked for again.
            tracing::debug!("could not keep a salt: {error}");
        }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_read_pages_come_first_and_those_without_hits_not_at_all() {
        let pages = [("/b", 3), ("/d", 0), ("/a", 3), ("/c", 9), ("/e", -1)];
        let pages = pages.map(|(page, hits)| (PageAddress::from_stored(page), hits));
        let top = |limit| {
            let top = most_read(pages.iter().cloned(), limit);
            top.into_iter().map(|(page, hits)| (page.to_string(), hits)).collect::<Vec<_>>()
        };
        let expected = [("/c", 9), ("/a", 3), ("/b", 3)].map(|(page, hits)| (page.to_owned(), hits));
        assert_eq!(top(9), expected);
        assert_eq!(top(2), expected[..2]);
    }

    #[test]
    fn the_latest_title_wins_and_redis_is_given_one_that_it_lacks() {
        let title = |text| PageTitle::of(text).unwrap();
        let own = |given_ms| Some(GivenTitle { title: title("own"), given_ms });
        let shared = |given_ms| Some((given_ms, title("shared")));
        assert_eq!(newest(own(2), shared(1)), Newest::Own(own(2).unwrap()));
        assert_eq!(newest(own(1), None), Newest::Own(own(1).unwrap()));
        assert_eq!(newest(own(1), shared(1)), Newest::Shared(Some(title("shared"))), "published already");
        assert_eq!(newest(own(1), shared(2)), Newest::Shared(Some(title("shared"))));
        assert_eq!(newest(None, shared(1)), Newest::Shared(Some(title("shared"))));
        assert_eq!(newest(None, None), Newest::Shared(None));
    }

    #[test]
    fn without_redis_the_nodes_own_figures_are_shown_as_stale() {
        let (shown, own) = (or_own(Some((vec![5], false)), vec![3]), or_own(None, vec![3]));
        assert_eq!((shown.values, shown.stale), (vec![5], false));
        assert_eq!((own.values, own.stale), (vec![3], true));
    }
}
