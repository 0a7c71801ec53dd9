//! A visitor's reloads of a page, which count once within a site's `repeat_window`.
//!
//! A node knows its own visitors only, and only while it runs: who has just seen what is a hash
//! under a key that is drawn at each start, in memory that is bounded. Where it is short, the
//! oldest are forgotten, and a reload of theirs counts again.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

/// Locks that the workers share: two seldom want the same.
const SHARDS: usize = 16;

/// Views in a shard's generation. With two generations in each of 16 shards, the newest 450,000 to
/// 900,000 views of a node are known, in at most 18 MB.
const VIEWS_MAX: usize = 28_000;

/// What this node's visitors have just seen.
pub struct Repeats {
    key: RandomState,
    started: Instant,
    shards: [Mutex<Shard>; SHARDS],
}

/// A visitor's view of a page, and nothing that tells who or which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View(u64);

/// When which view was counted, in seconds of this node's time.
#[derive(Debug, Default)]
struct Shard {
    young: FxHashMap<u64, u32>,
    old: FxHashMap<u64, u32>,
    young_since: u32,
    longest_window: u32,
}

impl Default for Repeats {
    fn default() -> Self {
        Self { key: RandomState::new(), started: Instant::now(), shards: Default::default() }
    }
}

impl std::fmt::Debug for Repeats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repeats").finish_non_exhaustive()
    }
}

impl Repeats {
    pub fn view(&self, visitor_and_page: impl Hash) -> View {
        View(self.key.hash_one(visitor_and_page))
    }

    /// Whether the view was counted less than `window` ago; if not, it is taken to be counted now.
    pub fn is_repeat(&self, view: View, window: Duration, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.started).as_secs();
        let [now, window] = [seconds, window.as_secs()].map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX));
        self.shard(view).lock().unwrap_or_else(PoisonError::into_inner).is_repeat(view.0, window, now)
    }

    /// The view was not counted after all.
    pub fn forget(&self, view: View) {
        let mut shard = self.shard(view).lock().unwrap_or_else(PoisonError::into_inner);
        shard.young.remove(&view.0);
        shard.old.remove(&view.0);
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is less than their number")]
    fn shard(&self, view: View) -> &Mutex<Shard> {
        // Other bits than those by which the map sorts.
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
        // Once all of the old are past the longest window, nobody asks for them.
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
        let repeats = Repeats::default();
        let at = |seconds| repeats.started + Duration::from_secs(seconds);
        let view = repeats.view(("visitor", "/bai-1"));
        assert!(!repeats.is_repeat(view, WINDOW, at(0)));
        assert!(repeats.is_repeat(view, WINDOW, at(10)));
        assert!(!repeats.is_repeat(repeats.view(("visitor", "/bai-2")), WINDOW, at(10)));
        assert!(!repeats.is_repeat(repeats.view(("other visitor", "/bai-1")), WINDOW, at(10)));
        // The window runs from the view that was counted, not from the last reload.
        assert!(repeats.is_repeat(view, WINDOW, at(1_799)));
        assert!(!repeats.is_repeat(view, WINDOW, at(1_800)));
        assert!(repeats.is_repeat(view, WINDOW, at(1_801)));
    }

    #[test]
    fn a_view_that_could_not_be_counted_is_no_reason_to_skip_the_next() {
        let repeats = Repeats::default();
        let view = repeats.view("view");
        assert!(!repeats.is_repeat(view, WINDOW, repeats.started));
        repeats.forget(view);
        assert!(!repeats.is_repeat(view, WINDOW, repeats.started));
    }

    #[test]
    fn memory_is_bounded_by_number_and_by_time() {
        let repeats = Repeats::default();
        let held = |repeats: &Repeats| -> usize {
            let sizes = repeats.shards.iter().map(|shard| shard.lock().unwrap());
            sizes.map(|shard| shard.young.len() + shard.old.len()).sum()
        };
        let latest = repeats.view(2_000_000 - 1);
        for number in 0..2_000_000 {
            repeats.is_repeat(repeats.view(number), WINDOW, repeats.started);
        }
        assert!(held(&repeats) <= 2 * SHARDS * VIEWS_MAX);
        assert!(repeats.is_repeat(latest, WINDOW, repeats.started));
        for later in [2 * WINDOW, 4 * WINDOW] {
            for number in 0..10_000 {
                repeats.is_repeat(repeats.view(number), WINDOW, repeats.started + later);
            }
        }
        assert!(held(&repeats) <= 20_000, "{}", held(&repeats));
    }

    #[test]
    fn two_nodes_know_the_same_visitor_by_different_hashes() {
        assert_ne!(Repeats::default().view("visitor"), Repeats::default().view("visitor"));
    }
}
