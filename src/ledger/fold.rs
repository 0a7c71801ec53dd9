//! Folding: how far the journal has been added to `counts`.
//!
//! The tail is frozen, sorted, and added entry by entry; the mark says after each step how many of
//! its entries are in `counts`. The order depends on nothing but the entries, so after a crash the
//! same journal rows give the same entries, and those that are folded are skipped.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::counter::{Day, Hit, PageAddress, SiteNumber, Tally};

use super::store::{FoldMark, SourceNumber};

/// What one step adds to `counts`: a site's hits of a day, or a page's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub site: SiteNumber,
    pub day: Day,
    /// None: the site's own.
    pub page: Option<PageAddress>,
    pub hits: i64,
}

/// A fold in progress, or none.
#[derive(Debug)]
pub struct Fold {
    mark: FoldMark,
    source: SourceNumber,
    /// Of which the mark's `done` are in `counts`.
    entries: Arc<Vec<Entry>>,
}

impl Fold {
    pub fn new(mark: FoldMark) -> Self {
        Self { mark, source: 0, entries: Arc::default() }
    }

    pub fn is_idle(&self) -> bool {
        self.mark.mark == self.mark.target
    }

    pub fn mark(&self) -> FoldMark {
        self.mark
    }

    pub fn source(&self) -> SourceNumber {
        self.source
    }

    /// Begins with the tail of one source, which holds the journal from the mark to `target`; without
    /// entries where that tells of reloads alone.
    pub fn start(&mut self, entries: Arc<Vec<Entry>>, source: SourceNumber, target: i64) {
        debug_assert!(self.is_idle());
        self.source = source;
        self.mark.target = target;
        self.mark.done = 0;
        self.entries = entries;
    }

    /// The next entries, at most `limit`.
    pub fn next(&self, limit: usize) -> &[Entry] {
        let rest = &self.entries[self.mark.done..];
        &rest[..rest.len().min(limit)]
    }

    /// The mark behind so many of the next entries; after the last, at the target.
    pub fn mark_after(&self, entries: usize) -> FoldMark {
        let done = self.mark.done + entries;
        if done < self.entries.len() {
            FoldMark { done, ..self.mark }
        } else {
            FoldMark { mark: self.mark.target, target: self.mark.target, done: 0 }
        }
    }

    /// Moves to a mark that is on disk.
    pub fn advance(&mut self, mark: FoldMark) {
        self.mark = mark;
        if mark.mark == mark.target {
            self.entries = Arc::default();
        }
    }
}

/// A tally's entries in the order in which they are folded: each site's days, then the pages.
pub fn entries(tally: &Tally) -> Vec<Entry> {
    let pages = tally.sorted();
    let mut days: BTreeMap<(SiteNumber, Day), u64> = BTreeMap::new();
    for (hit, hits) in &pages {
        *days.entry((hit.site, hit.day)).or_default() += hits;
    }
    let days = days.into_iter().map(|((site, day), hits)| entry(site, day, None, hits));
    days.chain(pages.into_iter().map(|(Hit { site, day, page }, hits)| entry(site, day, Some(page), hits))).collect()
}

fn entry(site: SiteNumber, day: Day, page: Option<PageAddress>, hits: u64) -> Entry {
    Entry { site, day, page, hits: i64::try_from(hits).unwrap_or(i64::MAX) }
}
