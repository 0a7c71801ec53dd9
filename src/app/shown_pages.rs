//! Figures of pages that were shown a short time ago, below which the next answers don't fall when Redis forgets.
//!
//! The node's file holds its own hits of pages alone: those of other nodes are read from Redis for each answer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::counter::{Known, PageAddress, Period, SiteNumber};

/// Counters of a question, each with the node's own knowledge of it.
pub type Counters = Vec<(Period, PageAddress, Known)>;

/// A figure is kept for one to two times as long from the first answer in which Redis has less. What Redis has lost
/// is back by then, and an import that another node corrected is believed.
const AGE: Duration = Duration::from_secs(30);
/// Kept figures at most: some megabytes.
const FIGURES_MAX: usize = 20_000;

#[derive(Default)]
pub struct ShownPages(Mutex<Generations>);

type Figures = HashMap<(SiteNumber, Period, PageAddress), i64>;

#[derive(Default)]
struct Generations {
    young: Figures,
    old: Figures,
    began: Option<Instant>,
}

impl ShownPages {
    /// Sets the least figures of the counters.
    pub fn fill(&self, site: SiteNumber, counters: &mut Counters) {
        let generations = self.lock();
        if generations.young.is_empty() && generations.old.is_empty() {
            return;
        }
        for (period, page, known) in counters {
            let key = (site, *period, page.clone());
            known.shown =
                [&generations.young, &generations.old].iter().filter_map(|figures| figures.get(&key)).max().copied();
        }
    }

    /// Notes figures that are shown. `is_behind`: Redis has less than the node knows or has shown. The time counts only
    /// while Redis answers.
    pub fn note(&self, site: SiteNumber, counters: &Counters, figures: &[i64], is_behind: bool, now: Instant) {
        let mut generations = self.lock();
        let began = *generations.began.get_or_insert(now);
        if now.saturating_duration_since(began) >= AGE || generations.young.len() >= FIGURES_MAX / 2 {
            generations.old = std::mem::take(&mut generations.young);
            generations.began = Some(now);
        }
        for ((period, page, known), figure) in counters.iter().zip(figures) {
            // A figure that only this memory holds grows old.
            let is_seen = !is_behind || known.shown.is_none_or(|shown| *figure > shown);
            // What the node knows by itself needs no memory.
            if is_seen && *figure > known.hits() {
                generations.young.insert((site, *period, page.clone()), *figure);
            }
        }
    }

    /// Forgets a site's figures, after an import that may lower them.
    pub fn forget(&self, site: SiteNumber) {
        let mut generations = self.lock();
        let Generations { young, old, .. } = &mut *generations;
        for figures in [young, old] {
            figures.retain(|(of, ..), _| *of != site);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: SiteNumber = SiteNumber(1);

    fn counters(sum: i64) -> Counters {
        let known = Known { sum, ..Known::default() };
        vec![(Period::Total, PageAddress::from_stored("/a"), known)]
    }

    fn least(shown: &ShownPages, site: SiteNumber) -> Option<i64> {
        let mut counters = counters(1);
        shown.fill(site, &mut counters);
        counters[0].2.shown
    }

    #[test]
    fn a_figure_is_kept_until_it_has_not_been_seen_in_redis_for_a_while() {
        let (shown, begun) = (ShownPages::default(), Instant::now());
        let at = |ages: u32| begun + AGE * ages;
        shown.note(SITE, &counters(1), &[5], false, at(0));
        assert_eq!((least(&shown, SITE), least(&shown, SiteNumber(2))), (Some(5), None));
        let mut asked = counters(1);
        shown.fill(SITE, &mut asked);
        // Redis has lost it: it is shown, and grows old.
        shown.note(SITE, &asked, &[5], true, at(1));
        assert_eq!(least(&shown, SITE), Some(5));
        shown.note(SITE, &asked, &[5], true, at(2));
        assert_eq!(least(&shown, SITE), None);
        shown.note(SITE, &counters(1), &[6], true, at(2));
        assert_eq!(least(&shown, SITE), Some(6));
        shown.forget(SITE);
        assert_eq!(least(&shown, SITE), None);
    }

    #[test]
    fn figures_that_the_node_knows_by_itself_take_no_memory_and_all_take_little() {
        let (shown, now) = (ShownPages::default(), Instant::now());
        shown.note(SITE, &counters(5), &[5], false, now);
        assert_eq!(least(&shown, SITE), None);
        for number in 0..3 * FIGURES_MAX {
            let page = PageAddress::from_stored(&format!("/{number}"));
            shown.note(SITE, &vec![(Period::Total, page, Known::default())], &[1], false, now);
        }
        let generations = shown.lock();
        assert_eq!(generations.young.len() + generations.old.len(), FIGURES_MAX);
    }
}
