//! Remote sync: copies other sources' counters from Redis into the node's file. A retired node's counts
//! so survive a Redis that is emptied.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use redis::{RedisResult, Value};
use tokio::sync::mpsc;

use crate::clock;
use crate::counter::{Contribution, Digest, Place, RegisteredSite, SiteNumber, Source};
use crate::redis::audit::key_audit::KeyAudit;
use crate::redis::client::{Fault, Link, Shared, fault_of, text};
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
/// Contributions held until a whole site is read, so that an unchanged site is not stored again. More
/// are stored as they come.
const HELD_MAX: usize = 20_000;
const STORED_AT_ONCE: usize = 500;

/// Syncs all sites, round after round, also while nothing may be published, since it writes nothing to
/// Redis. Never returns.
pub async fn run<N: Node>(node: &N, Shared { keys, connections, .. }: &Shared) {
    // Hash of each site's contributions at the last sync.
    let mut known: HashMap<SiteNumber, u64> = HashMap::new();
    loop {
        let begun = tokio::time::Instant::now();
        let mut is_whole = true;
        let sites = node.sites();
        for site in sites.iter() {
            // Closed only with the connections.
            let _ = connections.watch().wait_for(|number| *number != 0).await;
            let before = known.remove(&site.number);
            let synced =
                connections.run(async |link| match (RemoteSync { node, keys, link, site }).counters(before).await {
                    Err(error) if fault_of(&error) == Fault::Site => Ok(None),
                    synced => synced,
                });
            match synced.await {
                Some(hash) => known.extend(hash.map(|hash| (site.number, hash))),
                None => is_whole = false,
            }
            tokio::time::sleep(READ_INTERVAL).await;
        }
        known.retain(|number, _| sites.by_number(*number).is_some());
        // A round that missed sites is soon repeated.
        let pause = if is_whole { ROUND_MIN } else { RETRY };
        tokio::time::sleep_until(begun + pause).await;
    }
}

/// Syncs sites on request. Never returns.
pub async fn serve<N: Node>(
    node: &N,
    Shared { keys, connections, .. }: &Shared,
    mut requests: mpsc::Receiver<SiteNumber>,
) {
    while let Some(number) = requests.recv().await {
        if let Some(site) = node.site(number) {
            let site = &site;
            connections.run(async |link| RemoteSync { node, keys, link, site }.counters(None).await).await;
        }
    }
    std::future::pending().await
}

/// Sync of one site.
pub struct RemoteSync<'a, N> {
    pub node: &'a N,
    pub keys: &'a Keys,
    pub link: &'a Link,
    pub site: &'a RegisteredSite,
}

impl<N: Node> RemoteSync<'_, N> {
    /// Stores other sources' counters of the site, unless their hash is still this one. Returns the hash, if all were
    /// held.
    async fn counters(&self, known: Option<u64>) -> RedisResult<Option<u64>> {
        let Self { node, keys, link, site } = self;
        // Another layout can't be read.
        let version: Value = link.query(redis::cmd("HGET").arg(keys.meta(&site.site.counted_as)).arg("layout")).await?;
        if text(&version).is_some_and(|version| version != keys::VERSION.to_string()) {
            return Ok(None);
        }
        let key = KeyAudit::new(keys, &site.site, None);
        let (mut held, mut is_whole, mut cursor) = (Vec::new(), true, None);
        while let Some(pairs) = key.read_next(link, &mut cursor).await? {
            held.extend(pairs.iter().filter_map(|(field, value)| keys::contribution(field, value)));
            if held.len() > HELD_MAX {
                is_whole = false;
                self.store(std::mem::take(&mut held)).await;
            }
            tokio::time::sleep(READ_INTERVAL).await;
        }
        // The current run's counters are this node's own.
        held.retain(|contribution| contribution.source != *node.run());
        held.sort_by(|a, b| (a.period, &a.source).cmp(&(b.period, &b.source)));
        held.dedup();
        let mut hash = DefaultHasher::new();
        for Contribution { period, source, register, .. } in &held {
            (period, source, keys::register_text(*register)).hash(&mut hash);
        }
        let hash = is_whole.then(|| hash.finish());
        if hash.is_none() || hash != known {
            self.store(held).await;
        }
        Ok(hash)
    }

    /// Syncs the site, and an import's pages, where Redis has others than the file.
    pub async fn with_pages(&self, import: Option<&Source>) -> RedisResult<()> {
        self.counters(None).await?;
        let Some(import) = import else { return Ok(()) };
        let Self { node, keys, link, site } = self;
        let periods = page_periods(&site.site, clock::now());
        let places: Vec<Place> = periods.iter().map(|period| (Some(*period), import.clone())).collect();
        let found = read_digests(link, keys, &site.site, &places).await?;
        let file = node.digests(site.number).await.unwrap_or_default();
        for (place, found) in places.iter().zip(found) {
            let here = file.iter().find(|of| of.place == *place).map_or_else(Digest::default, |of| of.digest);
            if found != here && found != Digest::default() {
                let key = KeyAudit::new(keys, &site.site, place.0);
                self.store(key.contributions(link, import).await?).await;
            }
        }
        Ok(())
    }

    async fn store(&self, contributions: Vec<Contribution>) {
        for chunk in contributions.chunks(STORED_AT_ONCE) {
            self.node.store_remote(self.site.number, chunk.to_vec()).await;
        }
    }
}
