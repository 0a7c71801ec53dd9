//! The change feed: changes that wait to be published, noted by the ledger and taken by publication.
//!
//! It is in memory and bounded. Changes that do not fit mark their site as overflowed; publication finds
//! them again in the node's file.

mod titles;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::counter::{ChangedPage, ChangedTitle, Day, PageAddress, SiteNumber};

pub use titles::{TITLES_MAX, TitleQueue};

/// Pages noted between two rounds of publication: about 30 MB, and as much again during a round of so many.
const PAGES_MAX: usize = 200_000;
/// From here on the next round should start at once.
const PAGES_MANY: usize = PAGES_MAX / 2;

#[derive(Debug)]
pub struct ChangeFeed {
    /// False without Redis: changes are dropped.
    is_used: bool,
    changes: Mutex<Changes>,
    titles: TitleQueue,
    /// Sites with sketches that Redis may lack.
    visitors: Mutex<BTreeSet<SiteNumber>>,
}

#[derive(Debug, Default)]
struct Changes {
    /// The time of each site's first change, and the sites in that order.
    sites: FxHashMap<SiteNumber, Instant>,
    sites_by_age: BTreeSet<(Instant, SiteNumber)>,
    /// The run's count of each page, in the order of `Day::page_periods`.
    pages: FxHashMap<(SiteNumber, Day, PageAddress), [i64; 3]>,
    overflowed: FxHashSet<SiteNumber>,
}

impl ChangeFeed {
    pub fn new(is_used: bool) -> Self {
        Self { is_used, changes: Mutex::default(), titles: TitleQueue::default(), visitors: Mutex::default() }
    }

    /// True if publication takes the changes.
    pub fn is_used(&self) -> bool {
        self.is_used
    }

    /// Notes a site whose own counters are to be published.
    pub fn note_site(&self, site: SiteNumber) {
        if self.is_used {
            self.lock().add(site, Instant::now());
        }
    }

    /// Puts a taken site back at its place in the order: its publication failed.
    pub fn put_back_site(&self, site: SiteNumber, since: Instant) {
        self.lock().add(site, since);
    }

    /// The time of the oldest waiting site's change.
    pub fn oldest_site(&self) -> Option<Instant> {
        self.lock().sites_by_age.first().map(|(since, _)| *since)
    }

    /// Notes changed rows of frozen sources, as after an import.
    pub fn note_history(&self, site: SiteNumber) {
        if self.is_used {
            self.lock().overflowed.insert(site);
        }
    }

    /// Notes the run's counts of a page, in the order of `Day::page_periods`.
    pub fn note_page(&self, site: SiteNumber, day: Day, page: &PageAddress, hits: [i64; 3]) {
        if !self.is_used {
            return;
        }
        let mut changes = self.lock();
        let is_full = changes.pages.len() >= PAGES_MAX;
        let key = (site, day, page.clone());
        if is_full && !changes.pages.contains_key(&key) {
            changes.overflowed.insert(site);
        } else {
            changes.pages.insert(key, hits);
        }
    }

    pub fn note_title(&self, title: ChangedTitle) {
        if self.is_used {
            self.titles.put(title);
        }
    }

    /// Notes a site with sketches that Redis may lack.
    pub fn note_visitors(&self, site: SiteNumber) {
        if self.is_used {
            self.lock_visitors().insert(site);
        }
    }

    /// Takes up to `limit` sites, the longest waiting first, each with the time of its first change.
    pub fn take_sites(&self, limit: usize) -> Vec<(SiteNumber, Instant)> {
        let mut changes = self.lock();
        let changes = &mut *changes;
        let oldest = std::iter::from_fn(|| changes.sites_by_age.pop_first()).take(limit);
        let taken: Vec<_> = oldest.map(|(since, site)| (site, since)).collect();
        for (site, _) in &taken {
            changes.sites.remove(site);
        }
        taken
    }

    /// Takes all pages.
    pub fn take_pages(&self) -> Vec<ChangedPage> {
        // Folding waits for the lock, so the new table is made, and the old one emptied, outside it.
        let mut next = FxHashMap::default();
        next.reserve(self.lock().pages.len());
        let taken = std::mem::replace(&mut self.lock().pages, next);
        taken.into_iter().map(|((site, day, page), hits)| ChangedPage { site, day, page, hits }).collect()
    }

    pub fn has_pages(&self) -> bool {
        !self.lock().pages.is_empty()
    }

    /// True if the pages will soon overflow.
    pub fn has_many_pages(&self) -> bool {
        self.lock().pages.len() >= PAGES_MANY
    }

    /// Takes the sites with changes that are noted nowhere else: they are to be read from the file.
    pub fn take_overflowed(&self) -> Vec<SiteNumber> {
        self.lock().overflowed.drain().collect()
    }

    /// Takes up to `limit` titles that Redis may lack.
    pub fn take_titles(&self, limit: usize) -> Vec<ChangedTitle> {
        self.titles.take(limit)
    }

    /// Takes up to `limit` sites with sketches that Redis may lack.
    pub fn take_visitors(&self, limit: usize) -> Vec<SiteNumber> {
        let mut visitors = self.lock_visitors();
        std::iter::from_fn(|| visitors.pop_first()).take(limit).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_visitors(&self) -> MutexGuard<'_, BTreeSet<SiteNumber>> {
        self.visitors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changes {
    fn add(&mut self, site: SiteNumber, since: Instant) {
        let known = self.sites.entry(site).or_insert(since);
        if since < *known {
            self.sites_by_age.remove(&(*known, site));
            *known = since;
        }
        self.sites_by_age.insert((*known, site));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::PageTitle;

    const SITES: [SiteNumber; 3] = [SiteNumber(1), SiteNumber(2), SiteNumber(3)];

    #[test]
    fn a_site_waits_since_its_first_change_and_goes_back_to_where_it_was() {
        let feed = ChangeFeed::new(true);
        assert_eq!(feed.oldest_site(), None);
        SITES.iter().chain(&SITES).for_each(|site| feed.note_site(*site));
        let first = feed.oldest_site().unwrap();
        let taken = feed.take_sites(2);
        assert_eq!(taken.iter().map(|(site, _)| *site).collect::<Vec<_>>(), SITES[..2]);
        assert_eq!(taken[0].1, first);
        assert!(feed.oldest_site().unwrap() >= taken[1].1);
        // Changed again while it was on its way: what it waits with is the older change.
        feed.note_site(SITES[0]);
        taken.into_iter().rev().for_each(|(site, since)| feed.put_back_site(site, since));
        assert_eq!(feed.oldest_site(), Some(first));
        let again = feed.take_sites(usize::MAX);
        assert_eq!(again.iter().map(|(site, _)| *site).collect::<Vec<_>>(), SITES);
        assert_eq!(again[0].1, first);
        assert_eq!((feed.oldest_site(), feed.take_sites(1)), (None, Vec::new()));
    }

    #[test]
    fn more_pages_than_fit_become_a_sweep_of_their_site_and_known_pages_still_fit() {
        let feed = ChangeFeed::new(true);
        let day = Day::from_ymd(2024, 6, 17).unwrap();
        let page = |number: usize| PageAddress::from_stored(&format!("/{number}"));
        let note = |site, number, hits| feed.note_page(site, day, &page(number), [hits; 3]);
        for number in 0..PAGES_MAX {
            note(SITES[0], number, 1);
            assert_eq!(feed.has_many_pages(), number + 1 >= PAGES_MANY);
        }
        note(SITES[0], 7, 2);
        assert_eq!(feed.take_overflowed(), []);
        note(SITES[1], 7, 1);
        note(SITES[1], 8, 1);
        assert_eq!(feed.take_overflowed(), SITES[1..2]);
        assert_eq!(feed.take_overflowed(), []);
        let taken = feed.take_pages();
        assert_eq!(taken.len(), PAGES_MAX);
        assert_eq!(taken.iter().find(|changed| changed.page == page(7)).unwrap().hits, [2; 3]);
        assert!(!feed.has_pages());
        note(SITES[1], 7, 1);
        assert!(feed.has_pages());
    }

    #[test]
    fn without_redis_nothing_waits() {
        assert!(ChangeFeed::new(true).is_used());
        let feed = ChangeFeed::new(false);
        assert!(!feed.is_used());
        let page = PageAddress::from_stored("/a");
        feed.note_site(SITES[0]);
        feed.note_history(SITES[0]);
        feed.note_page(SITES[0], Day::from_ymd(2024, 6, 17).unwrap(), &page, [1; 3]);
        feed.note_title(ChangedTitle { site: SITES[0], page, title: PageTitle::of("Tin").unwrap(), given_ms: 1 });
        feed.note_visitors(SITES[0]);
        assert_eq!((feed.oldest_site(), feed.has_pages(), feed.take_overflowed()), (None, false, Vec::new()));
        assert_eq!((feed.take_titles(9), feed.take_visitors(9)), (Vec::new(), Vec::new()));
    }

    #[test]
    fn visitors_of_a_site_wait_once_and_are_taken_up_to_a_limit() {
        let feed = ChangeFeed::new(true);
        SITES.iter().chain(&SITES).for_each(|site| feed.note_visitors(*site));
        assert_eq!((feed.take_visitors(2), feed.take_visitors(2)), (SITES[..2].to_vec(), SITES[2..].to_vec()));
        assert_eq!(feed.take_visitors(2), []);
    }

    #[test]
    fn a_site_whose_history_changed_waits_to_be_read_from_the_file() {
        let feed = ChangeFeed::new(true);
        SITES[..2].iter().for_each(|site| feed.note_history(*site));
        let mut sites = feed.take_overflowed();
        sites.sort();
        assert_eq!((sites, feed.take_overflowed()), (SITES[..2].to_vec(), Vec::new()));
    }
}
