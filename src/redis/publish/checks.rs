//! Checks whether Redis still holds what it acknowledged, site by site, in endless rounds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use redis::RedisError;

use super::agreement::difference;
use super::periods::may_publish;
use super::{Agreement, Lease, Publisher};
use crate::clock;
use crate::counter::{RegisteredSite, SiteNumber, Sites};
use crate::redis::ports::Node;

/// Duration of a round, unless that needs more than `CHECKS_PER_SECOND_MAX`.
const ROUND: Duration = Duration::from_secs(7);
const CHECKS_PER_SECOND_MAX: f64 = 150.0;
/// Pace of a suspicious round: Redis may have forgotten something.
const CHECKS_PER_SECOND_SUSPECTED: f64 = 1_000.0;
/// Order and pace of the checks.
#[derive(Default)]
pub struct CheckRounds {
    queue: VecDeque<SiteNumber>,
    next_at: Option<Instant>,
    interval: Duration,
    is_suspected: bool,
    /// A suspicious round was requested during one.
    is_again_due: bool,
}

impl CheckRounds {
    /// Begins a round over all sites.
    pub fn begin(&mut self, sites: &Sites, is_suspected: bool, now: Instant) {
        if is_suspected && self.is_suspected && !self.queue.is_empty() {
            self.is_again_due = true;
            return;
        }
        self.queue = sites.iter().map(|site| site.number).collect();
        self.is_suspected = is_suspected;
        self.is_again_due = false;
        let count = f64::from(u32::try_from(self.queue.len()).unwrap_or(u32::MAX)).max(1.0);
        let per_second = match is_suspected {
            true => CHECKS_PER_SECOND_SUSPECTED,
            false => (count / ROUND.as_secs_f64()).clamp(0.5, CHECKS_PER_SECOND_MAX),
        };
        self.interval = Duration::from_secs_f64(1.0 / per_second);
        // With a single site, rounds without a pause would leave no time for other work.
        self.next_at = Some(now + self.interval);
    }

    /// Next site, if its time has come.
    pub fn next(&mut self, now: Instant) -> Option<SiteNumber> {
        if self.queue.is_empty() || self.next_at? > now {
            return None;
        }
        // Up to 100 ms that other work took are made up for.
        let earliest = now.checked_sub(Duration::from_millis(100)).unwrap_or(now);
        self.next_at = self.next_at.map(|at| at.max(earliest) + self.interval);
        self.queue.pop_front()
    }

    pub fn next_at(&self) -> Option<Instant> {
        self.next_at
    }

    pub fn is_over(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn is_again_due(&self) -> bool {
        self.is_again_due
    }
}

impl<N: Node> Publisher<N> {
    /// Checks one site.
    pub async fn check(&mut self, lease: &Lease, number: SiteNumber) {
        let sites = self.node.sites();
        if let Some(site) = sites.by_number(number)
            && !self.is_troubled(number)
        {
            let outcome = self.check_site(lease, site).await;
            if let Err(error) = outcome {
                self.failed(lease, site, &error);
            }
        }
        if self.checks.is_over() {
            let is_suspected = self.checks.is_again_due();
            self.checks.begin(&sites, is_suspected, Instant::now());
        }
    }

    async fn check_site(&mut self, lease: &Lease, site: &RegisteredSite) -> Result<(), RedisError> {
        let number = site.number;
        let difference = difference(&lease.link, &self.keys, site).await?;
        self.note_agreement(site, difference);
        let progress = self.progress.entry(number).or_default();
        if progress.agreement != Agreement::Agreed {
            return Ok(());
        }
        if !progress.is_first_checked && progress.backfill.is_none() {
            return self.first_check(lease, site).await;
        }
        let now = clock::now();
        self.acked_states.retain_markers(number, |period| may_publish(&site.site, period, now));
        let acked = self.acked_states.of(number);
        let found = self.read_state(&lease.link, site, &acked).await?;
        if let Some(lost) = acked.lost_in(&found) {
            self.note_regression(number, &lost);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Site;

    fn sites(count: u32) -> Sites {
        let site = |number| RegisteredSite {
            number: SiteNumber(number),
            site: Site::with_defaults(format!("site-{number}").parse().unwrap(), Vec::new()),
        };
        (0..count).map(site).collect()
    }

    /// Sites that are checked within a time, asked for every millisecond.
    fn checked_within(rounds: &mut CheckRounds, begin: Instant, time: Duration) -> usize {
        let moments = (0..=time.as_millis()).map(|ms| begin + Duration::from_millis(ms as u64));
        moments.filter(|now| rounds.next(*now).is_some()).count()
    }

    #[test]
    fn a_round_over_few_sites_is_spread_over_its_time_and_a_suspicious_one_is_quick() {
        let begin = Instant::now();
        let mut rounds = CheckRounds::default();
        rounds.begin(&sites(70), false, begin);
        let in_a_second = checked_within(&mut rounds, begin, Duration::from_secs(1));
        assert!((9..=10).contains(&in_a_second), "{in_a_second}");
        rounds.begin(&sites(70), true, begin);
        assert_eq!(checked_within(&mut rounds, begin, Duration::from_millis(75)), 70);
        assert!(rounds.is_over());
    }

    #[test]
    fn a_second_suspicion_during_a_suspicious_round_is_kept_for_the_next() {
        let begin = Instant::now();
        let mut rounds = CheckRounds::default();
        rounds.begin(&sites(3), true, begin);
        checked_within(&mut rounds, begin, Duration::from_millis(1));
        rounds.begin(&sites(3), true, begin);
        assert!(rounds.is_again_due());
        assert_eq!(checked_within(&mut rounds, begin + Duration::from_millis(2), Duration::from_secs(1)), 2);
        rounds.begin(&sites(3), rounds.is_again_due(), begin);
        assert!(!rounds.is_again_due());
    }

    #[test]
    fn a_long_pause_is_made_up_for_in_part_only() {
        let begin = Instant::now();
        let mut rounds = CheckRounds::default();
        rounds.begin(&sites(1_000), false, begin);
        let late = begin + Duration::from_secs(60);
        let at_once = std::iter::from_fn(|| rounds.next(late)).count();
        assert!((14..=17).contains(&at_once), "100 ms at 143 a second: {at_once}");
    }
}
