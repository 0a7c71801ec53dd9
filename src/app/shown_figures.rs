//! Figures of pages and histories that were shown a short time ago, below which the next answers don't fall when Redis
//! forgets.
//!
//! The node's file holds its own hits of pages alone, and other nodes' hits of a site up to ten minutes late. The rest is
//! read from Redis for each answer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::counter::{Counter, Known, ShownFigure, SiteNumber};

/// A figure is kept for one to two times as long from the first answer in which Redis has less. What Redis has lost
/// is back by then, and an import that another node corrected is believed.
const AGE: Duration = Duration::from_secs(30);
/// Kept figures at most: some megabytes.
const FIGURES_MAX: usize = 20_000;

#[derive(Default)]
pub struct ShownFigures(Mutex<Generations>);

type Figures = HashMap<(SiteNumber, Counter), i64>;

#[derive(Default)]
struct Generations {
    young: Figures,
    old: Figures,
    began: Option<Instant>,
    /// Number of times that figures were forgotten.
    forgotten: u64,
}

/// Times that figures were forgotten before a question. What was read before that is not noted after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten(u64);

impl ShownFigures {
    /// Raises the least figures of counters to those that were shown.
    pub fn fill(&self, site: SiteNumber, counters: &mut [(Counter, Known)]) -> Forgotten {
        let generations = self.lock();
        let forgotten = Forgotten(generations.forgotten);
        if generations.young.is_empty() && generations.old.is_empty() {
            return forgotten;
        }
        for (counter, known) in counters {
            let key = (site, counter.clone());
            let shown = [&generations.young, &generations.old].map(|figures| figures.get(&key).copied());
            known.shown = shown.into_iter().fold(known.shown, Option::max);
        }
        forgotten
    }

    /// Notes figures that are shown. `is_behind`: Redis has less than the node knows or has shown. The time counts only
    /// while Redis answers. False: figures were forgotten since the question, so these count no longer.
    pub fn note(
        &self,
        site: SiteNumber,
        counters: &[(Counter, Known)],
        (figures, is_behind): (&[i64], bool),
        asked: Forgotten,
        now: Instant,
    ) -> bool {
        let mut generations = self.lock();
        if generations.forgotten != asked.0 {
            return false;
        }
        let began = *generations.began.get_or_insert(now);
        if now.saturating_duration_since(began) >= AGE || generations.young.len() >= FIGURES_MAX / 2 {
            generations.old = std::mem::take(&mut generations.young);
            generations.began = Some(now);
        }
        for ((counter, known), figure) in counters.iter().zip(figures) {
            // A figure that only this memory holds grows old.
            let is_seen = !is_behind || known.shown.is_none_or(|shown| *figure > shown);
            // What the node knows by itself needs no memory.
            if is_seen && *figure > known.hits() {
                generations.young.insert((site, counter.clone()), *figure);
            }
        }
        true
    }

    /// All of them, to be kept over a restart.
    pub fn all(&self) -> Vec<ShownFigure> {
        let Generations { young, old, .. } = &*self.lock();
        let older = old.iter().filter(|(key, _)| !young.contains_key(*key));
        young.iter().chain(older).map(|((site, counter), figure)| (*site, counter.clone(), *figure)).collect()
    }

    /// Takes over the figures that the last run showed.
    pub fn recall(&self, figures: Vec<ShownFigure>) {
        self.lock().young = figures.into_iter().map(|(site, counter, figure)| ((site, counter), figure)).collect();
    }

    /// Forgets a site's figures, after an import that may lower them.
    pub fn forget(&self, site: SiteNumber) {
        let mut generations = self.lock();
        generations.forgotten += 1;
        let Generations { young, old, .. } = &mut *generations;
        for figures in [young, old] {
            figures.retain(|(of, _), _| *of != site);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::{PageAddress, Period};

    const SITE: SiteNumber = SiteNumber(1);

    fn counter() -> Counter {
        (Period::Total, Some(PageAddress::from_stored("/a")))
    }

    fn filled(shown: &ShownFigures, site: SiteNumber) -> Known {
        let mut counters = [(counter(), Known { sum: 1, ..Known::default() })];
        shown.fill(site, &mut counters);
        let [(_, known)] = counters;
        known
    }

    fn least(shown: &ShownFigures, site: SiteNumber) -> Option<i64> {
        filled(shown, site).shown
    }

    #[test]
    fn a_figure_is_kept_until_it_has_not_been_seen_in_redis_for_a_while() {
        let (shown, begun) = (ShownFigures::default(), Instant::now());
        let note = |known: &Known, figure, is_behind, ages: u32| {
            let asked = shown.fill(SITE, &mut []);
            assert!(shown.note(SITE, &[(counter(), known.clone())], (&[figure], is_behind), asked, begun + AGE * ages));
        };
        let new = filled(&shown, SITE);
        note(&new, 5, false, 0);
        assert_eq!((least(&shown, SITE), least(&shown, SiteNumber(2))), (Some(5), None));
        let mut higher = [(counter(), Known { shown: Some(9), ..Known::default() })];
        shown.fill(SITE, &mut higher);
        assert_eq!(higher[0].1.shown, Some(9));
        let after_restart = ShownFigures::default();
        after_restart.recall(shown.all());
        assert_eq!(least(&after_restart, SITE), Some(5));
        let asked = filled(&shown, SITE);
        // Redis has lost it: it is shown, and grows old.
        note(&asked, 5, true, 1);
        assert_eq!(least(&shown, SITE), Some(5));
        note(&asked, 5, true, 2);
        assert_eq!(least(&shown, SITE), None);
        note(&new, 6, true, 2);
        assert_eq!(least(&shown, SITE), Some(6));
        let asked = shown.fill(SITE, &mut []);
        shown.forget(SITE);
        assert_eq!(least(&shown, SITE), None);
        // An answer that was read before the figures were forgotten.
        assert!(!shown.note(SITE, &[(counter(), new)], (&[6], false), asked, begun + AGE * 2));
        assert_eq!(least(&shown, SITE), None);
    }

    #[test]
    fn figures_that_the_node_knows_by_itself_take_no_memory_and_all_take_little() {
        let (shown, now) = (ShownFigures::default(), Instant::now());
        let known = Known { sum: 5, ..Known::default() };
        let asked = shown.fill(SITE, &mut []);
        shown.note(SITE, &[(counter(), known)], (&[5], false), asked, now);
        assert_eq!(least(&shown, SITE), None);
        for number in 0..3 * FIGURES_MAX {
            let page = PageAddress::from_stored(&format!("/{number}"));
            shown.note(SITE, &[((Period::Total, Some(page)), Known::default())], (&[1], false), asked, now);
        }
        let generations = shown.lock();
        assert_eq!(generations.young.len() + generations.old.len(), FIGURES_MAX);
    }
}
