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
    old: HashMap<Box<str>, V>,
}

/// Entries of a generation, and bytes of the longest text that is kept: under 4 MB in all.
const ENTRIES_MAX: usize = 4_096;
const TEXT_BYTES_MAX: usize = 400;

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
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
        if text.len() <= TEXT_BYTES_MAX {
            self.insert_young(text.into(), value);
        }
    }

    fn insert_young(&mut self, text: Box<str>, value: V) {
        if self.young.len() >= ENTRIES_MAX {
            self.old = std::mem::take(&mut self.young);
        }
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
        recent.insert(&"x".repeat(TEXT_BYTES_MAX + 1), 0);
        assert_eq!(recent.get(&"x".repeat(TEXT_BYTES_MAX + 1)), None);
    }
}
