//! The publisher: brings what the node has counted to Redis, live traffic before pages before
//! history, and finds out when Redis forgot something.
//!
//! One call is in flight at a time (in a cluster, about one a shard), so every reply can be held
//! against what was confirmed before the call. Nothing here is lost by a failure: a site goes back
//! among the changed, a page's site is swept.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;
use redis::RedisError;
use tokio::sync::watch;

use super::connection::{self, Connections, Fault, Link};
use super::health::Health;
use super::layout::{self, Keys};
use super::node::{Node, RowKey, Sighting};
use super::raise::{MarkerMode, ROWS_MAX, Raise, Raised};
use super::sweep::{Scope, Stage, Sweep};
use super::totals::Totals;
use super::witness::{Witness, Witnesses};
use crate::counter::{Contribution, EnrolledSite, Period, Site, SiteNumber, Source};
use crate::metrics::Metrics;

const LIVE_INTERVAL: Duration = Duration::from_millis(500);
const PAGES_INTERVAL: Duration = Duration::from_secs(1);
/// Pages taken at once: they belong to many sites, and each site is a call.
const PAGES_TAKEN_MAX: usize = 1_000;
/// How often the node is asked for sites with unpublished sources, beside when connecting.
const UNPUBLISHED_INTERVAL: Duration = Duration::from_secs(10);
/// A key of pages that expires so soon is not raised: it could vanish under a late call, or be
/// made anew and never expire.
const EXPIRY_MARGIN_SECONDS: i64 = 24 * 60 * 60;
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(8);
/// A site's own counters are read in small pieces, since each period's are followed by its pages.
const OWN_ROWS_READ: usize = 50;
const SEEKS_MAX: usize = 50;
/// Longest sleep with nothing to do.
const IDLE_MAX: Duration = Duration::from_millis(250);

pub struct Publisher<N> {
    pub(super) node: Arc<N>,
    pub(super) keys: Keys,
    pub(super) connections: Arc<Connections>,
    pub(super) witnesses: Arc<Witnesses>,
    pub(super) totals: Arc<Totals>,
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<Metrics>,
    raises_per_second: u32,
    pub(super) progress: HashMap<SiteNumber, Progress>,
    /// Sites to sweep, one after the other.
    sweeps: VecDeque<SiteNumber>,
    pub(super) checks: super::check::Rounds,
    clock: Schedule,
}

/// Where publication of one site stands.
#[derive(Default)]
pub(super) struct Progress {
    /// Redis's `meta` agrees with this node.
    pub(super) agreement: Agreement,
    /// The site's frozen sources were looked for in Redis.
    pub(super) is_met: bool,
    pub(super) sweep: Option<Sweep>,
    /// A sweep that was dropped until the site can be published again.
    pub(super) postponed: Option<Scope>,
    trouble: Option<Trouble>,
    /// Changed while it couldn't be published.
    is_waiting: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Agreement {
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
    unpublished_at: Instant,
    /// History uses half of Redis at most: it rests as long as its last call took.
    history_at: Instant,
    caught_up_at: Instant,
    waiting_since: Option<Instant>,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Worked,
    Idle,
}

/// The connection with its number, by which its failure is reported.
pub(super) struct Lease {
    pub(super) link: Link,
    pub(super) number: u64,
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
    ) -> Self {
        let now = Instant::now();
        let clock = Schedule {
            live_at: now,
            pages_at: now,
            unpublished_at: now,
            history_at: now,
            caught_up_at: now,
            waiting_since: None,
        };
        Self {
            node,
            keys,
            connections,
            witnesses,
            totals,
            health,
            metrics,
            raises_per_second,
            progress: HashMap::new(),
            sweeps: VecDeque::new(),
            checks: super::check::Rounds::default(),
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
                let _ = tokio::time::timeout_at(deadline, self.drain()).await;
                return;
            }
            let is_held = self.health.is_held();
            let lease = if is_held { None } else { self.lease() };
            self.metrics.redis_up.set(i64::from(self.connections.is_up()));
            let pause = match lease {
                None => {
                    self.note_waiting();
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
            self.retry_troubled();
            let limit = usize::try_from(self.raises_per_second).unwrap_or(usize::MAX).div_ceil(2).max(1);
            self.publish_live(lease, limit).await;
            return Step::Worked;
        }
        if now >= self.clock.pages_at {
            let took_all = self.publish_pages(lease).await;
            self.publish_titles(lease).await;
            let rest = if took_all { PAGES_INTERVAL } else { now.elapsed() };
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

    // --- Live traffic.

    async fn publish_live(&mut self, lease: &Lease, limit: usize) -> bool {
        let taken = self.node.take_changed_sites(limit);
        let took_all = taken.len() < limit;
        let started = Instant::now();
        let sites = self.node.sites();
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
        let witnesses = Arc::clone(&self.witnesses);
        let calls = futures_util::stream::iter(ready).map(|site| {
            let raise = Raise { rows: node.recent(site.number), markers: Vec::new() };
            let confirmed = witnesses.of(site.number);
            let (link, keys, connections) = (&lease.link, &keys, &self.connections);
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
        let outcomes: Vec<_> = calls.buffer_unordered(lease.link.lanes()).collect().await;
        let mut all_is_well = true;
        for (site, confirmed, outcome, duration) in outcomes {
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
    fn note_waiting(&mut self) {
        let waiting = self.node.take_changed_sites(1);
        for site in &waiting {
            self.node.put_back_changed_site(*site);
        }
        let since = (!waiting.is_empty()).then(|| self.clock.waiting_since.unwrap_or_else(Instant::now));
        self.clock.waiting_since = since;
        self.metrics.redis_publish_lag.set(since.map_or(0.0, |since| since.elapsed().as_secs_f64()));
    }

    /// The reply to a raise is as good as a read, for the periods that it covers.
    fn show(&self, site: &EnrolledSite, raised: &Raised) {
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

    // --- Pages.

    /// False: there are more.
    async fn publish_pages(&mut self, lease: &Lease) -> bool {
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

    async fn publish_pages_of(&mut self, lease: &Lease, site: &EnrolledSite, rows: Vec<Contribution>) -> bool {
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

    // --- History.

    async fn wish_unpublished(&mut self) {
        match self.node.unpublished_sites().await {
            Ok(sites) => {
                for site in sites {
                    // One that is being swept is unpublished until that is through: wishing for it again
                    // would keep it so for ever.
                    if self.progress.get(&site).is_none_or(|progress| progress.sweep.is_none()) {
                        self.wish(site, Scope::Unpublished);
                    }
                }
            }
            Err(reason) => tracing::warn!(%reason, "can't read which sites have unpublished sources"),
        }
    }

    fn take_overflowed(&mut self) {
        for site in self.node.take_overflowed_sites() {
            self.wish(site, Scope::Unpublished);
        }
    }

    pub(super) fn wish(&mut self, site: SiteNumber, scope: Scope) {
        let progress = self.progress.entry(site).or_default();
        if let Some(sweep) = &mut progress.sweep {
            sweep.again = sweep.again.max(Some(scope));
        } else {
            progress.sweep = Some(Sweep::new(scope));
            self.sweeps.push_front(site);
        }
    }

    /// One call of the sweep that is on.
    async fn sweep_step(&mut self, lease: &Lease) -> Step {
        let Some(number) = self.sweeps.pop_front() else { return Step::Idle };
        let sites = self.node.sites();
        let Some(site) = sites.by_number(number).cloned() else {
            self.progress.remove(&number);
            return Step::Worked;
        };
        if self.is_troubled(number) || !self.agree_once(lease, &site).await {
            if self.is_troubled(number) || self.differs(number) {
                // Wished for again when that is over.
                let progress = self.progress.entry(number).or_default();
                progress.postponed = progress.postponed.max(progress.sweep.take().map(|sweep| sweep.scope));
            } else {
                self.sweeps.push_front(number);
            }
            return Step::Worked;
        }
        let Some(mut sweep) = self.progress.entry(number).or_default().sweep.take() else { return Step::Worked };
        let outcome = self.advance(lease, &site, &mut sweep).await;
        if let Ok(true) = outcome {
            self.sweep_done(&site, sweep).await;
            return Step::Worked;
        }
        let is_troubled = self.is_troubled(number);
        let progress = self.progress.entry(number).or_default();
        if progress.sweep.is_some() {
            // Redis was found to have forgotten: a new one has begun.
        } else if is_troubled {
            progress.postponed = progress.postponed.max(Some(sweep.scope));
        } else {
            // All sites' own counters come before anyone's pages.
            let is_urgent = sweep.stage == Stage::Own && outcome.is_ok();
            progress.sweep = Some(sweep);
            if is_urgent { self.sweeps.push_front(number) } else { self.sweeps.push_back(number) }
        }
        Step::Worked
    }

    /// True: the sweep is through.
    async fn advance(&mut self, lease: &Lease, site: &EnrolledSite, sweep: &mut Sweep) -> Result<bool, ()> {
        match sweep.stage {
            Stage::Recent => {
                let raise = Raise { rows: self.node.recent(site.number), markers: Vec::new() };
                if !raise.is_empty() {
                    self.raise(lease, site, &raise, true).await?;
                }
                sweep.stage = Stage::Own;
                Ok(false)
            }
            Stage::Own | Stage::Pages => {
                let (rows, after) = self.read_rows(site, sweep).await.map_err(|reason| {
                    tracing::warn!(site = %site.site.id, %reason, "can't read counts to publish");
                })?;
                let raise = sweep.plan(&rows);
                if !raise.is_empty() {
                    self.raise(lease, site, &raise, false).await?;
                }
                sweep.brought(rows, after);
                Ok(false)
            }
            Stage::Endings => {
                let Some(raise) = sweep.ending().cloned() else { return Ok(true) };
                let raised = self.raise(lease, site, &raise, false).await?;
                let complete = raised.markers.iter().map(|(period, source, _)| (*period, source.clone()));
                self.witnesses.note_markers(site.number, complete, false);
                if !sweep.ended(&raised) {
                    self.forgot(site.number, "a key of pages vanished while it was being filled");
                    return Err(());
                }
                Ok(sweep.ending().is_none())
            }
        }
    }

    /// The next rows of a sweep's stage, and where they end; none at the stage's end.
    async fn read_rows(
        &self,
        site: &EnrolledSite,
        sweep: &Sweep,
    ) -> Result<(Vec<Contribution>, Option<RowKey>), String> {
        let unpublished_only = sweep.scope == Scope::Unpublished;
        let mut after = sweep.after;
        let mut found = Vec::new();
        if sweep.stage == Stage::Pages {
            let rows = self.node.rows(site.number, after, ROWS_MAX, unpublished_only).await?;
            after = rows.last().map(|(key, _)| *key);
            let may_raise = |period| may_raise(&site.site, period);
            found
                .extend(rows.into_iter().map(|(_, row)| row).filter(|row| row.page.is_some() && may_raise(row.period)));
            return Ok((found, after));
        }
        // The site's own counters come first in each period: after them, on to the next period.
        for _ in 0..SEEKS_MAX {
            let rows = self.node.rows(site.number, after, OWN_ROWS_READ, unpublished_only).await?;
            after = rows.last().map(|(key, _)| *key);
            // Rows behind a page are read again, from their period's beginning.
            let page_at = rows.iter().position(|(_, row)| row.page.is_some());
            if let Some((key, _)) = page_at.and_then(|at| rows.get(at)) {
                after = Some(RowKey { page: i64::MAX, source: i64::MAX, ..*key });
            }
            let own = rows.into_iter().map(|(_, row)| row).take_while(|row| row.page.is_none());
            found.extend(own);
            if after.is_none() || found.len() + OWN_ROWS_READ > ROWS_MAX {
                break;
            }
        }
        Ok((found, after))
    }

    async fn sweep_done(&mut self, site: &EnrolledSite, sweep: Sweep) {
        let number = site.number;
        // What changed while it ran may have been passed by.
        let mut again = sweep.again;
        again = again.max(self.overflowed(number));
        if again.is_none() {
            let current = self.node.recent(number).first().map(|contribution| contribution.source.clone());
            let frozen: Vec<_> = sweep.sources.into_iter().filter(|source| Some(source) != current.as_ref()).collect();
            if !frozen.is_empty() {
                self.node.mark_published(number, frozen).await;
                // What came in before the mark is behind it now: only a sweep of all finds it.
                again = self.overflowed(number).map(|_| Scope::All);
            }
        }
        let progress = self.progress.entry(number).or_default();
        let was_troubled = progress.trouble.take().is_some();
        let is_waiting = std::mem::take(&mut progress.is_waiting);
        if was_troubled && self.health.set_site(site.site.id.as_str(), None) {
            tracing::info!(site = %site.site.id, "publishes again");
        }
        if is_waiting || sweep.scope == Scope::All {
            self.node.put_back_changed_site(number);
        }
        if let Some(scope) = again {
            self.wish(number, scope);
        }
    }

    /// Whether the site is among those of which more changed than is remembered.
    fn overflowed(&mut self, number: SiteNumber) -> Option<Scope> {
        let mut found = None;
        for site in self.node.take_overflowed_sites() {
            if site == number {
                found = Some(Scope::Unpublished);
            } else {
                self.wish(site, Scope::Unpublished);
            }
        }
        found
    }

    // --- What every call has in common.

    /// Sends one call for a site and takes in what it shows.
    async fn raise(
        &mut self,
        lease: &Lease,
        site: &EnrolledSite,
        raise: &Raise,
        of_current_run: bool,
    ) -> Result<Raised, ()> {
        let confirmed = self.witnesses.of(site.number);
        let begun = Instant::now();
        match raise.send(&lease.link, &self.keys, &site.site).await {
            Ok(raised) => {
                self.metrics.redis_publish_duration.observe(begun.elapsed().as_secs_f64());
                self.connections.succeeded();
                if self.confirmed(site, &confirmed, &raised, of_current_run) { Ok(raised) } else { Err(()) }
            }
            Err(error) => {
                self.failed(lease, site, &error);
                Err(())
            }
        }
    }

    /// Takes in a reply. False: it shows that Redis forgot something.
    fn confirmed(&mut self, site: &EnrolledSite, confirmed: &Witness, raised: &Raised, of_current_run: bool) -> bool {
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
    pub(super) fn forgot(&mut self, number: SiteNumber, what: &str) {
        let sites = self.node.sites();
        let Some(site) = sites.by_number(number) else { return };
        tracing::warn!(site = %site.site.id, what, "Redis forgot counts that it had confirmed; bringing them again");
        self.metrics.redis_regressions.inc();
        self.witnesses.forget(number);
        self.node.put_back_changed_site(number);
        let progress = self.progress.entry(number).or_default();
        progress.agreement = Agreement::Unknown;
        let is_queued = progress.sweep.is_some();
        progress.sweep = Some(Sweep::new(Scope::All));
        if !is_queued {
            self.sweeps.retain(|queued| *queued != number);
            self.sweeps.push_front(number);
        }
        self.checks.begin(&sites, true);
    }

    /// Takes in a failure. True: the site is in trouble, and will be tried again later.
    pub(super) fn failed(&mut self, lease: &Lease, site: &EnrolledSite, error: &RedisError) -> bool {
        let fault = connection::fault_of(error);
        self.connections.failed(lease.number, error);
        if fault == Fault::Link && !self.is_current(lease) {
            return false;
        }
        // Where the connection stands nevertheless, it is a cluster's, and one shard is away.
        let is_poison = fault == Fault::Site;
        let reason = connection::reason_of(error);
        let progress = self.progress.entry(site.number).or_default();
        let failures = progress.trouble.as_ref().map_or(0, |trouble| trouble.failures) + 1;
        let wait = (RETRY_MIN * 2_u32.saturating_pow(failures.min(8) - 1)).min(RETRY_MAX);
        let blocks_live = !reason.contains(":pages:");
        progress.trouble = Some(Trouble { retry_at: Some(Instant::now() + wait), failures, is_poison, blocks_live });
        if self.health.set_site(site.site.id.as_str(), Some(reason.clone())) {
            tracing::warn!(site = %site.site.id, %reason, "can't publish this site; its hits are counted on");
        }
        true
    }

    /// Sites whose time has come are tried again: the poisoned with all they have, since nobody
    /// knows what was mended and how.
    fn retry_troubled(&mut self) {
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
    pub(super) fn wait(&mut self, site: SiteNumber) {
        self.progress.entry(site).or_default().is_waiting = true;
    }

    fn is_current(&self, lease: &Lease) -> bool {
        self.connections.get().is_some_and(|(number, _)| number == lease.number)
    }

    /// Waiting for its next try.
    pub(super) fn is_troubled(&self, site: SiteNumber) -> bool {
        let trouble = self.progress.get(&site).and_then(|progress| progress.trouble.as_ref());
        trouble.is_some_and(|trouble| trouble.retry_at.is_some())
    }

    fn blocks_live(&self, site: SiteNumber) -> bool {
        let trouble = self.progress.get(&site).and_then(|progress| progress.trouble.as_ref());
        trouble.is_some_and(|trouble| trouble.blocks_live)
    }

    fn differs(&self, site: SiteNumber) -> bool {
        self.progress.get(&site).is_some_and(|progress| progress.agreement == Agreement::Differs)
    }

    /// Publishes all that has changed, without regard to the budget.
    async fn drain(&mut self) {
        while !self.health.is_held()
            && let Some(lease) = self.lease()
        {
            let sites_done = self.publish_live(&lease, usize::MAX).await;
            let pages_done = self.publish_pages(&lease).await;
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

/// Whether pages of a period may still be raised: their key doesn't expire within a day.
pub(super) fn may_raise(site: &Site, period: Period) -> bool {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    layout::expiry(site, period).is_none_or(|expiry| expiry > now + EXPIRY_MARGIN_SECONDS)
}
