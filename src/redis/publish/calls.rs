//! What every call has in common: its reply is held against what was confirmed, its failure decides
//! when the site is tried again.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use redis::RedisError;

use super::{Agreement, Lease, Publisher, Trouble};
use crate::counter::{RegisteredSite, SiteNumber};
use crate::redis::connection::{self, Fault};
use crate::redis::node::Node;
use crate::redis::raise::{Raise, Raised};
use crate::redis::sweep::{Scope, Sweep};
use crate::redis::witness::Witness;

const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(8);
/// A site that Redis forgets twice within this time is brought again after a while only.
const FORGETFUL_FOR: Duration = Duration::from_secs(20);

/// Calls of different sites that are in flight together: together they have no more rows than two of the
/// largest, so that Redis's other clients wait no longer for them.
pub(in crate::redis) const CALLS_AT_ONCE: usize = 16;

/// What became of a call.
pub(super) enum Sent {
    /// Not whole: the reply shows that Redis forgot something, which is brought again.
    Taken { raised: Raised, is_whole: bool },
    /// The site will be tried again later.
    Troubled,
    /// The connection is lost.
    Lost,
}

fn wait_after(failures: u32) -> Duration {
    (RETRY_MIN * 2_u32.saturating_pow(failures.min(8) - 1)).min(RETRY_MAX)
}

impl<N: Node> Publisher<N> {
    /// Sends one call for a site and takes in what it shows.
    pub(super) async fn raise(
        &mut self,
        lease: &Lease,
        site: &RegisteredSite,
        raise: &Raise,
        of_current_run: bool,
    ) -> Result<Raised, ()> {
        let confirmed = self.witnesses.of(site.number);
        let begun = Instant::now();
        match raise.send(&lease.link, &self.keys, &site.site).await {
            Ok(raised) => {
                let is_whole = self.confirmed(site, &confirmed, &raised, of_current_run, begun.elapsed());
                if is_whole { Ok(raised) } else { Err(()) }
            }
            Err(error) => {
                self.failed(lease, site, &error);
                Err(())
            }
        }
    }

    /// Sends calls of different sites, several at a time. Each reply counts as it comes: where a shard hangs,
    /// the others' success shows in time.
    pub(super) async fn raise_each(
        &mut self,
        lease: &Lease,
        calls: impl Iterator<Item = (Arc<RegisteredSite>, Raise)> + Send,
        mut then: impl FnMut(&mut Self, &RegisteredSite, Sent) + Send,
    ) {
        let keys = self.keys.clone();
        let connections = Arc::clone(&self.connections);
        let witnesses = Arc::clone(&self.witnesses);
        let calls = futures_util::stream::iter(calls).map(|(site, raise)| {
            let confirmed = witnesses.of(site.number);
            let (keys, connections) = (&keys, &connections);
            async move {
                let begun = Instant::now();
                let outcome = match lease.is_current(connections) {
                    true => raise.send(&lease.link, keys, &site.site).await,
                    // Lost meanwhile: not even tried.
                    false => Err(connection::lost()),
                };
                (site, confirmed, outcome, begun.elapsed())
            }
        });
        let mut outcomes = pin!(calls.buffer_unordered(CALLS_AT_ONCE));
        while let Some((site, confirmed, outcome, duration)) = outcomes.next().await {
            let sent = match outcome {
                Ok(raised) => {
                    let is_whole = self.confirmed(&site, &confirmed, &raised, true, duration);
                    Sent::Taken { raised, is_whole }
                }
                Err(error) if self.failed(lease, &site, &error) => Sent::Troubled,
                Err(_) => Sent::Lost,
            };
            then(self, &site, sent);
        }
    }

    /// Takes in a reply. False: it shows that Redis forgot something.
    fn confirmed(
        &mut self,
        site: &RegisteredSite,
        confirmed: &Witness,
        raised: &Raised,
        of_current_run: bool,
        duration: Duration,
    ) -> bool {
        self.metrics.redis_publish_duration_seconds.observe(duration.as_secs_f64());
        self.connections.succeeded();
        let missing = confirmed.missing_in(raised);
        if let Some(missing) = &missing {
            self.forgot(site.number, missing);
        }
        self.witnesses.note(site.number, raised);
        if of_current_run && missing.is_none() {
            let complete = raised.markers.iter().map(|(period, source, _)| (*period, source.clone()));
            self.witnesses.note_markers(site.number, complete, true);
        }
        missing.is_none()
    }

    /// Redis has less of a site than it had confirmed: everything is brought again, and the other
    /// sites are looked at soon.
    pub(in crate::redis) fn forgot(&mut self, number: SiteNumber, what: &str) {
        let sites = self.node.sites();
        let Some(site) = sites.by_number(number) else { return };
        self.metrics.redis_regressions_total.inc();
        self.witnesses.forget(number);
        let now = Instant::now();
        let progress = self.progress.entry(number).or_default();
        progress.agreement = Agreement::Unknown;
        let is_again = progress.forgot_at.replace(now).is_some_and(|at| now.duration_since(at) < FORGETFUL_FOR);
        if is_again {
            // A Redis that loses it each time (its clock runs ahead, its memory is full) is not flooded.
            self.postpone(number, Scope::All);
            let reason = format!("Redis loses what it has confirmed, again and again: {what}");
            if self.health.set_site(site.site.id.as_str(), Some(reason)) {
                tracing::warn!(site = %site.site.id, what, "Redis forgot counts again; bringing them more slowly");
            }
            self.checks.begin(&sites, true);
            return;
        }
        tracing::warn!(site = %site.site.id, what, "Redis forgot counts that it had confirmed; bringing them again");
        self.node.note_changed_site(number);
        let progress = self.progress.entry(number).or_default();
        let is_queued = progress.sweep.is_some();
        progress.sweep = Some(Sweep::new(Scope::All));
        if !is_queued {
            self.sweeps.retain(|queued| *queued != number);
            self.sweeps.push_front(number);
        }
        self.checks.begin(&sites, true);
    }

    /// Takes in a failure. True: the site is in trouble, and will be tried again later.
    pub(in crate::redis) fn failed(&mut self, lease: &Lease, site: &RegisteredSite, error: &RedisError) -> bool {
        let fault = connection::fault_of(error);
        self.connections.failed(lease.number, error);
        if fault == Fault::Link && !self.is_current(lease) {
            return false;
        }
        // Where the connection stands nevertheless, it is a cluster's, and one shard is away.
        let reason = connection::reason_of(error);
        let progress = self.progress.entry(site.number).or_default();
        let failures = progress.trouble.as_ref().map_or(0, |trouble| trouble.failures) + 1;
        progress.trouble = Some(Trouble {
            retry_at: Some(Instant::now() + wait_after(failures)),
            failures,
            is_poison: fault == Fault::Site,
            blocks_live: !reason.contains(":pages:"),
        });
        if self.health.set_site(site.site.id.as_str(), Some(reason.clone())) {
            tracing::warn!(site = %site.site.id, %reason, "can't publish this site; its hits are counted on");
        }
        true
    }

    /// Tries a site again later, with all that is in `scope`.
    fn postpone(&mut self, number: SiteNumber, scope: Scope) {
        let progress = self.progress.entry(number).or_default();
        let failures = progress.trouble.as_ref().map_or(0, |trouble| trouble.failures) + 1;
        progress.trouble = Some(Trouble {
            retry_at: Some(Instant::now() + wait_after(failures)),
            failures,
            is_poison: false,
            blocks_live: true,
        });
        progress.postponed = progress.postponed.max(Some(scope));
        progress.is_waiting = true;
        progress.sweep = None;
        self.sweeps.retain(|queued| *queued != number);
    }

    /// Sites whose time has come are tried again: the poisoned with all they have, since nobody
    /// knows what was mended and how.
    pub(super) fn retry_troubled(&mut self) {
        let now = Instant::now();
        let mut due = Vec::new();
        for (number, progress) in &mut self.progress {
            if let Some(trouble) = &mut progress.trouble
                && trouble.retry_at.is_some_and(|at| at <= now)
            {
                trouble.retry_at = None;
                due.push((*number, trouble.is_poison));
            }
        }
        for (number, is_poison) in due {
            let progress = self.progress.entry(number).or_default();
            let postponed = progress.postponed.take();
            progress.agreement = Agreement::Unknown;
            progress.sweep = None;
            self.sweeps.retain(|queued| *queued != number);
            let scope = if is_poison { Scope::All } else { postponed.unwrap_or(Scope::Unpublished) };
            self.wish(number, scope);
        }
    }

    /// The site's next try brings what has changed until then.
    pub(in crate::redis) fn wait(&mut self, site: SiteNumber) {
        self.progress.entry(site).or_default().is_waiting = true;
    }

    pub(super) fn is_current(&self, lease: &Lease) -> bool {
        lease.is_current(&self.connections)
    }

    /// Waiting for its next try.
    pub(in crate::redis) fn is_troubled(&self, site: SiteNumber) -> bool {
        let trouble = self.progress.get(&site).and_then(|progress| progress.trouble.as_ref());
        trouble.is_some_and(|trouble| trouble.retry_at.is_some())
    }

    pub(super) fn blocks_live(&self, site: SiteNumber) -> bool {
        let trouble = self.progress.get(&site).and_then(|progress| progress.trouble.as_ref());
        trouble.is_some_and(|trouble| trouble.blocks_live)
    }

    pub(super) fn differs(&self, site: SiteNumber) -> bool {
        self.progress.get(&site).is_some_and(|progress| progress.agreement == Agreement::Differs)
    }
}
