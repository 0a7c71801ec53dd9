//! Reading a site's totals for its figures: at most once a second, shared by all who wait.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use redis::Value;
use tokio::sync::{mpsc, watch};

use super::connection::{Connections, Fault, Link, fault_of};
use super::layout::{self, Keys};
use super::node::{Node, Sighting};
use super::raise::text;
use super::visitors;
use super::witness::Witnesses;
use crate::counter::{Period, SiteNumber, Source};

/// How long a read is good for.
const AGE_MAX: Duration = Duration::from_secs(1);
/// How long a page view waits for one; then it is shown what memory knows.
const WAIT_MAX: Duration = Duration::from_millis(250);
/// Reads that wait for the reader, and reads in flight.
const QUEUE_MAX: usize = 4_096;
const IN_FLIGHT_MAX: usize = 64;
/// Sources of which each read looks whether Redis still has them.
const WATCHED_MAX: usize = 8;

/// Hands wishes for reads to the publication's thread.
pub struct Totals {
    connections: Arc<Connections>,
    readings: Mutex<HashMap<SiteNumber, Reading>>,
    wishes: mpsc::Sender<SiteNumber>,
    suspects: Mutex<HashSet<SiteNumber>>,
}

/// A site's last read; its number changes with each that ends.
struct Reading {
    ended: watch::Sender<u64>,
    ended_at: Option<Instant>,
    is_on: bool,
}

impl Reading {
    fn end(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }
}

impl Totals {
    pub fn new(connections: Arc<Connections>) -> (Self, mpsc::Receiver<SiteNumber>) {
        let (wishes, receiver) = mpsc::channel(QUEUE_MAX);
        (Self { connections, readings: Mutex::default(), wishes, suspects: Mutex::default() }, receiver)
    }

    /// Resolves when the site's totals are younger than a second, or when that would take too long.
    pub async fn refresh(&self, site: SiteNumber) {
        if !self.connections.is_up() {
            return;
        }
        if let Some(mut ended) = self.wish(site, AGE_MAX) {
            let _ = tokio::time::timeout(WAIT_MAX, ended.changed()).await;
        }
    }

    /// Resolves when the site's totals have been read by a read that began after this was called, or
    /// when that would take too long.
    pub async fn read_again(&self, site: SiteNumber) {
        if !self.connections.is_up() {
            return;
        }
        let reading = async {
            let under_way = lock(&self.readings).get(&site).filter(|reading| reading.is_on).map(Reading::end);
            if let Some(mut ended) = under_way {
                let _ = ended.changed().await;
            }
            if let Some(mut ended) = self.wish(site, Duration::ZERO) {
                let _ = ended.changed().await;
            }
        };
        let _ = tokio::time::timeout(WAIT_MAX, reading).await;
    }

    /// What to wait for; none if nothing.
    fn wish(&self, site: SiteNumber, age_max: Duration) -> Option<watch::Receiver<u64>> {
        let mut readings = lock(&self.readings);
        let reading = readings.entry(site).or_insert_with(|| Reading {
            ended: watch::Sender::new(0),
            ended_at: None,
            is_on: false,
        });
        if reading.ended_at.is_some_and(|at| at.elapsed() < age_max) {
            return None;
        }
        if !reading.is_on {
            self.wishes.try_send(site).ok()?;
            reading.is_on = true;
        }
        Some(reading.end())
    }

    /// Sites of which a read showed less than was confirmed, since this was last asked.
    pub fn take_suspects(&self) -> Vec<SiteNumber> {
        lock(&self.suspects).drain().collect()
    }

    /// Reads what is wished for. Never returns.
    pub async fn serve<N: visitors::Node>(
        &self,
        wishes: mpsc::Receiver<SiteNumber>,
        node: &Arc<N>,
        keys: &Keys,
        witnesses: &Witnesses,
    ) {
        let wishes = futures_util::stream::unfold(wishes, |mut wishes| async move {
            let wish = wishes.recv().await?;
            Some((wish, wishes))
        });
        wishes
            .for_each_concurrent(IN_FLIGHT_MAX, |site| async move {
                let is_read = match self.connections.get() {
                    Some((number, link)) => {
                        let hits = self.fetch(number, &link, site, node.as_ref(), keys, witnesses);
                        let visitors = visitors::read(&link, site, node.as_ref(), keys);
                        match futures_util::future::join(hits, visitors).await {
                            (is_read, Ok(())) => is_read,
                            (is_read, Err(error)) => {
                                self.connections.failed(number, &error);
                                // Where only visitors may not be read, the hits are in.
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
        witnesses: &Witnesses,
    ) -> bool {
        let wanted = node.wanted(site);
        let sites = node.sites();
        let Some(registered) = sites.by_number(site).filter(|_| !wanted.is_empty()) else { return true };
        // What is confirmed while the read is on its way may not be in it.
        let confirmed = witnesses.of(site);
        let mut command = redis::cmd("HMGET");
        command.arg(keys.hits(&registered.site.id));
        for (period, sources) in &wanted {
            command.arg(period.to_string());
            for source in sources {
                command.arg(layout::contribution_field(*period, source));
            }
        }
        // Whether Redis still has what it confirmed shows in any source, also in those that no
        // figure asks for.
        let watched: Vec<_> = confirmed.sources.iter().take(WATCHED_MAX).map(|known| known.source.clone()).collect();
        for source in &watched {
            command.arg(layout::contribution_field(Period::Total, source));
        }
        let mut values = match link.query(&command).await {
            Ok(Value::Array(values)) => values,
            Ok(_) => return false,
            Err(error) => {
                self.connections.failed(number, &error);
                return false;
            }
        };
        let found = values.split_off(values.len().saturating_sub(watched.len()));
        let Some(sightings) = sightings(wanted, &values) else { return false };
        let is_lost = |source: &Source, there| {
            let known = confirmed.sources.iter().find(|known| known.source == *source);
            known.is_some_and(|known| known.lost(there).is_some())
        };
        let found = found.iter().map(text);
        let is_gone = watched.iter().zip(found).any(|(source, found)| match found {
            None => is_lost(source, None),
            // What is no register is no sign of loss.
            Some(found) => layout::register(source, &found).is_some_and(|there| is_lost(source, Some(there))),
        });
        if is_gone {
            // Not shown: until it has been brought again, memory knows better.
            lock(&self.suspects).insert(site);
            return true;
        }
        node.saw(site, sightings);
        true
    }

    fn ended(&self, site: SiteNumber, is_read: bool) {
        if let Some(reading) = lock(&self.readings).get_mut(&site) {
            reading.is_on = false;
            reading.ended_at = is_read.then(Instant::now);
            reading.ended.send_modify(|number| *number += 1);
        }
    }
}

/// None if something stands there that is no number: then memory is the better guess.
fn sightings(wanted: Vec<(Period, Vec<Source>)>, values: &[Value]) -> Option<Vec<Sighting>> {
    let mut values = values.iter();
    let mut sightings = Vec::with_capacity(wanted.len());
    for (period, sources) in wanted {
        let total = match text(values.next()?) {
            None => 0,
            Some(total) => layout::integer(&total)?,
        };
        let mut contributed = Vec::with_capacity(sources.len());
        for source in sources {
            let register = match text(values.next()?) {
                None => None,
                Some(value) => Some(layout::register(&source, &value)?),
            };
            contributed.push((source, register));
        }
        sightings.push(Sighting { period, total, contributed });
    }
    Some(sightings)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
