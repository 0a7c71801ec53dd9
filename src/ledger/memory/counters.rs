//! Counters in memory: the recent ones of each site that was hit or queried.
//!
//! A counter is the sum over all sources in the node's file, plus unfolded journal rows, which the committer adds
//! after the sync, plus the part of Redis's total that this node lacks. A figure never falls below what this node knows or
//! has shown, whatever Redis forgets, but for a later import.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use crate::counter::known::{Foreign, chosen, foreign};
use crate::counter::{BySite, Contribution, Day, Known, Period, Register, RemoteCounter, SiteNumber, Source};
use crate::ledger::sqlite::tables::counts::SourceCount;
use crate::ledger::sqlite::tables::shown::Floor;
use crate::ledger::sqlite::tables::sources::SourceNumber;

/// Folded counters older than this leave memory: last week's first day is at most 13 days old.
const DAYS_KEPT: u64 = 14;

/// Reads of Redis that still include a counter after its last query.
const READS_AFTER_QUERY: u8 = 60;

/// All sites in memory.
#[derive(Debug, Default)]
pub struct CounterStore {
    sites: RwLock<BySite<Arc<SiteCounters>>>,
}

/// One site's recent counters.
#[derive(Debug, Default)]
pub struct SiteCounters {
    /// Changes with every change of the counters.
    version: AtomicU64,
    /// True while Redis has less than this node knows or has shown of some counter.
    is_behind: AtomicBool,
    state: Mutex<State>,
}

/// A site's few counters. A linear search is faster than a hash table and takes half the memory.
#[derive(Debug, Default)]
struct State {
    /// The day of the last hit, whose counters are all loaded.
    latest: Option<Latest>,
    each: Vec<(Period, Counter)>,
    /// The part of the current run's total that Redis has confirmed.
    own_confirmed: i64,
}

/// Hits of a day that its counters lack. A query adds them, so that a hit without a query touches one cache line
/// and not each counter's.
#[derive(Debug)]
struct Latest {
    day: Day,
    /// 0 once the counters have them.
    hits: i64,
    journal_number: i64,
    /// Time of the last commit.
    at: Instant,
}

/// One period's counter of a site.
#[derive(Debug, Clone, Default)]
pub struct Counter {
    /// Sum over all sources that this node knows.
    sum: i64,
    /// The current run's part of it.
    own: i64,
    /// The part of `own` that is in `counts`.
    own_folded: i64,
    /// Hits of all sources but the current run, as they are shown: the most that was known here or seen in Redis.
    foreign: i64,
    /// Other sources whose parts are read from Redis. Boxed, since many counters have none.
    others: Option<Box<Others>>,
    /// The journal row of the newest hit.
    journal_number: i64,
    /// Reads of Redis that still include it; 0 without a recent query.
    reads_left: u8,
    /// True once Redis has been read.
    knows_remote: bool,
    /// True if Redis had less than this node knows or has shown.
    is_behind: bool,
    /// Reads of Redis that may lower the figure. After another import came, the next one; after a repair two, since the
    /// first may have begun before it.
    falls_left: u8,
    /// True if Redis was read since the query.
    is_read: bool,
    /// True if the file may have another floor than the hits of others that are shown.
    is_floor_old: bool,
}

#[derive(Debug, Clone)]
struct Others(Vec<(Source, Register)>);

/// Hits of several periods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteHits {
    /// In the order of the requested periods.
    pub hits: Vec<i64>,
    /// The version of the site's counters.
    pub version: u64,
    /// True if Redis had less than was shown.
    pub is_behind: bool,
    /// True if a read of Redis has brought all of them; otherwise the next one does.
    pub were_read: bool,
}

impl CounterStore {
    pub fn get(&self, site: SiteNumber) -> Option<Arc<SiteCounters>> {
        self.sites.read().unwrap_or_else(PoisonError::into_inner).get(site).cloned()
    }

    pub fn get_or_insert(&self, site: SiteNumber) -> Arc<SiteCounters> {
        if let Some(found) = self.get(site) {
            return found;
        }
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sites.get_or_insert_with(site, Arc::default))
    }
}

impl SiteCounters {
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// True while Redis has less than this node knows or has shown.
    pub fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::Acquire)
    }

    /// The hits of each period, or none if one is not in memory.
    pub fn hits(&self, periods: &[Period]) -> Option<SiteHits> {
        let mut counters = self.lock();
        let mut hits = Vec::with_capacity(periods.len());
        let mut were_read = true;
        for period in periods {
            let counter = counters.get_mut(*period)?;
            counter.is_read &= counter.reads_left > 0;
            counter.reads_left = READS_AFTER_QUERY;
            were_read &= counter.is_read;
            hits.push(counter.shown());
        }
        Some(SiteHits { hits, version: self.version(), is_behind: self.is_behind(), were_read })
    }

    /// The node's own state of a counter, or none if it is not in memory.
    pub fn known(&self, period: Period, run: &Source) -> Option<Known> {
        let counters = self.lock();
        let counter = counters.get(period)?;
        Some(Known {
            sum: counter.sum,
            own: (counter.own > 0).then(|| (run.clone(), counter.own)),
            others: counter.others().to_vec(),
            shown: (counter.falls_left == 0).then(|| counter.shown()),
            unvouched: 0,
        })
    }

    pub fn has(&self, period: Period) -> bool {
        self.lock().get(period).is_some()
    }

    /// True if all counters that a hit of the day changes are loaded.
    pub fn has_day(&self, day: Day) -> bool {
        let counters = self.lock_unsettled();
        counters.latest.as_ref().is_some_and(|latest| latest.day == day) || counters.has_day(day)
    }

    /// Loads a counter, or reloads it after a change of the file. `floor` counts for a counter that is new in memory.
    pub fn load(
        &self,
        period: Period,
        current: Option<SourceNumber>,
        counts: &[SourceCount],
        floor: Option<Floor>,
        remote: bool,
    ) {
        let mut counters = self.lock();
        let is_new = counters.get(period).is_none();
        let counter = counters.get_or_insert(period);
        let own_folded = counts.iter().filter(|c| Some(c.source) == current).map(|c| c.register.hits()).sum::<i64>();
        let in_file = counts.iter().map(|c| c.register.hits()).sum::<i64>();
        let unfolded = counter.own - counter.own_folded;
        let known_before = counter.sum - counter.own;
        counter.sum = in_file + unfolded;
        counter.own_folded = own_folded;
        counter.own = own_folded + unfolded;
        let others = counts.iter().filter(|count| Some(count.source) != current);
        let others = chosen(others.map(|count| (count.name.clone(), count.register)).collect());
        let known = counter.sum - counter.own;
        let is_corrected = imports(counter.others()).ne(imports(&others));
        if remote && (counter.knows_remote || counter.foreign != known_before) {
            // Shown before: the file has learned it from Redis.
            counter.note_fall(is_corrected);
            if !counter.knows_remote {
                counter.foreign = counter.foreign.max(known);
            }
        } else {
            // What was shown beyond the file may be of this very import, made by another node.
            counter.note_fall(is_corrected && counter.foreign != known_before);
            counter.foreign += known - known_before;
        }
        if let Some(floor) = floor.filter(|floor| is_new && floor.hits > counter.foreign) {
            (counter.foreign, counter.falls_left) = (floor.hits, floor.may_fall.into());
        }
        counter.is_floor_old = !is_new;
        counter.others = (!others.is_empty()).then(|| Box::new(Others(others)));
        self.changed();
    }

    /// Adds hits that are on disk in journal row `journal_number` to the day's loaded counters. True: the last hits
    /// were of another day, so old counters may now be dropped.
    pub fn add(&self, day: Day, hits: i64, journal_number: i64, at: Instant) -> bool {
        let mut counters = self.lock_unsettled();
        let is_another = match &mut counters.latest {
            Some(latest) if latest.day == day => {
                latest.hits += hits;
                (latest.journal_number, latest.at) = (journal_number, at);
                false
            }
            _ => {
                counters.settle();
                counters.latest = Some(Latest { day, hits, journal_number, at });
                true
            }
        };
        self.changed();
        is_another
    }

    /// Time of the last hit that this run counted, unless its day has left memory.
    pub fn last_hit(&self) -> Option<Instant> {
        self.lock_unsettled().latest.as_ref().map(|latest| latest.at)
    }

    /// Notes that counted hits have been folded into `counts`.
    pub fn fold(&self, periods: &[Period], hits: i64) {
        let mut counters = self.lock();
        for period in periods {
            if let Some(counter) = counters.get_mut(*period) {
                counter.own_folded += hits;
            }
        }
    }

    pub fn periods(&self) -> Vec<Period> {
        self.lock().each.iter().map(|(period, _)| *period).collect()
    }

    /// Drops folded counters that no figure of `newest` shows; they can be loaded again.
    pub fn forget_old(&self, newest: Day, fold_mark: i64) {
        let Some(oldest) = newest.date().checked_sub_days(chrono::Days::new(DAYS_KEPT)) else { return };
        let before = [newest.month().previous(), newest.year().previous()];
        let mut counters = self.lock();
        counters.each.retain(|(period, counter)| {
            period.last_day().is_none_or(|day| day.date() >= oldest)
                || before.contains(&Some(*period))
                || counter.journal_number > fold_mark
        });
        if counters.latest.as_ref().is_some_and(|latest| !counters.has_day(latest.day)) {
            counters.latest = None;
        }
    }

    /// The current run's contributions, the total last.
    pub fn recent(&self, run: &Source) -> Vec<Contribution> {
        let mut recent: Vec<_> = self
            .lock()
            .each
            .iter()
            .filter(|(_, counter)| counter.own > 0)
            .map(|(period, counter)| Contribution {
                source: run.clone(),
                period: *period,
                page: None,
                register: Register::Grown(counter.own),
            })
            .collect();
        recent.sort_by_key(|contribution| std::cmp::Reverse(contribution.period));
        recent
    }

    /// The counters to read from Redis: the total, and those with a recent query. Each with the sources of which
    /// Redis may know less or more than this node.
    pub fn counters_to_read(&self, run: Option<&Source>) -> Vec<(Period, Vec<Source>)> {
        let mut counters = self.lock();
        let wanted =
            counters.each.iter_mut().filter(|(period, counter)| counter.reads_left > 0 || *period == Period::Total);
        wanted
            .map(|(period, counter)| {
                counter.reads_left = counter.reads_left.saturating_sub(1);
                let mut sources: Vec<_> = counter.others().iter().map(|(source, _)| source.clone()).collect();
                // Even without hits: the run's first may come during the read.
                sources.extend(run.cloned());
                (*period, sources)
            })
            .collect()
    }

    /// Takes over Redis's totals. Returns the newly confirmed hits of the current run; fewer than none if Redis went
    /// back.
    pub fn apply_remote(&self, seen: &[RemoteCounter], run: Option<&Source>) -> i64 {
        let mut newly_confirmed = 0;
        let mut counters = self.lock();
        let mut changed = false;
        for RemoteCounter { period, total, contributed } in seen {
            let Some(counter) = counters.get_mut(*period) else { continue };
            let was_asked_for = |source: &Source| contributed.iter().any(|(asked, _)| asked == source);
            if !counter.others().iter().all(|(source, _)| was_asked_for(source)) {
                // An import came in during the read; the next read includes it.
                continue;
            }
            let there_of =
                |source: &Source| contributed.iter().find(|(asked, _)| asked == source).and_then(|(_, there)| *there);
            let own_there = run.and_then(there_of).map_or(0, Register::hits);
            let sources = counter.others().iter().map(|(source, here)| (*here, there_of(source)));
            let found: Foreign = foreign(counter.sum - counter.own, total - own_there, sources);
            let may_fall = counter.falls_left > 0 || found.is_corrected;
            let shown = if may_fall { found.hits } else { found.hits.max(counter.foreign) };
            let is_behind = found.is_behind || found.hits < shown;
            changed |= !counter.knows_remote || counter.foreign != shown || counter.is_behind != is_behind;
            counter.is_floor_old |= counter.foreign != shown;
            (counter.foreign, counter.is_behind) = (shown, is_behind);
            (counter.knows_remote, counter.is_read) = (true, true);
            counter.falls_left = counter.falls_left.saturating_sub(1);
            if *period == Period::Total
                && let Some((_, there)) = contributed.iter().find(|(source, _)| Some(source) == run)
            {
                let confirmed = there.map_or(0, Register::hits).min(counter.own);
                newly_confirmed += confirmed - counters.own_confirmed;
                counters.own_confirmed = confirmed;
            }
        }
        if changed || self.is_behind() {
            // Of those that are still read.
            let is_read = |period: Period, counter: &Counter| counter.reads_left > 0 || period == Period::Total;
            let is_behind =
                counters.each.iter().any(|(period, counter)| counter.is_behind && is_read(*period, counter));
            self.is_behind.store(is_behind, Ordering::Release);
            self.changed();
        }
        newly_confirmed
    }

    /// Raises counters to figures that were shown otherwise, by a newer read of Redis. Each with what was known then.
    pub fn raise<'a>(&self, shown: impl Iterator<Item = (Period, &'a Known, i64)>) {
        let mut counters = self.lock();
        let mut changed = false;
        for (period, known, figure) in shown {
            let Some(counter) = counters.get_mut(period) else { continue };
            // Of what was shown before, a repair may have forgotten it meanwhile; a later import may have lowered it.
            let is_found = known.shown.is_none_or(|shown| figure > shown);
            if is_found && figure > counter.shown() && imports(counter.others()).eq(imports(&known.others)) {
                counter.foreign = figure - counter.own;
                counter.is_floor_old = true;
                changed = true;
            }
        }
        if changed {
            self.changed();
        }
    }

    /// Forgets what was shown beyond what this node knows; the next answer waits for Redis.
    pub fn forget_shown(&self) {
        let mut counters = self.lock();
        for (_, counter) in &mut counters.each {
            counter.foreign = counter.sum - counter.own;
            (counter.is_read, counter.falls_left, counter.is_floor_old) = (false, 2, true);
        }
        self.changed();
    }

    pub fn has_old_floor(&self) -> bool {
        self.lock().each.iter().any(|(_, counter)| counter.has_old_floor())
    }

    /// The hits of others that are shown, of counters whose floor in the file may be another.
    pub fn old_floors(&self) -> Vec<(Period, i64)> {
        let counters = self.lock();
        counters.each.iter().filter(|(_, of)| of.has_old_floor()).map(|(period, of)| (*period, of.foreign)).collect()
    }

    /// Notes floors that are in the file.
    pub fn keep_floors(&self, floors: &[(Period, i64)]) {
        let mut counters = self.lock();
        for (period, foreign) in floors {
            if let Some(counter) = counters.get_mut(*period) {
                counter.is_floor_old &= counter.foreign != *foreign;
            }
        }
    }

    fn changed(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock_unsettled();
        state.settle();
        state
    }

    /// Locks without adding the latest hits to their counters.
    fn lock_unsettled(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn settle(&mut self) {
        let Some(Latest { day, hits, journal_number, .. }) = &mut self.latest else { return };
        let (day, hits, journal_number) = (*day, std::mem::take(hits), *journal_number);
        if hits == 0 {
            return;
        }
        for period in day.site_periods() {
            let counter = self.get_or_insert(period);
            counter.sum += hits;
            counter.own += hits;
            counter.journal_number = journal_number;
        }
    }

    fn has_day(&self, day: Day) -> bool {
        day.site_periods().into_iter().all(|period| self.get(period).is_some())
    }

    fn get(&self, wanted: Period) -> Option<&Counter> {
        self.each.iter().find_map(|(period, counter)| (*period == wanted).then_some(counter))
    }

    fn get_mut(&mut self, wanted: Period) -> Option<&mut Counter> {
        self.each.iter_mut().find_map(|(period, counter)| (*period == wanted).then_some(counter))
    }

    fn get_or_insert(&mut self, wanted: Period) -> &mut Counter {
        let at = self.each.iter().position(|(period, _)| *period == wanted).unwrap_or_else(|| {
            self.each.push((wanted, Counter::default()));
            self.each.len() - 1
        });
        &mut self.each[at].1
    }
}

fn imports(sources: &[(Source, Register)]) -> impl Iterator<Item = &(Source, Register)> {
    sources.iter().filter(|(source, _)| matches!(source, Source::Import(_)))
}

impl Counter {
    fn others(&self) -> &[(Source, Register)] {
        self.others.as_deref().map_or(&[], |Others(sources)| sources)
    }

    fn shown(&self) -> i64 {
        self.own + self.foreign
    }

    /// A figure that may fall is no floor.
    fn note_fall(&mut self, may_fall: bool) {
        self.falls_left = self.falls_left.max(may_fall.into());
    }

    fn has_old_floor(&self) -> bool {
        self.is_floor_old && self.falls_left == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::counter::FigureKey;

    fn run() -> Source {
        Source::Run(7)
    }

    fn today() -> Day {
        Day::from_ymd(2024, 6, 17).unwrap()
    }

    fn site_with(own: i64) -> SiteCounters {
        let site = SiteCounters::default();
        site.load(Period::Total, Some(1), &[], None, false);
        site.add(today(), own, 1, Instant::now());
        site
    }

    fn seen(total: i64, contributed: Option<i64>) -> (i64, [(Source, Option<Register>); 1]) {
        (total, [(run(), contributed.map(Register::Grown))])
    }

    fn shown_after(site: &SiteCounters, (total, contributed): (i64, [(Source, Option<Register>); 1])) -> i64 {
        site.apply_remote(
            &[RemoteCounter { period: Period::Total, total, contributed: contributed.to_vec() }],
            Some(&run()),
        );
        site.hits(&[Period::Total]).unwrap().hits[0]
    }

    #[test]
    fn a_counter_takes_no_more_than_a_cache_line() {
        assert!(size_of::<(Period, Counter)>() <= 64);
    }

    #[test]
    fn figures_that_were_shown_are_forgotten_and_read_again() {
        let site = site_with(10);
        assert_eq!(shown_after(&site, seen(1_010, Some(10))), 1_010);
        site.forget_shown();
        let hits = site.hits(&[Period::Total]).unwrap();
        assert_eq!((hits.hits, hits.were_read), (vec![10], false));
        // A read that began before.
        assert_eq!(shown_after(&site, seen(1_010, Some(10))), 1_010);
        assert_eq!(shown_after(&site, seen(13, Some(10))), 13);
        assert_eq!(shown_after(&site, seen(12, Some(10))), 13);
        // A figure that was shown before, and one that was found.
        let known = |shown| Known { shown, ..site.known(Period::Total, &run()).unwrap() };
        site.raise([(Period::Total, &known(Some(1_010)), 1_010)].into_iter());
        assert_eq!(site.hits(&[Period::Total]).unwrap().hits, [13]);
        site.raise([(Period::Total, &known(Some(13)), 14)].into_iter());
        assert_eq!(site.hits(&[Period::Total]).unwrap().hits, [14]);
        site.raise([(Period::Total, &known(None), 13)].into_iter());
        assert_eq!(site.hits(&[Period::Total]).unwrap().hits, [14]);
        assert_eq!(site.old_floors()[0], (Period::Total, 4));
    }

    #[test]
    fn an_import_of_another_node_that_is_made_here_too_counts_twice_until_the_next_read_at_most() {
        let site = site_with(10);
        let (name, register): (Source, _) =
            ("import:old".parse().unwrap(), Register::Written { generation: 2, hits: 50 });
        // Redis has it, the file doesn't yet.
        assert_eq!(shown_after(&site, seen(60, Some(10))), 60);
        let here = [SourceCount { source: 2, name: name.clone(), is_own: true, register }];
        site.load(Period::Total, Some(1), &here, None, false);
        assert_eq!((site.hits(&[Period::Total]).unwrap().hits, site.has_old_floor()), (vec![110], false));
        let contributed = vec![(name, Some(register)), (run(), Some(Register::Grown(10)))];
        site.apply_remote(&[RemoteCounter { period: Period::Total, total: 60, contributed }], Some(&run()));
        assert_eq!(site.hits(&[Period::Total]).unwrap().hits, [60]);
        // Where no more was shown than the file knew, nothing may fall.
        let site = site_with(10);
        site.load(Period::Total, Some(1), &here, None, false);
        assert!(site.has_old_floor());
    }

    #[test]
    fn a_figure_that_an_import_may_lower_is_the_least_of_no_history_and_no_floor() {
        let site = site_with(10);
        shown_after(&site, seen(110, Some(10)));
        let shown = || site.known(Period::Total, &run()).unwrap().shown;
        assert_eq!((shown(), site.has_old_floor()), (Some(110), true));
        let (name, register) = ("import:old".parse().unwrap(), Register::Written { generation: 2, hits: 50 });
        site.load(Period::Total, Some(1), &[SourceCount { source: 2, name, is_own: false, register }], None, true);
        assert_eq!((shown(), site.has_old_floor()), (None, false));
        assert_eq!(site.hits(&[Period::Total]).unwrap().hits, [110]);
    }

    #[derive(Debug, Clone)]
    enum Op {
        Add(Day, i64),
        Fold(Day, i64),
        Load(Day, i64),
        ApplyRemote(Day, i64),
        Query(Day),
    }

    /// Of days near and far: the counters that they share are not all.
    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let day = prop::sample::select(vec![(2023, 12, 31), (2024, 1, 1), (2024, 1, 2), (2024, 6, 17)]);
        let day = day.prop_map(|(year, month, day)| Day::from_ymd(year, month, day).unwrap());
        let op = (0..5, day, 1_i64..9).prop_map(|(op, day, hits)| match op {
            0 => Op::Fold(day, hits),
            1 => Op::Load(day, hits),
            2 => Op::ApplyRemote(day, hits),
            3 => Op::Query(day),
            _ => Op::Add(day, hits),
        });
        prop::collection::vec(op, 0..40)
    }

    fn load_day(site: &SiteCounters, day: Day) {
        let missing = day.site_periods().into_iter().filter(|period| !site.has(*period));
        missing.for_each(|period| site.load(period, Some(1), &[], None, false));
    }

    /// The result of a query.
    fn apply(site: &SiteCounters, op: &Op, number: i64) -> Option<String> {
        match *op {
            Op::Add(day, hits) => {
                if !site.has_day(day) {
                    load_day(site, day);
                }
                if site.add(day, hits, number, Instant::now()) {
                    site.forget_old(day, number / 2);
                }
            }
            Op::Fold(day, hits) => site.fold(&day.site_periods(), hits),
            Op::Load(day, hits) => {
                let register = Register::Grown(hits);
                let count = SourceCount { source: 1, name: run(), is_own: true, register };
                day.site_periods()
                    .into_iter()
                    .for_each(|period| site.load(period, Some(1), std::slice::from_ref(&count), None, false));
            }
            Op::ApplyRemote(day, total) => {
                let contributed = [(run(), None)];
                let seen =
                    day.site_periods().map(|period| RemoteCounter { period, total, contributed: contributed.to_vec() });
                site.apply_remote(&seen, Some(&run()));
            }
            Op::Query(day) => {
                // Each kind of query may come before the hits are added.
                return Some(match number % 3 {
                    0 => format!("{:?}", site.hits(&day.site_periods())),
                    1 => format!("{:?}", day.site_periods().map(|period| site.known(period, &run()))),
                    _ => {
                        let contributions = site.recent(&run());
                        format!(
                            "{:?}",
                            contributions
                                .iter()
                                .map(|one| (one.period, one.register.hits()))
                                .collect::<BTreeMap<_, _>>()
                        )
                    }
                });
            }
        }
        None
    }

    proptest! {
        #[test]
        fn hits_are_the_same_whether_they_are_added_at_once_or_by_the_next_query(ops in ops()) {
            let (late, at_once) = (SiteCounters::default(), SiteCounters::default());
            for (number, op) in (1..).zip(&ops) {
                prop_assert_eq!(apply(&late, op, number), apply(&at_once, op, number));
                drop(at_once.lock());
            }
            prop_assert_eq!(late.version(), at_once.version());
            let counters = |site: &SiteCounters| {
                let mut each: Vec<_> = site.lock().each.iter().map(|counter| format!("{counter:?}")).collect();
                each.sort();
                each
            };
            prop_assert_eq!(counters(&late), counters(&at_once));
        }
    }

    #[test]
    fn old_counters_leave_memory_though_a_query_comes_before_the_days_first_hit() {
        let site = SiteCounters::default();
        let mut day = Day::from_ymd(2024, 6, 17).unwrap();
        for number in 1..200 {
            load_day(&site, day);
            site.hits(&day.site_periods()).unwrap();
            if site.add(day, 1, number, Instant::now()) {
                site.forget_old(day, number - 1);
            }
            day = Day::from_date(day.date().succ_opt().unwrap());
        }
        let kept = site.periods().len();
        assert!(kept <= DAYS_KEPT as usize + 8, "{kept}");
    }

    #[test]
    fn an_unconfirmed_publication_is_never_counted_twice() {
        let site = site_with(10);
        assert_eq!(shown_after(&site, seen(100, None)), 110);
        assert_eq!(shown_after(&site, seen(104, Some(4))), 110);
        assert_eq!(shown_after(&site, seen(110, Some(10))), 110);
    }

    #[test]
    fn the_first_hit_is_shown_though_redis_was_read_before_it() {
        let site = SiteCounters::default();
        site.load(Period::Total, Some(1), &[], None, false);
        let to_read = site.counters_to_read(Some(&run()));
        assert_eq!(to_read, [(Period::Total, vec![run()])]);
        site.add(today(), 1, 1, Instant::now());
        assert_eq!(shown_after(&site, seen(0, None)), 1);
        assert_eq!(shown_after(&site, seen(1, Some(1))), 1);
    }

    #[test]
    fn an_import_is_shown_though_redis_was_read_before_it() {
        let site = site_with(10);
        let import = SourceCount { source: 2, name: Source::Run(8), is_own: false, register: Register::Grown(100) };
        site.load(Period::Total, Some(1), &[import], None, false);
        assert_eq!(shown_after(&site, seen(4, Some(4))), 110);
    }

    #[test]
    fn hits_after_the_read_add_to_what_was_read() {
        let site = site_with(10);
        assert_eq!(shown_after(&site, seen(110, Some(10))), 110);
        site.add(today(), 5, 2, Instant::now());
        assert_eq!(site.hits(&[Period::Total]).unwrap().hits, [115]);
        assert_eq!(shown_after(&site, seen(112, Some(12))), 115);
    }

    #[test]
    fn a_remote_count_in_the_file_shows_before_the_first_read_of_redis() {
        let site = site_with(10);
        let remote = [SourceCount { source: 2, name: Source::Run(8), is_own: false, register: Register::Grown(100) }];
        site.load(Period::Total, Some(1), &remote, None, true);
        assert_eq!(site.hits(&[Period::Total]).unwrap().hits, [110]);
    }

    #[test]
    fn a_remote_count_in_the_file_does_not_show_twice() {
        let site = site_with(10);
        assert_eq!(shown_after(&site, seen(100, Some(0))), 110);
        let remote = [SourceCount { source: 2, name: Source::Run(8), is_own: false, register: Register::Grown(100) }];
        site.load(Period::Total, Some(1), &remote, None, true);
        assert_eq!(site.hits(&[Period::Total]).unwrap().hits, [110]);
    }

    #[test]
    fn what_was_shown_before_a_restart_is_shown_after_it_and_remote_counts_are_part_of_it() {
        let site = SiteCounters::default();
        let total = || site.hits(&[Period::Total]).unwrap().hits[0];
        let remote =
            |hits| [SourceCount { source: 2, name: Source::Run(8), is_own: false, register: Register::Grown(hits) }];
        let floor = |may_fall| Some(Floor { hits: 15, may_fall });
        site.load(Period::Total, None, &remote(10), floor(false), false);
        assert_eq!((total(), site.old_floors()), (15, Vec::new()));
        site.add(today(), 1, 1, Instant::now());
        // The file learns of them before Redis is read.
        site.load(Period::Total, Some(1), &remote(14), floor(false), true);
        assert_eq!(total(), 16);
        let known = |hits| RemoteCounter {
            period: Period::Total,
            total: hits,
            contributed: vec![(Source::Run(8), Some(Register::Grown(hits))), (run(), None)],
        };
        site.apply_remote(&[known(12)], Some(&run()));
        assert_eq!((total(), site.is_behind()), (16, true));
        site.apply_remote(&[known(15)], Some(&run()));
        assert_eq!((total(), site.is_behind()), (16, false));
        assert_eq!(site.old_floors(), [(Period::Total, 15)]);
        site.apply_remote(&[known(18)], Some(&run()));
        site.keep_floors(&[(Period::Total, 15)]);
        assert_eq!((total(), site.old_floors()), (19, vec![(Period::Total, 18)]));
        site.keep_floors(&[(Period::Total, 18)]);
        assert_eq!(site.old_floors(), Vec::new());
        let as_known = site.known(Period::Total, &run()).unwrap();
        site.add(today(), 2, 2, Instant::now());
        site.raise([(Period::Total, &as_known, 25)].into_iter());
        assert_eq!((total(), site.old_floors()), (25, vec![(Period::Total, 22)]));
        site.raise([(Period::Total, &as_known, 24)].into_iter());
        let others = vec![("import:old".parse().unwrap(), Register::Written { generation: 1, hits: 1 })];
        site.raise([(Period::Total, &Known { others, ..as_known }, 29)].into_iter());
        assert_eq!(total(), 25);
        // An import has come since.
        let site = SiteCounters::default();
        site.load(Period::Total, None, &remote(10), floor(true), false);
        site.apply_remote(&[known(12)], Some(&run()));
        assert_eq!(site.hits(&[Period::Total]).unwrap().hits, [12]);
    }

    #[test]
    fn a_queried_counter_is_read_from_redis_for_some_reads_and_then_no_more() {
        let site = site_with(10);
        let today = Day::from_ymd(2024, 6, 17).unwrap();
        site.load(Period::Day(today), Some(1), &[], None, false);
        let is_to_read = || site.counters_to_read(None).iter().any(|(period, _)| *period == Period::Day(today));
        assert!(!is_to_read());
        assert!(!site.hits(&[Period::Day(today)]).unwrap().were_read);
        assert!(is_to_read());
        assert!(!site.hits(&[Period::Day(today)]).unwrap().were_read);
        let read = || {
            site.apply_remote(&[RemoteCounter { period: Period::Day(today), total: 0, contributed: Vec::new() }], None)
        };
        read();
        assert!(site.hits(&[Period::Day(today)]).unwrap().were_read);
        let reads = std::iter::repeat_with(is_to_read).take_while(|is_to_read| *is_to_read).count();
        assert_eq!(reads, usize::from(READS_AFTER_QUERY));
        // The last read may be long ago.
        assert!(!site.hits(&[Period::Day(today)]).unwrap().were_read);
        assert!(site.counters_to_read(None).iter().any(|(period, _)| *period == Period::Total));
    }

    #[test]
    fn what_a_figure_shows_stays_in_memory() {
        let site = SiteCounters::default();
        let today = Day::from_ymd(2024, 6, 23).unwrap();
        let shown: Vec<_> = FigureKey::ALL.iter().flat_map(|key| key.span(today).periods()).collect();
        let old = Period::Day(Day::from_ymd(2024, 6, 1).unwrap());
        for period in shown.iter().chain([&old]) {
            site.load(*period, Some(1), &[], None, false);
        }
        site.forget_old(today, 0);
        assert!(site.hits(&shown).is_some());
        assert!(!site.has(old));
    }

    /// A run's total is raised last in Redis, so that one read of it shows if Redis went back.
    #[test]
    fn a_runs_contributions_end_with_its_total() {
        let site = site_with(10);
        site.add(Day::from_ymd(2023, 12, 31).unwrap(), 5, 2, Instant::now());
        let periods: Vec<_> = site.recent(&run()).iter().map(|row| row.period.to_string()).collect();
        assert_eq!((periods.len(), periods.last().map(String::as_str)), (7, Some("total")));
        assert!(periods[..6].iter().all(|period| period != "total"), "{periods:?}");
    }

    #[test]
    fn a_site_has_one_place_in_memory() {
        let store = CounterStore::default();
        assert!(store.get(SiteNumber(1)).is_none());
        store.get_or_insert(SiteNumber(1)).add(today(), 3, 1, Instant::now());
        assert_eq!(store.get_or_insert(SiteNumber(1)).hits(&[Period::Total]).unwrap().hits, [3]);
        assert!(store.get(SiteNumber(1)).unwrap().has_day(today()) && store.get(SiteNumber(2)).is_none());
    }

    #[test]
    fn each_change_changes_the_version() {
        let site = site_with(10);
        let before = site.version();
        site.add(today(), 1, 2, Instant::now());
        let after_hit = site.version();
        shown_after(&site, seen(100, None));
        let after_read = site.version();
        assert!(before < after_hit && after_hit < after_read);
        shown_after(&site, seen(100, None));
        assert_eq!(site.version(), after_read, "a read that says the same");
    }

    #[test]
    fn a_day_is_in_memory_once_all_its_counters_are() {
        let site = SiteCounters::default();
        assert!(!site.has_day(today()) && !site.has(Period::Total));
        for period in today().site_periods() {
            assert!(!site.has_day(today()));
            site.load(period, Some(1), &[], None, false);
            assert!(site.has(period));
        }
        assert!(site.has_day(today()) && !site.has_day(today().next()));
        site.add(today().next(), 1, 1, Instant::now());
        assert!(site.has_day(today().next()));
    }

    #[test]
    fn hits_count_once_whether_they_are_folded_before_a_reload_or_after() {
        let site = site_with(10);
        let total = || site.known(Period::Total, &run()).unwrap();
        let expected = |sum, own: Option<i64>, others: &[(u64, i64)], shown| Known {
            sum,
            own: own.map(|hits| (run(), hits)),
            others: others.iter().map(|(run, hits)| (Source::Run(*run), Register::Grown(*hits))).collect(),
            shown: Some(shown),
            unvouched: 0,
        };
        assert_eq!(total(), expected(10, Some(10), &[], 10));
        let count = |source, name, hits| SourceCount {
            source,
            name: Source::Run(name),
            is_own: false,
            register: Register::Grown(hits),
        };
        site.fold(&[Period::Total], 4);
        let in_file = [count(1, 7, 4), count(2, 8, 100), count(3, 9, 1_000)];
        site.load(Period::Total, Some(1), &in_file, None, false);
        assert_eq!(total(), expected(1_110, Some(10), &[(8, 100), (9, 1_000)], 1_110));
        assert_eq!(SiteCounters::default().known(Period::Total, &run()), None);
        site.load(Period::Year(2020), Some(1), &[], None, false);
        assert_eq!(site.known(Period::Year(2020), &run()), Some(expected(0, None, &[], 0)));
    }

    #[test]
    fn confirmed_hits_are_those_of_the_runs_total_and_fewer_once_redis_goes_back() {
        let site = site_with(10);
        let confirmed = |period, there: Option<i64>| {
            let contributed = vec![(run(), there.map(Register::Grown))];
            site.apply_remote(&[RemoteCounter { period, total: there.unwrap_or(0), contributed }], Some(&run()))
        };
        assert_eq!(confirmed(Period::Day(today()), Some(9)), 0);
        assert_eq!([Some(4), Some(4), Some(10), Some(3)].map(|there| confirmed(Period::Total, there)), [4, 0, 6, -7]);
    }

    #[test]
    fn a_loaded_counter_without_hits_of_the_run_contributes_nothing() {
        let site = SiteCounters::default();
        site.load(Period::Total, Some(1), &[], None, false);
        assert_eq!((site.periods(), site.recent(&run())), (vec![Period::Total], Vec::new()));
        site.add(Day::from_ymd(2024, 6, 17).unwrap(), 1, 1, Instant::now());
        assert_eq!(site.recent(&run()).len(), 4, "day, month, year and total");
    }
}
