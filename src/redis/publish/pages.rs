//! Pages that have changed, as they are folded.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::{Lease, Publisher};
use crate::counter::{ChangedPage, Contribution, EnrolledSite, Period, Site, SiteNumber, Source};
use crate::redis::layout;
use crate::redis::node::Node;
use crate::redis::raise::{MarkerMode, ROWS_MAX, Raise};
use crate::redis::sweep::Scope;

/// Pages published at once: they belong to many sites, and each site is a call. Of one site they
/// are two calls, since each has a day, a month and a total.
const PAGES_AT_ONCE: usize = 2 * (ROWS_MAX / 3);
/// A key of pages that expires so soon is not raised: it could vanish under a late call, or be
/// made anew and never expire.
const EXPIRY_MARGIN_SECONDS: i64 = 24 * 60 * 60;

impl<N: Node> Publisher<N> {
    /// A part of the round of pages; of a new one where there is none.
    pub(super) async fn publish_pages(&mut self, lease: &Lease) {
        if self.pages_round.is_empty() {
            self.clock.pages_round_began_at = Instant::now();
            if self.node.has_changed_pages() {
                self.pages_round = self.next_round().await;
            }
        }
        let rest = self.pages_round.len().saturating_sub(PAGES_AT_ONCE);
        let mut by_site: HashMap<SiteNumber, Vec<Contribution>> = HashMap::new();
        for changed in self.pages_round.drain(rest..) {
            by_site.entry(changed.site).or_default().extend(changed.contributions(self.node.run()));
        }
        let sites = self.node.sites();
        let mut by_site = by_site.into_iter();
        for (number, rows) in by_site.by_ref() {
            let Some(site) = sites.by_number(number) else { continue };
            if !self.publish_pages_of(lease, site, rows).await {
                self.wish(number, Scope::Unpublished);
                if !self.is_current(lease) {
                    break;
                }
            }
        }
        // Not published for want of a connection: found again in the file.
        for (number, _) in by_site {
            self.wish(number, Scope::Unpublished);
        }
    }

    /// All that has changed. Made beside this thread, on which others wait for figures.
    async fn next_round(&self) -> Vec<ChangedPage> {
        let node = Arc::clone(&self.node);
        let sorted = tokio::task::spawn_blocking(move || {
            let mut changed = node.take_changed_pages();
            // Sorted sets are in this order, as good as: neighbours of what was just written are in the
            // processor's caches, which spares Redis a third of a call's time.
            changed.sort_unstable_by(|a, b| (a.site, a.hits[2], &a.page).cmp(&(b.site, b.hits[2], &b.page)).reverse());
            changed
        });
        // An error would be a panic, of which the process ends.
        sorted.await.unwrap_or_default()
    }

    pub(super) async fn publish_pages_of(
        &mut self,
        lease: &Lease,
        site: &EnrolledSite,
        rows: Vec<Contribution>,
    ) -> bool {
        if self.is_troubled(site.number) || !self.agree_once(lease, site).await {
            return false;
        }
        for chunk in rows.chunks(ROWS_MAX) {
            let rows: Vec<_> = chunk.iter().filter(|row| may_raise(&site.site, row.period)).cloned().collect();
            let confirmed = self.witnesses.of(site.number);
            let mut markers: Vec<(Period, Source, MarkerMode)> = Vec::new();
            for row in &rows {
                if !markers.iter().any(|(period, source, _)| *period == row.period && *source == row.source) {
                    // The run's first pages there, or all that it ever brought should be there.
                    let mode = match confirmed.is_marked(row.period, &row.source) {
                        true => MarkerMode::Look,
                        false => MarkerMode::End,
                    };
                    markers.push((row.period, row.source.clone(), mode));
                }
            }
            if self.raise(lease, site, &Raise { rows, markers }, true).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// Whether pages of a period may still be raised: their key doesn't expire within a day.
pub(in crate::redis) fn may_raise(site: &Site, period: Period) -> bool {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    layout::expiry(site, period).is_none_or(|expiry| expiry > now + EXPIRY_MARGIN_SECONDS)
}
