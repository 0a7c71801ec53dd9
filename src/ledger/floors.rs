//! Figures that were shown with more of other nodes' hits than the file has, as the file keeps them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::Ledger;
use super::error::LedgerError;
use super::memory::lock;
use super::sqlite::tables::last_shown;
use crate::counter::{Known, Period, ShownFigure, SiteNumber};

/// Sites of one transaction: some milliseconds, for which hits may wait.
const FLOORS_STEP: usize = 32;
const FLOORS_AT_THE_END: usize = 1_000;
/// Pause between two transactions, so that they take a small part of the committer's time.
const FLOORS_PAUSE: Duration = Duration::from_millis(20);

impl Ledger {
    /// Takes over figures of a site's history, which were read later than those in memory.
    pub fn raise_shown<'a>(&self, site: SiteNumber, shown: impl Iterator<Item = (Period, &'a Known, i64)>) {
        if let Some(counters) = self.state.counters.get(site) {
            counters.raise(shown);
            if counters.has_old_floor() {
                lock(&self.state.old_floors).insert(site);
            }
        }
    }

    /// Writes what is shown of other nodes' hits of sites, so that no figure falls after a restart without Redis.
    /// `is_end`: nothing waits for the file. What is not written stays noted, also when this future is dropped.
    pub async fn write_floors(&self, is_end: bool) -> Result<(), LedgerError> {
        let limit = if is_end { FLOORS_AT_THE_END } else { FLOORS_STEP };
        let mut after = Bound::Unbounded;
        loop {
            let sites = take_after(&mut lock(&self.state.old_floors), after, limit);
            let Some(last) = sites.last() else { return Ok(()) };
            after = Bound::Excluded(*last);
            let step = PutBack { sites, noted: Some(&self.state.old_floors) };
            let sites = step.sites.clone();
            self.queue.run(move |file| file.write_floors(&sites)).await?;
            step.confirm();
            if !is_end {
                tokio::time::sleep(FLOORS_PAUSE).await;
            }
        }
    }

    /// Keeps figures that were shown over a restart.
    pub async fn keep_shown(&self, figures: Vec<ShownFigure>) -> Result<(), LedgerError> {
        self.queue.run(move |file| file.change(|connection| last_shown::write(connection, &figures))).await
    }

    /// The figures that the last clean stop kept.
    pub async fn take_shown(&self) -> Result<Vec<ShownFigure>, LedgerError> {
        self.queue.run(|file| file.change(last_shown::take)).await
    }

    /// Forgets what was shown of a site's other nodes' hits, after its figures were wrong in Redis.
    pub async fn forget_shown(&self, site: SiteNumber) -> Result<(), LedgerError> {
        self.queue.run(move |file| file.forget_shown(site)).await
    }

    /// Takes up to `limit` sites of which more of other nodes' hits is shown than the file has, all unchanged for a time,
    /// the oldest first.
    pub fn take_unsynced(&self, unchanged: Duration, limit: usize) -> Vec<SiteNumber> {
        take_oldest(&mut lock(&self.state.unsynced), Instant::now(), unchanged, limit)
    }
}

/// Sites of a step, which are noted again unless they were written.
struct PutBack<'a> {
    sites: Vec<SiteNumber>,
    noted: Option<&'a Mutex<BTreeSet<SiteNumber>>>,
}

impl PutBack<'_> {
    fn confirm(mut self) {
        self.noted = None;
    }
}

impl Drop for PutBack<'_> {
    fn drop(&mut self) {
        if let Some(noted) = self.noted {
            lock(noted).extend(&self.sites);
        }
    }
}

fn take_after(noted: &mut BTreeSet<SiteNumber>, after: Bound<SiteNumber>, limit: usize) -> Vec<SiteNumber> {
    let taken: Vec<_> = noted.range((after, Bound::Unbounded)).take(limit).copied().collect();
    for site in &taken {
        noted.remove(site);
    }
    taken
}

fn take_oldest(
    noted: &mut BTreeMap<SiteNumber, Instant>,
    now: Instant,
    age: Duration,
    limit: usize,
) -> Vec<SiteNumber> {
    let is_old = |since: &Instant| now.saturating_duration_since(*since) >= age;
    let mut old: Vec<_> =
        noted.iter().filter(|(_, since)| is_old(since)).map(|(site, since)| (*since, *site)).collect();
    old.sort_unstable();
    old.truncate(limit);
    let taken: Vec<_> = old.into_iter().map(|(_, site)| site).collect();
    noted.retain(|site, _| !taken.contains(site));
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(numbers: &[u32]) -> Vec<SiteNumber> {
        numbers.iter().map(|number| SiteNumber(*number)).collect()
    }

    #[test]
    fn a_step_that_is_dropped_before_it_is_written_is_noted_again() {
        let noted = Mutex::new(BTreeSet::from_iter(sites(&[1, 2, 3])));
        let take = || PutBack { sites: take_after(&mut lock(&noted), Bound::Unbounded, 2), noted: Some(&noted) };
        drop(take());
        assert_eq!(lock(&noted).len(), 3);
        take().confirm();
        assert_eq!(lock(&noted).iter().copied().collect::<Vec<_>>(), sites(&[3]));
    }

    #[test]
    fn steps_go_through_all_sites_though_the_first_ones_are_noted_again() {
        let mut noted = BTreeSet::from_iter(sites(&[1, 2, 3]));
        let first = take_after(&mut noted, Bound::Unbounded, 2);
        assert_eq!(first, sites(&[1, 2]));
        noted.extend(first);
        assert_eq!(take_after(&mut noted, Bound::Excluded(SiteNumber(2)), 2), sites(&[3]));
        assert_eq!(take_after(&mut noted, Bound::Excluded(SiteNumber(3)), 2), []);
    }

    #[test]
    fn sites_at_rest_are_taken_the_oldest_first() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut noted = BTreeMap::from_iter(sites(&[1, 2, 3]).into_iter().zip([at(2), at(1), at(9)]));
        let mut take = |limit| take_oldest(&mut noted, at(10), Duration::from_secs(5), limit);
        assert_eq!(take(1), sites(&[2]));
        assert_eq!(take(9), sites(&[1]));
        assert_eq!(take(9), []);
    }
}
