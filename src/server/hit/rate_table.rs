//! State of a rate limit: one time for each key (GCRA), in a table of bounded size.
//!
//! A bucket has room for a few keys; when it is full, the key that has recovered most gives way. So a
//! flood of invented keys costs no memory.
//!
//! The key that takes its place inherits what it has not recovered. So nobody resets a limit by pushing his own
//! key out: whatever takes the place when the key comes back owes at least as much. But a key inherits
//! less than half a burst, so that a flood never refuses others. To owe that much in each place, it takes a quarter
//! of a burst for each key of the table: 33 million hits where the burst is 500.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Locks that the workers share; two workers seldom need the same one.
const SHARDS: usize = 64;
const BUCKETS: usize = 256;
const WAYS: usize = 8;

/// With 131,072 keys in all, 2 MiB.
#[cfg(test)]
const KEYS_MAX: usize = SHARDS * BUCKETS * WAYS;

/// A hundred and fifty years.
const BURST_NS_MAX: u64 = u64::MAX / 4;

/// A key, and the time in nanoseconds at which it has recovered its whole burst; 0 is long past.
type Entry = (u64, u64);
type Bucket = [Entry; WAYS];

/// Limits each key to a rate and a burst. Keys are keyed hashes.
#[derive(Debug)]
pub struct RateTable {
    /// Time after which a key has recovered one event.
    interval_ns: u64,
    /// Time after which it has recovered the whole burst.
    burst_ns: u64,
    /// Allocated at first use.
    shards: [Mutex<Vec<Bucket>>; SHARDS],
}

impl RateTable {
    pub fn new(interval: Duration, burst: u32) -> Self {
        let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(BURST_NS_MAX).max(1);
        let burst_ns = interval_ns.saturating_mul(burst.into()).min(BURST_NS_MAX);
        Self { interval_ns, burst_ns, shards: [const { Mutex::new(Vec::new()) }; SHARDS] }
    }

    /// Gives the memory of shards back whose keys have all recovered: they would be treated as new ones.
    pub fn drop_recovered(&self, now: Duration) {
        let now = now.as_nanos() as u64 + self.burst_ns;
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            if shard.iter().flatten().all(|(_, recovered)| *recovered <= now) {
                *shard = Vec::new();
            }
        }
    }

    /// Takes one event of the key's budget at `now`, a time since the node's start, or says how long
    /// to wait for it.
    pub fn take(&self, key: u64, now: Duration) -> Result<(), Duration> {
        self.take_many(key, 1, now)
    }

    /// Takes several events at once, or none. More than the burst count as the burst.
    pub fn take_many(&self, key: u64, events: u32, now: Duration) -> Result<(), Duration> {
        self.look(key, events, now, true)
    }

    /// Time to wait for the key's next event; none if there is one now. Takes nothing.
    pub fn wait(&self, key: u64, now: Duration) -> Option<Duration> {
        self.look(key, 1, now, false).err()
    }

    fn look(&self, key: u64, events: u32, now: Duration, takes: bool) -> Result<(), Duration> {
        // The start itself is a burst ago, so that 0 is long past from the first event on.
        let now = now.as_nanos() as u64 + self.burst_ns;
        let hash = key as usize;
        let mut shard = self.shards[hash % SHARDS].lock().unwrap_or_else(PoisonError::into_inner);
        if shard.is_empty() {
            shard.resize(BUCKETS, Bucket::default());
        }
        let bucket = &mut shard[hash / SHARDS % BUCKETS];
        let known = bucket.iter().position(|(known, recovered)| *known == key && *recovered > 0);
        let most_recovered = || (0..WAYS).min_by_key(|at| bucket[*at].1).unwrap_or_default();
        let at = known.unwrap_or_else(most_recovered);
        let inherited_max =
            if known.is_some() { self.burst_ns } else { self.burst_ns.saturating_sub(self.interval_ns) / 2 };
        let before = bucket[at].1.clamp(now, now + inherited_max);
        let after = before + (self.interval_ns * u64::from(events)).min(self.burst_ns);
        match after.checked_sub(now + self.burst_ns) {
            None | Some(0) => {
                if takes {
                    bucket[at] = (key, after);
                }
                Ok(())
            }
            Some(wait) => Err(Duration::from_nanos(wait)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher as _, RandomState};

    use proptest::prelude::*;

    use super::*;

    fn table(per_second: u32, burst: u32) -> RateTable {
        RateTable::new(Duration::from_secs(1) / per_second, burst)
    }

    fn held(table: &RateTable) -> (usize, usize) {
        let shards = table.shards.iter().map(|shard| shard.lock().unwrap());
        let counts = shards.map(|shard| (shard.iter().flatten().filter(|(_, at)| *at > 0).count(), shard.capacity()));
        counts.fold((0, 0), |(keys, room), (more, capacity)| (keys + more, room + capacity * WAYS))
    }

    #[test]
    fn a_million_invented_keys_take_no_more_room_and_spoil_nobodys_credit() {
        let table = table(10, 20);
        let secret = RandomState::new();
        let real = secret.hash_one("real");
        for number in 0..1_000_000 {
            let now = Duration::from_micros(10 * number);
            let _ = table.take(secret.hash_one(number), now);
            if number % 100_000 == 0 {
                assert!(table.take(real, now).is_ok());
            }
        }
        let (keys, room) = held(&table);
        assert!(keys <= KEYS_MAX && room == KEYS_MAX, "{keys} keys, room for {room}");
    }

    #[test]
    fn a_persistent_key_is_not_flushed_out_by_others() {
        let table = table(1, 100);
        let secret = RandomState::new();
        let persistent = secret.hash_one("persistent");
        let mut allowed = 0;
        for number in 0..2_000_000 {
            let now = Duration::from_micros(number);
            // Ten invented keys between its own requests.
            let _ = table.take(secret.hash_one(number), now);
            if number % 10 == 0 {
                allowed += u32::from(table.take(persistent, now).is_ok());
            }
        }
        assert!((100..=102).contains(&allowed), "its burst, and what two seconds give back: {allowed}");
    }

    /// 2,000 a day after a burst of 500.
    fn daily() -> RateTable {
        RateTable::new(Duration::from_secs(86_400) / 2_000, 500)
    }

    #[test]
    fn a_flood_of_invented_keys_gives_no_key_its_burst_again() {
        let (table, secret) = (daily(), RandomState::new());
        let (mut invented, mut allowed) = (0_u64, 0);
        // A hit, then a flood in which every place of the table changes hands.
        for _ in 0..8 {
            allowed += u32::from(table.take(secret.hash_one("own"), Duration::ZERO).is_ok());
            for _ in 0..2 * KEYS_MAX {
                invented += 1;
                let _ = table.take(secret.hash_one(invented), Duration::ZERO);
            }
        }
        allowed += (0..600).filter(|_| table.take(secret.hash_one("own"), Duration::ZERO).is_ok()).count() as u32;
        assert!((240..=500).contains(&allowed), "{allowed}");
    }

    #[test]
    fn a_flood_refuses_no_newcomer() {
        for table in [daily(), table(1, 1), table(1, 2)] {
            // All in one bucket, as if the attacker knew it.
            let key = |number: u64| number * (SHARDS * BUCKETS) as u64;
            for number in 1..20_000 {
                let _ = table.take(key(number), Duration::ZERO);
            }
            for number in 20_000..20_100 {
                assert!(table.take(key(number), Duration::ZERO).is_ok(), "{number}");
            }
        }
    }

    #[test]
    fn after_a_flood_the_memory_comes_back_with_the_credit() {
        let (table, secret) = (table(1, 2), RandomState::new());
        for number in 0..100_000 {
            let _ = table.take(secret.hash_one(number), Duration::ZERO);
        }
        let owing = secret.hash_one("owing");
        assert!(table.take_many(owing, 2, Duration::from_secs(8)).is_ok());
        table.drop_recovered(Duration::from_secs(9));
        assert_eq!(held(&table).1, BUCKETS * WAYS, "one shard");
        assert!(table.take_many(owing, 2, Duration::from_secs(9)).is_err());
        table.drop_recovered(Duration::from_secs(10));
        assert_eq!(held(&table), (0, 0));
        assert!(table.take_many(owing, 2, Duration::from_secs(10)).is_ok());
    }

    #[test]
    fn no_interval_and_no_burst_overflows() {
        let day = Duration::from_secs(86_400);
        for (interval, burst) in [(Duration::MAX, u32::MAX), (Duration::ZERO, 1), (day, u32::MAX)] {
            let table = RateTable::new(interval, burst);
            for now in [Duration::ZERO, Duration::from_secs(1 << 32)] {
                let _ = (table.take(7, now), table.take(8, now));
            }
        }
    }

    #[test]
    fn a_key_has_its_burst_at_once_then_the_rate_and_after_a_rest_the_burst_again() {
        let table = table(2, 3);
        let allowed = |ms| (0..10).filter(|_| table.take(7, Duration::from_millis(ms)).is_ok()).count();
        assert_eq!(allowed(0), 3);
        assert_eq!(table.take(7, Duration::from_millis(100)), Err(Duration::from_millis(400)));
        assert_eq!([allowed(499), allowed(500), allowed(1_500)], [0, 1, 2]);
        assert_eq!(allowed(3_600_000), 3);
    }

    #[test]
    fn a_key_is_asked_for_its_wait_without_a_loss() {
        let table = table(2, 1);
        let now = Duration::from_secs(1);
        assert!((0..3).all(|_| table.wait(7, now).is_none()));
        assert!(table.take(7, now).is_ok());
        assert_eq!(table.wait(7, now), Some(Duration::from_millis(500)));
    }

    #[test]
    fn several_events_are_taken_together_or_not_at_all() {
        let table = RateTable::new(Duration::from_secs(1), 5);
        let take = |events, seconds| table.take_many(7, events, Duration::from_secs(seconds)).is_ok();
        assert!(take(3, 0) && !take(3, 0) && take(2, 0) && !take(1, 0));
        assert!(!take(2, 1) && take(2, 2));
        assert!(take(100, 60) && !take(1, 60), "more than the burst is the burst");
    }

    proptest! {
        /// The promised rule: in any stretch of time, no more than burst + rate × time.
        #[test]
        fn never_more_than_the_burst_and_the_rate(
            rate in 1u32..50,
            burst in 1u32..50,
            steps in prop::collection::vec(0u64..500, 1..300),
        ) {
            let table = table(rate, burst);
            let (mut elapsed_ms, mut allowed) = (0, 0);
            for step in steps {
                elapsed_ms += step;
                allowed += u64::from(table.take(7, Duration::from_millis(elapsed_ms)).is_ok());
                prop_assert!(allowed * 1000 <= u64::from(burst) * 1000 + u64::from(rate) * elapsed_ms + 1);
            }
        }
    }
}
