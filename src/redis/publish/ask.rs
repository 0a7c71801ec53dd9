//! Asking Redis: does it hold what the node's file holds? Digests answer, by key and source.
//!
//! Nothing is remembered of what Redis once held, but for the current run, whose rows change all the time:
//! its digests must be those of the last replies. A frozen run's and an import's must be the file's.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use redis::{RedisResult, Value};
use tokio::sync::mpsc::error::TrySendError;

use super::agreement::compare;
use super::bring::Bring;
use super::merge_counts::KeyNumbers;
use super::periods::may_publish;
use super::rounds::{Cost, Occasion};
use super::{Agreement, Differing, Progress, Publisher, Seen};
use crate::clock;
use crate::counter::{Digest, FileDigest, Period, Place, RegisteredSite, Site, SiteNumber, Source};
use crate::redis::client::{Lease, Link, Scripted, text, unexpected};
use crate::redis::keys::{self, Keys};
use crate::redis::ports::Node;

/// Digests of one call: more would delay other clients' calls by milliseconds.
const DIGESTS_MAX: usize = 1_000;

static SCRIPT: LazyLock<Scripted> = LazyLock::new(|| Scripted::new(include_str!("ask.lua")));

/// Reads digests; where there is none it is that of no rows.
pub async fn read_digests(link: &Link, keys: &Keys, site: &Site, places: &[Place]) -> RedisResult<Vec<Digest>> {
    let mut digests = Vec::with_capacity(places.len());
    for places in places.chunks(DIGESTS_MAX) {
        let mut key_numbers = KeyNumbers::new(keys, &site.counted_as);
        let arguments = places.iter().flat_map(|(pages_of, source)| [key_numbers.of(*pages_of), source.to_string()]);
        let arguments: Vec<String> = arguments.collect();
        let values: Vec<Value> = SCRIPT.run(link, &key_numbers.names, &arguments).await?;
        let digest = |(value, place): (&Value, &Place)| keys::digest(place.0, &text(value)?);
        digests.extend(values.iter().zip(places).map(|each| digest(each).unwrap_or_default()));
    }
    if digests.len() == places.len() { Ok(digests) } else { Err(unexpected("no digests")) }
}

impl Progress {
    /// Places whose rows Redis may lack, with their digests there.
    fn lacking(
        &mut self,
        file: &[FileDigest],
        found: &[Digest],
        run: &Source,
        occasion: Occasion,
    ) -> HashMap<Place, Differing> {
        let mut lacking = HashMap::new();
        for (FileDigest { place, is_remote, digest }, found) in file.iter().zip(found.iter().copied()) {
            let differing = Differing { redis: found, file: *digest };
            if place.1 == *run {
                let is_acked = self.is_synced && self.acked.get(&place.0).copied().unwrap_or_default() == found;
                // The site's own counters are published from memory: the file may lack as many as Redis.
                if place.0.is_some() && found == *digest {
                    self.acked.insert(place.0, found);
                } else if !is_acked {
                    lacking.insert(place.clone(), differing);
                }
                continue;
            }
            if found == *digest {
                self.seen.remove(place);
                continue;
            }
            let seen = self.seen.get(place).copied();
            if seen == Some(Seen::Settled(differing)) {
                continue;
            }
            self.seen.insert(place.clone(), Seen::Moving(found));
            if !is_remote || occasion == Occasion::Suspicion || seen == Some(Seen::Moving(found)) {
                lacking.insert(place.clone(), differing);
            }
        }
        lacking
    }

    /// This node's places that Redis holds as the file does, and whose digests still differ: Redis has rows that
    /// the file lacks, or a wrong digest.
    fn doubtful(&self, file: &[FileDigest], found: &[Digest]) -> Vec<Place> {
        let own = file.iter().zip(found).filter(|(of, _)| !of.is_remote);
        let settled = own.filter(|(of, found)| {
            let differing = Differing { redis: **found, file: of.digest };
            self.seen.get(&of.place) == Some(&Seen::Settled(differing))
        });
        settled.map(|(of, _)| of.place.clone()).collect()
    }
}

impl<N: Node> Publisher<N> {
    /// Asks Redis about one site, and brings what it lacks, if nothing of the site is being brought.
    pub async fn ask(&mut self, lease: &Lease, site: &RegisteredSite, occasion: Occasion) -> Cost {
        let number = site.number;
        let mut cost = Cost::default();
        let begun = Instant::now();
        match compare(&lease.link, &self.shared.keys, site).await {
            Ok(found) => drop(self.note_agreement(site, found)),
            Err(error) => {
                self.failed(lease, site, &error);
                return cost;
            }
        }
        cost.redis += begun.elapsed();
        let progress = self.progress.entry(number).or_default();
        if progress.agreement != Agreement::Agreed || progress.bring.is_some() {
            // What is being brought is asked about again.
            return cost;
        }
        progress.is_reading = true;
        let begun = Instant::now();
        let file = self.file_digests(lease, number).await;
        cost.file = begun.elapsed();
        let mut file = match file {
            Ok(file) => file,
            Err(reason) => {
                tracing::warn!(site = %site.site.id, %reason, "can't read the digests of this site's counts");
                self.postpone(number);
                return cost;
            }
        };
        if !std::mem::take(&mut self.progress.entry(number).or_default().is_reading) {
            self.request(number);
            return cost;
        }
        let now = clock::now();
        let is_kept = |pages_of: Option<Period>| pages_of.is_none_or(|period| may_publish(&site.site, period, now));
        file.retain(|of| is_kept(of.place.0));
        let run = self.node.run().clone();
        let progress = self.progress.entry(number).or_default();
        progress.acked.retain(|pages_of, _| is_kept(*pages_of));
        progress.seen.retain(|(pages_of, _), _| is_kept(*pages_of));
        // Published from memory, and not folded yet.
        let place = (None, run.clone());
        if !file.iter().any(|of| of.place == place) && !self.node.recent(number).is_empty() {
            file.push(FileDigest { place, is_remote: false, digest: Digest::default() });
        }
        let places: Vec<_> = file.iter().map(|of| of.place.clone()).collect();
        let begun = Instant::now();
        let found = read_digests(&lease.link, &self.shared.keys, &site.site, &places).await;
        cost.redis += begun.elapsed();
        match found {
            Err(error) => drop(self.failed(lease, site, &error)),
            Ok(found) => {
                self.shared.connections.succeeded();
                let progress = self.progress.entry(number).or_default();
                let lacking = progress.lacking(&file, &found, &run, occasion);
                progress.asked_at = Some(Instant::now());
                let doubtful = progress.doubtful(&file, &found);
                if occasion == Occasion::AfterBring && !doubtful.is_empty() {
                    let forgotten = self.recounts.try_send((number, doubtful));
                    if let Err(TrySendError::Full((_, places)) | TrySendError::Closed((_, places))) = forgotten {
                        // Brought again by the next round.
                        progress.seen.retain(|place, _| !places.contains(place));
                    }
                }
                if progress.is_synced && lacking.keys().any(|(_, source)| *source == run) {
                    // Asked again, and then all of the run's rows are brought.
                    self.note_regression(number, "the current run's digests are not those of the last replies");
                    return cost;
                }
                progress.is_synced = true;
                if lacking.is_empty() {
                    self.is_whole(site);
                    return cost;
                }
                tracing::info!(site = %site.site.id, digests = lacking.len(), "Redis lacks counts of this site; bringing them");
                progress.bring = Some(Bring::new(lacking));
                self.request(number);
                if occasion == Occasion::Round {
                    // Other sites may lack some too.
                    self.rounds.suspect(&self.node.sites(), Instant::now());
                }
            }
        }
        cost
    }

    /// Reads the digests of a site's rows, and publishes meanwhile: a site may have a million rows.
    async fn file_digests(&mut self, lease: &Lease, number: SiteNumber) -> Result<Vec<FileDigest>, String> {
        let node = Arc::clone(&self.node);
        let mut reading = pin!(node.digests(number));
        loop {
            let next_at = self.clock.live_at.min(self.clock.pages_at);
            tokio::select! {
                biased;
                file = &mut reading => return file,
                () = tokio::time::sleep_until(next_at.into()) => drop(self.publish_changes(lease).await),
            }
        }
    }

    /// Redis holds all that the file holds.
    fn is_whole(&mut self, site: &RegisteredSite) {
        let progress = self.progress.entry(site.number).or_default();
        let was_troubled = progress.trouble.take().is_some();
        let was_waiting = std::mem::take(&mut progress.is_waiting);
        if was_troubled && self.shared.health.set_site(site.site.id.as_str(), None) {
            tracing::info!(site = %site.site.id, "publishing this site again");
        }
        if was_waiting || was_troubled {
            self.node.changes().note_site(site.number);
        }
    }

    /// Asks about a site soon, before the rounds; something of it may be lacking.
    pub fn request(&mut self, number: SiteNumber) {
        self.enqueue(number, true);
    }

    /// Puts a site among the requests, as the next or as the last.
    pub fn enqueue(&mut self, number: SiteNumber, is_urgent: bool) {
        let progress = self.progress.entry(number).or_default();
        if !std::mem::replace(&mut progress.is_requested, true) {
            if is_urgent { self.requests.push_front(number) } else { self.requests.push_back(number) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Source = Source::Run(1);
    const FROZEN: Source = Source::Run(2);

    fn digest(number: u64) -> Digest {
        Digest::from_number(number).unwrap()
    }

    fn settled(redis: u64, file: u64) -> Seen {
        Seen::Settled(Differing { redis: digest(redis), file: digest(file) })
    }

    fn lacks(progress: &mut Progress, file: (Source, bool, u64), found: u64, occasion: Occasion) -> bool {
        let (source, is_remote, number) = file;
        let file = [FileDigest { place: (None, source), is_remote, digest: digest(number) }];
        !progress.lacking(&file, &[digest(found)], &RUN, occasion).is_empty()
    }

    #[test]
    fn a_frozen_run_is_brought_until_redis_has_its_digest_or_more_than_the_file() {
        let mut progress = Progress::default();
        assert!(!lacks(&mut progress, (FROZEN, false, 7), 7, Occasion::Round));
        assert!(lacks(&mut progress, (FROZEN, false, 7), 0, Occasion::Round));
        assert!(lacks(&mut progress, (FROZEN, false, 7), 0, Occasion::Round), "it didn't arrive");
        progress.seen.insert((None, FROZEN), settled(9, 7));
        assert!(!lacks(&mut progress, (FROZEN, false, 7), 9, Occasion::Suspicion));
        assert!(lacks(&mut progress, (FROZEN, false, 6), 9, Occasion::Round), "the file has changed since");
        progress.seen.insert((None, FROZEN), settled(9, 7));
        assert!(lacks(&mut progress, (FROZEN, false, 7), 8, Occasion::Round), "it has changed since");
    }

    #[test]
    fn a_digest_of_this_nodes_that_differs_beside_right_rows_is_doubtful() {
        let (own, theirs) = (Source::Run(2), Source::Run(3));
        let file = [(&own, false), (&theirs, true)].map(|(source, is_remote)| {
            let place = (None, source.clone());
            FileDigest { place, is_remote, digest: digest(7) }
        });
        let mut progress = Progress::default();
        for of in &file {
            progress.seen.insert(of.place.clone(), settled(9, 7));
        }
        assert_eq!(progress.doubtful(&file, &[digest(9); 2]), [(None, own.clone())]);
        assert_eq!(progress.doubtful(&file, &[digest(8); 2]), [], "it has changed since");
        progress.seen.insert((None, own), Seen::Moving(digest(9)));
        assert_eq!(progress.doubtful(&file, &[digest(9); 2]), [], "its rows may differ");
    }

    #[test]
    fn the_current_runs_digest_is_that_of_the_last_reply_and_of_pages_also_the_files() {
        let lacks = |progress: &mut Progress, pages_of: Option<Period>, number: u64, found: u64| {
            let file = [FileDigest { place: (pages_of, RUN), is_remote: false, digest: digest(number) }];
            !progress.lacking(&file, &[digest(found)], &RUN, Occasion::Round).is_empty()
        };
        for pages_of in [None, Some(Period::Total)] {
            let mut progress = Progress { is_synced: true, ..Progress::default() };
            progress.acked.insert(pages_of, digest(5));
            assert!(!lacks(&mut progress, pages_of, 7, 5));
            assert!(lacks(&mut progress, pages_of, 7, 4));
            progress.is_synced = false;
            assert!(lacks(&mut progress, pages_of, 7, 5));
            // What was acknowledged from memory may be in neither.
            assert_eq!(lacks(&mut progress, pages_of, 7, 7), pages_of.is_none());
        }
    }

    #[test]
    fn another_nodes_run_is_brought_when_its_digest_stands_still_or_redis_is_suspected() {
        let mut progress = Progress::default();
        let theirs = || (FROZEN, true, 7);
        assert!(!lacks(&mut progress, theirs(), 3, Occasion::Round));
        assert!(!lacks(&mut progress, theirs(), 4, Occasion::Round));
        assert!(lacks(&mut progress, theirs(), 4, Occasion::Round));
        assert!(lacks(&mut progress, theirs(), 5, Occasion::Suspicion));
    }
}
