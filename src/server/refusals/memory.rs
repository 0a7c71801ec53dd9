//! Bounded memory of refused hits, of which an attacker can neither push out what many readers bring nor make any use dear.
//!
//! Sites are spread over buckets by a keyed hash. A bucket has room for some entries, and each site and reason for a
//! few of them. An entry counts the networks that brought it. One that only one network has brought makes room for
//! another; one of several networks does so only after many requests that found no room. A network that is alone with
//! an entry replaces that one first. So strangers with one network take one place.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use smol_str::SmolStr;

use crate::counter::{ClientPrefix, SiteNumber};

const BUCKETS: usize = 256;
const OF_BUCKET_MAX: usize = 48;
/// Entries of a site and reason.
const OF_GROUP_MAX: usize = 8;
/// Entries of ids that no site has.
const OF_UNKNOWN_MAX: usize = 32;
/// Age beyond which an entry makes room whoever brought it.
const OLD: TimeDelta = TimeDelta::hours(24);
/// Shortest time between two lines of advice about one entry.
const ADVICE_AGAIN: Duration = Duration::from_secs(3_600);

/// A site, or none where it isn't known, and the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    pub site: Option<SiteNumber>,
    pub reason: &'static str,
}

/// The visible part of a refused hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub group: Group,
    /// The id that was sent, if no site has it.
    pub unknown_id: SmolStr,
    pub origin: SmolStr,
    /// The wrong field of the request.
    pub field: Option<&'static str>,
    pub path: Option<Box<str>>,
}

/// Refused hits of one site, reason and origin.
#[derive(Debug, Clone)]
pub struct Entry {
    pub seen: Seen,
    pub first: DateTime<Utc>,
    pub last: DateTime<Utc>,
    pub requests: u64,
    /// One of 64 bits for each network.
    networks: u64,
    /// The last line of advice, and the requests until then.
    advised: Option<(Instant, u64)>,
}

#[derive(Debug)]
pub struct Memory {
    pub since: DateTime<Utc>,
    hasher: RandomState,
    buckets: Box<[Mutex<Bucket>]>,
}

#[derive(Debug, Default)]
struct Bucket {
    entries: Vec<Entry>,
    /// Requests without room since an entry of several networks last made some.
    waiting: u64,
    /// Requests that no entry counts.
    unlisted: u64,
}

impl Seen {
    /// True if it differs in the example alone.
    fn is_like(&self, other: &Self) -> bool {
        self.group == other.group
            && self.origin == other.origin
            && self.unknown_id == other.unknown_id
            && self.field == other.field
    }
}

impl Entry {
    /// Estimate of the networks that brought it, up to some 270.
    pub fn networks(&self) -> u32 {
        let free = f64::from(self.networks.count_zeros()).max(1.0);
        (64.0 * (64.0 / free).ln()).round().max(1.0) as u32
    }

    fn rank(&self) -> (u32, u64) {
        (self.networks.count_ones(), self.requests)
    }
}

impl Memory {
    pub fn new(now: DateTime<Utc>) -> Self {
        let buckets = (0..BUCKETS).map(|_| Mutex::default()).collect();
        Self { since: now, hasher: RandomState::new(), buckets }
    }

    pub fn note(&self, seen: Seen, client: Option<ClientPrefix>, now: DateTime<Utc>) {
        let network = client.map(ClientPrefix::network);
        let bit = 1 << (self.hasher.hash_one(network) % 64);
        let at = self.hasher.hash_one(seen.group.site) as usize % BUCKETS;
        locked(&self.buckets[at]).note(seen, bit, now);
    }

    /// All entries, and the number of requests that none counts.
    pub fn entries(&self) -> (Vec<Entry>, u64) {
        let (mut entries, mut unlisted) = (Vec::new(), 0);
        for bucket in &self.buckets {
            let bucket = locked(bucket);
            entries.extend(bucket.entries.iter().cloned());
            unlisted += bucket.unlisted;
        }
        (entries, unlisted)
    }

    /// The entry of the most networks that is new, or has grown and was taken an hour ago or earlier.
    pub fn take_unadvised(&self, now: Instant) -> Option<Entry> {
        let is_due = |entry: &&mut Entry| match entry.advised {
            None => true,
            Some((at, requests)) => entry.requests > requests && now.saturating_duration_since(at) >= ADVICE_AGAIN,
        };
        let rank_in = |bucket: &mut Bucket| bucket.entries.iter_mut().filter(is_due).map(|entry| entry.rank()).max();
        let ranks = self.buckets.iter().filter_map(|bucket| Some((rank_in(&mut locked(bucket))?, bucket)));
        let (_, bucket) = ranks.max_by_key(|(rank, _)| *rank)?;
        let mut bucket = locked(bucket);
        let entry = bucket.entries.iter_mut().filter(is_due).max_by_key(|entry| entry.rank())?;
        entry.advised = Some((now, entry.requests));
        Some(entry.clone())
    }
}

fn locked(bucket: &Mutex<Bucket>) -> MutexGuard<'_, Bucket> {
    bucket.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bucket {
    fn note(&mut self, seen: Seen, bit: u64, now: DateTime<Utc>) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.seen.is_like(&seen)) {
            entry.requests += 1;
            entry.networks |= bit;
            entry.last = entry.last.max(now);
            entry.seen.path = entry.seen.path.take().or(seen.path);
            return;
        }
        let group = seen.group;
        let of_group = self.entries.iter().filter(|entry| entry.seen.group == group).count();
        let of_group_max = if group.site.is_none() && group.reason == "site" { OF_UNKNOWN_MAX } else { OF_GROUP_MAX };
        let entry = Entry { seen, first: now, last: now, requests: 1, networks: bit, advised: None };
        if of_group >= of_group_max {
            self.replace(|known| known.seen.group == group, entry, now);
        } else if self.entries.len() >= OF_BUCKET_MAX {
            self.replace(|_| true, entry, now);
        } else {
            self.entries.push(entry);
        }
    }

    /// Puts an entry into the place of one of those, if one makes room.
    fn replace(&mut self, is_among: impl Fn(&Entry) -> bool, entry: Entry, now: DateTime<Utc>) {
        let among = || self.entries.iter().enumerate().filter(|(_, known)| is_among(known));
        let least = |among: &mut dyn Iterator<Item = (usize, &Entry)>| {
            among.min_by_key(|(_, known)| known.rank()).map(|(at, known)| (at, known.networks.count_ones()))
        };
        let own = least(&mut among().filter(|(_, known)| known.networks == entry.networks));
        let old = || least(&mut among().filter(|(_, known)| now - known.last > OLD));
        let Some((at, networks)) = own.or_else(old).or_else(|| least(&mut among())) else { return };
        let is_old = now - self.entries[at].last > OLD;
        if networks > 1 && !is_old {
            self.waiting += 1;
            // 64 requests for two networks, 1,024 for four, a million for nine and more.
            if self.waiting < 4 << (2 * networks.min(9)) {
                self.unlisted += 1;
                return;
            }
            self.waiting = 0;
        }
        self.unlisted += self.entries[at].requests;
        self.entries[at] = entry;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn seen(site: u32, origin: &str) -> Seen {
        Seen {
            group: Group { site: Some(SiteNumber(site)), reason: "origin" },
            unknown_id: SmolStr::default(),
            origin: origin.into(),
            field: Some("url"),
            path: None,
        }
    }

    fn client(network: u32) -> Option<ClientPrefix> {
        Some(ClientPrefix::of(std::net::Ipv4Addr::from_bits(network << 8).into()))
    }

    fn find(memory: &Memory, origin: &str) -> Option<Entry> {
        memory.entries().0.into_iter().find(|entry| entry.seen.origin == origin)
    }

    #[test]
    fn an_entry_says_since_when_and_how_often() {
        let memory = Memory::new(at(0));
        for second in [5, 9, 7] {
            memory.note(
                Seen { path: Some("/a".into()), ..seen(1, "https://www.a.vn") },
                client(second as u32),
                at(second),
            );
        }
        let entry = find(&memory, "https://www.a.vn").unwrap();
        assert_eq!((entry.first, entry.last, entry.requests), (at(5), at(9), 3));
        assert_eq!(entry.seen.path.as_deref(), Some("/a"));
        assert!((1..=4).contains(&entry.networks()), "{}", entry.networks());
    }

    #[test]
    fn one_network_pushes_out_nothing_that_another_has_brought() {
        // Filled before and after the honest reader's only hit.
        for begins_full in [false, true] {
            let memory = Memory::new(at(0));
            let flood = |from: u32| {
                (from..from + 10_000)
                    .for_each(|origin| memory.note(seen(1, &format!("https://{origin}.evil")), client(666), at(0)))
            };
            if begins_full {
                flood(0);
            }
            // The networks' bits differ.
            let honest = (1..)
                .find(|network| {
                    memory.hasher.hash_one(client(*network).map(ClientPrefix::network)) % 64
                        != memory.hasher.hash_one(client(666).map(ClientPrefix::network)) % 64
                })
                .unwrap();
            memory.note(seen(1, "https://www.a.vn"), client(honest), at(0));
            flood(50_000);
            assert_eq!(find(&memory, "https://www.a.vn").unwrap().requests, 1);
            let (entries, unlisted) = memory.entries();
            let listed: u64 = entries.iter().map(|entry| entry.requests).sum();
            assert_eq!(entries.len(), OF_GROUP_MAX);
            assert_eq!(listed + unlisted, if begins_full { 20_001 } else { 10_001 });
        }
    }

    #[test]
    fn what_many_networks_bring_stays_against_a_few_and_gives_way_when_it_is_old() {
        let memory = Memory::new(at(0));
        (0..200).for_each(|network| memory.note(seen(1, "https://www.a.vn"), client(network), at(0)));
        assert!(find(&memory, "https://www.a.vn").unwrap().networks() > 50);
        let flood = |seconds| {
            for origin in 0..3_000 {
                (0..3).for_each(|network| {
                    memory.note(
                        seen(1, &format!("https://{seconds}-{origin}.evil")),
                        client(1_000 + network),
                        at(seconds),
                    )
                });
            }
        };
        flood(0);
        assert!(find(&memory, "https://www.a.vn").is_some());
        flood(25 * 3_600);
        assert!(find(&memory, "https://www.a.vn").is_none());
    }

    #[test]
    fn memory_is_bounded_whatever_comes() {
        let memory = Memory::new(at(0));
        for number in 0..60_000_u32 {
            memory.note(
                seen(number % 2_000, &format!("https://{number}.evil")),
                client(number % 500),
                at(i64::from(number)),
            );
        }
        for number in 0..1_000 {
            let group = Group { site: None, reason: "site" };
            memory.note(
                Seen { group, unknown_id: format!("{number}").into(), ..seen(0, "https://a.vn") },
                client(number),
                at(0),
            );
        }
        let (entries, _) = memory.entries();
        assert!(entries.len() <= BUCKETS * OF_BUCKET_MAX);
        assert!(entries.iter().filter(|entry| entry.seen.group.site.is_none()).count() <= OF_UNKNOWN_MAX);
    }

    #[test]
    fn advice_about_an_entry_is_given_once_an_hour_while_it_grows() {
        let (memory, start) = (Memory::new(at(0)), Instant::now());
        memory.note(seen(1, "https://one.vn"), client(1), at(0));
        (0..9).for_each(|network| memory.note(seen(2, "https://many.vn"), client(network), at(0)));
        let take = |minutes: u64| {
            let taken = memory.take_unadvised(start + Duration::from_secs(60 * minutes));
            taken.map(|entry| entry.seen.origin.to_string())
        };
        assert_eq!(take(0).as_deref(), Some("https://many.vn"));
        assert_eq!(take(1).as_deref(), Some("https://one.vn"));
        assert_eq!(take(2), None);
        memory.note(seen(1, "https://one.vn"), client(1), at(0));
        assert_eq!((take(30), take(90).as_deref(), take(200)), (None, Some("https://one.vn"), None));
    }
}
