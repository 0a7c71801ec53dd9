//! The publisher: brings what the node has counted to Redis, live traffic before pages before
//! history, and finds out when Redis forgot something.
//!
//! One call of a site is in flight at a time, so every reply can be held against what was confirmed before
//! the call; small ones of different sites go out together, so that a hundred thousand sites don't wait for
//! as many round trips. Nothing here is lost by a failure: a site goes back among the changed, a page's
//! site is swept.

mod calls;
mod history;
mod live;
mod pages;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use crate::counter::{ChangedPage, SiteNumber};
use crate::metrics::Metrics;
use crate::redis::connection::{Connections, Link};
use crate::redis::health::Health;
use crate::redis::layout::Keys;
use crate::redis::node::Node;
use crate::redis::sweep::{Scope, Sweep};
use crate::redis::totals::Totals;
use crate::redis::witness::Witnesses;

pub(in crate::redis) use calls::CALLS_AT_ONCE;
pub(in crate::redis) use pages::may_raise;

const LIVE_INTERVAL: Duration = Duration::from_millis(500);
/// Pages go out in rounds, and within one each of them once a day: what is read much changes all the
/// time.
const PAGES_REST_MIN: Duration = Duration::from_secs(1);
/// A round is followed by as long a rest, but by none that is longer.
const PAGES_REST_MAX: Duration = Duration::from_secs(5);
/// How often the node is asked for sites with unpublished sources, beside when connecting.
const UNPUBLISHED_INTERVAL: Duration = Duration::from_secs(10);
/// Longest sleep with nothing to do.
const IDLE_MAX: Duration = Duration::from_millis(250);

pub struct Publisher<N> {
    pub(in crate::redis) node: Arc<N>,
    pub(in crate::redis) keys: Keys,
    pub(in crate::redis) connections: Arc<Connections>,
    pub(in crate::redis) witnesses: Arc<Witnesses>,
    pub(in crate::redis) totals: Arc<Totals>,
    pub(in crate::redis) health: Arc<Health>,
    pub(in crate::redis) metrics: Arc<Metrics>,
    raises_per_second: u32,
    /// Sites of which an operator wants everything brought again.
    repairs: mpsc::Receiver<SiteNumber>,
    pub(in crate::redis) progress: HashMap<SiteNumber, Progress>,
    /// Sites to sweep, one after the other.
    sweeps: VecDeque<SiteNumber>,
    pub(in crate::redis) checks: crate::redis::check::Rounds,
    /// What the round of pages has yet to publish.
    pages_round: Vec<ChangedPage>,
    clock: Schedule,
}

/// Where publication of one site stands.
#[derive(Default)]
pub(in crate::redis) struct Progress {
    /// Redis's `meta` agrees with this node.
    pub(in crate::redis) agreement: Agreement,
    /// The site's frozen sources were looked for in Redis.
    pub(in crate::redis) is_met: bool,
    pub(in crate::redis) sweep: Option<Sweep>,
    /// A sweep that was dropped until the site can be published again.
    pub(in crate::redis) postponed: Option<Scope>,
    trouble: Option<Trouble>,
    /// When Redis was last found to have forgotten some of it.
    forgot_at: Option<Instant>,
    /// Changed while it couldn't be published.
    is_waiting: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum Agreement {
    #[default]
    Unknown,
    Agreed,
    Differs,
}

/// A site that can't be published though Redis answers.
struct Trouble {
    retry_at: Option<Instant>,
    failures: u32,
    /// Of the site's keys rather than of its shard.
    is_poison: bool,
    /// The site's own counters are affected, not only some pages.
    blocks_live: bool,
}

struct Schedule {
    live_at: Instant,
    pages_at: Instant,
    pages_round_began_at: Instant,
    unpublished_at: Instant,
    /// History uses half of Redis at most: it rests as long as its last call took.
    history_at: Instant,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Worked,
    Idle,
}

/// The connection with its number, by which its failure is reported.
pub(in crate::redis) struct Lease {
    pub(in crate::redis) link: Link,
    pub(in crate::redis) number: u64,
}

impl Lease {
    pub(in crate::redis) fn is_current(&self, connections: &Connections) -> bool {
        connections.get().is_some_and(|(number, _)| number == self.number)
    }
}

impl<N: Node> Publisher<N> {
    #[expect(clippy::too_many_arguments, reason = "built in one place, from parts that all differ in type")]
    pub fn new(
        node: Arc<N>,
        keys: Keys,
        connections: Arc<Connections>,
        witnesses: Arc<Witnesses>,
        totals: Arc<Totals>,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
        raises_per_second: u32,
        repairs: mpsc::Receiver<SiteNumber>,
    ) -> Self {
        let now = Instant::now();
        let clock =
            Schedule { live_at: now, pages_at: now, pages_round_began_at: now, unpublished_at: now, history_at: now };
        Self {
            node,
            keys,
            connections,
            witnesses,
            totals,
            health,
            metrics,
            raises_per_second,
            repairs,
            progress: HashMap::new(),
            sweeps: VecDeque::new(),
            checks: crate::redis::check::Rounds::default(),
            pages_round: Vec::new(),
            clock,
        }
    }

    /// Publishes until told to stop, then all that has changed once more, until the deadline.
    pub async fn run(mut self, mut stop: watch::Receiver<Option<Instant>>) {
        let mut current = self.connections.watch();
        let mut known = 0;
        let mut was_held = true;
        loop {
            if let Some(deadline) = *stop.borrow_and_update() {
                let deadline = tokio::time::Instant::from_std(deadline);
                if tokio::time::timeout_at(deadline, self.drain()).await.is_err() {
                    tracing::warn!(
                        "Redis has not taken all that was counted before the end; the next start brings the rest"
                    );
                }
                return;
            }
            let is_held = self.health.is_held();
            let lease = if is_held { None } else { self.lease() };
            let pause = match lease {
                None => {
                    self.note_lag();
                    IDLE_MAX
                }
                Some(lease) => {
                    if lease.number != known || was_held {
                        known = lease.number;
                        self.reconnected();
                    }
                    match self.step(&lease).await {
                        Step::Worked => Duration::ZERO,
                        Step::Idle => self.pause(),
                    }
                }
            };
            was_held = is_held;
            if pause.is_zero() {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.changed() => {}
                _ = current.changed() => {}
            }
        }
    }

    fn lease(&self) -> Option<Lease> {
        self.connections.get().map(|(number, link)| Lease { link, number })
    }

    /// A Redis that was away may have come back as another.
    fn reconnected(&mut self) {
        self.clock.unpublished_at = Instant::now();
        for progress in self.progress.values_mut() {
            progress.agreement = Agreement::Unknown;
        }
        self.checks.begin(&self.node.sites(), true);
    }

    /// Does the most urgent thing, if any is due.
    async fn step(&mut self, lease: &Lease) -> Step {
        let now = Instant::now();
        for site in self.totals.take_suspects() {
            self.forgot(site, "a read of its figures shows less than was confirmed");
        }
        if now >= self.clock.live_at {
            self.clock.live_at = now + LIVE_INTERVAL;
            self.take_overflowed();
            while let Ok(site) = self.repairs.try_recv() {
                self.wish(site, Scope::All);
            }
            self.retry_troubled();
            let limit = usize::try_from(self.raises_per_second).unwrap_or(usize::MAX).div_ceil(2).max(1);
            self.publish_live(lease, limit).await;
            return Step::Worked;
        }
        if now >= self.clock.pages_at || (self.pages_round.is_empty() && self.node.has_many_changed_pages()) {
            self.publish_pages(lease).await;
            self.publish_titles(lease).await;
            let rest = match self.pages_round.is_empty() {
                true => self.clock.pages_round_began_at.elapsed().clamp(PAGES_REST_MIN, PAGES_REST_MAX),
                false => now.elapsed(),
            };
            self.clock.pages_at = Instant::now() + rest;
            return Step::Worked;
        }
        if now >= self.clock.unpublished_at {
            self.clock.unpublished_at = now + UNPUBLISHED_INTERVAL;
            self.wish_unpublished().await;
            return Step::Worked;
        }
        if let Some(site) = self.checks.next(now) {
            self.check(lease, site).await;
            return Step::Worked;
        }
        if now >= self.clock.history_at && self.sweep_step(lease).await == Step::Worked {
            self.clock.history_at = Instant::now() + now.elapsed();
            return Step::Worked;
        }
        Step::Idle
    }

    fn pause(&self) -> Duration {
        let history_at = if self.sweeps.is_empty() { None } else { Some(self.clock.history_at) };
        let next = [Some(self.clock.live_at), Some(self.clock.pages_at), history_at, self.checks.next_at()];
        let next = next.into_iter().flatten().min().map_or(IDLE_MAX, |at| at.saturating_duration_since(Instant::now()));
        next.clamp(Duration::from_millis(1), IDLE_MAX)
    }

    /// Publishes all that has changed, without regard to the budget.
    async fn drain(&mut self) {
        while !self.health.is_held()
            && let Some(lease) = self.lease()
        {
            let sites_done = self.publish_live(&lease, usize::MAX).await;
            self.publish_pages(&lease).await;
            let pages_done = self.pages_round.is_empty() && !self.node.has_changed_pages();
            self.publish_titles(&lease).await;
            self.take_overflowed();
            let sweeps_done = self.sweep_step(&lease).await == Step::Idle;
            if sites_done && pages_done && sweeps_done {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}
