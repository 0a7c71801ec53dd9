//! What waits to be published, and whether the file still takes hits. Bounded: more than fits is
//! remembered as "this site has more", and found again in the file.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    sites: FxHashSet<SiteNumber>,
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
            if waiting.sites.insert(site) {
                waiting.sites_order.push_back(site);
            }
        }
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

    pub fn take_sites(&self, limit: usize) -> Vec<SiteNumber> {
        let mut waiting = self.lock();
        let count = limit.min(waiting.sites_order.len());
        let taken: Vec<_> = waiting.sites_order.drain(..count).collect();
        taken.iter().for_each(|site| {
            waiting.sites.remove(site);
        });
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
