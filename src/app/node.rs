//! The node: the ledger and, where there is one, its publication, as the server and Redis see them.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use chrono::{DateTime, Utc};

use crate::bots::{Kind as UncountedKind, UncountedRow};
use crate::counter::account::{ImportReport, SourceAccount};
use crate::counter::csv::Row;
use crate::counter::source::ImportName;
use crate::counter::verification::{Findings, Kind, Repair, Verification};
use crate::counter::{
    Arrival, ChangedPage, ClientPrefix, Contribution, Day, PageAddress, PageTitle, Period, RegisteredSite, Salt,
    SiteNumber, Sites, Sketch, Source, Visit, VisitorCounts, Window,
};
use crate::ledger::{Ledger, LiveHits, NotDurable, Seen, TOP_MAX};
use crate::redis::node::{ChangedTitle, RowKey, Sighting};
use crate::redis::{self, Publication};
use crate::server;
use crate::server::node::{Counts, Read, Readiness, TopPage, Unavailable};
use crate::server::repeats::Repeats;

use super::uncounted::UncountedFile;

/// A counting node.
pub struct Node {
    ledger: Ledger,
    sites: RwLock<Arc<Sites>>,
    /// Set once, at start, where Redis is configured.
    publication: OnceLock<Publication>,
    repeats: Repeats,
    uncounted: UncountedFile,
    now: fn() -> DateTime<Utc>,
}

impl Node {
    pub fn new(ledger: Ledger, sites: Sites, uncounted: UncountedFile, now: fn() -> DateTime<Utc>) -> Self {
        Self {
            ledger,
            sites: RwLock::new(Arc::new(sites)),
            publication: OnceLock::new(),
            repeats: Repeats::default(),
            uncounted,
            now,
        }
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub fn now(&self) -> DateTime<Utc> {
        (self.now)()
    }

    /// Writes down which hits were not counted, where any have come.
    pub fn write_uncounted(&self) {
        self.uncounted.write_changes();
    }

    pub fn publish_through(&self, publication: Publication) {
        // Only `app` calls it, once.
        let _ = self.publication.set(publication);
    }

    pub fn publication(&self) -> Option<&Publication> {
        self.publication.get()
    }

    pub fn replace_sites(&self, sites: Sites) {
        *self.sites.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(sites);
    }

    /// Deletes what of visitors is over.
    pub async fn forget_visitors(&self) -> Result<(), NotDurable> {
        self.ledger.forget_visitors(&self.current_sites(), (self.now)()).await
    }

    /// An import may have been made on another node: what it left out is set to 0 only if known here.
    async fn learn_before_change(&self, site: &RegisteredSite) {
        if let Some(publication) = self.publication.get()
            && !publication.learn(site.number).await
        {
            tracing::warn!(
                site = %site.site.id,
                "Redis could not be asked whether this import was made on another node; rows that only that node knows stay"
            );
        }
    }

    /// What pages call themselves; what Redis was found to lack of it is brought there.
    async fn titles(
        &self,
        site: &RegisteredSite,
        pages: Vec<PageAddress>,
    ) -> Result<Vec<Option<PageTitle>>, Unavailable> {
        let own = self.ledger.titles(site.number, pages.clone()).await.map_err(unavailable)?;
        let shared = match self.publication.get() {
            None => None,
            Some(publication) => publication.titles(&site.site, &pages).await,
        };
        let Some(shared) = shared else { return Ok(own.into_iter().map(|own| Some(own?.title)).collect()) };
        let latest = pages.into_iter().zip(own).zip(shared).map(|((page, own), shared)| match (own, shared) {
            (Some(own), shared) if shared.as_ref().is_none_or(|(given_ms, _)| own.given_ms > *given_ms) => {
                self.ledger.title_lacks((site.number, page, own.clone()));
                Some(own.title)
            }
            (_, shared) => shared.map(|(_, title)| title),
        });
        Ok(latest.collect())
    }

    /// Redis is away: other nodes' newest hits are missing.
    fn is_stale(&self) -> bool {
        self.publication.get().is_some_and(|publication| !publication.up())
    }

    fn current_sites(&self) -> Arc<Sites> {
        Arc::clone(&self.sites.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The figures with Redis's, or, while it is away, what the node knows by itself.
fn or_own(shared: Option<Vec<i64>>, own: Vec<i64>) -> Read<i64> {
    match shared {
        Some(values) => Read { values, stale: false },
        None => Read { values: own, stale: true },
    }
}

fn unavailable(error: NotDurable) -> Unavailable {
    Unavailable { reason: error.0.to_string() }
}

impl server::node::Node for Node {
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
            publication.refresh(site.number).await;
        }
    }

    fn version(&self, site: &RegisteredSite) -> Option<(u64, bool)> {
        Some((self.ledger.version(site.number)?, self.is_stale()))
    }

    async fn hits(&self, site: &Arc<RegisteredSite>, periods: &[Period]) -> Result<Counts, Unavailable> {
        let LiveHits { mut hits, mut version, were_read } =
            self.ledger.hits(site.number, periods).await.map_err(unavailable)?;
        if !were_read && let Some(publication) = self.publication.get() {
            publication.read_again(site.number).await;
            LiveHits { hits, version, .. } = self.ledger.hits(site.number, periods).await.map_err(unavailable)?;
        }
        Ok(Counts { hits, version, stale: self.is_stale() })
    }

    fn salt(&self, site: &Arc<RegisteredSite>, day: Day) -> Option<Salt> {
        self.ledger.salt(site.number, day)
    }

    async fn draw_salt(&self, site: &Arc<RegisteredSite>, day: Day) -> Option<Salt> {
        let drawn = Salt::new(rand::random());
        let shared = match self.publication.get() {
            Some(publication) => publication.share_salt(site.number, day, drawn).await,
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

    async fn admit(
        &self,
        site: &Arc<RegisteredSite>,
        day: Day,
        page: PageAddress,
        client: Option<ClientPrefix>,
    ) -> PageAddress {
        let elsewhere = async || match self.publication.get() {
            None => Some(false),
            Some(publication) => publication.knows_page(&site.site, &page).await,
        };
        match self.ledger.admit(site, day, &page, client, elsewhere).await {
            None => page,
            Some(_) => PageAddress::other(),
        }
    }

    fn titled(&self, site: &RegisteredSite, page: &PageAddress, title: &str) {
        self.ledger.titled(site.number, page, title, (self.now)().timestamp_millis());
    }

    async fn page_hits(
        &self,
        site: &Arc<RegisteredSite>,
        pages: &[PageAddress],
        periods: &[Period],
    ) -> Result<Read<i64>, Unavailable> {
        let counts = self.ledger.page_counts(site.number, pages.to_vec(), periods.to_vec());
        let known = counts.await.map_err(unavailable)?;
        let own = known.iter().map(|known| known.sum).collect();
        let Some(publication) = self.publication.get() else { return Ok(Read { values: own, stale: false }) };
        let places = pages.iter().flat_map(|page| periods.iter().map(move |period| (*period, page.clone())));
        let counters: Vec<_> = places.zip(known).map(|((period, page), known)| (period, page, known)).collect();
        Ok(or_own(publication.page_figures(&site.site, &counters).await, own))
    }

    async fn top_pages(
        &self,
        site: &Arc<RegisteredSite>,
        period: Period,
        limit: usize,
    ) -> Result<Read<TopPage>, Unavailable> {
        let limit = limit.min(TOP_MAX);
        let own = self.ledger.top_pages(site.number, period).await.map_err(unavailable)?;
        let shared = match self.publication.get() {
            None => None,
            Some(publication) => publication.top_pages(&site.site, period, limit).await,
        };
        let mut pages = shared.unwrap_or_default();
        // Of its own, those that Redis may not have yet.
        let known: std::collections::HashSet<_> = pages.iter().cloned().collect();
        pages.extend(own.iter().filter(|page| !known.contains(page)).cloned());
        let hits = self.page_hits(site, &pages, &[period]).await?;
        let mut counted: Vec<_> = pages.into_iter().zip(hits.values).filter(|(_, hits)| *hits > 0).collect();
        counted.sort_by(|(page, hits), (other_page, other_hits)| (other_hits, page).cmp(&(hits, other_page)));
        counted.truncate(limit);
        let pages: Vec<_> = counted.iter().map(|(page, _)| page.clone()).collect();
        let titles = self.titles(site, pages).await?;
        let values =
            counted.into_iter().zip(titles).map(|((page, hits), title)| TopPage { page, hits, title }).collect();
        Ok(Read { values, stale: hits.stale })
    }

    async fn history(&self, site: &Arc<RegisteredSite>, periods: &[Period]) -> Result<Read<i64>, Unavailable> {
        let known = self.ledger.site_counts(site.number, periods).await.map_err(unavailable)?;
        let own = known.iter().map(|known| known.sum).collect();
        let Some(publication) = self.publication.get() else { return Ok(Read { values: own, stale: false }) };
        let counters: Vec<_> = periods.iter().copied().zip(known).collect();
        Ok(or_own(publication.site_figures(&site.site, &counters).await, own))
    }

    async fn import(
        &self,
        site: &Arc<RegisteredSite>,
        name: ImportName,
        rows: Vec<Row>,
    ) -> Result<ImportReport, Unavailable> {
        self.learn_before_change(site).await;
        self.ledger.import(site.number, name, rows, (self.now)()).await.map_err(unavailable)
    }

    async fn forget(&self, site: &Arc<RegisteredSite>, name: ImportName) -> Result<Option<ImportReport>, Unavailable> {
        self.learn_before_change(site).await;
        self.ledger.forget(site.number, name, (self.now)()).await.map_err(unavailable)
    }

    async fn sources(&self, site: &Arc<RegisteredSite>) -> Result<Vec<SourceAccount>, Unavailable> {
        self.ledger.sources(site.number).await.map_err(unavailable)
    }

    async fn export(
        &self,
        site: &Arc<RegisteredSite>,
        after: Option<Row>,
        limit: usize,
    ) -> Result<Vec<Row>, Unavailable> {
        self.ledger.export(site.number, after, limit).await.map_err(unavailable)
    }

    async fn verify(&self, site: &Arc<RegisteredSite>) -> Result<Verification, Unavailable> {
        self.ledger.fold().await.map_err(unavailable)?;
        let mut findings = Findings::default();
        for fault in self.ledger.faults(site, (self.now)()).await.map_err(unavailable)? {
            findings.add(Kind::File, format!("the node's file: {fault}; stop the node and restore a backup"));
        }
        let mut verification = match self.publication.get() {
            None => Verification::default(),
            Some(publication) => publication.verify(site.number).await.unwrap_or_else(|reason| {
                findings.add(Kind::Away, reason);
                Verification { with_redis: true, ..Verification::default() }
            }),
        };
        findings.extend(std::mem::take(&mut verification.findings));
        Ok(Verification { agrees: findings.is_empty(), findings, ..verification })
    }

    async fn repair(&self, site: &Arc<RegisteredSite>) -> Result<Repair, Unavailable> {
        match self.publication.get() {
            None => Ok(Repair::default()),
            Some(publication) => publication.repair(site.number).await.map_err(|reason| Unavailable { reason }),
        }
    }

    fn repeats(&self) -> &Repeats {
        &self.repeats
    }

    fn spare(&self, site: &RegisteredSite, day: Day, kind: UncountedKind) {
        self.uncounted.note(&site.site.id, day, kind);
    }

    fn uncounted(&self, site: &RegisteredSite) -> Vec<UncountedRow> {
        self.uncounted.rows(&site.site.id)
    }

    fn readiness(&self) -> Readiness {
        Readiness {
            not_ready: self.ledger.failed().map(|reason| reason.to_string()),
            degraded: self
                .ledger
                .damage()
                .map(|damage| ("file", damage.to_owned()))
                .into_iter()
                .chain(self.publication.get().map(Publication::degraded).unwrap_or_default())
                .collect(),
        }
    }
}

impl redis::node::Node for Node {
    fn sites(&self) -> Arc<Sites> {
        self.current_sites()
    }

    fn take_changed_sites(&self, limit: usize) -> Vec<(SiteNumber, Instant)> {
        self.ledger.take_changed_sites(limit)
    }

    fn put_back_changed_site(&self, site: SiteNumber, since: Instant) {
        self.ledger.put_back_changed_site(site, since);
    }

    fn note_changed_site(&self, site: SiteNumber) {
        self.ledger.note_changed_site(site);
    }

    fn oldest_site_change(&self) -> Option<Instant> {
        self.ledger.oldest_site_change()
    }

    fn recent(&self, site: SiteNumber) -> Vec<Contribution> {
        self.ledger.recent(site)
    }

    fn run(&self) -> &Source {
        self.ledger.run()
    }

    fn take_changed_pages(&self) -> Vec<ChangedPage> {
        self.ledger.take_changed_pages()
    }

    fn has_changed_pages(&self) -> bool {
        self.ledger.has_changed_pages()
    }

    fn has_many_changed_pages(&self) -> bool {
        self.ledger.has_many_changed_pages()
    }

    fn take_changed_titles(&self, limit: usize) -> Vec<ChangedTitle> {
        let taken = self.ledger.take_changed_titles(limit).into_iter();
        taken
            .map(|(site, page, given)| ChangedTitle { site, page, title: given.title, given_ms: given.given_ms })
            .collect()
    }

    fn take_overflowed_sites(&self) -> Vec<SiteNumber> {
        self.ledger.take_overflowed_sites()
    }

    async fn rows(
        &self,
        site: SiteNumber,
        after: Option<RowKey>,
        limit: usize,
        unpublished_only: bool,
    ) -> Result<Vec<(RowKey, Contribution)>, String> {
        let after = after.map_or((0, -1, -1), |key| (key.period, key.page, key.source));
        let rows = self.ledger.rows(site, after, limit, unpublished_only).await.map_err(|error| error.to_string())?;
        Ok(rows
            .into_iter()
            .map(|((period, page, source), contribution)| (RowKey { period, page, source }, contribution))
            .collect())
    }

    async fn unpublished_sites(&self) -> Result<Vec<SiteNumber>, String> {
        self.ledger.unpublished_sites().await.map_err(|error| error.to_string())
    }

    async fn published_sources(&self, site: SiteNumber, limit: usize) -> Result<Vec<Source>, String> {
        self.ledger.published_sources(site, limit).await.map_err(|error| error.to_string())
    }

    async fn own_sources(&self, site: SiteNumber) -> Result<Vec<Source>, String> {
        self.ledger.own_sources(site).await.map_err(|error| error.to_string())
    }

    async fn mark_published(&self, site: SiteNumber, sources: Vec<Source>) {
        if let Err(error) = self.ledger.mark_published(site, sources).await {
            // Harmless: they are published again after the next start.
            tracing::debug!("could not note what is published: {error}");
        }
    }

    fn wanted(&self, site: SiteNumber) -> Vec<(Period, Vec<Source>)> {
        self.ledger.wanted(site)
    }

    fn saw(&self, site: SiteNumber, sightings: Vec<Sighting>) {
        let seen: Vec<_> = sightings
            .iter()
            .map(|sighting| Seen { period: sighting.period, total: sighting.total, contributed: &sighting.contributed })
            .collect();
        self.ledger.saw(site, &seen);
    }

    async fn learn(&self, site: SiteNumber, contributions: Vec<Contribution>) {
        if let Err(error) = self.ledger.merge(site, contributions, true).await {
            tracing::debug!("could not keep what Redis knows: {error}");
        }
    }
}

impl redis::visitors::Node for Node {
    fn take_changed_visitors(&self, limit: usize) -> Vec<SiteNumber> {
        self.ledger.take_changed_visitors(limit)
    }

    fn take_sketches(&self, site: SiteNumber) -> Vec<(Window, Sketch)> {
        self.ledger.take_sketches(site)
    }

    fn put_back_sketches(&self, site: SiteNumber, windows: &[Window]) {
        self.ledger.put_back_sketches(site, windows);
    }

    fn publish_all_visitors_again(&self) {
        self.ledger.publish_all_visitors_again();
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

    fn saw_visitors(&self, site: SiteNumber, window: Window, sketch: &Sketch) {
        self.ledger.saw_visitors(site, window, sketch);
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
