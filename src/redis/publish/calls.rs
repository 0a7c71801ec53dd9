//! Sending calls: each reply is compared with the acknowledged state, and then becomes it.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;

use super::acked_state::AckedState;
use super::backfill_plan::{Backfill, Scope};
use super::merge_counts::{MergeCounts, Merged};
use super::{Agreement, CALLS_AT_ONCE, Lease, Publisher};
use crate::counter::{RegisteredSite, SiteNumber};
use crate::redis::client::reply::connection_lost;
use crate::redis::ports::Node;

/// A site that Redis forgets twice within this time is not brought again at once.
const REGRESSION_PAUSE: Duration = Duration::from_secs(20);

/// Outcome of a call.
pub enum Sent {
    /// `is_whole` is false if the reply shows a loss.
    Taken { merged: Merged, is_whole: bool },
    /// The site will be tried again later.
    Troubled,
    /// The connection is lost.
    Lost,
}

impl<N: Node> Publisher<N> {
    /// Sends one call for a site.
    pub async fn merge_counts(
        &mut self,
        lease: &Lease,
        site: &RegisteredSite,
        merge: &MergeCounts,
        of_current_run: bool,
    ) -> Result<Merged, ()> {
        let acked = self.acked_states.of(site.number);
        let begun = Instant::now();
        match merge.send(&lease.link, &self.keys, &site.site).await {
            Ok(merged) => {
                let is_whole = self.take_reply(site, &acked, &merged, of_current_run, begun.elapsed());
                if is_whole { Ok(merged) } else { Err(()) }
            }
            Err(error) => {
                self.failed(lease, site, &error);
                Err(())
            }
        }
    }

    /// Sends calls of different sites, several at a time. Each reply counts as it comes, so that a shard
    /// that hangs doesn't hide the others' success.
    pub async fn merge_each(
        &mut self,
        lease: &Lease,
        calls: impl Iterator<Item = (Arc<RegisteredSite>, MergeCounts)> + Send,
        mut then: impl FnMut(&mut Self, &RegisteredSite, Sent) + Send,
    ) {
        let keys = self.keys.clone();
        let connections = Arc::clone(&self.connections);
        let acked_states = Arc::clone(&self.acked_states);
        let calls = futures_util::stream::iter(calls).map(|(site, merge)| {
            let acked = acked_states.of(site.number);
            let (keys, connections) = (&keys, &connections);
            async move {
                let begun = Instant::now();
                let outcome = match lease.is_current(connections) {
                    true => merge.send(&lease.link, keys, &site.site).await,
                    // Lost meanwhile: not tried.
                    false => Err(connection_lost()),
                };
                (site, acked, outcome, begun.elapsed())
            }
        });
        let mut outcomes = pin!(calls.buffer_unordered(CALLS_AT_ONCE));
        while let Some((site, acked, outcome, duration)) = outcomes.next().await {
            let sent = match outcome {
                Ok(merged) => {
                    let is_whole = self.take_reply(&site, &acked, &merged, true, duration);
                    Sent::Taken { merged, is_whole }
                }
                Err(error) if self.failed(lease, &site, &error) => Sent::Troubled,
                Err(_) => Sent::Lost,
            };
            then(self, &site, sent);
        }
    }

    /// Records a reply. Returns false if it shows that Redis forgot something.
    fn take_reply(
        &mut self,
        site: &RegisteredSite,
        acked: &AckedState,
        merged: &Merged,
        of_current_run: bool,
        duration: Duration,
    ) -> bool {
        self.metrics.redis_publish_duration_seconds.observe(duration.as_secs_f64());
        self.connections.succeeded();
        let lost = acked.lost_in_reply(merged);
        if let Some(lost) = &lost {
            self.note_regression(site.number, lost);
        }
        self.acked_states.note(site.number, merged);
        if of_current_run && lost.is_none() {
            let complete = merged.markers.iter().map(|(period, source, _)| (*period, source.clone()));
            self.acked_states.note_markers(site.number, complete, true);
        }
        lost.is_none()
    }

    /// Handles a loss: everything of the site is brought again, and the other sites are checked soon.
    pub fn note_regression(&mut self, number: SiteNumber, what: &str) {
        let sites = self.node.sites();
        let Some(site) = sites.by_number(number) else { return };
        self.metrics.redis_regressions_total.inc();
        self.acked_states.forget(number);
        let now = Instant::now();
        let progress = self.progress.entry(number).or_default();
        progress.agreement = Agreement::Unknown;
        let is_again = progress.regressed_at.replace(now).is_some_and(|at| now.duration_since(at) < REGRESSION_PAUSE);
        if is_again {
            // A Redis that loses everything each time (its clock runs ahead, its memory is full) is not flooded.
            self.postpone(number, Scope::All);
            let reason = format!("Redis forgot acknowledged counts, again and again: {what}");
            if self.health.set_site(site.site.id.as_str(), Some(reason)) {
                tracing::warn!(site = %site.site.id, what, "Redis forgot counts again; bringing them more slowly");
            }
            self.checks.begin(&sites, true, now);
            return;
        }
        tracing::warn!(site = %site.site.id, what, "Redis forgot acknowledged counts; bringing them again");
        self.node.changes().note_site(number);
        let progress = self.progress.entry(number).or_default();
        let is_queued = progress.backfill.is_some();
        progress.backfill = Some(Backfill::new(Scope::All));
        if !is_queued {
            self.backfills.retain(|queued| *queued != number);
            self.backfills.push_front(number);
        }
        self.checks.begin(&sites, true, now);
    }
}
