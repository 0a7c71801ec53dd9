//! Pages that have changed, as they are folded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::calls::Sent;
use super::{Lease, Publisher};
use crate::counter::{ChangedPage, Contribution, Period, RegisteredSite, Site, SiteNumber, Source};
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
        let mut changed = Vec::with_capacity(by_site.len());
        for number in by_site.keys() {
            if let Some(site) = sites.by_number(*number)
                && !self.is_troubled(*number)
            {
                changed.push(Arc::clone(site));
            }
        }
        let ready = self.agree_on(lease, changed).await.ready;
        let mut waiting: Vec<_> =
            ready.into_iter().filter_map(|site| Some((by_site.remove(&site.number)?, site))).collect();
        for number in by_site.into_keys().filter(|number| sites.by_number(*number).is_some()) {
            self.wish(number, Scope::Unpublished);
        }
        // One call of each site after the other: what of a site is not taken is found again in the file.
        while !waiting.is_empty() {
            let calls: Vec<_> = waiting
                .iter_mut()
                .map(|(rows, site)| {
                    let rest = rows.len().saturating_sub(ROWS_MAX);
                    (Arc::clone(site), self.pages_raise(site, rows.drain(rest..)))
                })
                .collect();
            let mut failed = HashSet::new();
            self.raise_each(lease, calls.into_iter(), |publisher, site, sent| {
                if !matches!(sent, Sent::Taken { is_whole: true, .. }) {
                    failed.insert(site.number);
                    publisher.wish(site.number, Scope::Unpublished);
                }
            })
            .await;
            waiting.retain(|(rows, site)| !rows.is_empty() && !failed.contains(&site.number));
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

    /// One call's rows, with the markers of the keys where they belong.
    fn pages_raise(&self, site: &RegisteredSite, rows: impl Iterator<Item = Contribution>) -> Raise {
        let rows: Vec<_> = rows.filter(|row| may_raise(&site.site, row.period)).collect();
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
        Raise { rows, markers }
    }
}

/// Whether pages of a period may still be raised: their key doesn't expire within a day.
pub(in crate::redis) fn may_raise(site: &Site, period: Period) -> bool {
    let now = crate::clock::now().timestamp();
    layout::expiry(site, period).is_none_or(|expiry| expiry > now + EXPIRY_MARGIN_SECONDS)
}
