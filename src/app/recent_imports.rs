//! Imports that were made lately: each is compared with Redis, since another node may have made one of the same name at
//! the same time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::counter::{SiteNumber, Source};

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
pub struct RecentImports(Mutex<Vec<(Instant, RecentImport)>>);

impl RecentImports {
    pub fn note(&self, import: RecentImport, now: Instant) {
        let mut imports = self.lock();
        imports.retain(|(_, of)| (of.site, &of.source) != (import.site, &import.source));
        if imports.len() < IMPORTS_MAX {
            imports.push((now, import));
        }
    }

    /// Notes an import again that was taken, unless a later one of its name was noted meanwhile.
    pub fn note_again(&self, import: RecentImport, now: Instant) {
        let is_new = !self.lock().iter().any(|(_, of)| (of.site, &of.source) == (import.site, &import.source));
        if is_new {
            self.note(import, now);
        }
    }

    /// Takes the imports that are old enough.
    pub fn take(&self, now: Instant) -> Vec<RecentImport> {
        let mut imports = self.lock();
        let due = imports.extract_if(.., |(at, _)| now.saturating_duration_since(*at) >= AGE);
        due.map(|(_, import)| import).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, RecentImport)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_import_is_taken_once_after_a_time_since_it_was_made_last() {
        let (imports, begun) = (RecentImports::default(), Instant::now());
        let import = |site, generation| RecentImport {
            site: SiteNumber(site),
            source: "import:old".parse().unwrap(),
            generation: Some(generation),
        };
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
}
