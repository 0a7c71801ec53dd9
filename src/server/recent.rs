//! What a worker has found out about texts that keep coming, such as the addresses of pages.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use rustc_hash::FxHashMap;

/// Answers for recently seen texts, bounded in number and size.
///
/// Two generations stand in for a list of least recently used: what is asked for again while it is
/// old becomes young, and when the young are too many they are the old ones. A text is known by its
/// hash with a key, since the texts come from strangers. Of two with the same hash one is known, so that
/// finding such a pair gains nothing: a quick hash will do.
///
/// A text is kept when it comes for the second time: those that come once, of which there may be very
/// many, would only displace others.
#[derive(Debug)]
pub struct Recent<V> {
    keyed: RandomState,
    /// Hashes of texts that have come, each where the next that falls on its place displaces it.
    seen: Box<[u64; SEEN]>,
    young: FxHashMap<u64, Known<V>>,
    young_bytes: usize,
    old: FxHashMap<u64, Known<V>>,
}

#[derive(Debug)]
struct Known<V> {
    text: Box<str>,
    value: V,
}

/// Entries of a generation, and bytes of their texts, however long each is: under 4 MB in all.
const ENTRIES_MAX: usize = 4_096;
const TEXTS_BYTES_MAX: usize = 400 * ENTRIES_MAX;
/// Twice the entries, so that a text that would stay is seldom forgotten before it comes again.
const SEEN: usize = 2 * ENTRIES_MAX;

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self {
            keyed: RandomState::default(),
            seen: Box::new([0; SEEN]),
            young: FxHashMap::default(),
            young_bytes: 0,
            old: FxHashMap::default(),
        }
    }
}

impl<V: Clone> Recent<V> {
    pub fn get(&mut self, text: &str) -> Option<V> {
        let hash = self.keyed.hash_one(text);
        if let Some(known) = self.young.get(&hash) {
            return (*known.text == *text).then(|| known.value.clone());
        }
        let known = self.old.remove(&hash).filter(|known| *known.text == *text)?;
        let value = known.value.clone();
        self.insert_young(hash, known);
        Some(value)
    }

    pub fn insert(&mut self, text: &str, value: V) {
        let hash = self.keyed.hash_one(text);
        let seen = &mut self.seen[hash as usize % SEEN];
        match self.young.get_mut(&hash) {
            Some(known) if *known.text == *text => known.value = value,
            _ if *seen == hash || self.old.remove(&hash).is_some_and(|known| *known.text == *text) => {
                self.insert_young(hash, Known { text: text.into(), value })
            }
            _ => *seen = hash,
        }
    }

    fn insert_young(&mut self, hash: u64, known: Known<V>) {
        if self.young.len() >= ENTRIES_MAX || self.young_bytes + known.text.len() > TEXTS_BYTES_MAX {
            std::mem::swap(&mut self.young, &mut self.old);
            // Its room is kept for the next generation.
            self.young.clear();
            self.young_bytes = 0;
        }
        self.young_bytes += known.text.len();
        if let Some(displaced) = self.young.insert(hash, known) {
            self.young_bytes -= displaced.text.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert_twice<V: Clone>(recent: &mut Recent<V>, text: &str, value: V) {
        recent.insert(text, value.clone());
        recent.insert(text, value);
    }

    #[test]
    fn what_is_asked_for_stays_and_what_is_not_goes() {
        let mut recent = Recent::default();
        insert_twice(&mut recent, "asked for", 1);
        insert_twice(&mut recent, "forgotten", 2);
        for round in 0..4 * ENTRIES_MAX {
            insert_twice(&mut recent, &round.to_string(), 0);
            assert_eq!(recent.get("asked for"), Some(1));
        }
        assert_eq!(recent.get("forgotten"), None);
        assert!(recent.young.len() + recent.old.len() <= 2 * ENTRIES_MAX);
    }

    #[test]
    fn what_comes_once_displaces_nothing() {
        let mut recent = Recent::default();
        insert_twice(&mut recent, "known", 1);
        for round in 0..16 * ENTRIES_MAX {
            recent.insert(&round.to_string(), 0);
        }
        assert_eq!((recent.get("known"), recent.young.len() + recent.old.len()), (Some(1), 1));
    }

    #[test]
    fn long_texts_are_known_too_and_leave_room_for_fewer() {
        let mut recent = Recent::default();
        // As long as a hit's body may be.
        let text = |number: usize| format!("{number:04096}");
        recent.insert("short", 0);
        for round in 0..3_000 {
            recent.insert(&text(round), round);
            recent.insert(&text(round), round + 1);
            recent.insert("short", round);
            assert_eq!((recent.get(&text(round)), recent.get("short")), (Some(round + 1), Some(round)));
        }
        let bytes: usize = recent.young.values().chain(recent.old.values()).map(|known| known.text.len()).sum();
        assert!(bytes <= 2 * TEXTS_BYTES_MAX, "{bytes}");
        assert!(recent.get(&text(2_900)).is_some() && recent.get(&text(1_000)).is_none());
    }
}
