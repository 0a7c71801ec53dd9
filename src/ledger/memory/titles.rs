//! Titles that hits bring. A title is written to the file after its hit is folded; a crash may lose it, and the
//! page's next reader brings it again.
//!
//! Nearly every hit brings the title that its page has had for long. So a table, shared by all workers and read
//! without a lock, holds a hash of the title that each page gave last.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxBuildHasher;

use crate::change_feed::TitleQueue;
use crate::counter::{ChangedTitle, PageAddress, PageTitle, SiteNumber};

/// Titles from hits, on their way to the file.
#[derive(Debug)]
pub struct NewTitles {
    pub queue: TitleQueue,
    /// For each slot, a hash of page, hour and title of the page that gave a title last.
    last: Box<[AtomicU64]>,
}

/// Slots, a megabyte: pages that share one bring their titles more often than needed.
const SLOTS: usize = 1 << 17;

/// An unchanged title is taken again after this time, since another node may have had another one.
const TAKEN_AGAIN_MS: i64 = 60 * 60 * 1_000;

impl Default for NewTitles {
    fn default() -> Self {
        Self { queue: TitleQueue::default(), last: (0..SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl NewTitles {
    /// Takes a hit's title, unless its page gave the same one last.
    pub fn note(&self, site: SiteNumber, page: &PageAddress, text: &str, given_ms: i64) {
        let hash = FxBuildHasher.hash_one((site, page.fingerprint(), given_ms / TAKEN_AGAIN_MS, text));
        let last = &self.last[(page.fingerprint() as usize ^ site.0 as usize) % SLOTS];
        // If the queue is full, the page's next reader brings the title again.
        if last.load(Ordering::Relaxed) == hash || self.queue.is_full() {
            return;
        }
        if let Some(title) = PageTitle::of(text) {
            let changed = ChangedTitle { site, page: page.clone(), title, given_ms };
            // Under the queue's lock, so that the slot belongs to the waiting title.
            self.queue.put_and(changed, || last.store(hash, Ordering::Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change_feed::TITLES_MAX;

    const SITE: SiteNumber = SiteNumber(1);
    const NOON: i64 = 1_718_600_400_000;

    fn page(number: usize) -> PageAddress {
        PageAddress::from_stored(&format!("/{number}"))
    }

    fn taken(given: &NewTitles) -> Vec<(String, i64)> {
        let taken = given.queue.take(usize::MAX).into_iter();
        taken.map(|changed| (changed.title.as_str().to_owned(), changed.given_ms)).collect()
    }

    #[test]
    fn the_latest_title_is_taken_and_one_that_is_known_is_not_taken_again() {
        let given = NewTitles::default();
        let page = page(1);
        let give = |title, given_ms| given.note(SITE, &page, title, given_ms);
        give("Cũ", NOON);
        give("Mới", NOON + 1);
        give("Cũ", NOON + 2);
        assert_eq!(taken(&given), [("Cũ".to_owned(), NOON + 2)]);
        give("Cũ", NOON + 3);
        give(" ", NOON + 3);
        assert_eq!(taken(&given), []);
        give("Mới", NOON + 4);
        // Of two workers the one that was earlier may come later.
        give("Cũ", NOON + 3);
        assert_eq!(taken(&given), [("Mới".to_owned(), NOON + 4)]);
        give("Mới", NOON + TAKEN_AGAIN_MS);
        assert_eq!(taken(&given).len(), 1);
    }

    #[test]
    fn what_waits_is_bounded_and_what_finds_no_room_is_taken_later() {
        let given = NewTitles::default();
        for number in 0..=TITLES_MAX {
            given.note(SITE, &page(number), "Tin", NOON);
        }
        assert_eq!(taken(&given).len(), TITLES_MAX);
        given.note(SITE, &page(TITLES_MAX), "Tin", NOON);
        assert_eq!(taken(&given).len(), 1);
    }
}
