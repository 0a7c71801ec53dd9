//! What waits to be published, and whether the file still takes hits. Bounded: more than fits is
//! remembered as "this site has more", and found again in the file.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::counter::{ChangedPage, Day, PageAddress, SiteNumber};

use super::hand_over::NotDurable;
use super::titles;

/// Pages remembered between two rounds of publication: about 30 MB, and as much again while a round of
/// so many is on its way.
const PAGES_MAX: usize = 200_000;
/// From here on the next round should not be waited for.
const PAGES_MANY: usize = PAGES_MAX / 2;

#[derive(Debug)]
pub struct Outbox {
    /// Nobody publishes without Redis.
    is_used: bool,
    waiting: Mutex<Waiting>,
    titles: titles::Waiting,
    failed: Mutex<Option<NotDurable>>,
}

#[derive(Debug, Default)]
struct Waiting {
    sites_order: VecDeque<SiteNumber>,
    /// Since when a change of each waits.
    sites: FxHashMap<SiteNumber, Instant>,
    /// What the run has counted of a page by now, in the order of `Day::page_periods`.
    pages: FxHashMap<(SiteNumber, Day, PageAddress), [i64; 3]>,
    overflowed: FxHashSet<SiteNumber>,
}

impl Outbox {
    pub fn new(is_used: bool) -> Self {
        Self { is_used, waiting: Mutex::default(), titles: titles::Waiting::default(), failed: Mutex::default() }
    }

    /// Whether anyone takes what is put here.
    pub fn is_used(&self) -> bool {
        self.is_used
    }

    pub fn site_changed(&self, site: SiteNumber) {
        if self.is_used {
            let mut waiting = self.lock();
            let waiting = &mut *waiting;
            if let Entry::Vacant(entry) = waiting.sites.entry(site) {
                entry.insert(Instant::now());
                waiting.sites_order.push_back(site);
            }
        }
    }

    /// A site that was taken goes back to where it was: it is the next.
    pub fn put_back_site(&self, site: SiteNumber, since: Instant) {
        let mut waiting = self.lock();
        let waiting = &mut *waiting;
        match waiting.sites.entry(site) {
            Entry::Occupied(mut entry) => *entry.get_mut() = since.min(*entry.get()),
            Entry::Vacant(entry) => {
                entry.insert(since);
                waiting.sites_order.push_front(site);
            }
        }
    }

    /// Since when the site waits that is taken next.
    pub fn oldest_site_change(&self) -> Option<Instant> {
        let waiting = self.lock();
        waiting.sites.get(waiting.sites_order.front()?).copied()
    }

    /// An import or the like: rows of frozen sources have changed.
    pub fn history_changed(&self, site: SiteNumber) {
        if self.is_used {
            self.lock().overflowed.insert(site);
        }
    }

    /// `hits` in the order of `Day::page_periods`.
    pub fn page_changed(&self, site: SiteNumber, day: Day, page: &PageAddress, hits: [i64; 3]) {
        if !self.is_used {
            return;
        }
        let mut waiting = self.lock();
        let is_full = waiting.pages.len() >= PAGES_MAX;
        let key = (site, day, page.clone());
        if is_full && !waiting.pages.contains_key(&key) {
            waiting.overflowed.insert(site);
        } else {
            waiting.pages.insert(key, hits);
        }
    }

    pub fn title_changed(&self, title: titles::PagesTitle) {
        if self.is_used {
            self.titles.put(title);
        }
    }

    pub fn titles(&self) -> &titles::Waiting {
        &self.titles
    }

    /// The longest waiting first, each with since when.
    pub fn take_sites(&self, limit: usize) -> Vec<(SiteNumber, Instant)> {
        let mut waiting = self.lock();
        let waiting = &mut *waiting;
        let count = limit.min(waiting.sites_order.len());
        waiting.sites_order.drain(..count).filter_map(|site| waiting.sites.remove_entry(&site)).collect()
    }

    /// All of them.
    pub fn take_pages(&self) -> Vec<ChangedPage> {
        // Folding waits for the lock, but not for what is done with what is taken, nor for a table to
        // grow again.
        let mut next = FxHashMap::default();
        next.reserve(self.lock().pages.len());
        let taken = std::mem::replace(&mut self.lock().pages, next);
        taken.into_iter().map(|((site, day, page), hits)| ChangedPage { site, day, page, hits }).collect()
    }

    pub fn has_pages(&self) -> bool {
        !self.lock().pages.is_empty()
    }

    /// Whether there will soon be more than are remembered.
    pub fn has_many_pages(&self) -> bool {
        self.lock().pages.len() >= PAGES_MANY
    }

    pub fn take_overflowed(&self) -> Vec<SiteNumber> {
        self.lock().overflowed.drain().collect()
    }

    /// Notes why the file takes no hits, or that it does again.
    pub fn set_failed(&self, reason: Option<NotDurable>) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    pub fn failed(&self) -> Option<NotDurable> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITES: [SiteNumber; 3] = [SiteNumber(1), SiteNumber(2), SiteNumber(3)];

    #[test]
    fn a_site_waits_since_its_first_change_and_goes_back_to_where_it_was() {
        let outbox = Outbox::new(true);
        assert_eq!(outbox.oldest_site_change(), None);
        SITES.iter().chain(&SITES).for_each(|site| outbox.site_changed(*site));
        let first = outbox.oldest_site_change().unwrap();
        let taken = outbox.take_sites(2);
        assert_eq!(taken.iter().map(|(site, _)| *site).collect::<Vec<_>>(), SITES[..2]);
        assert_eq!(taken[0].1, first);
        assert!(outbox.oldest_site_change().unwrap() >= taken[1].1);
        // Changed again while it was on its way: what it waits with is the older change.
        outbox.site_changed(SITES[0]);
        taken.into_iter().for_each(|(site, since)| outbox.put_back_site(site, since));
        let again = outbox.take_sites(usize::MAX);
        assert_eq!(again.iter().map(|(site, _)| *site).collect::<Vec<_>>(), [SITES[1], SITES[2], SITES[0]]);
        assert_eq!(again[2].1, first);
        assert_eq!((outbox.oldest_site_change(), outbox.take_sites(1)), (None, Vec::new()));
    }
}
