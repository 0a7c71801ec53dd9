//! Unfolded hits: journalled, and not yet in `counts`. The committer writes them; queries of pages read them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use rustc_hash::FxHashMap;

use crate::counter::{Day, Hit, PageAddress, Period, SiteNumber, Tally};

use super::entry::Entry;
use crate::ledger::memory::lock;
use crate::ledger::sqlite::tables::meta::FoldMark;

#[derive(Debug)]
pub struct Unfolded(Mutex<UnfoldedHits>);

/// The hits that `counts` lacks.
#[derive(Debug, Default)]
pub struct UnfoldedHits {
    gathered: Tally,
    gathered_days: BTreeSet<Day>,
    /// Being sorted for the next fold.
    aside: Arc<Tally>,
    aside_days: BTreeSet<Day>,
    /// Being folded; the mark's `done` of them are in `counts`.
    folding: Arc<Vec<Entry>>,
    folding_days: BTreeSet<Day>,
    mark: FoldMark,
}

impl Unfolded {
    pub fn new(mark: FoldMark) -> Self {
        Self(Mutex::new(UnfoldedHits { mark, ..UnfoldedHits::default() }))
    }

    pub fn len(&self) -> usize {
        lock(&self.0).gathered.len()
    }

    pub fn add(&self, tally: Tally, days: impl IntoIterator<Item = Day>) {
        let mut unfolded = lock(&self.0);
        unfolded.gathered.merge(tally);
        unfolded.gathered_days.extend(days);
    }

    /// Sets the gathered hits aside for sorting; later hits gather in a new tally.
    pub fn set_aside(&self) -> Arc<Tally> {
        let mut unfolded = lock(&self.0);
        // Room for as many as last time: a growing table moves its entries while hits wait.
        let next = Tally::with_room_for(unfolded.gathered.len());
        unfolded.aside = Arc::new(std::mem::replace(&mut unfolded.gathered, next));
        unfolded.aside_days = std::mem::take(&mut unfolded.gathered_days);
        Arc::clone(&unfolded.aside)
    }

    /// Starts the fold of the set-aside hits, in this order.
    pub fn fold(&self, entries: Arc<Vec<Entry>>) {
        let mut unfolded = lock(&self.0);
        unfolded.aside = Arc::default();
        unfolded.folding = entries;
        unfolded.folding_days = std::mem::take(&mut unfolded.aside_days);
    }

    /// Moves to a mark that is on disk.
    pub fn advance(&self, mark: FoldMark) {
        let mut unfolded = lock(&self.0);
        unfolded.mark = mark;
        if mark.mark == mark.target {
            unfolded.folding = Arc::default();
            unfolded.folding_days.clear();
        }
    }

    /// Reads the unfolded hits as of `mark`; none if the mark has moved since.
    pub fn at<T>(&self, mark: FoldMark, read: impl FnOnce(&UnfoldedHits) -> T) -> Option<T> {
        let unfolded = lock(&self.0);
        // The target is set in memory before it is on disk.
        let agrees = (unfolded.mark.mark, unfolded.mark.done) == (mark.mark, mark.done);
        agrees.then(|| read(&unfolded))
    }
}

impl UnfoldedHits {
    pub fn hits(&self, site: SiteNumber, page: &PageAddress, period: Period) -> i64 {
        let covered = |days: &BTreeSet<Day>| -> Vec<Day> {
            days.iter().copied().filter(|day| day.page_periods().contains(&period)).collect()
        };
        let of = |day| Hit { site, day, page: page.clone() };
        let of_tally = |days, tally: &Tally| covered(days).into_iter().map(|day| tally.hits(&of(day))).sum::<u64>();
        let gathered = of_tally(&self.gathered_days, &self.gathered) + of_tally(&self.aside_days, &self.aside);
        let rest = self.folding.get(self.mark.done..).unwrap_or_default();
        let folding = covered(&self.folding_days).into_iter().filter_map(|day| {
            let at = rest.binary_search_by(|entry| match &entry.page {
                // A site's own entries stand before all pages.
                None => std::cmp::Ordering::Less,
                Some(there) => (entry.site, entry.day, there).cmp(&(site, day, page)),
            });
            rest.get(at.ok()?).map(|entry| entry.hits)
        });
        i64::try_from(gathered).unwrap_or(i64::MAX).saturating_add(folding.sum())
    }

    /// The pages of a site's period that have unfolded hits: most hits first, then by address. None if there are more
    /// than `entries_max` entries to search; as a rule their pages are in `counts`.
    pub fn pages(&self, site: SiteNumber, period: Period, entries_max: usize) -> Vec<PageAddress> {
        let rest = self.folding.get(self.mark.done..).unwrap_or_default();
        if self.gathered.len() + self.aside.len() + rest.len() > entries_max {
            return Vec::new();
        }
        let gathered = self
            .gathered
            .iter()
            .chain(self.aside.iter())
            .map(|(hit, hits)| (hit.site, hit.day, &hit.page, i64::try_from(hits).unwrap_or(i64::MAX)));
        let folding = rest.iter().filter_map(|entry| Some((entry.site, entry.day, entry.page.as_ref()?, entry.hits)));
        let mut pages: FxHashMap<&PageAddress, i64> = FxHashMap::default();
        for (of, day, page, hits) in gathered.chain(folding) {
            if of == site && day.page_periods().contains(&period) {
                *pages.entry(page).or_default() += hits;
            }
        }
        let mut pages: Vec<_> = pages.into_iter().collect();
        pages.sort_unstable_by_key(|(page, hits)| (std::cmp::Reverse(*hits), *page));
        pages.into_iter().map(|(page, _)| page.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::fold::entry;

    const SITE: SiteNumber = SiteNumber(1);

    fn tally(hits: &[(u32, &str)]) -> (Tally, Vec<Day>) {
        let mut tally = Tally::default();
        let mut days = Vec::new();
        for (day, page) in hits {
            let day = Day::from_ymd(2024, 6, *day).unwrap();
            tally.add(Hit { site: SITE, day, page: PageAddress::from_stored(page) });
            days.push(day);
        }
        (tally, days)
    }

    #[test]
    fn a_pages_hits_are_found_wherever_they_are_on_their_way_to_the_counts() {
        let start = FoldMark { mark: 0, target: 0, done: 0 };
        let store = Unfolded::new(start);
        let hits = |mark, page: &str, period: &str| {
            let (page, period) = (PageAddress::from_stored(page), period.parse().unwrap());
            store.at(mark, |unfolded| unfolded.hits(SITE, &page, period))
        };
        let (first, days) = tally(&[(16, "/a"), (17, "/a"), (17, "/b"), (17, "/a")]);
        store.add(first, days);
        assert_eq!(hits(start, "/a", "2024-06-17"), Some(2));
        assert_eq!(hits(start, "/a", "2024-06"), Some(3));
        let aside = store.set_aside();
        assert_eq!(hits(start, "/a", "total"), Some(3));
        assert_eq!(store.at(start, |unfolded| unfolded.pages(SITE, Period::Total, 10).len()), Some(2));
        let (between, days) = tally(&[(17, "/d")]);
        store.add(between, days);
        let entries = Arc::new(entry::entries(&aside));
        store.fold(Arc::clone(&entries));
        assert_eq!((hits(start, "/a", "total"), hits(start, "/d", "total")), (Some(3), Some(1)));
        let (second, days) = tally(&[(18, "/a")]);
        store.add(second, days);
        assert_eq!(hits(start, "/a", "total"), Some(4));
        assert_eq!(hits(start, "/c", "total"), Some(0));
        // Entries in the order of folding: two days of the site, then /a, /a, /b.
        assert_eq!(entries.len(), 5);
        let at = |done| FoldMark { mark: 0, target: 9, done };
        store.advance(at(3));
        assert_eq!((hits(at(3), "/a", "total"), hits(at(3), "/a", "2024-06-16")), (Some(3), Some(0)));
        assert_eq!(hits(start, "/a", "total"), None);
        let end = FoldMark { mark: 9, target: 9, done: 0 };
        store.advance(end);
        assert_eq!(hits(end, "/a", "total"), Some(1));
        assert_eq!(store.at(end, |unfolded| unfolded.pages(SITE, Period::Total, 10).len()), Some(2));
        assert_eq!(store.at(end, |unfolded| unfolded.pages(SITE, Period::Total, 0).len()), Some(0));
    }

    #[test]
    fn unfolded_pages_are_listed_by_hits_and_then_by_address_of_their_site_and_period_alone() {
        let mark = FoldMark { mark: 0, target: 0, done: 0 };
        let store = Unfolded::new(mark);
        assert_eq!(store.len(), 0);
        let (first, days) = tally(&[(17, "/b"), (17, "/a"), (16, "/c"), (16, "/c"), (16, "/c")]);
        store.add(first, days);
        assert_eq!(store.len(), 3);
        let listed = |mark, site, period: &str| {
            let pages = store.at(mark, |unfolded| unfolded.pages(site, period.parse().unwrap(), 9)).unwrap();
            pages.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(listed(mark, SITE, "total"), ["/c", "/a", "/b"]);
        assert_eq!(listed(mark, SITE, "2024-06-17"), ["/a", "/b"]);
        assert!(listed(mark, SiteNumber(2), "total").is_empty());
        // Half folded: a page's hits are those that are left, with the new ones.
        let entries = Arc::new(entry::entries(&store.set_aside()));
        store.fold(Arc::clone(&entries));
        let at = FoldMark { mark: 0, target: 1, done: entries.len() - 1 };
        store.advance(at);
        assert_eq!(listed(at, SITE, "total"), ["/b"]);
        let (second, days) = tally(&[(18, "/a"), (18, "/b"), (18, "/a"), (18, "/a")]);
        store.add(second, days);
        assert_eq!(listed(at, SITE, "total"), ["/a", "/b"]);
    }

    #[test]
    fn pages_are_searched_only_while_all_entries_together_are_few() {
        let mark = FoldMark { mark: 0, target: 0, done: 0 };
        let store = Unfolded::new(mark);
        let add = |pages: &[(u32, &str)]| {
            let (tally, days) = tally(pages);
            store.add(tally, days);
        };
        // Of three in the fold one is left, then two are set aside, then one is gathered.
        add(&[(17, "/a"), (17, "/b")]);
        store.fold(Arc::new(entry::entries(&store.set_aside())));
        let at = FoldMark { mark: 0, target: 1, done: 2 };
        store.advance(at);
        add(&[(17, "/c"), (17, "/d")]);
        store.set_aside();
        add(&[(17, "/e")]);
        let found = |entries_max| store.at(at, |unfolded| unfolded.pages(SITE, Period::Total, entries_max).len());
        assert_eq!((found(4), found(3)), (Some(4), Some(0)));
    }
}
