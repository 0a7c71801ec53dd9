//! Sending calls: each reply goes on where the last one ended, or Redis forgot something. A site whose
//! call fails is tried again later.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use redis::{RedisError, RedisResult};

use super::merge_counts::{MergeCounts, Merged, MergedRow};
use super::{Agreement, CALLS_AT_ONCE, Publisher};
use crate::counter::{Period, Register, RegisteredSite, SiteNumber};
use crate::redis::client::{Fault, Lease, connection_lost, fault_of, reason_of};
use crate::redis::keys::Keys;
use crate::redis::ports::Node;

/// A site that Redis forgets twice within this time is not brought again at once.
const REGRESSION_PAUSE: Duration = Duration::from_secs(20);

/// Outcome of a call.
pub enum Sent<T> {
    Taken(T),
    /// The site will be tried again later.
    Troubled,
    /// The connection is lost.
    Lost,
}

impl<N: Node> Publisher<N> {
    /// Sends one call of history for a site.
    pub async fn merge_counts(&mut self, lease: &Lease, site: &RegisteredSite, merge: &MergeCounts) -> Option<Merged> {
        let begun = Instant::now();
        let sent = merge.send(&lease.link, &self.shared.keys, &site.site).await;
        self.clock.history_took += begun.elapsed();
        match sent {
            Ok(merged) => self.take_reply(site, &merged).then_some(merged),
            Err(error) => {
                self.failed(lease, site, &error);
                None
            }
        }
    }

    /// Sends calls of different sites, several at a time. Each reply counts as it comes, so that a shard
    /// that hangs doesn't hide the others' success.
    pub async fn send_each<C, T>(
        &mut self,
        lease: &Lease,
        calls: impl Iterator<Item = (Arc<RegisteredSite>, C)>,
        send: impl AsyncFn(&Keys, &RegisteredSite, C) -> RedisResult<T>,
        mut then: impl FnMut(&mut Self, Arc<RegisteredSite>, Sent<T>),
    ) {
        let shared = Arc::clone(&self.shared);
        let calls = futures_util::stream::iter(calls).map(async |(site, call)| {
            let outcome = match shared.connections.is_current(lease) {
                true => send(&shared.keys, &site, call).await,
                // Lost meanwhile: not tried.
                false => Err(connection_lost()),
            };
            (site, outcome)
        });
        let mut outcomes = pin!(calls.buffer_unordered(CALLS_AT_ONCE));
        while let Some((site, outcome)) = outcomes.next().await {
            let sent = match outcome {
                Ok(reply) => {
                    self.shared.connections.succeeded();
                    Sent::Taken(reply)
                }
                Err(error) if self.failed(lease, &site, &error) => Sent::Troubled,
                Err(_) => Sent::Lost,
            };
            then(self, site, sent);
        }
    }

    /// Records a reply. Returns false if it shows that Redis forgot something of the current run.
    pub fn take_reply(&mut self, site: &RegisteredSite, merged: &Merged) -> bool {
        self.metrics.redis_publish_duration_seconds.observe(merged.took.as_secs_f64());
        self.shared.connections.succeeded();
        let run = self.node.run();
        let progress = self.progress.entry(site.number).or_default();
        let mut is_whole = true;
        for changed in merged.digests.iter().filter(|changed| changed.place.1 == *run) {
            let before = progress.acked.insert(changed.place.0, changed.after);
            is_whole &= before.is_none_or(|before| before == changed.before);
        }
        let mut has_less = false;
        let of_site = |row: &&MergedRow| row.source == *run && row.period == Period::Total && !row.is_page;
        for row in merged.rows.iter().filter(of_site) {
            has_less |= row.before.map_or(0, Register::hits) < progress.acked_total;
            progress.acked_total = row.now.hits();
        }
        if !is_whole {
            self.note_regression(site.number, "a reply doesn't go on where the last one ended");
        } else if has_less {
            // After a lost connection: the run's rows are being compared already.
            self.metrics.redis_regressions_total.inc();
            tracing::warn!(site = %site.site.id, "Redis forgot acknowledged counts; bringing them again");
        }
        is_whole
    }

    /// Handles a loss: Redis is asked about the site, and about the others soon.
    pub fn note_regression(&mut self, number: SiteNumber, what: &str) {
        let sites = self.node.sites();
        let Some(site) = sites.by_number(number) else { return };
        self.metrics.redis_regressions_total.inc();
        let now = Instant::now();
        self.unsync(number);
        let progress = self.progress.entry(number).or_default();
        progress.agreement = Agreement::Unknown;
        progress.bring = None;
        let is_again = progress.regressed_at.replace(now).is_some_and(|at| now.duration_since(at) < REGRESSION_PAUSE);
        if is_again {
            // A Redis that loses everything each time (its clock runs ahead, its memory is full) is not flooded.
            self.postpone(number);
            let reason = format!("Redis forgot acknowledged counts, again and again: {what}");
            if self.shared.health.set_site(site.site.id.as_str(), Some(reason)) {
                tracing::warn!(site = %site.site.id, what, "Redis forgot counts again; bringing them more slowly");
            }
        } else {
            tracing::warn!(site = %site.site.id, what, "Redis forgot acknowledged counts; bringing them again");
            self.node.changes().note_site(number);
            self.request(number);
        }
        self.rounds.suspect(&sites, now);
    }

    /// Notes that some of the current run's rows may not have reached Redis.
    pub fn unsync(&mut self, number: SiteNumber) {
        let progress = self.progress.entry(number).or_default();
        (progress.is_synced, progress.is_reading) = (false, false);
        progress.acked.clear();
    }
}

const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(8);

/// State of a site that can't be published though Redis answers.
#[derive(Debug)]
pub struct Trouble {
    /// None while the next try is under way.
    pub retry_at: Option<Instant>,
    failures: u32,
    /// The site's own counters are affected, not only some pages.
    pub blocks_live: bool,
}

impl Trouble {
    /// Trouble after another failure.
    fn after(before: Option<&Self>, blocks_live: bool, now: Instant) -> Self {
        let failures = before.map_or(0, |trouble| trouble.failures).saturating_add(1);
        Self { retry_at: Some(now + wait_after(failures)), failures, blocks_live }
    }

    /// Takes the next try if its time has come.
    fn take_due(&mut self, now: Instant) -> bool {
        self.retry_at.take_if(|at| *at <= now).is_some()
    }
}

/// Pause after so many failures, from 1 on.
fn wait_after(failures: u32) -> Duration {
    (RETRY_MIN * 2_u32.saturating_pow(failures.clamp(1, 8) - 1)).min(RETRY_MAX)
}

impl<N: Node> Publisher<N> {
    /// Records a failure. Returns true if the site will be tried again later.
    pub fn failed(&mut self, lease: &Lease, site: &RegisteredSite, error: &RedisError) -> bool {
        let fault = fault_of(error);
        // The call may have been executed or not.
        self.unsync(site.number);
        self.shared.connections.failed(lease.number, error);
        if fault == Fault::Link && !self.shared.connections.is_current(lease) {
            return false;
        }
        // A connection that still stands is a cluster's, of which one shard is away.
        let reason = reason_of(error);
        self.trouble(site.number, !reason.contains(":pages:"));
        if self.shared.health.set_site(site.site.id.as_str(), Some(reason.clone())) {
            tracing::warn!(site = %site.site.id, %reason, "can't publish this site; its hits are still counted");
        }
        true
    }

    /// Tries a site again later.
    pub fn postpone(&mut self, number: SiteNumber) {
        self.unsync(number);
        self.trouble(number, true);
        self.wait(number);
    }

    fn trouble(&mut self, number: SiteNumber, blocks_live: bool) {
        let progress = self.progress.entry(number).or_default();
        progress.bring = None;
        progress.trouble = Some(Trouble::after(progress.trouble.as_ref(), blocks_live, Instant::now()));
    }

    /// Asks about each site whose next try is due.
    pub fn retry_troubled(&mut self) {
        let now = Instant::now();
        let mut due = Vec::new();
        for (number, progress) in &mut self.progress {
            if progress.trouble.as_mut().is_some_and(|trouble| trouble.take_due(now)) {
                due.push(*number);
                progress.agreement = Agreement::Unknown;
                progress.bring = None;
            }
        }
        due.into_iter().for_each(|number| self.request(number));
    }

    /// Notes that the site changed while it couldn't be published: its next try brings the change.
    pub fn wait(&mut self, site: SiteNumber) {
        self.progress.entry(site).or_default().is_waiting = true;
    }

    /// True while the site waits for its next try.
    pub fn is_troubled(&self, site: SiteNumber) -> bool {
        self.trouble_of(site).is_some_and(|trouble| trouble.retry_at.is_some())
    }

    pub fn blocks_live(&self, site: SiteNumber) -> bool {
        self.trouble_of(site).is_some_and(|trouble| trouble.blocks_live)
    }

    fn trouble_of(&self, site: SiteNumber) -> Option<&Trouble> {
        self.progress.get(&site)?.trouble.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_a_second_to_eight() {
        let waits = [1, 2, 3, 4, 5, 9, u32::MAX].map(|failures| wait_after(failures).as_secs());
        assert_eq!(waits, [1, 2, 4, 8, 8, 8, 8]);
    }

    #[test]
    fn a_try_is_due_once_and_each_failure_counts_on() {
        let now = Instant::now();
        let mut first = Trouble::after(None, true, now);
        assert!(!first.take_due(now));
        assert!(first.take_due(now + RETRY_MIN));
        assert!(!first.take_due(now + RETRY_MAX));
        let second = Trouble::after(Some(&first), true, now);
        assert_eq!(second.retry_at, Some(now + RETRY_MIN * 2));
    }
}
