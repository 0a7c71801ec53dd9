//! Dedup: a visitor's reloads of a page count once within a site's `repeat_window`.
//!
//! A node knows only its own visitors, and only while it runs. A view is a hash under a key drawn at
//! each start, in bounded memory. When that is full, the oldest views are forgotten, and a reload of
//! theirs counts again.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

/// Locks that the workers share; two workers seldom need the same one.
const SHARDS: usize = 16;

/// Views in a shard's generation. With two generations in each of 16 shards, a node knows its newest
/// 450,000 to 900,000 views, in at most 18 MB.
const VIEWS_MAX: usize = 28_000;

/// Recent views of this node's visitors, shared by the workers.
#[derive(Debug)]
pub struct Dedup {
    key: RandomState,
    started: Instant,
    shards: [Mutex<Shard>; SHARDS],
}

/// A visitor's view of a page, as a keyed hash that reveals neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewKey(u64);

/// Views, and when each was counted, in seconds since the node's start.
#[derive(Debug, Default)]
struct Shard {
    young: FxHashMap<u64, u32>,
    old: FxHashMap<u64, u32>,
    young_since: u32,
    longest_window: u32,
}

impl Default for Dedup {
    fn default() -> Self {
        Self { key: RandomState::new(), started: Instant::now(), shards: Default::default() }
    }
}

impl Dedup {
    pub fn key(&self, visitor_and_page: impl Hash) -> ViewKey {
        ViewKey(self.key.hash_one(visitor_and_page))
    }

    /// True if the view was counted less than `window` ago. If not, it is noted as counted now.
    pub fn is_repeat(&self, view: ViewKey, window: Duration, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.started).as_secs();
        let [now, window] = [seconds, window.as_secs()].map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX));
        self.shard(view).lock().unwrap_or_else(PoisonError::into_inner).is_repeat(view.0, window, now)
    }

    /// Forgets a view that could not be counted after all.
    pub fn forget(&self, view: ViewKey) {
        let mut shard = self.shard(view).lock().unwrap_or_else(PoisonError::into_inner);
        shard.young.remove(&view.0);
        shard.old.remove(&view.0);
    }

    fn shard(&self, view: ViewKey) -> &Mutex<Shard> {
        // Other bits than the map uses.
        &self.shards[(view.0 >> 32) as usize % SHARDS]
    }
}

impl Shard {
    fn is_repeat(&mut self, view: u64, window: u32, now: u32) -> bool {
        let counted = self.young.get(&view).or_else(|| self.old.get(&view));
        if counted.is_some_and(|counted| now.saturating_sub(*counted) < window) {
            return true;
        }
        self.longest_window = self.longest_window.max(window);
        // Once all of the old are past the longest window, none can be a repeat.
        if self.young.len() >= VIEWS_MAX || now.saturating_sub(self.young_since) >= self.longest_window {
            self.old = std::mem::take(&mut self.young);
            self.young_since = now;
        }
        self.young.insert(view, now);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(1_800);

    #[test]
    fn a_reload_within_the_window_is_a_repeat_and_one_after_it_is_not() {
        let dedup = Dedup::default();
        let at = |seconds| dedup.started + Duration::from_secs(seconds);
        let view = dedup.key(("visitor", "/bai-1"));
        assert!(!dedup.is_repeat(view, WINDOW, at(0)));
        assert!(dedup.is_repeat(view, WINDOW, at(10)));
        assert!(!dedup.is_repeat(dedup.key(("visitor", "/bai-2")), WINDOW, at(10)));
        assert!(!dedup.is_repeat(dedup.key(("other visitor", "/bai-1")), WINDOW, at(10)));
        // The window runs from the view that was counted, not from the last reload.
        assert!(dedup.is_repeat(view, WINDOW, at(1_799)));
        assert!(!dedup.is_repeat(view, WINDOW, at(1_800)));
        assert!(dedup.is_repeat(view, WINDOW, at(1_801)));
    }

    #[test]
    fn a_view_that_could_not_be_counted_is_no_reason_to_skip_the_next() {
        let dedup = Dedup::default();
        let view = dedup.key("view");
        assert!(!dedup.is_repeat(view, WINDOW, dedup.started));
        dedup.forget(view);
        assert!(!dedup.is_repeat(view, WINDOW, dedup.started));
    }

    #[test]
    fn memory_is_bounded_by_number_and_by_time() {
        let dedup = Dedup::default();
        let held = |dedup: &Dedup| -> usize {
            let sizes = dedup.shards.iter().map(|shard| shard.lock().unwrap());
            sizes.map(|shard| shard.young.len() + shard.old.len()).sum()
        };
        let latest = dedup.key(2_000_000 - 1);
        for number in 0..2_000_000 {
            dedup.is_repeat(dedup.key(number), WINDOW, dedup.started);
        }
        assert!(held(&dedup) <= 2 * SHARDS * VIEWS_MAX);
        assert!(dedup.is_repeat(latest, WINDOW, dedup.started));
        for later in [2 * WINDOW, 4 * WINDOW] {
            for number in 0..10_000 {
                dedup.is_repeat(dedup.key(number), WINDOW, dedup.started + later);
            }
        }
        assert!(held(&dedup) <= 20_000, "{}", held(&dedup));
    }

    #[test]
    fn two_nodes_know_the_same_visitor_by_different_hashes() {
        assert_ne!(Dedup::default().key("visitor"), Dedup::default().key("visitor"));
    }
}
