//! Visitors in memory: for each site that counts them, the sketches of its recent days and minutes.
//!
//! A sketch here is the union of the file's, of what is journalled and not yet folded, and of what
//! other nodes have brought to Redis. Sketches only grow and merge without regard to order or
//! repeats, so that nothing has to be taken back or told apart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use rustc_hash::FxHashMap;

use crate::counter::{Day, Minute, SiteNumber, Sketch, Trace, VisitorCounts, Window};

/// All sites whose visitors are in memory.
#[derive(Debug, Default)]
pub struct Crowds {
    sites: RwLock<FxHashMap<SiteNumber, Arc<Crowd>>>,
    /// Sites with sketches that the file lacks, and with some that Redis may lack.
    unfolded: Mutex<BTreeSet<SiteNumber>>,
    unpublished: Mutex<BTreeSet<SiteNumber>>,
}

/// One site's visitors.
#[derive(Debug, Default)]
pub struct Crowd {
    /// Changes with every change of a sketch.
    version: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sketches: BTreeMap<Window, Kept>,
    /// The union of the minutes of those who are online, and the last of them: with many visitors
    /// it is dear to make for every answer.
    online: Option<(Window, Sketch)>,
}

#[derive(Debug, Default)]
struct Kept {
    sketch: Sketch,
    is_folded: bool,
    /// Nobody is to be told of it.
    is_published: bool,
}

impl Crowds {
    /// How many sketches there are, of all sites.
    pub fn len(&self) -> usize {
        let sites = self.sites.read().unwrap_or_else(PoisonError::into_inner);
        sites.values().map(|crowd| crowd.state().sketches.len()).sum()
    }

    pub fn get(&self, site: SiteNumber) -> Option<Arc<Crowd>> {
        self.sites.read().unwrap_or_else(PoisonError::into_inner).get(&site).cloned()
    }

    /// Takes in what the file has of a site.
    pub fn load(&self, site: SiteNumber, sketches: Vec<(Window, Sketch)>) -> Arc<Crowd> {
        let kept = |sketch| Kept { sketch, is_folded: true, is_published: false };
        let sketches: BTreeMap<_, _> = sketches.into_iter().map(|(window, sketch)| (window, kept(sketch))).collect();
        if !sketches.is_empty() {
            lock(&self.unpublished).insert(site);
        }
        let loaded = Crowd { version: AtomicU64::new(0), state: Mutex::new(State { sketches, online: None }) };
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sites.entry(site).or_insert_with(|| Arc::new(loaded)))
    }

    /// Adds a visitor who is on disk, in a site that is loaded.
    pub fn add(&self, site: SiteNumber, window: Window, trace: Trace) {
        let Some(crowd) = self.get(site) else { return };
        if crowd.add(window, trace) {
            lock(&self.unfolded).insert(site);
            lock(&self.unpublished).insert(site);
        }
    }

    /// Merges what Redis has. What Redis lacks of it will be brought there.
    pub fn saw(&self, site: SiteNumber, window: Window, there: &Sketch) {
        let Some(crowd) = self.get(site) else { return };
        let Saw { is_news, is_lacking } = crowd.saw(window, there);
        if is_news {
            lock(&self.unfolded).insert(site);
        }
        if is_lacking {
            lock(&self.unpublished).insert(site);
        }
    }

    /// Sites with sketches that the file lacks.
    pub fn take_unfolded(&self) -> Vec<SiteNumber> {
        std::mem::take(&mut *lock(&self.unfolded)).into_iter().collect()
    }

    /// Up to `limit` sites of which Redis may lack something.
    pub fn take_unpublished(&self, limit: usize) -> Vec<SiteNumber> {
        let mut unpublished = lock(&self.unpublished);
        std::iter::from_fn(|| unpublished.pop_first()).take(limit).collect()
    }

    pub fn put_back_unpublished(&self, site: SiteNumber) {
        lock(&self.unpublished).insert(site);
    }

    /// Redis may have forgotten everything.
    pub fn publish_all_again(&self) {
        let sites: Vec<_> = {
            let sites = self.sites.read().unwrap_or_else(PoisonError::into_inner);
            sites.iter().map(|(site, crowd)| (*site, Arc::clone(crowd))).collect()
        };
        for (site, crowd) in sites {
            crowd.state().sketches.values_mut().for_each(|kept| kept.is_published = false);
            lock(&self.unpublished).insert(site);
        }
    }

    /// Lets go of what no figure asks for any more: days before `day`, and minutes before `minute`.
    pub fn forget_before(&self, day: Day, minute: Minute) {
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        sites.retain(|_, crowd| {
            let mut state = crowd.state();
            state.sketches.retain(|window, kept| match window.minute {
                None => window.day >= day || !kept.is_folded,
                Some(of) => of >= minute,
            });
            state.online = None;
            !state.sketches.is_empty()
        });
    }
}

struct Saw {
    is_news: bool,
    is_lacking: bool,
}

impl Crowd {
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

    /// Whether a visitor would change nothing.
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

    fn saw(&self, window: Window, there: &Sketch) -> Saw {
        let mut state = self.state();
        if there.is_empty() && !state.sketches.contains_key(&window) {
            return Saw { is_news: false, is_lacking: false };
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
        Saw { is_news, is_lacking }
    }

    /// The sketches that the file lacks; from then on it is thought to have them.
    pub fn take_unfolded(&self) -> Vec<(Window, Sketch)> {
        let mut state = self.state();
        let unfolded = state.sketches.iter_mut().filter(|(_, kept)| !kept.is_folded);
        unfolded
            .map(|(window, kept)| {
                kept.is_folded = true;
                (*window, kept.sketch.clone())
            })
            .collect()
    }

    /// The sketches that Redis may lack; from then on it is thought to have them.
    pub fn take_unpublished(&self) -> Vec<(Window, Sketch)> {
        let mut state = self.state();
        let unpublished = state.sketches.iter_mut().filter(|(_, kept)| !kept.is_published);
        unpublished
            .map(|(window, kept)| {
                kept.is_published = true;
                (*window, kept.sketch.clone())
            })
            .collect()
    }

    pub fn put_back_unpublished(&self, windows: &[Window]) {
        let mut state = self.state();
        for window in windows {
            if let Some(kept) = state.sketches.get_mut(window) {
                kept.is_published = false;
            }
        }
    }

    pub fn put_back_unfolded(&self, windows: &[Window]) {
        let mut state = self.state();
        for window in windows {
            if let Some(kept) = state.sketches.get_mut(window) {
                kept.is_folded = false;
            }
        }
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

    /// Keeps the union of those who are online true after a change of `window`.
    fn note_online(&mut self, window: Window, change: impl FnOnce(&mut Sketch) -> bool) {
        let (Some((last, online)), Some(minute)) = (&mut self.online, window.minute) else { return };
        let Some(until) = last.minute else { return };
        if window.day == last.day && (until.window_start()..=until).contains(&minute) {
            change(online);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
