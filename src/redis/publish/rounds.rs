//! Rounds over all sites, in which Redis is asked about each.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::counter::{SiteNumber, Sites};

/// Least duration of a slow round.
const ROUND_MIN: Duration = Duration::from_secs(7);
/// A slow round takes 1 % of Redis's time, and 5 % of a processor.
const REDIS_PAUSES: u32 = 99;
const FILE_PAUSES: u32 = 19;

/// Occasion of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Redis may have forgotten: other nodes' sources are brought at once.
    Suspicion,
    /// Slow round. A source of another node is brought if its digest stands still: it is not publishing.
    Round,
    /// All that was lacking has been brought.
    AfterBring,
}

/// Cost of a question.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    pub redis: Duration,
    pub file: Duration,
}

/// Order and pace of the questions.
#[derive(Default)]
pub struct Rounds {
    queue: VecDeque<SiteNumber>,
    pub next_at: Option<Instant>,
    interval_min: Duration,
    is_suspicious: bool,
    /// A suspicious round was requested during one.
    is_again_due: bool,
}

impl Rounds {
    /// Begins a suspicious round over all sites.
    pub fn suspect(&mut self, sites: &Sites, now: Instant) {
        if self.is_suspicious && !self.queue.is_empty() {
            self.is_again_due = true;
        } else {
            self.begin(sites, true, now);
        }
    }

    fn begin(&mut self, sites: &Sites, is_suspicious: bool, now: Instant) {
        self.queue = sites.iter().map(|site| site.number).collect();
        self.is_suspicious = is_suspicious;
        self.is_again_due = false;
        let count = u32::try_from(self.queue.len()).unwrap_or(u32::MAX).max(1);
        self.interval_min = if is_suspicious { Duration::ZERO } else { ROUND_MIN / count };
        self.next_at = Some(now + self.interval_min);
    }

    /// Next site, if its time has come.
    pub fn next(&mut self, sites: &Sites, now: Instant) -> Option<(SiteNumber, Occasion)> {
        if self.next_at? > now {
            return None;
        }
        if self.queue.is_empty() {
            self.begin(sites, self.is_again_due, now);
            return None;
        }
        let occasion = if self.is_suspicious { Occasion::Suspicion } else { Occasion::Round };
        Some((self.queue.pop_front()?, occasion))
    }

    /// Notes that the question has been answered.
    pub fn answered(&mut self, cost: Cost, now: Instant) {
        let pause = match self.is_suspicious {
            // What is lacking is brought between.
            true => cost.redis + cost.file,
            false => self.interval_min.max(cost.redis * REDIS_PAUSES).max(cost.file * FILE_PAUSES),
        };
        self.next_at = Some(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::{RegisteredSite, Site};

    fn sites(count: u32) -> Sites {
        let site = |number| {
            let site = Site::with_defaults(format!("site-{number}").parse().unwrap(), Vec::new());
            RegisteredSite::new(SiteNumber(number), site)
        };
        (0..count).map(site).collect()
    }

    #[test]
    fn a_suspicious_round_is_quick_and_a_slow_one_pauses_by_its_cost() {
        let (sites, now) = (sites(7), Instant::now());
        let mut rounds = Rounds::default();
        assert_eq!(rounds.next(&sites, now), None, "not connected yet");
        rounds.suspect(&sites, now);
        for _ in 0..7 {
            assert_eq!(rounds.next(&sites, now).unwrap().1, Occasion::Suspicion);
            rounds.answered(Cost::default(), now);
        }
        assert_eq!(rounds.next(&sites, now), None);
        let second = now + Duration::from_secs(1);
        assert_eq!(rounds.next(&sites, second).unwrap().1, Occasion::Round);
        rounds.answered(Cost { redis: Duration::from_millis(50), file: Duration::ZERO }, second);
        assert_eq!(rounds.next_at, Some(second + Duration::from_millis(4_950)));
        rounds.answered(Cost { redis: Duration::ZERO, file: Duration::from_secs(1) }, second);
        assert_eq!(rounds.next_at, Some(second + Duration::from_secs(19)));
    }

    #[test]
    fn a_second_suspicion_during_a_suspicious_round_makes_the_next_round_suspicious() {
        let (sites, now) = (sites(1), Instant::now());
        let mut rounds = Rounds::default();
        rounds.suspect(&sites, now);
        rounds.suspect(&sites, now);
        assert!(rounds.next(&sites, now).is_some());
        rounds.answered(Cost::default(), now);
        assert_eq!(rounds.next(&sites, now), None);
        assert_eq!(rounds.next(&sites, now), Some((SiteNumber(0), Occasion::Suspicion)));
    }
}
