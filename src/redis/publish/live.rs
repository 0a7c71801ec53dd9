//! Live traffic: the sites whose own counters have changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::calls::Sent;
use super::{Lease, Publisher};
use crate::counter::RegisteredSite;
use crate::redis::check::SitesAsked;
use crate::redis::node::{Node, Sighting};
use crate::redis::raise::{Raise, Raised};

impl<N: Node> Publisher<N> {
    pub(super) async fn publish_live(&mut self, lease: &Lease, limit: usize) -> bool {
        let taken = self.node.take_changed_sites(limit);
        let took_all = taken.len() < limit;
        let sites = self.node.sites();
        self.health.retain_sites(|id| sites.get(id).is_some());
        let mut changed = Vec::with_capacity(taken.len());
        let mut since = HashMap::with_capacity(taken.len());
        for (number, changed_at) in taken {
            // A site that is no longer configured is no longer published.
            let Some(site) = sites.by_number(number) else { continue };
            if self.blocks_live(number) {
                self.wait(number);
            } else {
                since.insert(number, changed_at);
                changed.push(Arc::clone(site));
            }
        }
        let SitesAsked { ready, lost } = self.agree_on(lease, changed).await;
        let mut unsent: Vec<_> = lost.iter().map(|site| site.number).collect();
        let node = Arc::clone(&self.node);
        let calls = ready.into_iter().map(|site| {
            let rows = node.recent(site.number);
            (site, Raise { rows, markers: Vec::new() })
        });
        let calls = calls.filter(|(_, raise)| !raise.is_empty());
        let mut all_is_well = true;
        self.raise_each(lease, calls, |publisher, site, sent| match sent {
            Sent::Taken { raised, .. } => publisher.show(site, &raised),
            Sent::Troubled => {
                all_is_well = false;
                publisher.wait(site.number);
            }
            Sent::Lost => unsent.push(site.number),
        })
        .await;
        for (number, since) in unsent.iter().filter_map(|number| since.get_key_value(number)) {
            self.node.put_back_changed_site(*number, *since);
        }
        let is_done = took_all && all_is_well && unsent.is_empty();
        if is_done {
            // What has come meanwhile is not late.
            self.metrics.redis_publish_lag_seconds.set(0.0);
        } else {
            self.note_lag();
        }
        is_done
    }

    /// How long has something been waiting?
    pub(super) fn note_lag(&self) {
        let lag = self.node.oldest_site_change().map_or(Duration::ZERO, |since| since.elapsed());
        self.metrics.redis_publish_lag_seconds.set(lag.as_secs_f64());
    }

    /// The reply to a raise is as good as a read, for the periods that it covers.
    pub(super) fn show(&self, site: &RegisteredSite, raised: &Raised) {
        let covered = self.node.wanted(site.number).into_iter().filter_map(|(period, sources)| {
            let mut rows = raised.rows.iter().filter(|row| !row.is_page && row.period == period);
            let total = rows.clone().next()?.total;
            let contributed = sources.into_iter().map(|source| {
                let row = rows.clone().find(|row| row.source == source)?;
                Some((source, Some(row.now)))
            });
            let contributed = contributed.collect::<Option<Vec<_>>>()?;
            let _ = rows.next();
            Some(Sighting { period, total, contributed })
        });
        let sightings: Vec<_> = covered.collect();
        if !sightings.is_empty() {
            self.node.saw(site.number, sightings);
        }
    }
}
