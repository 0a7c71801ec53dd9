//! What rate limits remember of each key, in a table that is bounded by its construction.
//!
//! A bucket has room for a few keys; when it is full, the key that has recovered most gives way. So
//! a flood of invented keys costs no memory, and makes others at most be forgotten, never be refused.

use std::sync::{Mutex, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;

/// Locks that the workers share: two seldom want the same.
const SHARDS: usize = 64;
const BUCKETS: usize = 256;
const WAYS: usize = 8;

/// With 131,072 keys in all, 2 MiB.
#[cfg(test)]
const KEYS_MAX: usize = SHARDS * BUCKETS * WAYS;

/// A key and its theoretical arrival time; 0 is long past.
type Entry = (u64, u64);
type Bucket = [Entry; WAYS];

/// Keys are hashes, under a secret, of what is told apart.
#[derive(Debug)]
pub struct RateTable {
    /// Made when they are first wanted.
    shards: [Mutex<Vec<Bucket>>; SHARDS],
}

impl Default for RateTable {
    fn default() -> Self {
        Self { shards: [const { Mutex::new(Vec::new()) }; SHARDS] }
    }
}

impl StateStore for RateTable {
    type Key = u64;

    #[expect(clippy::indexing_slicing, reason = "the remainders are less than the lengths")]
    fn measure_and_replace<T, F, E>(&self, key: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let hash = *key as usize;
        let mut shard = self.shards[hash % SHARDS].lock().unwrap_or_else(PoisonError::into_inner);
        if shard.is_empty() {
            shard.resize(BUCKETS, Bucket::default());
        }
        let bucket = &mut shard[hash / SHARDS % BUCKETS];
        let known = bucket.iter().position(|(known, arrival)| known == key && *arrival > 0);
        let recovered = || (0..WAYS).min_by_key(|at| bucket[*at].1).unwrap_or_default();
        let at = known.unwrap_or_else(recovered);
        let (outcome, arrival) = decide(known.map(|at| Nanos::from(bucket[at].1)))?;
        bucket[at] = (*key, arrival.as_u64());
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher as _, RandomState};
    use std::num::NonZeroU32;
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;
    use governor::middleware::NoOpMiddleware;
    use governor::{Quota, RateLimiter};
    use proptest::prelude::*;

    use super::*;

    type Limiter = RateLimiter<u64, RateTable, FakeRelativeClock, NoOpMiddleware<Nanos>>;

    fn limiter(per_second: u32, burst: u32) -> (Limiter, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let number = |number| NonZeroU32::new(number).unwrap();
        let quota = Quota::per_second(number(per_second)).allow_burst(number(burst));
        (RateLimiter::new(quota, RateTable::default(), clock.clone()), clock)
    }

    fn held(limiter: Limiter) -> (usize, usize) {
        let table = limiter.into_state_store();
        let shards = table.shards.iter().map(|shard| shard.lock().unwrap());
        let counts = shards.map(|shard| (shard.iter().flatten().filter(|(_, at)| *at > 0).count(), shard.capacity()));
        counts.fold((0, 0), |(keys, room), (more, capacity)| (keys + more, room + capacity * WAYS))
    }

    #[test]
    fn a_million_invented_keys_take_no_more_room_and_spoil_nobodys_credit() {
        let (limiter, clock) = limiter(10, 20);
        let secret = RandomState::new();
        let real = secret.hash_one("real");
        for number in 0..1_000_000 {
            clock.advance(Duration::from_micros(10));
            let _ = limiter.check_key(&secret.hash_one(number));
            if number % 100_000 == 0 {
                assert!(limiter.check_key(&real).is_ok());
            }
        }
        let (keys, room) = held(limiter);
        assert!(keys <= KEYS_MAX && room == KEYS_MAX, "{keys} keys, room for {room}");
    }

    #[test]
    fn a_key_that_asks_on_is_not_flushed_out_by_others() {
        let (limiter, clock) = limiter(1, 100);
        let secret = RandomState::new();
        let insistent = secret.hash_one("insistent");
        let mut allowed = 0;
        for number in 0..2_000_000 {
            clock.advance(Duration::from_micros(1));
            // Ten invented keys between its own requests.
            let _ = limiter.check_key(&secret.hash_one(number));
            if number % 10 == 0 {
                allowed += u32::from(limiter.check_key(&insistent).is_ok());
            }
        }
        assert!((100..=102).contains(&allowed), "its burst, and what two seconds give back: {allowed}");
    }

    proptest! {
        /// The rule that is promised: in any stretch of time, no more than burst + rate × time.
        #[test]
        fn never_more_than_the_burst_and_the_rate(
            rate in 1u32..50,
            burst in 1u32..50,
            steps in prop::collection::vec(0u64..500, 1..300),
        ) {
            let (limiter, clock) = limiter(rate, burst);
            let (mut elapsed, mut allowed) = (0, 0);
            for step in steps {
                clock.advance(Duration::from_millis(step));
                elapsed += step;
                allowed += u64::from(limiter.check_key(&7).is_ok());
                prop_assert!(allowed * 1000 <= u64::from(burst) * 1000 + u64::from(rate) * elapsed + 1000);
            }
        }
    }
}
