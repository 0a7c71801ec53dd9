//! Cache of a worker's results for texts that recur: page URLs and User-Agents.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use rustc_hash::FxHashMap;

/// Results for recent texts, bounded in number and size.
///
/// Two generations approximate least recently used: an old entry that is looked up becomes young, and
/// when the young are too many, they become the old ones. A text is found by a keyed hash, since
/// strangers choose the texts. Of two texts with one hash only one is kept, so that finding such a
/// pair gains nothing, and a quick hash is enough.
///
/// A text is kept when it comes for the second time: texts that come once may be very many, and would
/// only displace others.
#[derive(Debug)]
pub struct TextCache<V> {
    keyed: RandomState,
    /// Hashes of texts that came once. A later one in the same place displaces it.
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

/// Entries of a generation, and bytes of their texts: under 4 MB in all.
const ENTRIES_MAX: usize = 4_096;
const TEXTS_BYTES_MAX: usize = 400 * ENTRIES_MAX;
/// Twice the entries, so that a recurring text is seldom forgotten before it comes again.
const SEEN: usize = 2 * ENTRIES_MAX;

impl<V> Default for TextCache<V> {
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

impl<V: Clone> TextCache<V> {
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
            // The next generation reuses its memory.
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

    fn insert_twice<V: Clone>(cache: &mut TextCache<V>, text: &str, value: V) {
        cache.insert(text, value.clone());
        cache.insert(text, value);
    }

    #[test]
    fn a_text_that_is_looked_up_stays_and_another_goes() {
        let mut cache = TextCache::default();
        insert_twice(&mut cache, "asked for", 1);
        insert_twice(&mut cache, "forgotten", 2);
        for round in 0..4 * ENTRIES_MAX {
            insert_twice(&mut cache, &round.to_string(), 0);
            assert_eq!(cache.get("asked for"), Some(1));
        }
        assert_eq!(cache.get("forgotten"), None);
        assert!(cache.young.len() + cache.old.len() <= 2 * ENTRIES_MAX);
    }

    #[test]
    fn a_text_that_comes_once_displaces_nothing() {
        let mut cache = TextCache::default();
        insert_twice(&mut cache, "known", 1);
        for round in 0..16 * ENTRIES_MAX {
            cache.insert(&round.to_string(), 0);
        }
        assert_eq!((cache.get("known"), cache.young.len() + cache.old.len()), (Some(1), 1));
    }

    #[test]
    fn long_texts_are_kept_too_and_leave_room_for_fewer() {
        let mut cache = TextCache::default();
        // As long as a hit's body may be.
        let text = |number: usize| format!("{number:04096}");
        cache.insert("short", 0);
        for round in 0..3_000 {
            cache.insert(&text(round), round);
            cache.insert(&text(round), round + 1);
            cache.insert("short", round);
            assert_eq!((cache.get(&text(round)), cache.get("short")), (Some(round + 1), Some(round)));
        }
        let bytes: usize = cache.young.values().chain(cache.old.values()).map(|known| known.text.len()).sum();
        assert!(bytes <= 2 * TEXTS_BYTES_MAX, "{bytes}");
        assert!(cache.get(&text(2_900)).is_some() && cache.get(&text(1_000)).is_none());
    }
}
