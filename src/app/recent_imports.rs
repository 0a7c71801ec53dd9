//! Imports that were made lately: each is compared with Redis once, since another node may have made one of the same
//! name at the same time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::counter::{SiteNumber, Source};

/// Time after which the other node's import is in Redis too, unless it is very large.
const AGE: Duration = Duration::from_secs(30);
/// Imports that wait, for example for Redis.
const IMPORTS_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub struct RecentImports(Mutex<Vec<(Instant, SiteNumber, Source)>>);

impl RecentImports {
    pub fn note(&self, site: SiteNumber, source: Source, now: Instant) {
        let mut imports = self.lock();
        imports.retain(|(_, of, other)| (*of, other) != (site, &source));
        if imports.len() < IMPORTS_MAX {
            imports.push((now, site, source));
        }
    }

    /// Takes the imports that are old enough.
    pub fn take(&self, now: Instant) -> Vec<(SiteNumber, Source)> {
        let mut imports = self.lock();
        let due = imports.extract_if(.., |(at, ..)| now.saturating_duration_since(*at) >= AGE);
        due.map(|(_, site, source)| (site, source)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, SiteNumber, Source)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_import_is_taken_once_after_a_time_since_it_was_made_last() {
        let (imports, begun, site) = (RecentImports::default(), Instant::now(), SiteNumber(1));
        let source: Source = "import:old".parse().unwrap();
        imports.note(site, source.clone(), begun);
        imports.note(SiteNumber(2), source.clone(), begun);
        imports.note(site, source.clone(), begun + AGE / 2);
        assert_eq!(imports.take(begun + AGE / 2), []);
        assert_eq!(imports.take(begun + AGE), [(SiteNumber(2), source.clone())]);
        assert_eq!(imports.take(begun + AGE * 2), [(site, source)]);
        assert_eq!(imports.take(begun + AGE * 9), []);
    }
}
