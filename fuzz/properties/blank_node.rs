//! A node that has a count for every name in a query, and no file.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use thongke::bots::{Kind, UncountedRow};
use thongke::counter::account::{ImportReport, SourceAccount};
use thongke::counter::csv::{CsvError, Line, Row, TakeLines};
use thongke::counter::editor_rules::change::{Change, Refused};
use thongke::counter::history::Block;
use thongke::counter::source::ImportName;
use thongke::counter::verification::{Repair, Verification};
use thongke::counter::{
    Arrival, Day, EditorRule, EditorToken, Grants, Listing, PageAddress, PageTitle, Period, RegisteredSite, Salt,
    SiteId, Sites, Visit, VisitorCounts, tokens,
};
use thongke::server::ports::{AdmittedPage, Counts, Node, PageReader, Read, Readiness, TopPage, Unavailable};

#[derive(Default)]
pub struct BlankNode {
    pub sites: Arc<Sites>,
}

/// Counts of all sizes, negative ones too, as a correction leaves them.
fn counts(how_many: usize) -> Read<i64> {
    let sizes = [0, 851, 1_000_000_000_000_000, -3, 49_817];
    Read { values: sizes.into_iter().cycle().take(how_many).collect(), stale: false }
}

impl Node for BlankNode {
    type ImportFile = NoFile;

    fn sites(&self) -> Arc<Sites> {
        Arc::clone(&self.sites)
    }

    async fn count(&self, _: Arrival) -> Result<(), Unavailable> {
        Ok(())
    }

    async fn reload(&self, _: &RegisteredSite, _: Day, _: Visit) -> Result<(), Unavailable> {
        Ok(())
    }

    async fn refresh(&self, _: &Arc<RegisteredSite>) {}

    async fn verify(&self, _: &Arc<RegisteredSite>) -> Result<Verification, Unavailable> {
        Err(beyond())
    }

    async fn accept_clock(&self) -> Result<DateTime<Utc>, Unavailable> {
        Err(beyond())
    }

    async fn repair(&self, _: &Arc<RegisteredSite>) -> Result<Repair, Unavailable> {
        Err(beyond())
    }

    async fn removed_sites(&self) -> Result<Vec<SiteId>, Unavailable> {
        Ok(Vec::new())
    }

    async fn stored_site(&self, id: &SiteId) -> Result<Option<Arc<RegisteredSite>>, Unavailable> {
        Ok(self.sites.get(id.as_str()).cloned())
    }

    fn version(&self, _: &RegisteredSite) -> Option<(u64, bool)> {
        None
    }

    async fn hits(&self, _: &Arc<RegisteredSite>, periods: &[Period]) -> Result<Counts, Unavailable> {
        Ok(Counts { hits: counts(periods.len()).values, version: 0, stale: false })
    }

    fn salt(&self, _: &Arc<RegisteredSite>, _: Day) -> Option<Salt> {
        None
    }

    async fn draw_salt(&self, _: &Arc<RegisteredSite>, _: Day) -> Option<Salt> {
        None
    }

    async fn visitors(&self, _: &Arc<RegisteredSite>, _: DateTime<Utc>) -> Result<(VisitorCounts, u64), Unavailable> {
        Err(beyond())
    }

    async fn admit_page(&self, _: &Arc<RegisteredSite>, _: Day, page: PageAddress, _: PageReader) -> AdmittedPage {
        AdmittedPage { page, is_settled: true, is_cap_filling: false }
    }

    fn note_title(
        &self,
        _: &RegisteredSite,
        _: (&PageAddress, Day),
        _: &str,
        _: &dyn Fn() -> Option<String>,
        _: &dyn Fn() -> PageReader,
    ) {
    }

    async fn page_hits(
        &self,
        _: &Arc<RegisteredSite>,
        pages: &[PageAddress],
        periods: &[Period],
    ) -> Result<Read<i64>, Unavailable> {
        Ok(counts(pages.len() * periods.len()))
    }

    async fn page_titles(
        &self,
        _: &Arc<RegisteredSite>,
        pages: Vec<PageAddress>,
    ) -> Result<Read<Option<PageTitle>>, Unavailable> {
        Ok(Read { values: vec![None; pages.len()], stale: false })
    }

    async fn top_pages(
        &self,
        _: &Arc<RegisteredSite>,
        _: Period,
        limit: usize,
        _: Listing,
    ) -> Result<Read<TopPage>, Unavailable> {
        let page = |(at, hits)| TopPage { page: PageAddress::from_stored(&format!("/{at}")), hits, title: None };
        let values = counts(limit).values.into_iter().enumerate().map(page).collect();
        Ok(Read { values, stale: false })
    }

    async fn change_rule(
        &self,
        _: &Arc<RegisteredSite>,
        _: Change,
    ) -> Result<Result<EditorRule, Refused>, Unavailable> {
        Err(beyond())
    }

    fn grants(&self) -> Arc<Grants> {
        Arc::default()
    }

    async fn change_token(&self, _: tokens::change::Change) -> Result<Result<EditorToken, Refused>, Unavailable> {
        Err(beyond())
    }

    async fn history(&self, _: &Arc<RegisteredSite>, block: Block) -> Result<Read<i64>, Unavailable> {
        Ok(counts(block.periods().len()))
    }

    async fn imported(&self, _: &RegisteredSite, periods: Vec<Period>) -> Result<Vec<i64>, Unavailable> {
        Ok(counts(periods.len()).values)
    }

    async fn recent(&self, _: &Arc<RegisteredSite>, days: usize) -> Result<Read<i64>, Unavailable> {
        Ok(counts(days + 1))
    }

    fn last_hit(&self, _: &RegisteredSite) -> Option<DateTime<Utc>> {
        None
    }

    fn begin_import(&self) -> Result<NoFile, Unavailable> {
        Err(beyond())
    }

    async fn finish_import(
        &self,
        _: &Arc<RegisteredSite>,
        _: ImportName,
        _: NoFile,
    ) -> Result<Result<ImportReport, CsvError>, Unavailable> {
        Err(beyond())
    }

    async fn forget(&self, _: &Arc<RegisteredSite>, _: ImportName) -> Result<Option<ImportReport>, Unavailable> {
        Err(beyond())
    }

    async fn reset(&self, _: &Arc<RegisteredSite>) -> Result<ImportReport, Unavailable> {
        Err(beyond())
    }

    async fn undo_reset(&self, _: &Arc<RegisteredSite>) -> Result<Option<ImportReport>, Unavailable> {
        Err(beyond())
    }

    async fn sources(&self, _: &Arc<RegisteredSite>) -> Result<Vec<SourceAccount>, Unavailable> {
        Err(beyond())
    }

    async fn export(&self, _: &Arc<RegisteredSite>, _: Option<Row>, _: usize) -> Result<Vec<Row>, Unavailable> {
        Err(beyond())
    }

    fn note_uncounted(&self, _: &RegisteredSite, _: Day, _: Kind) {}

    fn uncounted(&self, _: &RegisteredSite) -> Vec<UncountedRow> {
        Vec::new()
    }

    fn readiness(&self) -> Readiness {
        Readiness::default()
    }
}

fn beyond() -> Unavailable {
    Unavailable { reason: "a query asks for nothing of this".to_owned() }
}

/// It imports nothing.
pub struct NoFile;

impl TakeLines for NoFile {
    fn take(&mut self, _: &Line) -> Result<(), String> {
        Err(beyond().reason)
    }
}
