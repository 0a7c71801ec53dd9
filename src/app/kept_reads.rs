//! Values of settled periods, kept for the next question: a year of days, a list of the most read pages.
//!
//! Only an import or another node's late counts change them. What a node does itself makes it forget a site's values at
//! once; of other nodes it hears by reading again.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::counter::{Day, Period, SiteNumber};

/// Age of a kept value at most. It is less than the time for which a shown figure is remembered, so that no figure falls
/// below one that was shown from here.
const AGE_MAX: Duration = Duration::from_secs(25);

/// True if nothing but an import or a late count changes the period. Yesterday's last hits may still be on their way.
pub fn is_settled(period: Period, today: Day) -> bool {
    let ends = period.last_day().is_some_and(|last| last < today.previous());
    ends || period.first_day().is_some_and(|first| first > today)
}

/// Values by site and question, those that were asked for last.
#[derive(Debug)]
pub struct KeptReads<K, T> {
    /// Values of each generation.
    kept_max: usize,
    generations: Mutex<Generations<K, T>>,
}

type Values<K, T> = HashMap<(SiteNumber, K), Kept<T>>;

#[derive(Debug)]
struct Generations<K, T> {
    young: Values<K, T>,
    /// Not asked for since the young ones began.
    old: Values<K, T>,
    forgotten: u64,
}

#[derive(Debug)]
struct Kept<T> {
    value: Arc<T>,
    read_at: Instant,
}

/// Times that values were forgotten before a read. What was read before that is not kept after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten(u64);

impl<K: Eq + Hash, T> KeptReads<K, T> {
    pub fn new(kept_max: usize) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new(), forgotten: 0 };
        Self { kept_max: kept_max / 2, generations: Mutex::new(generations) }
    }

    /// The kept value, if it is good; otherwise the mark with which one that is read now can be kept.
    pub fn get(
        &self,
        site: SiteNumber,
        question: K,
        now: Instant,
        is_good: impl Fn(&T) -> bool,
    ) -> Result<Arc<T>, Forgotten> {
        let mut generations = self.lock();
        let kept = generations.get((site, question), now, self.kept_max, is_good);
        kept.ok_or(Forgotten(generations.forgotten))
    }

    /// The kept values of these questions; none for one that is not kept, and the mark with which it can be.
    pub fn get_all(
        &self,
        site: SiteNumber,
        questions: impl Iterator<Item = K>,
        now: Instant,
    ) -> (Vec<Option<Arc<T>>>, Forgotten) {
        let mut generations = self.lock();
        let kept = questions.map(|question| generations.get((site, question), now, self.kept_max, |_| true)).collect();
        (kept, Forgotten(generations.forgotten))
    }

    /// Keeps a value, unless values were forgotten since it was asked for. `now`: the time before it was read.
    pub fn put(&self, site: SiteNumber, question: K, value: Arc<T>, asked: Forgotten, now: Instant) {
        let mut generations = self.lock();
        if generations.forgotten == asked.0 {
            generations.put((site, question), Kept { value, read_at: now }, self.kept_max);
        }
    }

    /// Forgets a site's values.
    pub fn forget(&self, site: SiteNumber) {
        let mut generations = self.lock();
        generations.forgotten += 1;
        let Generations { young, old, .. } = &mut *generations;
        for values in [young, old] {
            values.retain(|(of, _), _| *of != site);
        }
    }

    /// Gives back the memory of values that are too old to be used.
    pub fn drop_old(&self, now: Instant) {
        let mut generations = self.lock();
        let Generations { young, old, .. } = &mut *generations;
        for values in [young, old] {
            values.retain(|_, kept| now.saturating_duration_since(kept.read_at) < AGE_MAX);
            if values.capacity() > 4 * values.len() {
                values.shrink_to_fit();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Generations<K, T>> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, T> Generations<K, T> {
    fn get(
        &mut self,
        key: (SiteNumber, K),
        now: Instant,
        kept_max: usize,
        is_good: impl Fn(&T) -> bool,
    ) -> Option<Arc<T>> {
        let is_good = |kept: &Kept<T>| now.saturating_duration_since(kept.read_at) < AGE_MAX && is_good(&kept.value);
        if let Some(kept) = self.young.get(&key).filter(|kept| is_good(kept)) {
            return Some(Arc::clone(&kept.value));
        }
        let kept = self.old.remove(&key).filter(is_good)?;
        let value = Arc::clone(&kept.value);
        self.put(key, kept, kept_max);
        Some(value)
    }

    fn put(&mut self, key: (SiteNumber, K), kept: Kept<T>, kept_max: usize) {
        if self.young.len() >= kept_max {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: SiteNumber = SiteNumber(1);
    const OTHER: SiteNumber = SiteNumber(2);

    fn put(kept: &KeptReads<u32, u32>, site: SiteNumber, question: u32, now: Instant) {
        let asked = kept.get(site, question, now, |_| true).unwrap_err();
        kept.put(site, question, Arc::new(question), asked, now);
    }

    fn has(kept: &KeptReads<u32, u32>, site: SiteNumber, question: u32, now: Instant) -> bool {
        kept.get(site, question, now, |_| true).is_ok_and(|value| *value == question)
    }

    #[test]
    fn a_period_is_settled_once_its_end_is_older_than_yesterday() {
        let today = Day::from_ymd(2024, 6, 17).unwrap();
        let settled = |period: &str| is_settled(period.parse().unwrap(), today);
        for period in ["2024-06-15", "2024-05", "2023", "2024-06-18", "2024-07", "2025"] {
            assert!(settled(period), "{period}");
        }
        for period in ["2024-06-16", "2024-06-17", "2024-06", "2024", "total"] {
            assert!(!settled(period), "{period}");
        }
        let first = Day::from_ymd(2024, 1, 1).unwrap();
        assert!(!is_settled("2023".parse().unwrap(), first) && !is_settled("2023-12".parse().unwrap(), first));
        assert!(is_settled("2023-12".parse().unwrap(), first.next()));
    }

    #[test]
    fn a_value_is_kept_for_a_time_and_not_beyond() {
        let (kept, now) = (KeptReads::new(8), Instant::now());
        put(&kept, SITE, 1, now);
        assert!(has(&kept, SITE, 1, now + AGE_MAX / 2) && !has(&kept, SITE, 1, now + AGE_MAX));
        assert!(!has(&kept, OTHER, 1, now) && !has(&kept, SITE, 2, now));
    }

    #[test]
    fn a_sites_values_are_forgotten_and_so_is_one_that_was_read_before() {
        let (kept, now) = (KeptReads::new(8), Instant::now());
        put(&kept, SITE, 1, now);
        put(&kept, OTHER, 1, now);
        let asked = kept.get(SITE, 2, now, |_| true).unwrap_err();
        kept.forget(SITE);
        kept.put(SITE, 2, Arc::new(2), asked, now);
        assert!(!has(&kept, SITE, 1, now) && !has(&kept, SITE, 2, now) && has(&kept, OTHER, 1, now));
    }

    #[test]
    fn the_values_that_were_asked_for_last_stay() {
        let (kept, now) = (KeptReads::new(8), Instant::now());
        put(&kept, SITE, 0, now);
        for question in 1..1_000 {
            put(&kept, SITE, question, now);
            assert!(has(&kept, SITE, 0, now), "{question}");
        }
        let generations = kept.lock();
        assert!(generations.young.len() <= 4 && generations.old.len() <= 4);
    }

    #[test]
    fn values_that_nobody_can_use_any_more_take_no_memory() {
        let (kept, now) = (KeptReads::new(1_000), Instant::now());
        (0..400).for_each(|question| put(&kept, SITE, question, now));
        put(&kept, SITE, 400, now + AGE_MAX);
        kept.drop_old(now + AGE_MAX);
        assert!(has(&kept, SITE, 400, now + AGE_MAX));
        assert!(kept.lock().young.capacity() < 50);
    }
}
