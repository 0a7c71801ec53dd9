//! A site's networks of a day, and the age of the other nodes' answer about theirs.

use std::time::{Duration, Instant};

use crate::counter::Day;
use crate::counter::vouching::{NETWORKS_MAX, Tags, needed};

/// Age at which the other nodes' answer is asked for again.
const FRESH: Duration = Duration::from_secs(60);
/// Time after which an answer is no longer waited for: Redis is away.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
pub struct SiteNetworks {
    pub day: Day,
    pub today: Tags,
    /// Their number on the day before.
    pub yesterday: usize,
    /// Networks that the site asks for.
    wanted: u8,
    /// The first question since the last answer.
    asked_at: Option<Instant>,
    answered_at: Option<Instant>,
}

impl SiteNetworks {
    pub fn new(day: Day) -> Self {
        let wanted = NETWORKS_MAX as u8;
        Self { day, today: Tags::default(), yesterday: 0, wanted, asked_at: None, answered_at: None }
    }

    /// Begins a later day.
    pub fn advance(&mut self, day: Day) {
        if self.day < day {
            let yesterday = if self.day.next() == day { self.today.len() } else { 0 };
            *self = Self { yesterday, wanted: self.wanted, ..Self::new(day) };
        }
    }

    /// A site that asks for no networks has no use for the number.
    pub fn note_wanted(&mut self, wanted: u8) {
        if wanted > 1 {
            self.wanted = wanted;
        }
    }

    fn needed_here(&self) -> usize {
        needed(self.wanted, self.today.len().max(self.yesterday))
    }

    /// True if other nodes may know networks that raise the number of those that are needed.
    pub fn must_ask(&self, now: Instant) -> bool {
        self.needed_here() < usize::from(self.wanted)
            && self.answered_at.is_none_or(|at| now.saturating_duration_since(at) >= FRESH)
    }

    pub fn note_asked(&mut self, now: Instant) {
        self.asked_at.get_or_insert(now);
    }

    /// Networks that must read a page. `is_shared`: there are other nodes, whose answer is waited for.
    pub fn needed(&self, is_shared: bool, now: Instant) -> usize {
        let is_away = || self.asked_at.is_some_and(|at| now.saturating_duration_since(at) >= PATIENCE);
        if is_shared && self.must_ask(now) && !is_away() { usize::from(self.wanted) } else { self.needed_here() }
    }

    /// Takes the answer: the networks of all nodes.
    pub fn learn(&mut self, today: Tags, yesterday: usize, now: Instant) {
        self.today.add_all(today);
        self.yesterday = self.yesterday.max(yesterday);
        (self.asked_at, self.answered_at) = (None, Some(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::vouching::NetworkTag;

    fn tags(numbers: impl IntoIterator<Item = u32>) -> Tags {
        numbers.into_iter().filter_map(NetworkTag::from_number).collect()
    }

    #[test]
    fn a_node_that_knows_few_networks_needs_all_until_the_others_have_answered() {
        let (day, now) = (Day::from_ymd(2024, 6, 17).unwrap(), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut site = SiteNetworks::new(day);
        site.note_wanted(3);
        site.today = tags([1]);
        assert_eq!((site.needed(false, now), site.needed(true, now)), (1, 3));
        site.note_asked(now);
        site.note_asked(after(50));
        assert_eq!([59, 60].map(|seconds| site.needed(true, after(seconds))), [3, 1], "Redis is away");
        site.learn(tags([1, 2]), 0, after(70));
        assert_eq!([129, 130].map(|seconds| site.needed(true, after(seconds))), [2, 3], "the answer is old");
        site.learn(tags([3]), 0, after(131));
        assert!(!site.must_ask(after(999)) && site.needed(true, after(999)) == 3);
        site.advance(day.next());
        assert!(!site.must_ask(after(999)), "three on the day before are enough");
        site.advance(day.next().next());
        assert!(site.must_ask(after(999)));
        assert_eq!((site.needed(false, now), site.needed(true, now)), (1, 3));
    }
}
