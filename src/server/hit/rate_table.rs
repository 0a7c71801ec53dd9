//! State of a rate limit: one time for each key (GCRA), in a table of bounded size.
//!
//! A bucket has room for a few keys; when it is full, the key that has recovered most gives way. So a
//! flood of invented keys costs no memory. At most it makes the table forget others, and never
//! refuses them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Locks that the workers share; two workers seldom need the same one.
const SHARDS: usize = 64;
const BUCKETS: usize = 256;
const WAYS: usize = 8;

/// With 131,072 keys in all, 2 MiB.
#[cfg(test)]
const KEYS_MAX: usize = SHARDS * BUCKETS * WAYS;

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
    pub fn new(per_second: u32, burst: u32) -> Self {
        let interval_ns = 1_000_000_000 / u64::from(per_second.max(1));
        let burst_ns = interval_ns * u64::from(burst);
        Self { interval_ns, burst_ns, shards: [const { Mutex::new(Vec::new()) }; SHARDS] }
    }

    /// Takes one event of the key's budget at `now`, a time since the node's start, or says how long
    /// to wait for it.
    pub fn take(&self, key: u64, now: Duration) -> Result<(), Duration> {
        self.take_many(key, 1, now)
    }

    /// Takes several events at once, or none. More than the burst count as the burst.
    pub fn take_many(&self, key: u64, events: u32, now: Duration) -> Result<(), Duration> {
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
        let before = if known.is_some() { bucket[at].1.max(now) } else { now };
        let after = before + (self.interval_ns * u64::from(events)).min(self.burst_ns);
        match after.checked_sub(now + self.burst_ns) {
            None | Some(0) => {
                bucket[at] = (key, after);
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

    fn held(table: &RateTable) -> (usize, usize) {
        let shards = table.shards.iter().map(|shard| shard.lock().unwrap());
        let counts = shards.map(|shard| (shard.iter().flatten().filter(|(_, at)| *at > 0).count(), shard.capacity()));
        counts.fold((0, 0), |(keys, room), (more, capacity)| (keys + more, room + capacity * WAYS))
    }

    #[test]
    fn a_million_invented_keys_take_no_more_room_and_spoil_nobodys_credit() {
        let table = RateTable::new(10, 20);
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
        let table = RateTable::new(1, 100);
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

    #[test]
    fn a_key_has_its_burst_at_once_then_the_rate_and_after_a_rest_the_burst_again() {
        let table = RateTable::new(2, 3);
        let allowed = |ms| (0..10).filter(|_| table.take(7, Duration::from_millis(ms)).is_ok()).count();
        assert_eq!(allowed(0), 3);
        assert_eq!(table.take(7, Duration::from_millis(100)), Err(Duration::from_millis(400)));
        assert_eq!([allowed(499), allowed(500), allowed(1_500)], [0, 1, 2]);
        assert_eq!(allowed(3_600_000), 3);
    }

    #[test]
    fn several_events_are_taken_together_or_not_at_all() {
        let table = RateTable::new(1, 5);
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
            let table = RateTable::new(rate, burst);
            let (mut elapsed_ms, mut allowed) = (0, 0);
            for step in steps {
                elapsed_ms += step;
                allowed += u64::from(table.take(7, Duration::from_millis(elapsed_ms)).is_ok());
                prop_assert!(allowed * 1000 <= u64::from(burst) * 1000 + u64::from(rate) * elapsed_ms + 1);
            }
        }
    }
}
