//! The node: the ledger and, where there is one, its publication, as the server and Redis see them.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use chrono::{DateTime, Utc};

use crate::bots::{CensusRow, Kind};
use crate::counter::account::{ImportReport, SourceAccount};
use crate::counter::csv::Row;
use crate::counter::source::ImportName;
use crate::counter::{
    Arrival, Contribution, Day, EnrolledSite, Period, Salt, SiteNumber, Sites, Sketch, Source, VisitorCounts, Window,
};
use crate::ledger::{Ledger, NotDurable, Seen};
use crate::redis::node::{RowKey, Sighting};
use crate::redis::{self, Publication};
use crate::server;
use crate::server::node::{Counts, Readiness, Unavailable};
use crate::server::repeats::Repeats;

use super::spared::Spared;

/// A counting node.
pub struct Node {
    ledger: Ledger,
    sites: RwLock<Arc<Sites>>,
    /// Set once, at start, where Redis is configured.
    publication: OnceLock<Publication>,
    repeats: Repeats,
    spared: Arc<Spared>,
    now: fn() -> DateTime<Utc>,
}

impl Node {
    pub fn new(ledger: Ledger, sites: Sites, spared: Arc<Spared>, now: fn() -> DateTime<Utc>) -> Self {
        Self {
            ledger,
            sites: RwLock::new(Arc::new(sites)),
            publication: OnceLock::new(),
            repeats: Repeats::default(),
            spared,
            now,
        }
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
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
    async fn learn_before_change(&self, site: &EnrolledSite) {
        if let Some(publication) = self.publication.get()
            && !publication.learn(site.number).await
        {
            tracing::warn!(
                site = %site.site.id,
                "Redis could not be asked whether this import was made on another node; rows that only that node knows stay"
            );
        }
    }

    fn current_sites(&self) -> Arc<Sites> {
        Arc::clone(&self.sites.read().unwrap_or_else(PoisonError::into_inner))
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

    async fn refresh(&self, site: &Arc<EnrolledSite>) {
        if let Some(publication) = self.publication.get() {
            publication.refresh(site.number).await;
        }
    }

    async fn hits(&self, site: &Arc<EnrolledSite>, periods: &[Period]) -> Result<Counts, Unavailable> {
        let (hits, version) = self.ledger.hits(site.number, periods).await.map_err(unavailable)?;
        let stale = self.publication.get().is_some_and(|publication| !publication.up());
        Ok(Counts { hits, version, stale })
    }

    fn salt(&self, site: &Arc<EnrolledSite>, day: Day) -> Option<Salt> {
        self.ledger.salt(site.number, day)
    }

    async fn draw_salt(&self, site: &Arc<EnrolledSite>, day: Day) -> Option<Salt> {
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
        site: &Arc<EnrolledSite>,
        now: DateTime<Utc>,
    ) -> Result<(VisitorCounts, u64), Unavailable> {
        self.ledger.visitors(site, now).await.map_err(unavailable)
    }

    async fn import(
        &self,
        site: &Arc<EnrolledSite>,
        name: ImportName,
        rows: Vec<Row>,
    ) -> Result<ImportReport, Unavailable> {
        self.learn_before_change(site).await;
        self.ledger.import(site.number, name, rows, (self.now)()).await.map_err(unavailable)
    }

    async fn forget(&self, site: &Arc<EnrolledSite>, name: ImportName) -> Result<Option<ImportReport>, Unavailable> {
        self.learn_before_change(site).await;
        self.ledger.forget(site.number, name, (self.now)()).await.map_err(unavailable)
    }

    async fn sources(&self, site: &Arc<EnrolledSite>) -> Result<Vec<SourceAccount>, Unavailable> {
        self.ledger.sources(site.number).await.map_err(unavailable)
    }

    async fn export(
        &self,
        site: &Arc<EnrolledSite>,
        after: Option<Row>,
        limit: usize,
    ) -> Result<Vec<Row>, Unavailable> {
        self.ledger.export(site.number, after, limit).await.map_err(unavailable)
    }

    fn repeats(&self) -> &Repeats {
        &self.repeats
    }

    fn spare(&self, site: &EnrolledSite, day: Day, kind: Kind) {
        self.spared.note(&site.site.id, day, kind);
    }

    fn spared(&self, site: &EnrolledSite) -> Vec<CensusRow> {
        self.spared.rows(&site.site.id)
    }

    fn readiness(&self) -> Readiness {
        Readiness {
            not_ready: self.ledger.failed().map(|reason| reason.to_string()),
            degraded: self.publication.get().map(Publication::degraded).unwrap_or_default(),
        }
    }
}

impl redis::node::Node for Node {
    fn sites(&self) -> Arc<Sites> {
        self.current_sites()
    }

    fn take_changed_sites(&self, limit: usize) -> Vec<SiteNumber> {
        self.ledger.take_changed_sites(limit)
    }

    fn put_back_changed_site(&self, site: SiteNumber) {
        self.ledger.put_back_changed_site(site);
    }

    fn recent(&self, site: SiteNumber) -> Vec<Contribution> {
        self.ledger.recent(site)
    }

    fn take_changed_pages(&self, limit: usize) -> Vec<(SiteNumber, Contribution)> {
        self.ledger.take_changed_pages(limit)
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

    async fn mark_published(&self, site: SiteNumber, sources: Vec<Source>) {
        if let Err(error) = self.ledger.mark_published(site, sources).await {
            // Harmless: they are published again after the next start.
            tracing::debug!("could not note what is published: {error}");
        }
    }

    async fn load_wanted(&self, site: SiteNumber) {
        let sites = self.current_sites();
        let Some(site) = sites.by_number(site) else { return };
        if let Err(error) = self.ledger.load_wanted(site, (self.now)()).await {
            tracing::debug!("could not load figures: {error}");
        }
    }

    fn wanted(&self, site: SiteNumber) -> Vec<(Period, Vec<Source>)> {
        let sites = self.current_sites();
        sites.by_number(site).map(|site| self.ledger.wanted(site, (self.now)())).unwrap_or_default()
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

    async fn shown_windows(&self, site: &EnrolledSite) -> Vec<Window> {
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
