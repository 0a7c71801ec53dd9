//! Backfills: counts of earlier runs and imports, and counts that Redis forgot, one call at a time.

use super::backfill_plan::{Backfill, Scope, Stage, site_counters};
use super::merge_counts::{MergeCounts, ROWS_MAX};
use super::periods::may_publish;
use super::{Lease, Publisher};
use crate::clock;
use crate::counter::RowKey;
use crate::counter::{Contribution, RegisteredSite, SiteNumber};
use crate::redis::ports::Node;

/// A site's own counters are read in small pieces, since each period's are followed by its pages.
const SITE_ROWS_READ: usize = 50;
/// Reads of one step.
const SEEKS_MAX: usize = 50;

impl<N: Node> Publisher<N> {
    pub async fn request_unpublished(&mut self) {
        match self.node.unpublished_sites().await {
            Ok(sites) => {
                for site in sites {
                    // A site that is being backfilled stays unpublished until that ends: another request would
                    // never let it end.
                    if self.progress.get(&site).is_none_or(|progress| progress.backfill.is_none()) {
                        self.request_backfill(site, Scope::Unpublished);
                    }
                }
            }
            Err(reason) => tracing::warn!(%reason, "can't read which sites have unpublished sources"),
        }
    }

    pub fn request_overflowed(&mut self) {
        for site in self.node.changes().take_overflowed() {
            self.request_backfill(site, Scope::Unpublished);
        }
    }

    pub fn request_backfill(&mut self, site: SiteNumber, scope: Scope) {
        let progress = self.progress.entry(site).or_default();
        if let Some(backfill) = &mut progress.backfill {
            backfill.again = backfill.again.max(Some(scope));
        } else {
            progress.backfill = Some(Backfill::new(scope));
            self.backfills.push_front(site);
        }
    }

    /// Sends one call of the backfill whose turn it is. Returns false if there is none.
    pub async fn backfill_step(&mut self, lease: &Lease) -> bool {
        let Some(number) = self.backfills.pop_front() else { return false };
        let sites = self.node.sites();
        let Some(site) = sites.by_number(number).cloned() else {
            self.progress.remove(&number);
            return true;
        };
        if self.is_troubled(number) || !self.agree_once(lease, &site).await {
            if self.is_troubled(number) || self.differs(number) {
                // Requested again when that is over.
                let progress = self.progress.entry(number).or_default();
                progress.postponed = progress.postponed.max(progress.backfill.take().map(|backfill| backfill.scope));
            } else {
                self.backfills.push_front(number);
            }
            return true;
        }
        let Some(mut backfill) = self.progress.entry(number).or_default().backfill.take() else { return true };
        let outcome = self.advance(lease, &site, &mut backfill).await;
        if let Ok(true) = outcome {
            self.backfill_done(&site, backfill).await;
            return true;
        }
        let is_troubled = self.is_troubled(number);
        let progress = self.progress.entry(number).or_default();
        if progress.backfill.is_some() {
            // Redis forgot something: a new backfill has begun.
        } else if is_troubled {
            progress.postponed = progress.postponed.max(Some(backfill.scope));
        } else {
            // All sites' own counters come before anyone's pages.
            let is_urgent = backfill.stage == Stage::SiteCounters && outcome.is_ok();
            progress.backfill = Some(backfill);
            if is_urgent { self.backfills.push_front(number) } else { self.backfills.push_back(number) }
        }
        true
    }

    /// Returns true when the backfill is complete.
    async fn advance(&mut self, lease: &Lease, site: &RegisteredSite, backfill: &mut Backfill) -> Result<bool, ()> {
        match backfill.stage {
            Stage::Recent => {
                let merge = MergeCounts { rows: self.node.recent(site.number), markers: Vec::new() };
                if !merge.is_empty() {
                    self.merge_counts(lease, site, &merge, true).await?;
                }
                backfill.stage = Stage::SiteCounters;
                Ok(false)
            }
            Stage::SiteCounters | Stage::Pages => {
                let (rows, after) = self.read_rows(site, backfill).await.map_err(|reason| {
                    tracing::warn!(site = %site.site.id, %reason, "can't read counts to publish");
                })?;
                let merge = backfill.plan(&rows);
                if !merge.is_empty() {
                    self.merge_counts(lease, site, &merge, false).await?;
                }
                backfill.brought(rows, after);
                Ok(false)
            }
            Stage::Finalizers => {
                let Some(merge) = backfill.finalizer().cloned() else { return Ok(true) };
                let merged = self.merge_counts(lease, site, &merge, false).await?;
                let complete = merged.markers.iter().map(|(period, source, _)| (*period, source.clone()));
                self.acked_states.note_markers(site.number, complete, false);
                if !backfill.finalized(&merged) {
                    self.note_regression(site.number, "a key of pages vanished while it was being filled");
                    return Err(());
                }
                Ok(backfill.finalizer().is_none())
            }
        }
    }

    /// Next rows of a stage, and the place where they end; none at the stage's end.
    async fn read_rows(
        &self,
        site: &RegisteredSite,
        backfill: &Backfill,
    ) -> Result<(Vec<Contribution>, Option<RowKey>), String> {
        let unpublished_only = backfill.scope == Scope::Unpublished;
        let mut after = backfill.after;
        let mut found = Vec::new();
        if backfill.stage == Stage::Pages {
            let rows = self.node.rows(site.number, after, ROWS_MAX, unpublished_only).await?;
            after = rows.last().map(|(key, _)| *key);
            let now = clock::now();
            let is_kept = |row: &Contribution| row.page.is_some() && may_publish(&site.site, row.period, now);
            found.extend(rows.into_iter().map(|(_, row)| row).filter(is_kept));
            return Ok((found, after));
        }
        for _ in 0..SEEKS_MAX {
            let rows = self.node.rows(site.number, after, SITE_ROWS_READ, unpublished_only).await?;
            let (counters, next) = site_counters(rows);
            found.extend(counters);
            after = next;
            if after.is_none() || found.len() + SITE_ROWS_READ > ROWS_MAX {
                break;
            }
        }
        Ok((found, after))
    }

    /// Marks frozen sources as published, and requests another backfill where more has changed.
    async fn backfill_done(&mut self, site: &RegisteredSite, backfill: Backfill) {
        let number = site.number;
        // Changes during the backfill may lie behind the place that it had reached.
        let mut again = backfill.again;
        again = again.max(self.overflowed(number));
        if again.is_none() {
            let current = self.node.recent(number).first().map(|contribution| contribution.source.clone());
            let frozen: Vec<_> =
                backfill.sources.into_iter().filter(|source| Some(source) != current.as_ref()).collect();
            if !frozen.is_empty() {
                self.node.mark_published(number, frozen).await;
                // Changes before the mark now count as published: only a backfill of everything finds them.
                again = self.overflowed(number).map(|_| Scope::All);
            }
        }
        let progress = self.progress.entry(number).or_default();
        let was_troubled = progress.trouble.take().is_some();
        let is_waiting = std::mem::take(&mut progress.is_waiting);
        if was_troubled && self.health.set_site(site.site.id.as_str(), None) {
            tracing::info!(site = %site.site.id, "publishing this site again");
        }
        if is_waiting || backfill.scope == Scope::All {
            self.node.changes().note_site(number);
        }
        if let Some(scope) = again {
            self.request_backfill(number, scope);
        }
    }

    /// Scope of another backfill, if more of the site changed than is remembered.
    fn overflowed(&mut self, number: SiteNumber) -> Option<Scope> {
        let mut found = None;
        for site in self.node.changes().take_overflowed() {
            if site == number {
                found = Some(Scope::Unpublished);
            } else {
                self.request_backfill(site, Scope::Unpublished);
            }
        }
        found
    }
}
