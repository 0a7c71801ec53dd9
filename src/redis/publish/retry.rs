//! Sites that can't be published, and when each is tried again.

use std::time::{Duration, Instant};

use redis::RedisError;

use super::backfill_plan::Scope;
use super::{Agreement, Lease, Publisher};
use crate::counter::{RegisteredSite, SiteNumber};
use crate::redis::client::reply::{Fault, fault_of, reason_of};
use crate::redis::ports::Node;

const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(8);

/// State of a site that can't be published though Redis answers.
#[derive(Debug)]
pub struct Trouble {
    /// None while the next try is under way.
    pub retry_at: Option<Instant>,
    failures: u32,
    /// The site's keys are at fault, not its shard.
    is_of_keys: bool,
    /// The site's own counters are affected, not only some pages.
    pub blocks_live: bool,
}

impl Trouble {
    /// Trouble after another failure.
    fn after(before: Option<&Self>, is_of_keys: bool, blocks_live: bool, now: Instant) -> Self {
        let failures = before.map_or(0, |trouble| trouble.failures).saturating_add(1);
        Self { retry_at: Some(now + wait_after(failures)), failures, is_of_keys, blocks_live }
    }

    /// Takes the next try if its time has come.
    fn take_due(&mut self, now: Instant) -> bool {
        self.retry_at.take_if(|at| *at <= now).is_some()
    }

    /// Counts that the next try brings: all where keys were at fault, since nobody knows what was
    /// repaired and how.
    fn scope(&self, postponed: Option<Scope>) -> Scope {
        if self.is_of_keys { Scope::All } else { postponed.unwrap_or(Scope::Unpublished) }
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
        self.connections.failed(lease.number, error);
        if fault == Fault::Link && !self.is_current(lease) {
            return false;
        }
        // A connection that still stands is a cluster's, of which one shard is away.
        let reason = reason_of(error);
        let progress = self.progress.entry(site.number).or_default();
        let (is_of_keys, blocks_live) = (fault == Fault::Site, !reason.contains(":pages:"));
        progress.trouble = Some(Trouble::after(progress.trouble.as_ref(), is_of_keys, blocks_live, Instant::now()));
        if self.health.set_site(site.site.id.as_str(), Some(reason.clone())) {
            tracing::warn!(site = %site.site.id, %reason, "can't publish this site; its hits are still counted");
        }
        true
    }

    /// Tries a site again later, with everything in `scope`.
    pub fn postpone(&mut self, number: SiteNumber, scope: Scope) {
        let progress = self.progress.entry(number).or_default();
        progress.trouble = Some(Trouble::after(progress.trouble.as_ref(), false, true, Instant::now()));
        progress.postponed = progress.postponed.max(Some(scope));
        progress.is_waiting = true;
        progress.backfill = None;
        self.backfills.retain(|queued| *queued != number);
    }

    /// Requests a backfill of each site whose next try is due.
    pub fn retry_troubled(&mut self) {
        let now = Instant::now();
        let mut due = Vec::new();
        for (number, progress) in &mut self.progress {
            if let Some(trouble) = progress.trouble.as_mut().filter(|trouble| trouble.retry_at.is_some())
                && trouble.take_due(now)
            {
                due.push((*number, trouble.scope(progress.postponed.take())));
                progress.agreement = Agreement::Unknown;
                progress.backfill = None;
            }
        }
        for (number, scope) in due {
            self.backfills.retain(|queued| *queued != number);
            self.request_backfill(number, scope);
        }
    }

    /// Notes that the site changed while it couldn't be published: its next try brings the change.
    pub fn wait(&mut self, site: SiteNumber) {
        self.progress.entry(site).or_default().is_waiting = true;
    }

    pub fn is_current(&self, lease: &Lease) -> bool {
        lease.is_current(&self.connections)
    }

    /// True while the site waits for its next try.
    pub fn is_troubled(&self, site: SiteNumber) -> bool {
        let trouble = self.progress.get(&site).and_then(|progress| progress.trouble.as_ref());
        trouble.is_some_and(|trouble| trouble.retry_at.is_some())
    }

    pub fn blocks_live(&self, site: SiteNumber) -> bool {
        let trouble = self.progress.get(&site).and_then(|progress| progress.trouble.as_ref());
        trouble.is_some_and(|trouble| trouble.blocks_live)
    }

    pub fn differs(&self, site: SiteNumber) -> bool {
        self.progress.get(&site).is_some_and(|progress| progress.agreement == Agreement::Differs)
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
        let mut first = Trouble::after(None, false, true, now);
        assert!(!first.take_due(now));
        assert!(first.take_due(now + RETRY_MIN));
        assert!(!first.take_due(now + RETRY_MAX));
        let second = Trouble::after(Some(&first), false, true, now);
        assert_eq!(second.retry_at, Some(now + RETRY_MIN * 2));
    }

    #[test]
    fn a_site_whose_keys_were_wrong_is_brought_whole_and_another_with_what_was_postponed() {
        let now = Instant::now();
        assert_eq!(Trouble::after(None, true, true, now).scope(None), Scope::All);
        let of_shard = Trouble::after(None, false, true, now);
        assert_eq!(of_shard.scope(None), Scope::Unpublished);
        assert_eq!(of_shard.scope(Some(Scope::All)), Scope::All);
    }
}
