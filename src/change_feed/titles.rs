//! A bounded queue of page titles, for the file or for Redis.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;

use crate::counter::{ChangedTitle, GivenTitle, PageAddress, SiteNumber};

/// Titles that may wait; the next reader of a page brings its title again.
pub const TITLES_MAX: usize = 10_000;

/// Titles in no order, one per page.
#[derive(Debug, Default)]
pub struct TitleQueue {
    titles: Mutex<FxHashMap<(SiteNumber, PageAddress), GivenTitle>>,
    is_full: AtomicBool,
}

impl TitleQueue {
    pub fn put(&self, title: ChangedTitle) {
        self.put_and(title, || ());
    }

    /// Puts a title, and runs `then` under the lock if the title was taken. The latest title of a page stays.
    pub fn put_and(&self, title: ChangedTitle, then: impl FnOnce()) {
        let ChangedTitle { site, page, title, given_ms } = title;
        let mut titles = self.lock();
        let key = (site, page);
        let is_taken = match titles.get(&key) {
            Some(known) => known.given_ms <= given_ms,
            None => titles.len() < TITLES_MAX,
        };
        if is_taken {
            titles.insert(key, GivenTitle { title, given_ms });
            then();
        }
        self.is_full.store(titles.len() >= TITLES_MAX, Ordering::Relaxed);
    }

    pub fn take(&self, limit: usize) -> Vec<ChangedTitle> {
        if limit == 0 {
            return Vec::new();
        }
        let mut titles = self.lock();
        let keys: Vec<_> = titles.keys().take(limit).cloned().collect();
        let taken = keys
            .into_iter()
            .filter_map(|key| titles.remove(&key).map(|given| (key, given)))
            .map(|((site, page), GivenTitle { title, given_ms })| ChangedTitle { site, page, title, given_ms })
            .collect();
        if titles.is_empty() {
            // Its room too.
            *titles = FxHashMap::default();
        }
        self.is_full.store(titles.len() >= TITLES_MAX, Ordering::Relaxed);
        taken
    }

    pub fn get(&self, site: SiteNumber, page: &PageAddress) -> Option<GivenTitle> {
        self.lock().get(&(site, page.clone())).cloned()
    }

    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// True if the queue was full at its last change; read without the lock.
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, FxHashMap<(SiteNumber, PageAddress), GivenTitle>> {
        self.titles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::PageTitle;

    const SITE: SiteNumber = SiteNumber(1);

    fn title(number: usize, text: &str, given_ms: i64) -> ChangedTitle {
        let page = PageAddress::from_stored(&format!("/{number}"));
        ChangedTitle { site: SITE, page, title: PageTitle::of(text).unwrap(), given_ms }
    }

    #[test]
    fn a_title_that_is_put_back_gives_way_to_a_later_one() {
        let queue = TitleQueue::default();
        queue.put(title(1, "Mới", 2));
        queue.put(title(1, "Cũ", 1));
        assert_eq!(queue.take(9), [title(1, "Mới", 2)]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_full_queue_takes_newer_titles_of_its_own_pages_only() {
        let queue = TitleQueue::default();
        (0..TITLES_MAX).for_each(|number| queue.put(title(number, "Cũ", 1)));
        assert!(queue.is_full());
        queue.put(title(TITLES_MAX, "Cũ", 1));
        queue.put(title(0, "Mới", 2));
        let taken = queue.take(usize::MAX);
        assert_eq!(taken.len(), TITLES_MAX);
        assert!(taken.contains(&title(0, "Mới", 2)) && !queue.is_full());
    }
}
