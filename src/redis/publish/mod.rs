//! Publisher: brings the node's counts to Redis, live traffic before pages before history, and finds
//! out when Redis forgot something.
//!
//! One call of a site is in flight at a time, so that each reply can be compared with the state that
//! Redis acknowledged before. Small calls of different sites go out together, so that a hundred thousand
//! sites don't wait for as many round trips. A failure loses nothing: a site goes back among the
//! changed, and a page's site is backfilled.

pub mod acked_state;
pub mod agreement;
mod backfill;
mod backfill_plan;
mod calls;
mod checks;
mod live;
pub mod merge_counts;
mod pages;
pub mod periods;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use self::acked_state::AckedStates;
use self::backfill_plan::{Backfill, Scope};
use self::calls::Trouble;
use self::checks::CheckRounds;
use crate::counter::{ChangedPage, SiteNumber};
use crate::metrics::Metrics;
use crate::redis::client::connection::Connections;
use crate::redis::client::health::Health;
use crate::redis::client::link::Link;
use crate::redis::keys::Keys;
use crate::redis::ports::Node;

/// Calls of different sites in flight together. Together they have no more rows than two of the largest
/// calls, so that Redis's other clients don't wait longer.
const CALLS_AT_ONCE: usize = 16;
const LIVE_INTERVAL: Duration = Duration::from_millis(500);
/// Pause between rounds of pages. A page that is read much changes all the time, and goes out once a
/// round.
const PAGES_REST_MIN: Duration = Duration::from_secs(1);
/// A round is followed by a pause as long as itself, within these limits.
const PAGES_REST_MAX: Duration = Duration::from_secs(5);
/// Interval at which the node is asked for sites with unpublished sources; also after each connection.
const UNPUBLISHED_INTERVAL: Duration = Duration::from_secs(10);
/// Longest sleep with nothing to do.
const IDLE_MAX: Duration = Duration::from_millis(250);

pub struct Publisher<N> {
    node: Arc<N>,
    keys: Keys,
    connections: Arc<Connections>,
    acked_states: Arc<AckedStates>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    calls_per_second: u32,
    /// Sites that an operator wants brought again as a whole.
    repairs: mpsc::Receiver<SiteNumber>,
    progress: HashMap<SiteNumber, Progress>,
    /// Sites to backfill, one after the other.
    backfills: VecDeque<SiteNumber>,
    checks: CheckRounds,
    /// Pages that the round has yet to publish.
    pages_round: Vec<ChangedPage>,
    clock: Schedule,
}

/// Publication of one site: its state.
#[derive(Default)]
struct Progress {
    /// Comparison of Redis's `meta` with this node's settings.
    agreement: Agreement,
    /// True after the site's first check since the start.
    is_first_checked: bool,
    backfill: Option<Backfill>,
    /// Scope of a backfill that was dropped until the site can be published again.
    postponed: Option<Scope>,
    trouble: Option<Trouble>,
    /// Time of the last regression.
    regressed_at: Option<Instant>,
    /// True if the site changed while it couldn't be published.
    is_waiting: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Agreement {
    #[default]
    Unknown,
    Agreed,
    Differs,
}

struct Schedule {
    live_at: Instant,
    pages_at: Instant,
    pages_round_began_at: Instant,
    unpublished_at: Instant,
    /// History takes at most half of Redis's time: it pauses as long as its last call took.
    history_at: Instant,
}

/// Connection with its number, by which its failure is reported.
pub struct Lease {
    link: Link,
    number: u64,
}

impl Lease {
    fn is_current(&self, connections: &Connections) -> bool {
        connections.get().is_some_and(|(number, _)| number == self.number)
    }
}

impl<N: Node> Publisher<N> {
    #[expect(clippy::too_many_arguments, reason = "built in one place, from parts that all differ in type")]
    pub fn new(
        node: Arc<N>,
        keys: Keys,
        connections: Arc<Connections>,
        acked_states: Arc<AckedStates>,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
        calls_per_second: u32,
        repairs: mpsc::Receiver<SiteNumber>,
    ) -> Self {
        let now = Instant::now();
        let clock =
            Schedule { live_at: now, pages_at: now, pages_round_began_at: now, unpublished_at: now, history_at: now };
        Self {
            node,
            keys,
            connections,
            acked_states,
            health,
            metrics,
            calls_per_second,
            repairs,
            progress: HashMap::new(),
            backfills: VecDeque::new(),
            checks: CheckRounds::default(),
            pages_round: Vec::new(),
            clock,
        }
    }

    /// Publishes until told to stop, then publishes the last changes until the deadline.
    pub async fn run(mut self, mut stop: watch::Receiver<Option<Instant>>) {
        let mut current = self.connections.watch();
        let mut known = 0;
        let mut was_held = true;
        loop {
            if let Some(deadline) = *stop.borrow_and_update() {
                let deadline = tokio::time::Instant::from_std(deadline);
                if tokio::time::timeout_at(deadline, self.drain()).await.is_err() {
                    tracing::warn!(
                        "stopped before everything counted was published; the next start publishes the rest"
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
                    if self.step(&lease).await { Duration::ZERO } else { self.pause() }
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

    /// Checks everything again: a Redis that was away may have come back as another.
    fn reconnected(&mut self) {
        self.clock.unpublished_at = Instant::now();
        for progress in self.progress.values_mut() {
            progress.agreement = Agreement::Unknown;
        }
        self.checks.begin(&self.node.sites(), true, Instant::now());
    }

    /// Does the most urgent work. Returns false if none is due.
    async fn step(&mut self, lease: &Lease) -> bool {
        let now = Instant::now();
        for site in self.acked_states.take_suspects() {
            self.note_regression(site, "a read of its figures shows less than was acknowledged");
        }
        if now >= self.clock.live_at {
            self.clock.live_at = now + LIVE_INTERVAL;
            self.request_overflowed();
            while let Ok(site) = self.repairs.try_recv() {
                self.request_backfill(site, Scope::All);
            }
            self.retry_troubled();
            self.publish_live(lease, live_budget(self.calls_per_second)).await;
            return true;
        }
        if now >= self.clock.pages_at || (self.pages_round.is_empty() && self.node.changes().has_many_pages()) {
            self.publish_pages(lease).await;
            self.publish_titles(lease).await;
            let is_round_over = self.pages_round.is_empty();
            let rest = pages_rest(is_round_over, self.clock.pages_round_began_at.elapsed(), now.elapsed());
            self.clock.pages_at = Instant::now() + rest;
            return true;
        }
        if now >= self.clock.unpublished_at {
            self.clock.unpublished_at = now + UNPUBLISHED_INTERVAL;
            self.request_unpublished().await;
            return true;
        }
        if let Some(site) = self.checks.next(now) {
            self.check(lease, site).await;
            return true;
        }
        if now >= self.clock.history_at && self.backfill_step(lease).await {
            self.clock.history_at = Instant::now() + now.elapsed();
            return true;
        }
        false
    }

    fn pause(&self) -> Duration {
        let history_at = if self.backfills.is_empty() { None } else { Some(self.clock.history_at) };
        let next = [Some(self.clock.live_at), Some(self.clock.pages_at), history_at, self.checks.next_at];
        let next = next.into_iter().flatten().min().map_or(IDLE_MAX, |at| at.saturating_duration_since(Instant::now()));
        next.clamp(Duration::from_millis(1), IDLE_MAX)
    }

    /// Publishes everything that has changed, without regard to the budget.
    async fn drain(&mut self) {
        while !self.health.is_held()
            && let Some(lease) = self.lease()
        {
            let sites_done = self.publish_live(&lease, usize::MAX).await;
            self.publish_pages(&lease).await;
            let pages_done = self.pages_round.is_empty() && !self.node.changes().has_pages();
            self.publish_titles(&lease).await;
            self.request_overflowed();
            let backfills_done = !self.backfill_step(&lease).await;
            if sites_done && pages_done && backfills_done {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Calls that live traffic may take in one `LIVE_INTERVAL`, half a second.
fn live_budget(calls_per_second: u32) -> usize {
    usize::try_from(calls_per_second).unwrap_or(usize::MAX).div_ceil(2).max(1)
}

/// Pause after a part of a round of pages, which took `part`, or after the whole round.
fn pages_rest(is_round_over: bool, round: Duration, part: Duration) -> Duration {
    if is_round_over { round.clamp(PAGES_REST_MIN, PAGES_REST_MAX) } else { part }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_traffic_has_half_a_seconds_calls_and_at_least_one() {
        assert_eq!([0, 1, 2, 3, 2_000].map(live_budget), [1, 1, 1, 2, 1_000]);
    }

    #[test]
    fn pages_pause_as_long_as_they_worked_within_limits() {
        let seconds = Duration::from_secs;
        assert_eq!(pages_rest(true, seconds(0), seconds(0)), seconds(1));
        assert_eq!(pages_rest(true, seconds(3), seconds(1)), seconds(3));
        assert_eq!(pages_rest(true, seconds(60), seconds(1)), seconds(5));
        assert_eq!(pages_rest(false, seconds(60), seconds(2)), seconds(2));
    }
}
