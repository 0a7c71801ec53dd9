//! Visitors: their sketches and salts in Redis.
//!
//! A node hands Redis whole sketches, which Redis merges into the site's, and reads the site's back
//! into its own. So every node comes to know all visitors, and each brings back what Redis forgets.

mod merge;
mod salts;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use redis::{RedisError, Value};
use tokio::sync::watch;
use tokio::time::Instant;

use super::connection::{Connections, Fault, Link, fault_of, reason_of};
use super::health::Health;
use super::layout::Keys;
use super::node;
use crate::counter::{Day, RegisteredSite, Salt, SiteNumber, Sketch, Window};
use merge::Merge;

pub use salts::{SaltWish, serve as serve_salts};

/// Between two publications of a site's visitors, at least.
const INTERVAL: Duration = Duration::from_secs(2);
/// Sites published in a round at most: the rest waits for the next.
const SITES_MAX: usize = 1_000;
/// Sites whose past estimates are brought in a round: history comes after live traffic.
const HISTORIES_MAX: usize = 50;
/// Sketches of one call: of a site that is read day by day there are two and a few minutes.
const SKETCHES_MAX: usize = 16;
const ESTIMATES_MAX: usize = 500;

/// What this asks of the node beside what publication does.
pub trait Node: node::Node {
    /// Takes up to `limit` sites of whose visitors Redis may lack some.
    fn take_changed_visitors(&self, limit: usize) -> Vec<SiteNumber>;

    /// The site's sketches that Redis may lack, all of whose visitors are durable; from then on Redis
    /// is thought to have them.
    fn take_sketches(&self, site: SiteNumber) -> Vec<(Window, Sketch)>;

    /// Redis has not got them.
    fn put_back_sketches(&self, site: SiteNumber, windows: &[Window]);

    /// Redis may have forgotten all of them.
    fn publish_all_visitors_again(&self);

    /// How many visitors the site's days had, of those days that the file knows.
    fn visitor_estimates(&self, site: SiteNumber) -> impl Future<Output = Result<Vec<(Day, u64)>, String>> + Send;

    /// Of which sketches the site's figures are made now; brought into memory. Empty if it counts none.
    fn shown_windows(&self, site: &RegisteredSite) -> impl Future<Output = Vec<Window>> + Send;

    /// What Redis has of one of them.
    fn saw_visitors(&self, site: SiteNumber, window: Window, sketch: &Sketch);

    /// Days of which a salt is known that other nodes may not have, and days ahead that need one.
    fn salts_to_share(&self) -> Vec<(SiteNumber, Day)>;

    fn salt(&self, site: SiteNumber, day: Day) -> Option<Salt>;

    fn keep_shared_salt(&self, site: SiteNumber, day: Day, salt: Salt) -> impl Future<Output = ()> + Send;
}

/// Brings what Redis has of a site's visitors into memory.
pub async fn read<N: Node>(link: &Link, site: SiteNumber, node: &N, keys: &Keys) -> Result<(), RedisError> {
    let sites = node.sites();
    let Some(registered) = sites.by_number(site).filter(|site| site.site.counts_visitors()) else { return Ok(()) };
    let windows = node.shown_windows(registered).await;
    if windows.is_empty() {
        return Ok(());
    }
    let mut command = redis::cmd("MGET");
    for window in &windows {
        command.arg(keys.sketch(&registered.site, *window));
    }
    let Value::Array(texts) = link.query(&command).await? else { return Ok(()) };
    for (window, text) in windows.into_iter().zip(texts) {
        let sketch = match text {
            Value::BulkString(text) => Sketch::from_redis(&text).ok(),
            // What Redis has lost is brought again.
            Value::Nil => Some(Sketch::default()),
            _ => None,
        };
        // Whatever else stands there, memory knows better.
        if let Some(sketch) = sketch {
            node.saw_visitors(site, window, &sketch);
        }
    }
    Ok(())
}

/// Brings the node's visitors to Redis, and agrees with other nodes on salts.
pub struct Publisher<N> {
    node: Arc<N>,
    keys: Keys,
    connections: Arc<Connections>,
    health: Arc<Health>,
    /// The connection on which everything was published.
    known: u64,
    /// Sites whose past estimates Redis may lack.
    histories: VecDeque<SiteNumber>,
    /// What Redis refused in this round.
    refusal: Option<String>,
}

impl<N: Node> Publisher<N> {
    pub fn new(node: Arc<N>, keys: Keys, connections: Arc<Connections>, health: Arc<Health>) -> Self {
        Self { node, keys, connections, health, known: 0, histories: VecDeque::new(), refusal: None }
    }

    /// Publishes until told to stop, then all that has changed once more, until the deadline.
    pub async fn run(mut self, mut stop: watch::Receiver<Option<std::time::Instant>>) {
        let mut current = self.connections.watch();
        loop {
            let deadline = *stop.borrow_and_update();
            if let Some(deadline) = deadline {
                let last = async { while self.round().await == Left::More {} };
                let _ = tokio::time::timeout_at(Instant::from_std(deadline), last).await;
                return;
            }
            self.round().await;
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                _ = stop.changed() => {}
                _ = current.changed() => {}
            }
        }
    }

    async fn round(&mut self) -> Left {
        let Some((number, link)) = self.connections.get() else { return Left::Nothing };
        self.refusal = None;
        let outcome = self.publish(number, &link).await;
        let left = outcome.unwrap_or_else(|error| {
            self.connections.failed(number, &error);
            Left::Nothing
        });
        let reason = self.refusal.take();
        if self.health.set_visitors(reason.clone())
            && let Some(reason) = reason
        {
            tracing::warn!("{reason}");
        }
        left
    }

    /// Passes on what concerns the connection; what Redis refuses is told, and no reason to stop.
    fn note_refusal(&mut self, site: Option<&RegisteredSite>, error: RedisError) -> Result<(), RedisError> {
        if fault_of(&error) == Fault::Link {
            return Err(error);
        }
        let of = site.map(|site| format!(" of {}", site.site.id)).unwrap_or_default();
        self.refusal = Some(format!("visitors{of} are not shared with other nodes: {}", reason_of(&error)));
        Ok(())
    }

    async fn publish(&mut self, number: u64, link: &Link) -> Result<Left, RedisError> {
        // Writes nothing that counts: also where nothing may be published, nodes share salts.
        if let Err(error) = salts::share_all(self.node.as_ref(), &self.keys, link).await {
            self.note_refusal(None, error)?;
        }
        if self.health.is_held() {
            return Ok(Left::Nothing);
        }
        if number != self.known {
            // It may be another Redis, or have lost everything.
            self.known = number;
            self.node.publish_all_visitors_again();
            let sites = self.node.sites();
            self.histories = sites.iter().filter(|site| site.site.counts_visitors()).map(|site| site.number).collect();
        }
        let changed = self.node.take_changed_visitors(SITES_MAX);
        let is_full = changed.len() == SITES_MAX;
        for (at, site) in changed.iter().enumerate() {
            if let Err(error) = self.publish_site(link, *site).await {
                // The others are not tried on what failed.
                changed[at..].iter().for_each(|site| self.node.put_back_sketches(*site, &[]));
                return Err(error);
            }
        }
        for _ in 0..HISTORIES_MAX {
            let Some(site) = self.histories.pop_front() else { break };
            if let Err(error) = self.publish_history(link, site).await {
                self.histories.push_back(site);
                return Err(error);
            }
        }
        Ok(if is_full || !self.histories.is_empty() { Left::More } else { Left::Nothing })
    }

    async fn publish_site(&mut self, link: &Link, site: SiteNumber) -> Result<(), RedisError> {
        let sites = self.node.sites();
        let Some(registered) = sites.by_number(site) else { return Ok(()) };
        let mut sketches = self.node.take_sketches(site);
        while !sketches.is_empty() {
            let rest = sketches.split_off(sketches.len().min(SKETCHES_MAX));
            let windows: Vec<_> = sketches.iter().chain(&rest).map(|(window, _)| *window).collect();
            let merge = Merge { sketches, estimates: Vec::new() };
            if let Err(error) = merge.send(link, &self.keys, &registered.site).await {
                self.node.put_back_sketches(site, &windows);
                return self.note_refusal(Some(registered), error);
            }
            sketches = rest;
        }
        Ok(())
    }

    async fn publish_history(&mut self, link: &Link, site: SiteNumber) -> Result<(), RedisError> {
        let sites = self.node.sites();
        let Some(registered) = sites.by_number(site) else { return Ok(()) };
        let estimates = match self.node.visitor_estimates(site).await {
            Ok(estimates) => estimates,
            Err(error) => {
                tracing::debug!(site = %registered.site.id, "its past visitors were not read: {error}");
                return Ok(());
            }
        };
        for chunk in estimates.chunks(ESTIMATES_MAX) {
            let merge = Merge { sketches: Vec::new(), estimates: chunk.to_vec() };
            if let Err(error) = merge.send(link, &self.keys, &registered.site).await {
                self.note_refusal(Some(registered), error)?;
            }
        }
        Ok(())
    }
}

/// Whether a round has left something to do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    More,
    Nothing,
}
