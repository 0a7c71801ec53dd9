//! The figures in memory: for each site that was asked for or hit, its recent counters.
//!
//! A counter here is the sum over all sources in the node's file plus what is journalled and not
//! yet folded, which the committer changes after the sync; publication adds what Redis knows beyond it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::counter::{BySite, Contribution, Day, Known, Period, Register, SiteNumber, Source};

use super::store::{SiteCount, SourceNumber};

/// Counters older than this many days leave memory once they are folded: last week's first day is
/// at most 13 days old.
const DAYS_KEPT: u64 = 14;

/// For so many reads of Redis a counter is read with the others after it was last asked for.
const READS_AFTER_ASKED: u8 = 60;

/// All sites in memory.
#[derive(Debug, Default)]
pub struct Live {
    sites: RwLock<BySite<Arc<LiveSite>>>,
}

/// One site's recent counters.
#[derive(Debug, Default)]
pub struct LiveSite {
    /// Changes with every change of the counters.
    version: AtomicU64,
    counters: Mutex<Counters>,
}

/// A site's few counters: they are found sooner one after the other than by a hash, and take half the
/// memory.
#[derive(Debug, Default)]
struct Counters {
    /// Of the day that was last added to, whose counters are all here.
    latest: Option<Latest>,
    each: Vec<(Period, LiveCounter)>,
    /// Of the current run's total, what Redis is known to have.
    own_confirmed: i64,
}

/// Hits of a day that its counters lack: they are added when somebody looks, so that a hit that nobody
/// looks at touches the site's memory, and not each counter's.
#[derive(Debug)]
struct Latest {
    day: Day,
    /// 0 once they are added.
    hits: i64,
    journal_number: i64,
}

/// One period's counter of a site.
#[derive(Debug, Clone, Default)]
pub struct LiveCounter {
    /// Sum over all sources this node knows of.
    sum: i64,
    /// The current run's part of it.
    own: i64,
    /// Of `own`, what is in `counts` already.
    own_folded: i64,
    /// What Redis knows beyond `sum`: other nodes' hits.
    beyond: i64,
    /// Frozen sources that may not be wholly in Redis; most counters have none, so this is a pointer
    /// and no more.
    unpublished: Option<Box<Unpublished>>,
    /// The journal row of the newest hit.
    journal_number: i64,
    /// Reads of Redis that still bring it. At 0 nobody has asked for it of late.
    reads_left: u8,
    /// Redis has been asked for `beyond` at least once.
    knows_beyond: bool,
    /// One has brought it since it is asked for.
    is_read: bool,
}

#[derive(Debug, Clone)]
struct Unpublished(Vec<(Source, Register)>);

/// Hits in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveHits {
    /// In the order of the periods asked for.
    pub hits: Vec<i64>,
    /// The state they belong to.
    pub version: u64,
    /// Whether a read of Redis has brought all of them. If not, the next one does.
    pub were_read: bool,
}

/// What Redis says of one of the site's counters.
#[derive(Debug, Clone)]
pub struct Seen<'a> {
    pub period: Period,
    pub total: i64,
    pub contributed: &'a [(Source, Option<Register>)],
}

impl Live {
    pub fn get(&self, site: SiteNumber) -> Option<Arc<LiveSite>> {
        self.sites.read().unwrap_or_else(PoisonError::into_inner).get(site).cloned()
    }

    pub fn get_or_insert(&self, site: SiteNumber) -> Arc<LiveSite> {
        if let Some(found) = self.get(site) {
            return found;
        }
        let mut sites = self.sites.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sites.get_or_insert_with(site, Arc::default))
    }
}

impl LiveSite {
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The hits of each period; none if one is not in memory.
    pub fn hits(&self, periods: &[Period]) -> Option<LiveHits> {
        let mut counters = self.lock();
        let mut hits = Vec::with_capacity(periods.len());
        let mut were_read = true;
        for period in periods {
            let counter = counters.get_mut(*period)?;
            counter.is_read &= counter.reads_left > 0;
            counter.reads_left = READS_AFTER_ASKED;
            were_read &= counter.is_read;
            hits.push(counter.shown());
        }
        Some(LiveHits { hits, version: self.version(), were_read })
    }

    /// What the node knows of a counter by itself; none if it is not in memory.
    pub fn known(&self, period: Period, run: &Source) -> Option<Known> {
        let counters = self.lock();
        let counter = counters.get(period)?;
        let mut unpublished = counter.unpublished().to_vec();
        if counter.own > 0 {
            unpublished.push((run.clone(), Register::Grown(counter.own)));
        }
        Some(Known { sum: counter.sum, unpublished })
    }

    pub fn has(&self, period: Period) -> bool {
        self.lock().get(period).is_some()
    }

    /// Whether all counters are loaded that a hit of the day changes.
    pub fn has_day(&self, day: Day) -> bool {
        let counters = self.lock_as_is();
        counters.latest.as_ref().is_some_and(|latest| latest.day == day) || counters.has_day(day)
    }

    /// Takes a counter in, or again after the file has changed under it.
    pub fn load(&self, period: Period, current: Option<SourceNumber>, counts: &[SiteCount], learned: bool) {
        let mut counters = self.lock();
        let counter = counters.get_or_insert(period);
        let own_folded = counts.iter().filter(|c| Some(c.source) == current).map(|c| c.register.hits()).sum::<i64>();
        let in_file = counts.iter().map(|c| c.register.hits()).sum::<i64>();
        let unfolded = counter.own - counter.own_folded;
        let sum = in_file + unfolded;
        if learned && counter.knows_beyond {
            // What was known from Redis is known from the file now.
            counter.beyond -= sum - counter.sum;
        }
        counter.sum = sum;
        counter.own_folded = own_folded;
        counter.own = own_folded + unfolded;
        let unpublished: Vec<_> = counts
            .iter()
            .filter(|count| Some(count.source) != current && !count.published)
            .map(|count| (count.name.clone(), count.register))
            .collect();
        counter.unpublished = (!unpublished.is_empty()).then(|| Box::new(Unpublished(unpublished)));
        self.changed();
    }

    /// Adds hits that are on disk in journal row `journal_number`; the day's counters are loaded. True: the last
    /// were of another day, and what is old now may be forgotten.
    pub fn add(&self, day: Day, hits: i64, journal_number: i64) -> bool {
        let mut counters = self.lock_as_is();
        let is_another = match &mut counters.latest {
            Some(latest) if latest.day == day => {
                latest.hits += hits;
                latest.journal_number = journal_number;
                false
            }
            _ => {
                counters.settle();
                counters.latest = Some(Latest { day, hits, journal_number });
                true
            }
        };
        self.changed();
        is_another
    }

    /// Notes that hits which are counted already have moved from the tail into `counts`.
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

    /// Lets go of what no figure of `newest` shows and that is folded, and so can be loaded again.
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

    /// The counters to read from Redis: the total, and what was asked for of late. Each with the
    /// sources of which Redis may know less than this node.
    pub fn wanted(&self, run: Option<&Source>) -> Vec<(Period, Vec<Source>)> {
        let mut counters = self.lock();
        let wanted =
            counters.each.iter_mut().filter(|(period, counter)| counter.reads_left > 0 || *period == Period::Total);
        wanted
            .map(|(period, counter)| {
                counter.reads_left = counter.reads_left.saturating_sub(1);
                let mut sources: Vec<_> = counter.unpublished().iter().map(|(source, _)| source.clone()).collect();
                // Also if it has no hits yet: its first may come while Redis is being asked.
                sources.extend(run.cloned());
                (*period, sources)
            })
            .collect()
    }

    /// Takes over what Redis says: its total, and of this node's own part what it lacks. Returns how
    /// many more of the current run's hits are known to be there (fewer, where Redis went back).
    pub fn saw(&self, seen: &[Seen<'_>], run: Option<&Source>) -> i64 {
        let mut newly_confirmed = 0;
        let mut counters = self.lock();
        let mut changed = false;
        for Seen { period, total, contributed } in seen {
            let Some(counter) = counters.get_mut(*period) else { continue };
            let was_asked_for = |source: &Source| contributed.iter().any(|(asked, _)| asked == source);
            if !counter.unpublished().iter().all(|(source, _)| was_asked_for(source)) {
                // An import came in while Redis was being asked; the next read knows of it.
                continue;
            }
            let lacking = |(source, there): &(Source, Option<Register>)| {
                let here = if Some(source) == run {
                    Register::Grown(counter.own)
                } else {
                    let found = counter.unpublished().iter().find(|(name, _)| name == source);
                    found.map_or(Register::Grown(0), |(_, register)| *register)
                };
                there.map_or(here.hits(), |there| here.merge(there).hits() - there.hits())
            };
            let beyond = total + contributed.iter().map(lacking).sum::<i64>() - counter.sum;
            changed |= !counter.knows_beyond || counter.beyond != beyond;
            counter.beyond = beyond;
            (counter.knows_beyond, counter.is_read) = (true, true);
            if *period == Period::Total
                && let Some((_, there)) = contributed.iter().find(|(source, _)| Some(source) == run)
            {
                let confirmed = there.map_or(0, Register::hits).min(counter.own);
                newly_confirmed += confirmed - counters.own_confirmed;
                counters.own_confirmed = confirmed;
            }
        }
        if changed {
            self.changed();
        }
        newly_confirmed
    }

    fn changed(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Counters> {
        let mut counters = self.lock_as_is();
        counters.settle();
        counters
    }

    /// The latest hits may not be in their counters.
    fn lock_as_is(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counters {
    fn settle(&mut self) {
        let Some(Latest { day, hits, journal_number }) = &mut self.latest else { return };
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

    fn get(&self, wanted: Period) -> Option<&LiveCounter> {
        self.each.iter().find_map(|(period, counter)| (*period == wanted).then_some(counter))
    }

    fn get_mut(&mut self, wanted: Period) -> Option<&mut LiveCounter> {
        self.each.iter_mut().find_map(|(period, counter)| (*period == wanted).then_some(counter))
    }

    fn get_or_insert(&mut self, wanted: Period) -> &mut LiveCounter {
        let at = self.each.iter().position(|(period, _)| *period == wanted).unwrap_or_else(|| {
            self.each.push((wanted, LiveCounter::default()));
            self.each.len() - 1
        });
        &mut self.each[at].1
    }
}

impl LiveCounter {
    fn unpublished(&self) -> &[(Source, Register)] {
        self.unpublished.as_deref().map_or(&[], |Unpublished(sources)| sources)
    }

    fn shown(&self) -> i64 {
        self.sum + self.beyond
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

    fn site_with(own: i64) -> LiveSite {
        let site = LiveSite::default();
        site.load(Period::Total, Some(1), &[], false);
        site.add(today(), own, 1);
        site
    }

    fn seen(total: i64, contributed: Option<i64>) -> (i64, [(Source, Option<Register>); 1]) {
        (total, [(run(), contributed.map(Register::Grown))])
    }

    fn shown_after(site: &LiveSite, (total, contributed): (i64, [(Source, Option<Register>); 1])) -> i64 {
        site.saw(&[Seen { period: Period::Total, total, contributed: &contributed }], Some(&run()));
        site.hits(&[Period::Total]).unwrap().hits[0]
    }

    #[test]
    fn a_counter_takes_no_more_than_a_cache_line() {
        assert!(size_of::<(Period, LiveCounter)>() <= 64);
    }

    #[derive(Debug, Clone)]
    enum Deed {
        Add(Day, i64),
        Fold(Day, i64),
        Load(Day, i64),
        See(Day, i64),
        Look(Day),
    }

    /// Of days near and far: the counters that they share are not all.
    fn deeds() -> impl Strategy<Value = Vec<Deed>> {
        let day = prop::sample::select(vec![(2023, 12, 31), (2024, 1, 1), (2024, 1, 2), (2024, 6, 17)]);
        let day = day.prop_map(|(year, month, day)| Day::from_ymd(year, month, day).unwrap());
        let deed = (0..5, day, 1_i64..9).prop_map(|(deed, day, hits)| match deed {
            0 => Deed::Fold(day, hits),
            1 => Deed::Load(day, hits),
            2 => Deed::See(day, hits),
            3 => Deed::Look(day),
            _ => Deed::Add(day, hits),
        });
        prop::collection::vec(deed, 0..40)
    }

    fn load_day(site: &LiveSite, day: Day) {
        let missing = day.site_periods().into_iter().filter(|period| !site.has(*period));
        missing.for_each(|period| site.load(period, Some(1), &[], false));
    }

    /// What somebody sees who looks.
    fn do_to(site: &LiveSite, deed: &Deed, number: i64) -> Option<String> {
        match *deed {
            Deed::Add(day, hits) => {
                if !site.has_day(day) {
                    load_day(site, day);
                }
                if site.add(day, hits, number) {
                    site.forget_old(day, number / 2);
                }
            }
            Deed::Fold(day, hits) => site.fold(&day.site_periods(), hits),
            Deed::Load(day, hits) => {
                let register = Register::Grown(hits);
                let count = SiteCount { source: 1, name: run(), published: false, register };
                day.site_periods()
                    .into_iter()
                    .for_each(|period| site.load(period, Some(1), std::slice::from_ref(&count), false));
            }
            Deed::See(day, total) => {
                let contributed = [(run(), None)];
                let seen = day.site_periods().map(|period| Seen { period, total, contributed: &contributed });
                site.saw(&seen, Some(&run()));
            }
            Deed::Look(day) => {
                // Whatever is asked first finds hits that are not added yet.
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
        fn hits_are_the_same_whether_they_are_added_at_once_or_when_somebody_looks(deeds in deeds()) {
            let (late, at_once) = (LiveSite::default(), LiveSite::default());
            for (number, deed) in (1..).zip(&deeds) {
                prop_assert_eq!(do_to(&late, deed, number), do_to(&at_once, deed, number));
                drop(at_once.lock());
            }
            prop_assert_eq!(late.version(), at_once.version());
            let counters = |site: &LiveSite| {
                let mut each: Vec<_> = site.lock().each.iter().map(|counter| format!("{counter:?}")).collect();
                each.sort();
                each
            };
            prop_assert_eq!(counters(&late), counters(&at_once));
        }
    }

    #[test]
    fn old_counters_leave_memory_though_somebody_looks_before_the_days_first_hit() {
        let site = LiveSite::default();
        let mut day = Day::from_ymd(2024, 6, 17).unwrap();
        for number in 1..200 {
            load_day(&site, day);
            site.hits(&day.site_periods()).unwrap();
            if site.add(day, 1, number) {
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
    fn the_first_hit_is_shown_though_redis_was_asked_before_it() {
        let site = LiveSite::default();
        site.load(Period::Total, Some(1), &[], false);
        let wanted = site.wanted(Some(&run()));
        assert_eq!(wanted, [(Period::Total, vec![run()])]);
        site.add(today(), 1, 1);
        assert_eq!(shown_after(&site, seen(0, None)), 1);
        assert_eq!(shown_after(&site, seen(1, Some(1))), 1);
    }

    #[test]
    fn an_import_is_shown_though_redis_was_asked_before_it() {
        let site = site_with(10);
        let import = SiteCount { source: 2, name: Source::Run(8), published: false, register: Register::Grown(100) };
        site.load(Period::Total, Some(1), &[import], false);
        assert_eq!(shown_after(&site, seen(4, Some(4))), 110);
    }

    #[test]
    fn hits_after_the_read_add_to_what_was_read() {
        let site = site_with(10);
        assert_eq!(shown_after(&site, seen(110, Some(10))), 110);
        site.add(today(), 5, 2);
        assert_eq!(site.hits(&[Period::Total]).unwrap().hits, [115]);
        assert_eq!(shown_after(&site, seen(112, Some(12))), 115);
    }

    #[test]
    fn what_is_learned_before_redis_was_asked_shows_at_once() {
        let site = site_with(10);
        let learned = [SiteCount { source: 2, name: Source::Run(8), published: true, register: Register::Grown(100) }];
        site.load(Period::Total, Some(1), &learned, true);
        assert_eq!(site.hits(&[Period::Total]).unwrap().hits, [110]);
    }

    #[test]
    fn what_is_learned_into_the_file_does_not_show_twice() {
        let site = site_with(10);
        assert_eq!(shown_after(&site, seen(100, Some(0))), 110);
        let learned = [SiteCount { source: 2, name: Source::Run(8), published: true, register: Register::Grown(100) }];
        site.load(Period::Total, Some(1), &learned, true);
        assert_eq!(site.hits(&[Period::Total]).unwrap().hits, [110]);
    }

    #[test]
    fn what_is_asked_for_is_read_from_redis_until_nobody_asks_any_more() {
        let site = site_with(10);
        let today = Day::from_ymd(2024, 6, 17).unwrap();
        site.load(Period::Day(today), Some(1), &[], false);
        let is_wanted = || site.wanted(None).iter().any(|(period, _)| *period == Period::Day(today));
        assert!(!is_wanted());
        assert!(!site.hits(&[Period::Day(today)]).unwrap().were_read);
        assert!(is_wanted());
        assert!(!site.hits(&[Period::Day(today)]).unwrap().were_read);
        let read = || site.saw(&[Seen { period: Period::Day(today), total: 0, contributed: &[] }], None);
        read();
        assert!(site.hits(&[Period::Day(today)]).unwrap().were_read);
        let reads = std::iter::repeat_with(is_wanted).take_while(|is_wanted| *is_wanted).count();
        assert_eq!(reads, usize::from(READS_AFTER_ASKED));
        // What the last of them said may be long ago.
        assert!(!site.hits(&[Period::Day(today)]).unwrap().were_read);
        assert!(site.wanted(None).iter().any(|(period, _)| *period == Period::Total));
    }

    #[test]
    fn what_a_figure_shows_stays_in_memory() {
        let site = LiveSite::default();
        let today = Day::from_ymd(2024, 6, 23).unwrap();
        let shown: Vec<_> = FigureKey::ALL.iter().flat_map(|key| key.span(today).periods()).collect();
        let old = Period::Day(Day::from_ymd(2024, 6, 1).unwrap());
        for period in shown.iter().chain([&old]) {
            site.load(*period, Some(1), &[], false);
        }
        site.forget_old(today, 0);
        assert!(site.hits(&shown).is_some());
        assert!(!site.has(old));
    }
}
