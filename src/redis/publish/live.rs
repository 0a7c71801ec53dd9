//! Live traffic: the sites whose own counters have changed.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use redis::RedisError;

use super::{Lease, Publisher};
use crate::counter::EnrolledSite;
use crate::redis::node::{Node, Sighting};
use crate::redis::raise::{Raise, Raised};

impl<N: Node> Publisher<N> {
    pub(super) async fn publish_live(&mut self, lease: &Lease, limit: usize) -> bool {
        let taken = self.node.take_changed_sites(limit);
        let took_all = taken.len() < limit;
        let started = Instant::now();
        let sites = self.node.sites();
        self.health.retain_sites(|id| sites.get(id).is_some());
        let mut ready = Vec::with_capacity(taken.len());
        for number in taken {
            // A site that is no longer configured is no longer published.
            let Some(site) = sites.by_number(number) else { continue };
            if self.blocks_live(number) {
                self.wait(number);
            } else if self.agree_once(lease, site).await {
                ready.push(Arc::clone(site));
            }
        }
        let node = Arc::clone(&self.node);
        let keys = self.keys.clone();
        let connections = Arc::clone(&self.connections);
        let witnesses = Arc::clone(&self.witnesses);
        let calls = futures_util::stream::iter(ready).map(|site| {
            let raise = Raise { rows: node.recent(site.number), markers: Vec::new() };
            let confirmed = witnesses.of(site.number);
            let (link, keys, connections) = (&lease.link, &keys, &connections);
            async move {
                let begun = Instant::now();
                let is_up = connections.get().is_some_and(|(number, _)| number == lease.number);
                let outcome = match is_up {
                    _ if raise.is_empty() => None,
                    true => Some(raise.send(link, keys, &site.site).await),
                    // Lost meanwhile: not even tried.
                    false => Some(Err(RedisError::from((redis::ErrorKind::Io, "connection lost")))),
                };
                (site, confirmed, outcome, begun.elapsed())
            }
        });
        // Each reply counts as it comes: where a shard hangs, the others' success shows in time.
        let mut outcomes = pin!(calls.buffer_unordered(lease.link.lanes()));
        let mut all_is_well = true;
        while let Some((site, confirmed, outcome, duration)) = outcomes.next().await {
            match outcome {
                None => {}
                Some(Ok(raised)) => {
                    self.metrics.redis_publish_duration.observe(duration.as_secs_f64());
                    self.connections.succeeded();
                    self.confirmed(&site, &confirmed, &raised, true);
                    self.show(&site, &raised);
                }
                Some(Err(error)) => {
                    all_is_well = false;
                    let is_troubled = self.failed(lease, &site, &error);
                    if is_troubled {
                        self.wait(site.number);
                    } else {
                        self.node.put_back_changed_site(site.number);
                    }
                }
            }
        }
        if took_all && all_is_well {
            self.clock.caught_up_at = started;
            self.clock.waiting_since = None;
        }
        let lag = if took_all && all_is_well { Duration::ZERO } else { self.clock.caught_up_at.elapsed() };
        self.metrics.redis_publish_lag.set(lag.as_secs_f64());
        took_all && all_is_well
    }

    /// Redis is away: how long has something been waiting?
    pub(super) fn note_waiting(&mut self) {
        let waiting = self.node.take_changed_sites(1);
        for site in &waiting {
            self.node.put_back_changed_site(*site);
        }
        let since = (!waiting.is_empty()).then(|| self.clock.waiting_since.unwrap_or_else(Instant::now));
        self.clock.waiting_since = since;
        self.metrics.redis_publish_lag.set(since.map_or(0.0, |since| since.elapsed().as_secs_f64()));
    }

    /// The reply to a raise is as good as a read, for the periods that it covers.
    pub(super) fn show(&self, site: &EnrolledSite, raised: &Raised) {
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
