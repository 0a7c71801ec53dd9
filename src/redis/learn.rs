//! Learning other sources' counters from Redis, so that a node that is retired for good is not
//! forgotten with a Redis that is emptied.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use redis::{RedisError, Value};
use tokio::sync::{mpsc, oneshot};

use super::connection::{Connections, Fault, Link, fault_of};
use super::layout::{self, Keys};
use super::node::Node;
use super::raise::text;
use crate::counter::{Contribution, RegisteredSite, SiteNumber};

/// Between two looks at the same site, at least.
const ROUND_MIN: Duration = Duration::from_secs(600);
/// Between the start of a round that missed sites and the next.
const RETRY: Duration = Duration::from_secs(10);
/// Between two reads: a hundred a second at most.
const READ_INTERVAL: Duration = Duration::from_millis(10);
const FIELDS_READ: usize = 500;
/// Contributions held until a site is read through, so that nothing is handed over if nothing is
/// new; more are handed over as they come.
const HELD_MAX: usize = 20_000;
const HANDED_OVER_MAX: usize = 500;

/// Learns from all sites, round after round; also where nothing may be published, since it writes
/// nothing to Redis. Never returns.
pub async fn run<N: Node>(node: Arc<N>, keys: Keys, connections: Arc<Connections>) {
    let mut lessons = Lessons { node, keys, hasher: RandomState::new(), known: HashMap::new() };
    loop {
        let begun = tokio::time::Instant::now();
        let mut is_whole = true;
        let sites = lessons.node.sites();
        for site in sites.iter() {
            let mut up = connections.watch();
            // Closed only with the connections.
            let _ = up.wait_for(|number| *number != 0).await;
            let Some((number, link)) = connections.get() else {
                is_whole = false;
                continue;
            };
            if let Err(error) = lessons.learn(&link, site).await {
                is_whole &= fault_of(&error) == Fault::Site;
                connections.failed(number, &error);
            }
            tokio::time::sleep(READ_INTERVAL).await;
        }
        lessons.known.retain(|number, _| sites.by_number(*number).is_some());
        // A round that lost Redis on the way is soon made up for.
        let pause = if is_whole { ROUND_MIN } else { RETRY };
        tokio::time::sleep_until(begun + pause).await;
    }
}

/// A site of which all that Redis knows is wanted in the file now, and who waits for it.
pub type Wish = (SiteNumber, oneshot::Sender<()>);

/// Learns what is asked for at once. Never returns.
pub async fn serve<N: Node>(node: Arc<N>, keys: Keys, connections: Arc<Connections>, mut wishes: mpsc::Receiver<Wish>) {
    let mut lessons = Lessons { node, keys, hasher: RandomState::new(), known: HashMap::new() };
    while let Some((number, done)) = wishes.recv().await {
        let sites = lessons.node.sites();
        let (Some(site), Some((connection, link))) = (sites.by_number(number), connections.get()) else { continue };
        match lessons.learn(&link, site).await {
            // Who has gone needs no answer.
            Ok(()) => drop(done.send(())),
            Err(error) => connections.failed(connection, &error),
        }
        // The regular rounds remember; this one is seldom asked twice.
        lessons.known.clear();
    }
    std::future::pending().await
}

struct Lessons<N> {
    node: Arc<N>,
    keys: Keys,
    hasher: RandomState,
    /// What was learned of each site, as one hash.
    known: HashMap<SiteNumber, u64>,
}

impl<N: Node> Lessons<N> {
    async fn learn(&mut self, link: &Link, site: &RegisteredSite) -> Result<(), RedisError> {
        let mut held: Vec<Contribution> = Vec::new();
        let mut is_whole = true;
        let mut cursor = "0".to_owned();
        // Of another layout, nothing is understood.
        let version = link.query(redis::cmd("HGET").arg(self.keys.meta(&site.site.id)).arg("layout")).await?;
        if text(&version).is_some_and(|version| version != layout::VERSION.to_string()) {
            return Ok(());
        }
        loop {
            let mut command = redis::cmd("HSCAN");
            command.arg(self.keys.hits(&site.site.id)).arg(&cursor).arg("COUNT").arg(FIELDS_READ);
            let answer = link.query(&command).await?;
            let Some((next, contributions)) = scanned(&answer) else { return Ok(()) };
            held.extend(contributions);
            if held.len() > HELD_MAX {
                is_whole = false;
                self.hand_over(site.number, std::mem::take(&mut held)).await;
            }
            cursor = next;
            if cursor == "0" {
                break;
            }
            tokio::time::sleep(READ_INTERVAL).await;
        }
        // The current run's own counters change all the time, and are nothing to learn.
        let current = self.node.recent(site.number).first().map(|contribution| contribution.source.clone());
        held.retain(|contribution| Some(&contribution.source) != current.as_ref());
        held.sort_by(|a, b| (a.period, &a.source).cmp(&(b.period, &b.source)));
        held.dedup();
        let hash = held.iter().fold(0_u64, |hash, contribution| {
            let fields = (contribution.period, &contribution.source, layout::register_text(contribution.register));
            hash.rotate_left(5) ^ self.hasher.hash_one(fields)
        });
        if is_whole && (held.is_empty() || self.known.get(&site.number) == Some(&hash)) {
            return Ok(());
        }
        self.hand_over(site.number, held).await;
        if is_whole {
            self.known.insert(site.number, hash);
        }
        Ok(())
    }

    async fn hand_over(&self, site: SiteNumber, contributions: Vec<Contribution>) {
        for chunk in contributions.chunks(HANDED_OVER_MAX) {
            self.node.learn(site, chunk.to_vec()).await;
        }
    }
}

/// The next cursor, and the contributions in an answer to HSCAN.
fn scanned(answer: &Value) -> Option<(String, Vec<Contribution>)> {
    let Value::Array(parts) = answer else { return None };
    let [cursor, Value::Array(pairs)] = parts.as_slice() else { return None };
    let contributions = pairs.chunks_exact(2).filter_map(|pair| match pair {
        [field, value] => layout::contribution(&text(field)?, &text(value)?),
        _ => None,
    });
    Some((text(cursor)?, contributions.collect()))
}
