//! What waits to be published, and whether the file still takes hits. Bounded: more than fits is
//! remembered as "this site has more", and found again in the file.

use std::collections::BTreeSet;
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
    /// Since when a change of each site waits, and the sites in that order.
    sites: FxHashMap<SiteNumber, Instant>,
    sites_by_age: BTreeSet<(Instant, SiteNumber)>,
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
            self.lock().add(site, Instant::now());
        }
    }

    /// A site that was taken waits again since when it did.
    pub fn put_back_site(&self, site: SiteNumber, since: Instant) {
        self.lock().add(site, since);
    }

    /// Since when the change waits that has waited longest.
    pub fn oldest_site_change(&self) -> Option<Instant> {
        self.lock().sites_by_age.first().map(|(since, _)| *since)
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
        let oldest = std::iter::from_fn(|| waiting.sites_by_age.pop_first()).take(limit);
        let taken: Vec<_> = oldest.map(|(since, site)| (site, since)).collect();
        for (site, _) in &taken {
            waiting.sites.remove(site);
        }
        taken
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

impl Waiting {
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
        taken.into_iter().rev().for_each(|(site, since)| outbox.put_back_site(site, since));
        assert_eq!(outbox.oldest_site_change(), Some(first));
        let again = outbox.take_sites(usize::MAX);
        assert_eq!(again.iter().map(|(site, _)| *site).collect::<Vec<_>>(), SITES);
        assert_eq!(again[0].1, first);
        assert_eq!((outbox.oldest_site_change(), outbox.take_sites(1)), (None, Vec::new()));
    }
}
