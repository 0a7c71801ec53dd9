//! Pages that have changed, as they are folded.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Lease, Publisher};
use crate::counter::{Contribution, EnrolledSite, Period, Site, SiteNumber, Source};
use crate::redis::layout;
use crate::redis::node::Node;
use crate::redis::raise::{MarkerMode, ROWS_MAX, Raise};
use crate::redis::sweep::Scope;

/// Pages taken at once: they belong to many sites, and each site is a call.
const PAGES_TAKEN_MAX: usize = 1_000;
/// A key of pages that expires so soon is not raised: it could vanish under a late call, or be
/// made anew and never expire.
const EXPIRY_MARGIN_SECONDS: i64 = 24 * 60 * 60;

impl<N: Node> Publisher<N> {
    /// False: there are more.
    pub(super) async fn publish_pages(&mut self, lease: &Lease) -> bool {
        let taken = self.node.take_changed_pages(PAGES_TAKEN_MAX);
        let took_all = taken.len() < PAGES_TAKEN_MAX;
        let mut by_site: HashMap<SiteNumber, Vec<Contribution>> = HashMap::new();
        for (site, contribution) in taken {
            by_site.entry(site).or_default().push(contribution);
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
        took_all
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
