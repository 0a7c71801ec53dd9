//! Reads of a site's totals for its figures: at most one a second, shared by all requests that wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use redis::Value;
use tokio::sync::{mpsc, oneshot, watch};

use crate::counter::RemoteCounter;
use crate::counter::{Period, SiteNumber, Source};
use crate::redis::client::connection::Connections;
use crate::redis::client::link::Link;
use crate::redis::client::reply::{Fault, fault_of, text};
use crate::redis::keys::{self, Keys};
use crate::redis::ports::Node;
use crate::redis::publish::suspects::Suspects;
use crate::redis::read::remote_sync;
use crate::redis::visitors;

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
    connections: Arc<Connections>,
    readings: Mutex<HashMap<SiteNumber, Reading>>,
    requests: mpsc::Sender<SiteNumber>,
    syncs: mpsc::Sender<remote_sync::Request>,
}

/// Last read of a site; its number changes with each read that ends.
struct Reading {
    ended: watch::Sender<u64>,
    ended_at: Option<Instant>,
    is_running: bool,
    synced_at: Option<Instant>,
}

impl Totals {
    pub fn new(
        connections: Arc<Connections>,
        syncs: mpsc::Sender<remote_sync::Request>,
    ) -> (Self, mpsc::Receiver<SiteNumber>) {
        let (requests, receiver) = mpsc::channel(QUEUE_MAX);
        (Self { connections, readings: Mutex::default(), requests, syncs }, receiver)
    }

    /// Resolves when the site's totals are younger than a second, or after the limit.
    pub async fn refresh(&self, site: SiteNumber) {
        if !self.connections.is_up() {
            return;
        }
        if let Some(mut ended) = self.request(site, AGE_MAX) {
            let _ = tokio::time::timeout(WAIT_MAX, ended.changed()).await;
        }
    }

    /// Resolves when a read that began after this call has ended, or after the limit.
    pub async fn read_again(&self, site: SiteNumber) {
        if !self.connections.is_up() {
            return;
        }
        let reading = async {
            let running = lock(&self.readings)
                .get(&site)
                .filter(|reading| reading.is_running)
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
        let mut readings = lock(&self.readings);
        let reading = readings.entry(site).or_insert_with(|| Reading {
            ended: watch::Sender::new(0),
            ended_at: None,
            is_running: false,
            synced_at: None,
        });
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
    pub async fn serve<N: Node>(
        &self,
        requests: mpsc::Receiver<SiteNumber>,
        node: &Arc<N>,
        keys: &Keys,
        suspects: &Suspects,
    ) {
        let requests = futures_util::stream::unfold(requests, |mut requests| async move {
            let request = requests.recv().await?;
            Some((request, requests))
        });
        requests
            .for_each_concurrent(IN_FLIGHT_MAX, |site| async move {
                let is_read = match self.connections.get() {
                    Some((number, link)) => {
                        let hits = self.fetch(number, &link, site, node.as_ref(), keys, suspects);
                        let visitors = visitors::read(&link, site, node.as_ref(), keys);
                        match futures_util::future::join(hits, visitors).await {
                            (is_read, Ok(())) => is_read,
                            (is_read, Err(error)) => {
                                self.connections.failed(number, &error);
                                // An error of the visitors' keys leaves the hits valid.
                                is_read && fault_of(&error) == Fault::Site
                            }
                        }
                    }
                    None => false,
                };
                self.ended(site, is_read);
            })
            .await;
    }

    async fn fetch<N: Node>(
        &self,
        number: u64,
        link: &Link,
        site: SiteNumber,
        node: &N,
        keys: &Keys,
        suspects: &Suspects,
    ) -> bool {
        let to_read = node.counters_to_read(site);
        let sites = node.sites();
        let Some(registered) = sites.by_number(site).filter(|_| !to_read.is_empty()) else { return true };
        let mut command = redis::cmd("HMGET");
        command.arg(keys.hits(&registered.site.id));
        for (period, sources) in &to_read {
            command.arg(period.to_string());
            for source in sources {
                command.arg(keys::contribution_field(*period, source));
            }
        }
        let values = match link.query(&command).await {
            Ok(Value::Array(values)) => values,
            Ok(_) => return false,
            Err(error) => {
                self.connections.failed(number, &error);
                return false;
            }
        };
        let Some(counters) = remote_counters(to_read, &values) else { return false };
        if !node.apply_remote(site, counters) {
            suspects.add(site);
            self.sync(site);
        }
        true
    }

    /// Requests a remote sync: Redis may show less since an import was corrected on another node.
    fn sync(&self, site: SiteNumber) {
        let mut readings = lock(&self.readings);
        let Some(reading) = readings.get_mut(&site) else { return };
        if reading.synced_at.is_none_or(|at| at.elapsed() >= SYNC_INTERVAL) {
            let (done, _) = oneshot::channel();
            // A full queue is a reason to wait.
            let is_taken = self.syncs.try_send((site, None, done)).is_ok();
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
fn remote_counters(to_read: Vec<(Period, Vec<Source>)>, values: &[Value]) -> Option<Vec<RemoteCounter>> {
    let mut values = values.iter();
    let mut counters = Vec::with_capacity(to_read.len());
    for (period, sources) in to_read {
        let total = match text(values.next()?) {
            None => 0,
            Some(total) => keys::integer(&total)?,
        };
        let mut contributed = Vec::with_capacity(sources.len());
        for source in sources {
            let register = match text(values.next()?) {
                None => None,
                Some(value) => Some(keys::register(&source, &value)?),
            };
            contributed.push((source, register));
        }
        counters.push(RemoteCounter { period, total, contributed });
    }
    Some(counters)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Register;

    fn values(texts: &[&str]) -> Vec<Value> {
        let value = |text: &&str| match *text {
            "" => Value::Nil,
            text => Value::BulkString(text.as_bytes().to_vec()),
        };
        texts.iter().map(value).collect()
    }

    #[test]
    fn counters_are_read_in_the_order_in_which_they_were_asked_for_and_nothing_is_zero() {
        let import: Source = "import:old".parse().unwrap();
        let to_read = || vec![(Period::Year(2024), vec![Source::Run(1), import.clone()]), (Period::Total, Vec::new())];
        let counters = remote_counters(to_read(), &values(&["9", "", "3 -1", ""])).unwrap();
        let written = Register::Written { generation: 3, hits: -1 };
        assert_eq!((counters[0].total, counters[1].total), (9, 0));
        assert_eq!(counters[0].contributed, [(Source::Run(1), None), (import.clone(), Some(written))]);
        for unreadable in [["x", "", "", ""], ["9", "1.5", "", ""], ["9", "", "3", ""]] {
            assert_eq!(remote_counters(to_read(), &values(&unreadable)), None, "{unreadable:?}");
        }
        assert_eq!(remote_counters(to_read(), &values(&["9"])), None, "too short");
    }
}
