//! Reads of a site's totals for its figures: at most one a second, shared by all requests that wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use redis::RedisResult;
use tokio::sync::{mpsc, watch};

use crate::counter::{Period, RemoteCounter, SiteNumber, Source};
use crate::redis::client::{Link, Shared};
use crate::redis::ports::Node;
use crate::redis::{keys, visitors};

/// Age up to which a read is fresh.
const AGE_MAX: Duration = Duration::from_secs(1);
/// Limit of a page view's wait; then the figures come from memory.
const WAIT_MAX: Duration = Duration::from_millis(250);
/// Reads that wait for the thread.
const QUEUE_MAX: usize = 4_096;
/// Least time between two syncs of a site whose reads show less than was shown.
const SYNC_INTERVAL: Duration = Duration::from_secs(10);
/// Reads in flight.
const IN_FLIGHT_MAX: usize = 64;

/// Passes requests for reads to the publication's thread.
pub struct Totals {
    shared: Arc<Shared>,
    readings: Mutex<HashMap<SiteNumber, Reading>>,
    requests: mpsc::Sender<SiteNumber>,
    syncs: mpsc::Sender<SiteNumber>,
}

/// Last read of a site; its number changes with each read that ends.
#[derive(Default)]
struct Reading {
    ended: watch::Sender<u64>,
    ended_at: Option<Instant>,
    is_running: bool,
    synced_at: Option<Instant>,
}

impl Totals {
    pub fn new(shared: Arc<Shared>, syncs: mpsc::Sender<SiteNumber>) -> (Self, mpsc::Receiver<SiteNumber>) {
        let (requests, receiver) = mpsc::channel(QUEUE_MAX);
        (Self { shared, readings: Mutex::default(), requests, syncs }, receiver)
    }

    /// Resolves when the site's totals are younger than a second, or after the limit.
    pub async fn refresh(&self, site: SiteNumber) {
        if let Some(mut ended) = self.request(site, AGE_MAX) {
            let _ = tokio::time::timeout(WAIT_MAX, ended.changed()).await;
        }
    }

    /// Resolves when a read that began after this call has ended, or after the limit.
    pub async fn read_again(&self, site: SiteNumber) {
        let reading = async {
            let running = lock(&self.readings)
                .get(&site)
                .filter(|reading| reading.is_running && self.shared.connections.is_up())
                .map(|reading| reading.ended.subscribe());
            if let Some(mut ended) = running {
                let _ = ended.changed().await;
            }
            if let Some(mut ended) = self.request(site, Duration::ZERO) {
                let _ = ended.changed().await;
            }
        };
        let _ = tokio::time::timeout(WAIT_MAX, reading).await;
    }

    /// Requests a read unless the last is young enough. Returns the end to wait for.
    fn request(&self, site: SiteNumber, age_max: Duration) -> Option<watch::Receiver<u64>> {
        if !self.shared.connections.is_up() {
            return None;
        }
        let mut readings = lock(&self.readings);
        let reading = readings.entry(site).or_default();
        if reading.ended_at.is_some_and(|at| at.elapsed() < age_max) {
            return None;
        }
        if !reading.is_running {
            self.requests.try_send(site).ok()?;
            reading.is_running = true;
        }
        Some(reading.ended.subscribe())
    }

    /// Serves requests. Never returns.
    pub async fn serve<N: Node>(&self, mut requests: mpsc::Receiver<SiteNumber>, node: &N) {
        let requests = futures_util::stream::poll_fn(|context| requests.poll_recv(context));
        requests
            .for_each_concurrent(IN_FLIGHT_MAX, |site| async move {
                let Shared { keys, connections, .. } = &*self.shared;
                let hits = connections.run(async |link| self.fetch(link, site, node).await);
                let visitors = connections.run(async |link| visitors::read(link, site, node, keys).await);
                // An error of the visitors' keys leaves the hits valid.
                let (is_read, _) = futures_util::future::join(hits, visitors).await;
                self.ended(site, is_read.unwrap_or(false));
            })
            .await;
    }

    async fn fetch<N: Node>(&self, link: &Link, number: SiteNumber, node: &N) -> RedisResult<bool> {
        let to_read = node.counters_to_read(number);
        let Some(site) = node.site(number).filter(|_| !to_read.is_empty()) else { return Ok(true) };
        let mut command = redis::cmd("HMGET");
        command.arg(self.shared.keys.hits(&site.site.counted_as));
        for (period, sources) in &to_read {
            command.arg(period.to_string());
            for source in sources {
                command.arg(keys::contribution_field(*period, source));
            }
        }
        let values = link.query_texts(&command).await?;
        let Some(counters) = remote_counters(to_read, values) else { return Ok(false) };
        if !node.apply_remote(number, counters) {
            self.shared.suspects.add(number);
            self.sync(number);
        }
        Ok(true)
    }

    /// Requests a remote sync: Redis may show less since an import was corrected on another node.
    fn sync(&self, site: SiteNumber) {
        let mut readings = lock(&self.readings);
        let Some(reading) = readings.get_mut(&site) else { return };
        if reading.synced_at.is_none_or(|at| at.elapsed() >= SYNC_INTERVAL) {
            // A full queue is a reason to wait.
            let is_taken = self.syncs.try_send(site).is_ok();
            reading.synced_at = is_taken.then(Instant::now);
        }
    }

    fn ended(&self, site: SiteNumber, is_read: bool) {
        if let Some(reading) = lock(&self.readings).get_mut(&site) {
            reading.is_running = false;
            reading.ended_at = is_read.then(Instant::now);
            reading.ended.send_modify(|number| *number += 1);
        }
    }
}

/// Counters in a reply; none if a value is no number: then the figures come from memory.
fn remote_counters(to_read: Vec<(Period, Vec<Source>)>, values: Vec<Option<String>>) -> Option<Vec<RemoteCounter>> {
    let mut values = values.into_iter();
    let counters = to_read.into_iter().map(|(period, sources)| {
        let (total, contributed) = keys::counter(false, sources.iter(), &mut values)?;
        Some(RemoteCounter { period, total, contributed: sources.into_iter().zip(contributed).collect() })
    });
    counters.collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Register;

    fn values(texts: &[&str]) -> Vec<Option<String>> {
        texts.iter().map(|text| Some((*text).to_owned()).filter(|text| !text.is_empty())).collect()
    }

    #[test]
    fn counters_are_read_in_the_order_in_which_they_were_asked_for_and_nothing_is_zero() {
        let import: Source = "import:old".parse().unwrap();
        let to_read = || vec![(Period::Year(2024), vec![Source::Run(1), import.clone()]), (Period::Total, Vec::new())];
        let counters = remote_counters(to_read(), values(&["9", "", "3 -1", ""])).unwrap();
        let written = Register::Written { generation: 3, hits: -1 };
        assert_eq!((counters[0].total, counters[1].total), (9, 0));
        assert_eq!(counters[0].contributed, [(Source::Run(1), None), (import.clone(), Some(written))]);
        for unreadable in [["x", "", "", ""], ["9", "1.5", "", ""], ["9", "", "3", ""]] {
            assert_eq!(remote_counters(to_read(), values(&unreadable)), None, "{unreadable:?}");
        }
        assert_eq!(remote_counters(to_read(), values(&["9"])), None, "too short");
    }
}
