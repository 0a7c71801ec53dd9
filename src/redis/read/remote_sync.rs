//! Remote sync: copies other sources' counters from Redis into the node's file. A retired node's counts
//! so survive a Redis that is emptied.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use redis::RedisError;
use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::counter::{Contribution, Digest, Place, RegisteredSite, SiteNumber, Source};
use crate::redis::audit::key_audit::KeyAudit;
use crate::redis::client::connection::Connections;
use crate::redis::client::link::Link;
use crate::redis::client::reply::{Fault, fault_of, scanned, text};
use crate::redis::keys::{self, Keys};
use crate::redis::ports::Node;
use crate::redis::publish::ask::read_digests;
use crate::redis::publish::periods::page_periods;

/// Least time between two reads of a site.
const ROUND_MIN: Duration = Duration::from_secs(600);
/// Time between the starts of a round that missed sites and the next.
const RETRY: Duration = Duration::from_secs(10);
/// Time between two reads: at most a hundred a second.
const READ_INTERVAL: Duration = Duration::from_millis(10);
const FIELDS_READ: usize = 500;
/// Contributions held until a whole site is read, so that an unchanged site is not stored again. More
/// are stored as they come.
const HELD_MAX: usize = 20_000;
const STORED_AT_ONCE: usize = 500;

/// Syncs all sites, round after round, also while nothing may be published, since it writes nothing to
/// Redis. Never returns.
pub async fn run<N: Node>(node: Arc<N>, keys: Keys, connections: Arc<Connections>) {
    let mut sync = RemoteSync { node, keys, hasher: RandomState::new(), known: HashMap::new() };
    loop {
        let begun = tokio::time::Instant::now();
        let mut is_whole = true;
        let sites = sync.node.sites();
        for site in sites.iter() {
            let mut up = connections.watch();
            // Closed only with the connections.
            let _ = up.wait_for(|number| *number != 0).await;
            let Some((number, link)) = connections.get() else {
                is_whole = false;
                continue;
            };
            if let Err(error) = sync.sync_site(&link, site).await {
                is_whole &= fault_of(&error) == Fault::Site;
                connections.failed(number, &error);
            }
            tokio::time::sleep(READ_INTERVAL).await;
        }
        sync.known.retain(|number, _| sites.by_number(*number).is_some());
        // A round that missed sites is soon repeated.
        let pause = if is_whole { ROUND_MIN } else { RETRY };
        tokio::time::sleep_until(begun + pause).await;
    }
}

/// Request to sync a site now, with an import whose pages are synced too, and the sender of its end.
pub type Request = (SiteNumber, Option<Source>, oneshot::Sender<()>);

/// Serves requests. Never returns.
pub async fn serve<N: Node>(
    node: Arc<N>,
    keys: Keys,
    connections: Arc<Connections>,
    mut requests: mpsc::Receiver<Request>,
) {
    let mut sync = RemoteSync { node, keys, hasher: RandomState::new(), known: HashMap::new() };
    while let Some((number, import, done)) = requests.recv().await {
        let sites = sync.node.sites();
        let (Some(site), Some((connection, link))) = (sites.by_number(number), connections.get()) else { continue };
        let synced = match (sync.sync_site(&link, site).await, import) {
            (Ok(()), Some(import)) => sync.sync_pages(&link, site, &import).await,
            (synced, _) => synced,
        };
        match synced {
            // A caller that has gone needs no answer.
            Ok(()) => drop(done.send(())),
            Err(error) => connections.failed(connection, &error),
        }
        // Requests for the same site are rare: its hash is not kept.
        sync.known.clear();
    }
    std::future::pending().await
}

struct RemoteSync<N> {
    node: Arc<N>,
    keys: Keys,
    hasher: RandomState,
    /// Hash of each site's contributions at the last sync.
    known: HashMap<SiteNumber, u64>,
}

impl<N: Node> RemoteSync<N> {
    async fn sync_site(&mut self, link: &Link, site: &RegisteredSite) -> Result<(), RedisError> {
        let mut held: Vec<Contribution> = Vec::new();
        let mut is_whole = true;
        let mut cursor = "0".to_owned();
        // Another layout can't be read.
        let version = link.query(redis::cmd("HGET").arg(self.keys.meta(&site.site.id)).arg("layout")).await?;
        if text(&version).is_some_and(|version| version != keys::VERSION.to_string()) {
            return Ok(());
        }
        loop {
            let mut command = redis::cmd("HSCAN");
            command.arg(self.keys.hits(&site.site.id)).arg(&cursor).arg("COUNT").arg(FIELDS_READ);
            let answer = link.query(&command).await?;
            let Some((next, pairs)) = scanned(&answer) else { return Ok(()) };
            held.extend(pairs.iter().filter_map(|(field, value)| keys::contribution(field, value)));
            if held.len() > HELD_MAX {
                is_whole = false;
                self.store(site.number, std::mem::take(&mut held)).await;
            }
            cursor = next;
            if cursor == "0" {
                break;
            }
            tokio::time::sleep(READ_INTERVAL).await;
        }
        // The current run's counters are this node's own.
        let current = self.node.recent(site.number).first().map(|contribution| contribution.source.clone());
        held.retain(|contribution| Some(&contribution.source) != current.as_ref());
        held.sort_by(|a, b| (a.period, &a.source).cmp(&(b.period, &b.source)));
        held.dedup();
        let hash = held.iter().fold(0_u64, |hash, contribution| {
            let fields = (contribution.period, &contribution.source, keys::register_text(contribution.register));
            hash.rotate_left(5) ^ self.hasher.hash_one(fields)
        });
        if is_whole && (held.is_empty() || self.known.get(&site.number) == Some(&hash)) {
            return Ok(());
        }
        self.store(site.number, held).await;
        if is_whole {
            self.known.insert(site.number, hash);
        }
        Ok(())
    }

    /// Stores a source's counters of pages, where Redis has others than the file.
    async fn sync_pages(&self, link: &Link, site: &RegisteredSite, source: &Source) -> Result<(), RedisError> {
        let periods = page_periods(&site.site, clock::now());
        let places: Vec<Place> = periods.iter().map(|period| (Some(*period), source.clone())).collect();
        let found = read_digests(link, &self.keys, &site.site, &places).await?;
        let file = self.node.digests(site.number).await.unwrap_or_default();
        for ((period, place), found) in periods.into_iter().zip(&places).zip(found) {
            let here = file.iter().find(|of| of.place == *place).map_or_else(Digest::default, |of| of.digest);
            if found != here && found != Digest::default() {
                let key = KeyAudit::new(&self.keys, &site.site, Some(period));
                self.store(site.number, key.contributions(link, source).await?).await;
            }
        }
        Ok(())
    }

    async fn store(&self, site: SiteNumber, contributions: Vec<Contribution>) {
        for chunk in contributions.chunks(STORED_AT_ONCE) {
            self.node.store_remote(site, chunk.to_vec()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;
    use crate::counter::Register;

    #[test]
    fn contributions_are_picked_out_of_a_scan_and_other_fields_are_passed_over() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let fields =
            ["total", "9", "total 00000000000000ff", "9", "digest 00000000000000ff", "2", "x import:old", "1 1"];
        let reply = Value::Array(vec![text("17"), Value::Array(fields.map(text).into())]);
        let (cursor, pairs) = scanned(&reply).unwrap();
        let contributions: Vec<_> =
            pairs.iter().filter_map(|(field, value)| keys::contribution(field, value)).collect();
        assert_eq!(cursor, "17");
        assert_eq!(contributions.len(), 1);
        assert_eq!(contributions[0].register, Register::Grown(9));
        assert!(scanned(&Value::Array(vec![text("0")])).is_none());
        assert!(scanned(&Value::Nil).is_none());
    }
}
