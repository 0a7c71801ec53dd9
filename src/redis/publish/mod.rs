//! Publisher: brings the node's counts to Redis, live traffic before pages before history, and asks Redis
//! what it lacks.
//!
//! One call of a site is in flight at a time, so that each reply goes on where the last one ended. Small
//! calls of different sites go out together, so that a hundred thousand sites don't wait for as many round
//! trips. A failure loses nothing: Redis is asked about the site, and what it lacks is brought.

pub mod agreement;
pub mod ask;
mod bring;
mod calls;
mod live;
pub mod merge_counts;
mod pages;
pub mod periods;
mod rounds;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use self::bring::Bring;
use self::calls::Trouble;
use self::rounds::{Cost, Rounds};
use crate::counter::{ChangedPage, Digest, Period, Place, SiteNumber, Sites};
use crate::metrics::Metrics;
use crate::redis::client::{Lease, Shared};
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
/// Least time between a question and another that a read of figures suggests.
const SUSPECT_INTERVAL: Duration = Duration::from_secs(5);
/// Longest sleep with nothing to do.
const IDLE_MAX: Duration = Duration::from_millis(250);

pub struct Publisher<N> {
    node: Arc<N>,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    calls_per_second: u32,
    /// Digests that may be wrong beside right counts.
    recounts: mpsc::Sender<(SiteNumber, Vec<Place>)>,
    progress: HashMap<SiteNumber, Progress>,
    /// Sites to ask about, or to bring, one after the other.
    requests: VecDeque<SiteNumber>,
    rounds: Rounds,
    /// Sites as they were last seen.
    sites: Arc<Sites>,
    /// Pages that the round has yet to publish.
    pages_round: Vec<ChangedPage>,
    clock: Schedule,
}

/// Publication of one site: its state.
#[derive(Default)]
struct Progress {
    /// Comparison of Redis's `meta` with this node's settings.
    agreement: Agreement,
    /// The current run's digests after the last reply, by key.
    acked: HashMap<Option<Period>, Digest>,
    /// The current run's hits of the site that Redis has acknowledged.
    acked_total: i64,
    /// False: some of the current run's rows may be lost on their way, so all of them are compared.
    is_synced: bool,
    /// The file's digests are being read; false if rows may be lost meanwhile that they don't have.
    is_reading: bool,
    /// Digests in Redis that are not the file's.
    seen: HashMap<Place, Seen>,
    bring: Option<Bring>,
    /// True while it is among the requests.
    is_requested: bool,
    asked_at: Option<Instant>,
    trouble: Option<Trouble>,
    /// Time of the last regression.
    regressed_at: Option<Instant>,
    /// True if the site changed while it couldn't be published.
    is_waiting: bool,
}

/// A digest in Redis that is not the file's, as it was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// It may be changing.
    Moving(Digest),
    /// Redis has all that the file has, and more. That stays so until one of the two digests changes.
    Settled(Differing),
}

/// Different digests of the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Differing {
    redis: Digest,
    file: Digest,
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
    /// History takes at most half of Redis's time: it pauses as long as its last call took.
    history_at: Instant,
    /// Duration of history's calls since the last pause.
    history_took: Duration,
}

impl<N: Node> Publisher<N> {
    pub fn new(
        node: Arc<N>,
        shared: Arc<Shared>,
        metrics: Arc<Metrics>,
        calls_per_second: u32,
        recounts: mpsc::Sender<(SiteNumber, Vec<Place>)>,
    ) -> Self {
        let now = Instant::now();
        let clock = Schedule {
            live_at: now,
            pages_at: now,
            pages_round_began_at: now,
            history_at: now,
            history_took: Duration::ZERO,
        };
        let sites = node.sites();
        Self {
            node,
            shared,
            metrics,
            calls_per_second,
            recounts,
            progress: HashMap::new(),
            requests: VecDeque::new(),
            rounds: Rounds::default(),
            sites,
            pages_round: Vec::new(),
            clock,
        }
    }

    /// Publishes until told to stop, then publishes the last changes until the deadline.
    pub async fn run(mut self, mut stop: watch::Receiver<Option<Instant>>) {
        let mut current = self.shared.connections.watch();
        let mut known = (0, 0);
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
            let is_held = self.shared.health.is_held();
            let lease = if is_held { None } else { self.shared.connections.get() };
            let pause = match lease {
                None => {
                    self.note_lag();
                    IDLE_MAX
                }
                Some(lease) => {
                    let server = (lease.number, self.shared.connections.servers());
                    if server != known || was_held {
                        known = server;
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

    /// Asks about everything again: a Redis that was away may have come back as another.
    fn reconnected(&mut self) {
        for progress in self.progress.values_mut() {
            progress.agreement = Agreement::Unknown;
            progress.seen.clear();
        }
        self.rounds.suspect(&self.node.sites(), Instant::now());
    }

    /// Does the most urgent work. Returns false if none is due.
    async fn step(&mut self, lease: &Lease) -> bool {
        if self.publish_changes(lease).await {
            return true;
        }
        let now = Instant::now();
        if let Some((number, occasion)) = self.rounds.next(&self.sites, now) {
            let site = self.sites.by_number(number).cloned().filter(|_| !self.is_troubled(number));
            let cost = match site {
                Some(site) => self.ask(lease, &site, occasion).await,
                None => Cost::default(),
            };
            self.rounds.answered(cost, Instant::now());
            return true;
        }
        if now >= self.clock.history_at && self.request_step(lease).await {
            // The file's part takes nothing from Redis.
            self.clock.history_at = Instant::now() + std::mem::take(&mut self.clock.history_took);
            return true;
        }
        false
    }

    /// Publishes what has changed, if it is time. Returns false if nothing is due.
    async fn publish_changes(&mut self, lease: &Lease) -> bool {
        let now = Instant::now();
        if now >= self.clock.live_at {
            self.clock.live_at = now + LIVE_INTERVAL;
            self.take_requests(now);
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
        false
    }

    /// Takes what others want asked.
    fn take_requests(&mut self, now: Instant) {
        let sites = self.node.sites();
        if !Arc::ptr_eq(&sites, &self.sites) {
            // A site that is added again begins afresh.
            self.progress.retain(|number, _| sites.by_number(*number).is_some());
            let before = std::mem::replace(&mut self.sites, Arc::clone(&sites));
            for site in sites.iter().filter(|site| before.by_number(site.number).is_none()) {
                self.node.changes().note_site(site.number);
                self.request(site.number);
            }
        }
        for site in self.node.changes().take_overflowed() {
            let progress = self.progress.entry(site).or_default();
            (progress.is_synced, progress.is_reading) = (false, false);
            self.request(site);
        }
        for (site, is_repaired) in self.shared.suspects.take() {
            let progress = self.progress.entry(site).or_default();
            if is_repaired {
                progress.seen.clear();
            }
            let is_due = progress.asked_at.is_none_or(|at| now.duration_since(at) >= SUSPECT_INTERVAL);
            if is_repaired || is_due {
                self.request(site);
            }
        }
    }

    fn pause(&self) -> Duration {
        let history_at = if self.requests.is_empty() { None } else { Some(self.clock.history_at) };
        let next = [Some(self.clock.live_at), Some(self.clock.pages_at), history_at, self.rounds.next_at];
        let next = next.into_iter().flatten().min().map_or(IDLE_MAX, |at| at.saturating_duration_since(Instant::now()));
        next.clamp(Duration::from_millis(1), IDLE_MAX)
    }

    /// Publishes everything that has changed, without regard to the budget.
    async fn drain(&mut self) {
        while !self.shared.health.is_held()
            && let Some(lease) = self.shared.connections.get()
        {
            let sites_done = self.publish_live(&lease, usize::MAX).await;
            self.publish_pages(&lease).await;
            let pages_done = self.pages_round.is_empty() && !self.node.changes().has_pages();
            self.publish_titles(&lease).await;
            self.take_requests(Instant::now());
            let requests_done = !self.request_step(&lease).await;
            if sites_done && pages_done && requests_done {
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
