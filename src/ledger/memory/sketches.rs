//! Visitors in memory: for each site that counts them, the sketches of its recent days and minutes.
//!
//! A sketch is the union of the file's, of unfolded journal rows, and of other nodes' sketches in Redis. Sketches
//! only grow and merge in any order and any number of times, so nothing is ever subtracted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use rustc_hash::FxHashMap;

use super::lock;
use crate::change_feed::ChangeFeed;
use crate::counter::{Day, Minute, SiteNumber, Sketch, Trace, VisitorCounts, Window};

/// All sites whose visitors are in memory.
#[derive(Debug)]
pub struct SketchStore {
    sites: RwLock<FxHashMap<SiteNumber, Arc<SiteSketches>>>,
    /// Sites with sketches that the file lacks.
    unfolded: Mutex<BTreeSet<SiteNumber>>,
    feed: Arc<ChangeFeed>,
}

/// One site's sketches.
#[derive(Debug, Default)]
pub struct SiteSketches {
    /// Changes with every change of a sketch.
    version: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sketches: BTreeMap<Window, Kept>,
    /// The union of the minutes that count as online, with the last of them: too costly to make for each answer.
    online: Option<(Window, Sketch)>,
}

#[derive(Debug, Default)]
struct Kept {
    sketch: Sketch,
    is_folded: bool,
    /// Redis is thought to have it.
    is_published: bool,
}

impl SketchStore {
    pub fn new(feed: Arc<ChangeFeed>) -> Self {
        Self { sites: RwLock::default(), unfolded: Mutex::default(), feed }
    }

    /// The number of sketches of all sites.
    pub fn len(&self) -> usize {
        let sites = self.sites.read().unwrap_or_else(PoisonError::into_inner);
        sites.values().map(|site| site.state().sketches.len()).sum()
    }

    pub fn get(&self, site: SiteNumber) -> Option<Arc<SiteSketches>> {
        self.sites.read().unwrap_or_else(PoisonError::into_inner).get(&site).cloned()
    }

    /// Loads a site's sketches from the file.
    pub fn load(&self, site: SiteNumber, sketches: Vec<(Window, Sketch)>) -> Arc<SiteSketches> {
        let kept = |sketch| Kept { sketch, is_folded: true, is_published: false };
        let sketches: BTreeMap<_, _> = sketches.into_iter().map(|(window, sketch)| (window, kept(sketch))).collect();
        if !sketches.is_empty() {
            self.feed.note_visitors(site);
        }
        let loaded = SiteSketches { version: AtomicU64::new(0), state: Mutex::new(State { sketches, online: None }) };
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sites.entry(site).or_insert_with(|| Arc::new(loaded)))
    }

    /// Adds a visitor on disk to a loaded site.
    pub fn add(&self, site: SiteNumber, window: Window, trace: Trace) {
        let Some(sketches) = self.get(site) else { return };
        if sketches.add(window, trace) {
            lock(&self.unfolded).insert(site);
            self.feed.note_visitors(site);
        }
    }

    /// Merges Redis's sketch; notes the site for publication if Redis lacks some of ours.
    pub fn apply_remote(&self, site: SiteNumber, window: Window, there: &Sketch) {
        let Some(sketches) = self.get(site) else { return };
        let (is_news, is_lacking) = sketches.apply_remote(window, there);
        if is_news {
            lock(&self.unfolded).insert(site);
        }
        if is_lacking {
            self.feed.note_visitors(site);
        }
    }

    /// Sites with sketches that the file lacks.
    pub fn take_unfolded(&self) -> Vec<SiteNumber> {
        std::mem::take(&mut *lock(&self.unfolded)).into_iter().collect()
    }

    /// Marks sketches of a site that Redis did not get.
    pub fn put_back_unpublished(&self, site: SiteNumber, windows: &[Window]) {
        if let Some(sketches) = self.get(site) {
            let mut state = sketches.state();
            for (_, kept) in state.sketches.iter_mut().filter(|(window, _)| windows.contains(window)) {
                kept.is_published = false;
            }
            self.feed.note_visitors(site);
        }
    }

    /// Marks all sketches as unpublished: Redis may have lost them.
    pub fn publish_all_again(&self) {
        let sites: Vec<_> = {
            let sites = self.sites.read().unwrap_or_else(PoisonError::into_inner);
            sites.iter().map(|(site, sketches)| (*site, Arc::clone(sketches))).collect()
        };
        for (site, sketches) in sites {
            sketches.state().sketches.values_mut().for_each(|kept| kept.is_published = false);
            self.feed.note_visitors(site);
        }
    }

    /// Drops sketches that no figure needs: folded days before `day`, and minutes before `minute`.
    pub fn forget_before(&self, day: Day, minute: Minute) {
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        sites.retain(|_, sketches| {
            let mut state = sketches.state();
            state.sketches.retain(|window, kept| match window.minute {
                None => window.day >= day || !kept.is_folded,
                Some(of) => of >= minute,
            });
            state.online = None;
            !state.sketches.is_empty()
        });
    }
}

impl SiteSketches {
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The figures at `now`, and the version they belong to.
    pub fn counts(&self, now: DateTime<Utc>, zone: Tz) -> (VisitorCounts, u64) {
        let today = Day::at(now, zone);
        let mut state = self.state();
        let online = state.online(now, zone);
        let mut of_day = |day| state.sketches.get_mut(&Window::of_day(day)).map_or(0, |kept| kept.sketch.estimate());
        let counts = VisitorCounts { online, today: of_day(today), yesterday: of_day(today.previous()) };
        (counts, self.version())
    }

    /// True if the visitor would change nothing.
    pub fn has(&self, window: Window, trace: Trace) -> bool {
        self.state().sketches.get(&window).is_some_and(|kept| kept.sketch.has(trace))
    }

    fn add(&self, window: Window, trace: Trace) -> bool {
        let mut state = self.state();
        let kept = state.sketches.entry(window).or_default();
        if !kept.sketch.add(trace) {
            return false;
        }
        kept.is_folded = false;
        kept.is_published = false;
        state.note_online(window, |online| online.add(trace));
        self.changed();
        true
    }

    /// Merges Redis's sketch. True: ours grew; true: Redis's lacks some of ours.
    fn apply_remote(&self, window: Window, there: &Sketch) -> (bool, bool) {
        let mut state = self.state();
        if there.is_empty() && !state.sketches.contains_key(&window) {
            return (false, false);
        }
        let kept = state.sketches.entry(window).or_default();
        let is_news = kept.sketch.merge(there);
        let is_lacking = kept.sketch != *there;
        kept.is_published &= !is_lacking;
        if is_news {
            kept.is_folded = false;
            state.note_online(window, |online| online.merge(there));
            self.changed();
        }
        (is_news, is_lacking)
    }

    /// The sketches that the file lacks, marked as folded.
    pub fn take_unfolded(&self) -> Vec<(Window, Sketch)> {
        self.take(|kept| &mut kept.is_folded)
    }

    /// The sketches that Redis may lack, marked as published.
    pub fn take_unpublished(&self) -> Vec<(Window, Sketch)> {
        self.take(|kept| &mut kept.is_published)
    }

    pub fn put_back_unfolded(&self, windows: &[Window]) {
        let mut state = self.state();
        for (_, kept) in state.sketches.iter_mut().filter(|(window, _)| windows.contains(window)) {
            kept.is_folded = false;
        }
    }

    /// The sketches without a mark, which they get.
    fn take(&self, mark: impl Fn(&mut Kept) -> &mut bool) -> Vec<(Window, Sketch)> {
        let mut state = self.state();
        let unmarked = state.sketches.iter_mut().filter_map(|(window, kept)| {
            let was_marked = std::mem::replace(mark(kept), true);
            (!was_marked).then(|| (*window, kept.sketch.clone()))
        });
        unmarked.collect()
    }

    fn changed(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn online(&mut self, now: DateTime<Utc>, zone: Tz) -> u64 {
        let windows = Window::online(now, zone);
        let [.., last] = windows;
        match &mut self.online {
            Some((of, online)) if *of == last => online.estimate(),
            _ => {
                let mut online = Sketch::default();
                for kept in windows.iter().filter_map(|window| self.sketches.get(window)) {
                    online.merge(&kept.sketch);
                }
                let count = online.estimate();
                self.online = Some((last, online));
                count
            }
        }
    }

    /// Applies a change of `window` to the union of online minutes.
    fn note_online(&mut self, window: Window, change: impl FnOnce(&mut Sketch) -> bool) {
        let (Some((last, online)), Some(minute)) = (&mut self.online, window.minute) else { return };
        let Some(until) = last.minute else { return };
        if window.day == last.day && (until.window_start()..=until).contains(&minute) {
            change(online);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: SiteNumber = SiteNumber(1);

    fn window() -> Window {
        Window::of_day(Day::from_ymd(2024, 6, 17).unwrap())
    }

    fn store() -> (Arc<ChangeFeed>, SketchStore) {
        let feed = Arc::new(ChangeFeed::new(true));
        let store = SketchStore::new(Arc::clone(&feed));
        store.load(SITE, Vec::new());
        (feed, store)
    }

    #[test]
    fn a_new_visitor_is_to_be_folded_and_published_once() {
        let (feed, store) = store();
        let trace = Trace::of(b"a");
        for _ in 0..2 {
            store.add(SITE, window(), trace);
            store.add(SITE, window(), trace);
        }
        let site = store.get(SITE).unwrap();
        assert!(site.has(window(), trace) && site.version() == 1);
        assert_eq!((store.take_unfolded(), feed.take_visitors(9)), (vec![SITE], vec![SITE]));
        assert_eq!((site.take_unfolded().len(), site.take_unpublished().len()), (1, 1));
        store.add(SITE, window(), trace);
        assert_eq!((store.take_unfolded(), feed.take_visitors(9)), (vec![], vec![]));
        assert_eq!((site.take_unfolded().len(), site.take_unpublished().len()), (0, 0));
        store.put_back_unpublished(SITE, &[window()]);
        site.put_back_unfolded(&[window()]);
        assert_eq!(feed.take_visitors(9), [SITE]);
        assert_eq!((site.take_unfolded().len(), site.take_unpublished().len()), (1, 1));
    }

    #[test]
    fn a_remote_sketch_is_folded_if_it_brings_news_and_answered_if_it_lacks_some() {
        let (ours, theirs) = (Trace::of(b"a"), Trace::of(b"b"));
        let sketch = |traces: &[Trace]| traces.iter().copied().collect::<Sketch>();
        for (there, is_news, is_lacking) in [
            (sketch(&[ours]), false, false),
            (sketch(&[]), false, true),
            (sketch(&[theirs]), true, true),
            (sketch(&[ours, theirs]), true, false),
        ] {
            let (feed, store) = store();
            store.add(SITE, window(), ours);
            let site = store.get(SITE).unwrap();
            let taken = (store.take_unfolded(), feed.take_visitors(9));
            assert_eq!(taken, (vec![SITE], vec![SITE]));
            assert_eq!((site.take_unfolded().len(), site.take_unpublished().len()), (1, 1));
            store.apply_remote(SITE, window(), &there);
            assert_eq!((!store.take_unfolded().is_empty(), !feed.take_visitors(9).is_empty()), (is_news, is_lacking));
            assert_eq!(site.take_unpublished().len(), usize::from(is_lacking));
            assert!(!is_news || site.has(window(), theirs));
        }
    }

    #[test]
    fn days_leave_memory_only_when_they_are_folded_and_minutes_always() {
        let (_, store) = store();
        let minute = Minute::from_number(28_643_300);
        store.add(SITE, window(), Trace::of(b"a"));
        store.add(SITE, Window::of_minute(window().day, minute), Trace::of(b"a"));
        let later = Minute::from_number(minute.number() + 1);
        store.forget_before(window().day.next(), later);
        assert_eq!(store.len(), 1);
        store.get(SITE).unwrap().take_unfolded();
        store.forget_before(window().day, later);
        assert_eq!(store.len(), 1);
        store.forget_before(window().day.next(), later);
        assert!(store.len() == 0 && store.get(SITE).is_none());
    }

    #[test]
    fn readers_online_are_those_of_the_last_minutes_as_they_come() {
        let (_, store) = store();
        let zone = chrono_tz::Asia::Ho_Chi_Minh;
        let now = DateTime::from_timestamp(1_718_600_400, 0).unwrap();
        let (day, minute) = (Day::at(now, zone), Minute::at(now));
        let site = store.get(SITE).unwrap();
        let add = |back: u32, name: &[u8]| {
            let window = Window::of_minute(day, Minute::from_number(minute.number() - back));
            store.add(SITE, window, Trace::of(name));
        };
        let online = || site.counts(now, zone).0.online;
        assert_eq!((online(), site.version()), (0, 0));
        add(0, b"a");
        add(4, b"b");
        // One that is there already, and one that left five minutes ago.
        add(1, b"a");
        add(5, b"c");
        assert_eq!((online(), site.version(), site.counts(now, zone).1), (2, 4, 4));
        let there: Sketch = [Trace::of(b"a"), Trace::of(b"d"), Trace::of(b"e")].into_iter().collect();
        store.apply_remote(SITE, Window::of_minute(day, minute), &there);
        assert_eq!(online(), 4);
        // The window moves on: only the newest minute is left.
        let later = now + chrono::TimeDelta::minutes(4);
        assert_eq!(site.counts(later, zone).0.online, 3);
    }

    #[test]
    fn sketches_of_the_file_are_published_and_not_written_again() {
        let feed = Arc::new(ChangeFeed::new(true));
        let store = SketchStore::new(Arc::clone(&feed));
        let sketch: Sketch = [Trace::of(b"a"), Trace::of(b"b")].into_iter().collect();
        let site = store.load(SITE, vec![(window(), sketch.clone())]);
        assert_eq!(feed.take_visitors(9), [SITE]);
        assert_eq!((site.take_unfolded(), site.take_unpublished()), (vec![], vec![(window(), sketch)]));
        // Loaded twice: the first one stays, with what came since.
        store.add(SITE, window(), Trace::of(b"c"));
        let again = store.load(SITE, Vec::new());
        assert!(Arc::ptr_eq(&site, &again) && again.has(window(), Trace::of(b"c")));
        assert!(
            !again.has(window(), Trace::of(b"d")) && !again.has(Window::of_day(window().day.next()), Trace::of(b"c"))
        );
        assert_eq!(site.counts(noon(), chrono_tz::UTC).0.today, 3);
        // A sketch that Redis has lost is published once more.
        site.take_unpublished();
        store.publish_all_again();
        assert_eq!(site.take_unpublished().len(), 1);
    }

    fn noon() -> DateTime<Utc> {
        "2024-06-17T12:00:00Z".parse().unwrap()
    }
}
