//! What waits to be published, and whether the file still takes hits. Bounded: more than fits is
//! remembered as "this site has more", and found again in the file.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::counter::{Contribution, PageAddress, Period, Register, SiteNumber, Source};

use super::hand_over::NotDurable;
use super::titles;

/// Page counters remembered between two publications, about 20 MB.
const PAGES_MAX: usize = 200_000;

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
    pages: FxHashMap<(SiteNumber, Period, PageAddress), (Source, i64)>,
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

    pub fn page_changed(&self, site: SiteNumber, run: &Source, period: Period, page: &PageAddress, hits: i64) {
        if !self.is_used {
            return;
        }
        let mut waiting = self.lock();
        let is_full = waiting.pages.len() >= PAGES_MAX;
        if is_full && !waiting.pages.contains_key(&(site, period, page.clone())) {
            waiting.overflowed.insert(site);
        } else {
            waiting.pages.insert((site, period, page.clone()), (run.clone(), hits));
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

    pub fn take_pages(&self, limit: usize) -> Vec<(SiteNumber, Contribution)> {
        let mut waiting = self.lock();
        let keys: Vec<_> = waiting.pages.keys().take(limit).cloned().collect();
        let mut taken: Vec<_> = keys
            .into_iter()
            .filter_map(|key| {
                let (source, hits) = waiting.pages.remove(&key)?;
                let (site, period, page) = key;
                let register = Register::Grown(hits);
                Some((site, Contribution { source, period, page: Some(page), register }))
            })
            .collect();
        taken.sort_by_key(|(site, _)| *site);
        taken
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
