//! History: sweeps over what earlier runs and imports have counted, and over all that Redis forgot.

use super::{Lease, Publisher, Step, may_raise};
use crate::counter::{Contribution, RegisteredSite, SiteNumber};
use crate::redis::node::{Node, RowKey};
use crate::redis::raise::{ROWS_MAX, Raise};
use crate::redis::sweep::{Scope, Stage, Sweep};

/// A site's own counters are read in small pieces, since each period's are followed by its pages.
const OWN_ROWS_READ: usize = 50;
const SEEKS_MAX: usize = 50;

impl<N: Node> Publisher<N> {
    pub(super) async fn wish_unpublished(&mut self) {
        match self.node.unpublished_sites().await {
            Ok(sites) => {
                for site in sites {
                    // One that is being swept is unpublished until that is through: wishing for it again
                    // would keep it so for ever.
                    if self.progress.get(&site).is_none_or(|progress| progress.sweep.is_none()) {
                        self.wish(site, Scope::Unpublished);
                    }
                }
            }
            Err(reason) => tracing::warn!(%reason, "can't read which sites have unpublished sources"),
        }
    }

    pub(super) fn take_overflowed(&mut self) {
        for site in self.node.take_overflowed_sites() {
            self.wish(site, Scope::Unpublished);
        }
    }

    pub(in crate::redis) fn wish(&mut self, site: SiteNumber, scope: Scope) {
        let progress = self.progress.entry(site).or_default();
        if let Some(sweep) = &mut progress.sweep {
            sweep.again = sweep.again.max(Some(scope));
        } else {
            progress.sweep = Some(Sweep::new(scope));
            self.sweeps.push_front(site);
        }
    }

    /// One call of the sweep that is on.
    pub(super) async fn sweep_step(&mut self, lease: &Lease) -> Step {
        let Some(number) = self.sweeps.pop_front() else { return Step::Idle };
        let sites = self.node.sites();
        let Some(site) = sites.by_number(number).cloned() else {
            self.progress.remove(&number);
            return Step::Worked;
        };
        if self.is_troubled(number) || !self.agree_once(lease, &site).await {
            if self.is_troubled(number) || self.differs(number) {
                // Wished for again when that is over.
                let progress = self.progress.entry(number).or_default();
                progress.postponed = progress.postponed.max(progress.sweep.take().map(|sweep| sweep.scope));
            } else {
                self.sweeps.push_front(number);
            }
            return Step::Worked;
        }
        let Some(mut sweep) = self.progress.entry(number).or_default().sweep.take() else { return Step::Worked };
        let outcome = self.advance(lease, &site, &mut sweep).await;
        if let Ok(true) = outcome {
            self.sweep_done(&site, sweep).await;
            return Step::Worked;
        }
        let is_troubled = self.is_troubled(number);
        let progress = self.progress.entry(number).or_default();
        if progress.sweep.is_some() {
            // Redis was found to have forgotten: a new one has begun.
        } else if is_troubled {
            progress.postponed = progress.postponed.max(Some(sweep.scope));
        } else {
            // All sites' own counters come before anyone's pages.
            let is_urgent = sweep.stage == Stage::Own && outcome.is_ok();
            progress.sweep = Some(sweep);
            if is_urgent { self.sweeps.push_front(number) } else { self.sweeps.push_back(number) }
        }
        Step::Worked
    }

    /// True: the sweep is through.
    pub(super) async fn advance(
        &mut self,
        lease: &Lease,
        site: &RegisteredSite,
        sweep: &mut Sweep,
    ) -> Result<bool, ()> {
        match sweep.stage {
            Stage::Recent => {
                let raise = Raise { rows: self.node.recent(site.number), markers: Vec::new() };
                if !raise.is_empty() {
                    self.raise(lease, site, &raise, true).await?;
                }
                sweep.stage = Stage::Own;
                Ok(false)
            }
            Stage::Own | Stage::Pages => {
                let (rows, after) = self.read_rows(site, sweep).await.map_err(|reason| {
                    tracing::warn!(site = %site.site.id, %reason, "can't read counts to publish");
                })?;
                let raise = sweep.plan(&rows);
                if !raise.is_empty() {
                    self.raise(lease, site, &raise, false).await?;
                }
                sweep.brought(rows, after);
                Ok(false)
            }
            Stage::Endings => {
                let Some(raise) = sweep.ending().cloned() else { return Ok(true) };
                let raised = self.raise(lease, site, &raise, false).await?;
                let complete = raised.markers.iter().map(|(period, source, _)| (*period, source.clone()));
                self.witnesses.note_markers(site.number, complete, false);
                if !sweep.ended(&raised) {
                    self.forgot(site.number, "a key of pages vanished while it was being filled");
                    return Err(());
                }
                Ok(sweep.ending().is_none())
            }
        }
    }

    /// The next rows of a sweep's stage, and where they end; none at the stage's end.
    pub(super) async fn read_rows(
        &self,
        site: &RegisteredSite,
        sweep: &Sweep,
    ) -> Result<(Vec<Contribution>, Option<RowKey>), String> {
        let unpublished_only = sweep.scope == Scope::Unpublished;
        let mut after = sweep.after;
        let mut found = Vec::new();
        if sweep.stage == Stage::Pages {
            let rows = self.node.rows(site.number, after, ROWS_MAX, unpublished_only).await?;
            after = rows.last().map(|(key, _)| *key);
            let may_raise = |period| may_raise(&site.site, period);
            found
                .extend(rows.into_iter().map(|(_, row)| row).filter(|row| row.page.is_some() && may_raise(row.period)));
            return Ok((found, after));
        }
        // The site's own counters come first in each period: after them, on to the next period.
        for _ in 0..SEEKS_MAX {
            let rows = self.node.rows(site.number, after, OWN_ROWS_READ, unpublished_only).await?;
            after = rows.last().map(|(key, _)| *key);
            // Rows behind a page are read again, from their period's beginning.
            let page_at = rows.iter().position(|(_, row)| row.page.is_some());
            if let Some((key, _)) = page_at.and_then(|at| rows.get(at)) {
                after = Some(RowKey { page: i64::MAX, source: i64::MAX, ..*key });
            }
            let own = rows.into_iter().map(|(_, row)| row).take_while(|row| row.page.is_none());
            found.extend(own);
            if after.is_none() || found.len() + OWN_ROWS_READ > ROWS_MAX {
                break;
            }
        }
        Ok((found, after))
    }

    pub(super) async fn sweep_done(&mut self, site: &RegisteredSite, sweep: Sweep) {
        let number = site.number;
        // What changed while it ran may have been passed by.
        let mut again = sweep.again;
        again = again.max(self.overflowed(number));
        if again.is_none() {
            let current = self.node.recent(number).first().map(|contribution| contribution.source.clone());
            let frozen: Vec<_> = sweep.sources.into_iter().filter(|source| Some(source) != current.as_ref()).collect();
            if !frozen.is_empty() {
                self.node.mark_published(number, frozen).await;
                // What came in before the mark is behind it now: only a sweep of all finds it.
                again = self.overflowed(number).map(|_| Scope::All);
            }
        }
        let progress = self.progress.entry(number).or_default();
        let was_troubled = progress.trouble.take().is_some();
        let is_waiting = std::mem::take(&mut progress.is_waiting);
        if was_troubled && self.health.set_site(site.site.id.as_str(), None) {
            tracing::info!(site = %site.site.id, "publishes again");
        }
        if is_waiting || sweep.scope == Scope::All {
            self.node.note_changed_site(number);
        }
        if let Some(scope) = again {
            self.wish(number, scope);
        }
    }

    /// Whether the site is among those of which more changed than is remembered.
    pub(super) fn overflowed(&mut self, number: SiteNumber) -> Option<Scope> {
        let mut found = None;
        for site in self.node.take_overflowed_sites() {
            if site == number {
                found = Some(Scope::Unpublished);
            } else {
                self.wish(site, Scope::Unpublished);
            }
        }
        found
    }
}
