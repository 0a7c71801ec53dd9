//! Imports that this node has made: each is compared with Redis, since another node may have made one of the same name at
//! the same time, or have been without Redis meanwhile.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::counter::{Contribution, Register, SiteNumber, Source};

/// Time after which the other node's import is in Redis too, unless it is very large.
const AGE: Duration = Duration::from_secs(30);
/// Imports that wait, for example for Redis.
const IMPORTS_MAX: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentImport {
    pub site: SiteNumber,
    pub source: Source,
    /// Generation, if this node has made all of it.
    pub generation: Option<u64>,
}

#[derive(Debug, Default)]
pub struct RecentImports(Mutex<Imports>);

#[derive(Debug, Default)]
struct Imports {
    waiting: Vec<(Instant, RecentImport)>,
    /// Generations of those that this node has made.
    made: HashMap<(SiteNumber, Source), u64>,
}

impl RecentImports {
    pub fn note(&self, import: RecentImport, now: Instant) {
        let Imports { waiting, made } = &mut *self.lock();
        waiting.retain(|(_, of)| !of.has_name_of(&import));
        if let Some(generation) = import.generation {
            made.insert((import.site, import.source.clone()), generation);
        }
        if waiting.len() < IMPORTS_MAX {
            waiting.push((now, import));
        }
    }

    /// Notes an import again that was taken, unless a later one of its name was noted meanwhile.
    pub fn note_again(&self, import: RecentImport, now: Instant) {
        let is_new = !self.lock().waiting.iter().any(|(_, of)| of.has_name_of(&import));
        if is_new {
            self.note(import, now);
        }
    }

    /// Notes an import that this node has made and compared before.
    pub fn note_compared(&self, site: SiteNumber, source: Source, generation: u64) {
        self.lock().made.insert((site, source), generation);
    }

    /// Notes those again of which Redis has brought an earlier import.
    pub fn look_at(&self, site: SiteNumber, contributions: &[Contribution], now: Instant) {
        let earlier = |one: &Contribution| {
            let Register::Written { generation, hits } = one.register else { return None };
            let made = *self.lock().made.get(&(site, one.source.clone()))?;
            (hits != 0 && generation < made).then(|| RecentImport {
                site,
                source: one.source.clone(),
                generation: Some(made),
            })
        };
        let mut last: Option<RecentImport> = None;
        for import in contributions.iter().filter_map(earlier) {
            if last.as_ref() != Some(&import) {
                self.note_again(import.clone(), now);
                last = Some(import);
            }
        }
    }

    /// Takes the imports that are old enough.
    pub fn take(&self, now: Instant) -> Vec<RecentImport> {
        let mut imports = self.lock();
        let due = imports.waiting.extract_if(.., |(at, _)| now.saturating_duration_since(*at) >= AGE);
        due.map(|(_, import)| import).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Imports> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecentImport {
    fn has_name_of(&self, other: &Self) -> bool {
        (self.site, &self.source) == (other.site, &other.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Period;

    fn import(site: u32, generation: u64) -> RecentImport {
        let source = "import:old".parse().unwrap();
        RecentImport { site: SiteNumber(site), source, generation: Some(generation) }
    }

    #[test]
    fn each_import_is_taken_once_after_a_time_since_it_was_made_last() {
        let (imports, begun) = (RecentImports::default(), Instant::now());
        imports.note(import(1, 5), begun);
        imports.note(import(2, 5), begun);
        imports.note(import(1, 6), begun + AGE / 2);
        imports.note_again(import(1, 5), begun + AGE / 2);
        assert_eq!(imports.take(begun + AGE / 2), []);
        assert_eq!(imports.take(begun + AGE), [import(2, 5)]);
        assert_eq!(imports.take(begun + AGE * 2), [import(1, 6)]);
        imports.note_again(import(1, 6), begun + AGE * 2);
        assert_eq!(imports.take(begun + AGE * 3), [import(1, 6)]);
        assert_eq!(imports.take(begun + AGE * 9), []);
    }

    #[test]
    fn an_earlier_import_that_comes_late_has_it_compared_again() {
        let (imports, begun) = (RecentImports::default(), Instant::now());
        let brought = |generation, hits| Contribution {
            source: import(1, 0).source,
            period: Period::Total,
            page: None,
            register: Register::Written { generation, hits },
        };
        imports.note_compared(SiteNumber(1), import(1, 0).source, 6);
        for (site, generation, hits) in [(1, 6, 3), (1, 7, 3), (1, 5, 0), (2, 5, 3)] {
            imports.look_at(SiteNumber(site), &[brought(generation, hits)], begun);
        }
        assert_eq!(imports.take(begun + AGE), []);
        imports.look_at(SiteNumber(1), &[brought(6, 3), brought(5, 3), brought(4, 3)], begun);
        assert_eq!(imports.take(begun + AGE), [import(1, 6)]);
    }
}
