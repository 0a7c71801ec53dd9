//! What a worker has found out about texts that keep coming, such as the addresses of pages.

use std::collections::HashMap;

/// Answers for recently seen texts, bounded in number and size.
///
/// Two generations stand in for a list of least recently used: what is asked for again while it is
/// old becomes young, and when the young are too many they are the old ones. The default hasher is
/// a keyed one, on purpose: the texts come from strangers.
#[derive(Debug)]
pub struct Recent<V> {
    young: HashMap<Box<str>, V>,
    young_bytes: usize,
    old: HashMap<Box<str>, V>,
}

/// Entries of a generation, and bytes of their texts, however long each is: under 4 MB in all.
const ENTRIES_MAX: usize = 4_096;
const TEXTS_BYTES_MAX: usize = 400 * ENTRIES_MAX;

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self { young: HashMap::new(), young_bytes: 0, old: HashMap::new() }
    }
}

impl<V: Clone> Recent<V> {
    pub fn get(&mut self, text: &str) -> Option<V> {
        if let Some(value) = self.young.get(text) {
            return Some(value.clone());
        }
        let (text, value) = self.old.remove_entry(text)?;
        self.insert_young(text, value.clone());
        Some(value)
    }

    pub fn insert(&mut self, text: &str, value: V) {
        match self.young.get_mut(text) {
            Some(known) => *known = value,
            None => self.insert_young(text.into(), value),
        }
    }

    fn insert_young(&mut self, text: Box<str>, value: V) {
        if self.young.len() >= ENTRIES_MAX || self.young_bytes + text.len() > TEXTS_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += text.len();
        self.young.insert(text, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_what_is_not_goes() {
        let mut recent = Recent::default();
        recent.insert("asked for", 1);
        recent.insert("forgotten", 2);
        for round in 0..4 * ENTRIES_MAX {
            recent.insert(&round.to_string(), 0);
            assert_eq!(recent.get("asked for"), Some(1));
        }
        assert_eq!(recent.get("forgotten"), None);
        assert!(recent.young.len() + recent.old.len() <= 2 * ENTRIES_MAX);
    }

    #[test]
    fn long_texts_are_known_too_and_leave_room_for_fewer() {
        let mut recent = Recent::default();
        // As long as a hit's body may be.
        let text = |number: usize| format!("{number:04096}");
        for round in 0..3_000 {
            recent.insert(&text(round), round);
            recent.insert(&text(round), round + 1);
            recent.insert("short", round);
            assert_eq!((recent.get(&text(round)), recent.get("short")), (Some(round + 1), Some(round)));
        }
        let bytes: usize = recent.young.keys().chain(recent.old.keys()).map(|text| text.len()).sum();
        assert!(bytes <= 2 * TEXTS_BYTES_MAX, "{bytes}");
        assert!(recent.get(&text(2_900)).is_some() && recent.get(&text(1_000)).is_none());
    }
}
