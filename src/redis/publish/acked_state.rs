//! State that Redis acknowledged to this node. A Redis that shows less has forgotten something.
//!
//! A Redis that went back lost the newest call first, so the newest `writes` of a site show it. A few
//! are kept, since other nodes may publish the same frozen source. A key of pages that is lost alone
//! shows by its markers: one source per key is enough, since a key is lost as a whole.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::merge_counts::{MarkerState, Merged};
use crate::counter::{Period, Register, SiteNumber, Source};

/// Sources remembered for each site, the latest published last.
const SOURCES_MAX: usize = 4;

/// Keys of pages remembered over all sites, about 50 MB. Beyond, the loss of a single key of pages
/// is found at the next start.
const MARKERS_MAX: usize = 1_000_000;

/// Acknowledged state of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AckedSource {
    pub source: Source,
    pub writes: i64,
    pub total: Option<Register>,
}

/// Acknowledged state of a site.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AckedState {
    pub sources: Vec<AckedSource>,
    /// At most two a period: one of any source, and the current run's.
    pub markers: Vec<(Period, Source)>,
}

/// Acknowledged states of all sites.
#[derive(Default)]
pub struct AckedStates {
    kept: Mutex<Kept>,
    suspects: Mutex<HashSet<SiteNumber>>,
}

#[derive(Default)]
struct Kept {
    sites: HashMap<SiteNumber, AckedState>,
    marker_count: usize,
}

impl AckedState {
    pub fn is_marked(&self, period: Period, source: &Source) -> bool {
        self.markers.iter().any(|(p, s)| *p == period && s == source)
    }

    /// Loss that the reply to a call shows, in words; `self` is the state when the call was sent.
    pub fn lost_in_reply(&self, merged: &Merged) -> Option<String> {
        for known in &self.sources {
            let fewer =
                merged.writes.iter().find(|writes| writes.source == known.source && writes.before < known.writes);
            if let Some(writes) = fewer {
                return Some(format!(
                    "{} writes of {} where {} were acknowledged",
                    writes.before, known.source, known.writes
                ));
            }
            let row = merged
                .rows
                .iter()
                .find(|row| !row.is_page && row.period == Period::Total && row.source == known.source);
            if let Some(row) = row
                && let Some(lost) = known.lost(row.before)
            {
                return Some(lost);
            }
        }
        merged
            .markers
            .iter()
            .find(|(period, source, state)| *state == MarkerState::Absent && self.is_marked(*period, source))
            .map(|(period, ..)| format!("the pages of {period} are gone"))
    }

    /// Loss that Redis's present state shows, in words.
    pub fn lost_in(&self, found: &Self) -> Option<String> {
        for known in &self.sources {
            let there = found.sources.iter().find(|there| there.source == known.source);
            let writes = there.map_or(0, |there| there.writes);
            if writes < known.writes {
                return Some(format!("{writes} writes of {} where {} were acknowledged", known.source, known.writes));
            }
            if let Some(lost) = known.lost(there.and_then(|there| there.total)) {
                return Some(lost);
            }
        }
        let lost = self.markers.iter().find(|(period, source)| !found.is_marked(*period, source));
        lost.map(|(period, _)| format!("the pages of {period} are gone"))
    }

    fn note(&mut self, merged: &Merged) {
        for writes in &merged.writes {
            let known = self.sources.iter().position(|acked| acked.source == writes.source);
            // A mere repetition must not push out a source that changed.
            if known.is_none() && writes.after == writes.before && !self.sources.is_empty() {
                continue;
            }
            let mut acked = match known {
                Some(at) => self.sources.remove(at),
                None => AckedSource { source: writes.source.clone(), writes: 0, total: None },
            };
            acked.writes = writes.after;
            let total = merged
                .rows
                .iter()
                .rfind(|row| !row.is_page && row.period == Period::Total && row.source == writes.source);
            acked.total = total.map(|row| row.now).or(acked.total);
            self.sources.push(acked);
            if self.sources.len() > SOURCES_MAX {
                self.sources.remove(0);
            }
        }
    }
}

impl AckedSource {
    /// Loss, in words, if Redis has `there` as the source's total.
    pub fn lost(&self, there: Option<Register>) -> Option<String> {
        let known = self.total?;
        match there {
            Some(there) if there.merge(known) == there => None,
            Some(there) => {
                Some(format!("a total of {} by {} where {} was acknowledged", there.hits(), self.source, known.hits()))
            }
            None => Some(format!("no total by {} where {} was acknowledged", self.source, known.hits())),
        }
    }
}

impl AckedStates {
    pub fn of(&self, site: SiteNumber) -> AckedState {
        self.lock().sites.get(&site).cloned().unwrap_or_default()
    }

    pub fn note(&self, site: SiteNumber, merged: &Merged) {
        self.lock().sites.entry(site).or_default().note(merged);
    }

    /// Remembers a source that a check found in Redis.
    pub fn note_source(&self, site: SiteNumber, found: AckedSource) {
        let mut kept = self.lock();
        let acked = kept.sites.entry(site).or_default();
        if acked.sources.len() < SOURCES_MAX && acked.sources.iter().all(|known| known.source != found.source) {
            acked.sources.insert(0, found);
        }
    }

    /// Remembers complete markers; of frozen sources one a key, since a key is lost as a whole.
    pub fn note_markers(
        &self,
        site: SiteNumber,
        markers: impl IntoIterator<Item = (Period, Source)>,
        of_current_run: bool,
    ) {
        let mut kept = self.lock();
        let kept = &mut *kept;
        let acked = kept.sites.entry(site).or_default();
        for (period, source) in markers {
            let mut known = acked.markers.iter().filter(|(p, _)| *p == period);
            let is_known = if of_current_run { known.any(|(_, s)| *s == source) } else { known.next().is_some() };
            if !is_known && kept.marker_count < MARKERS_MAX {
                acked.markers.push((period, source));
                kept.marker_count += 1;
            }
        }
    }

    /// Forgets keys that are about to expire.
    pub fn retain_markers(&self, site: SiteNumber, keep: impl Fn(Period) -> bool) {
        let mut kept = self.lock();
        let kept = &mut *kept;
        if let Some(acked) = kept.sites.get_mut(&site) {
            let before = acked.markers.len();
            acked.markers.retain(|(period, _)| keep(*period));
            kept.marker_count -= before - acked.markers.len();
        }
    }

    /// Redis forgot: nothing is acknowledged until it is published again.
    pub fn forget(&self, site: SiteNumber) {
        let mut kept = self.lock();
        if let Some(acked) = kept.sites.remove(&site) {
            kept.marker_count -= acked.markers.len();
        }
    }

    /// Reports that a read showed less of a site than Redis acknowledged.
    pub fn suspect(&self, site: SiteNumber) {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner).insert(site);
    }

    /// Suspected sites since the last call.
    pub fn take_suspects(&self) -> Vec<SiteNumber> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner).drain().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::merge_counts::{MergedRow, Writes};
    use super::*;

    const RUN: Source = Source::Run(7);

    fn reply(source: Source, writes: (i64, i64), total: Option<(i64, Option<i64>)>) -> Merged {
        let row = |(now, before): (i64, Option<i64>)| MergedRow {
            source: source.clone(),
            period: Period::Total,
            is_page: false,
            total: now,
            now: Register::Grown(now),
            before: before.map(Register::Grown),
        };
        Merged {
            rows: total.map(row).into_iter().collect(),
            markers: Vec::new(),
            writes: vec![Writes { source: source.clone(), before: writes.0, after: writes.1 }],
        }
    }

    fn day() -> Period {
        "2024-06-17".parse().unwrap()
    }

    #[test]
    fn a_reply_that_starts_where_the_last_ended_or_later_shows_no_loss() {
        let states = AckedStates::default();
        let site = SiteNumber(1);
        states.note(site, &reply(RUN, (0, 1), Some((5, None))));
        let acked = states.of(site);
        assert_eq!(acked.lost_in_reply(&reply(RUN, (1, 2), Some((6, Some(5))))), None);
        // Another node published a frozen source, too.
        assert_eq!(acked.lost_in_reply(&reply(RUN, (9, 9), Some((6, Some(6))))), None);
        // Another source says nothing of this one.
        assert_eq!(acked.lost_in_reply(&reply(Source::Run(8), (0, 1), Some((1, None)))), None);
    }

    #[test]
    fn fewer_writes_a_smaller_total_and_a_missing_marker_each_show_a_loss() {
        let states = AckedStates::default();
        let site = SiteNumber(1);
        states.note(site, &reply(RUN, (0, 3), Some((5, None))));
        states.note_markers(site, [(day(), RUN)], true);
        let acked = states.of(site);
        let lost = |reply: &Merged| acked.lost_in_reply(reply).unwrap();
        assert!(lost(&reply(RUN, (2, 3), None)).starts_with("2 writes of "));
        assert!(lost(&reply(RUN, (3, 4), Some((5, Some(4))))).starts_with("a total of 4 "));
        assert!(lost(&reply(RUN, (3, 4), Some((5, None)))).starts_with("no total by "));
        let mut marked = reply(RUN, (3, 3), None);
        marked.markers = vec![(day(), RUN, MarkerState::Absent)];
        assert_eq!(lost(&marked), "the pages of 2024-06-17 are gone");
        marked.markers = vec![(day(), RUN, MarkerState::Complete)];
        assert_eq!(acked.lost_in_reply(&marked), None);
    }

    #[test]
    fn a_state_that_is_read_is_compared_source_by_source_and_marker_by_marker() {
        let source = |writes, total| AckedSource { source: RUN, writes, total: Some(Register::Grown(total)) };
        let state = |sources, markers| AckedState { sources, markers };
        let acked = state(vec![source(3, 5)], vec![(day(), RUN)]);
        assert_eq!(acked.lost_in(&acked), None);
        assert_eq!(acked.lost_in(&state(vec![source(4, 9)], vec![(day(), RUN)])), None);
        assert!(acked.lost_in(&state(vec![source(2, 5)], vec![(day(), RUN)])).unwrap().starts_with("2 writes"));
        assert!(acked.lost_in(&state(vec![source(3, 4)], vec![(day(), RUN)])).unwrap().starts_with("a total of 4"));
        assert!(acked.lost_in(&state(Vec::new(), vec![(day(), RUN)])).unwrap().starts_with("0 writes"));
        assert!(acked.lost_in(&state(vec![source(3, 5)], Vec::new())).unwrap().contains("are gone"));
        assert_eq!(AckedState::default().lost_in(&AckedState::default()), None);
    }

    #[test]
    fn few_sources_are_remembered_and_a_repetition_pushes_out_none() {
        let states = AckedStates::default();
        let site = SiteNumber(1);
        for run in 1..=5 {
            states.note(site, &reply(Source::Run(run), (0, 1), None));
        }
        let runs = || states.of(site).sources.iter().map(|acked| acked.source.clone()).collect::<Vec<_>>();
        assert_eq!(runs(), [2, 3, 4, 5].map(Source::Run));
        states.note(site, &reply(Source::Run(9), (4, 4), None));
        assert_eq!(runs(), [2, 3, 4, 5].map(Source::Run));
        states.note(site, &reply(Source::Run(2), (1, 2), None));
        assert_eq!(runs(), [3, 4, 5, 2].map(Source::Run));
        states.forget(site);
        assert_eq!(states.of(site), AckedState::default());
    }

    #[test]
    fn of_frozen_sources_one_marker_a_key_is_kept_and_the_current_runs_beside_it() {
        let states = AckedStates::default();
        let site = SiteNumber(1);
        states.note_markers(site, [(day(), Source::Run(1)), (day(), Source::Run(2))], false);
        states.note_markers(site, [(day(), RUN), (day(), RUN)], true);
        states.note_markers(site, [(Period::Total, RUN)], true);
        assert_eq!(states.of(site).markers, [(day(), Source::Run(1)), (day(), RUN), (Period::Total, RUN)]);
        states.retain_markers(site, |period| period == Period::Total);
        assert_eq!(states.of(site).markers, [(Period::Total, RUN)]);
        assert_eq!(states.lock().marker_count, 1);
    }

    #[test]
    fn a_suspect_is_taken_once() {
        let states = AckedStates::default();
        states.suspect(SiteNumber(3));
        states.suspect(SiteNumber(3));
        assert_eq!(states.take_suspects(), [SiteNumber(3)]);
        assert_eq!(states.take_suspects(), []);
    }

    #[test]
    fn a_source_that_a_check_found_is_remembered_behind_the_known_ones_while_there_is_room() {
        let states = AckedStates::default();
        let site = SiteNumber(1);
        let found = |run| AckedSource { source: Source::Run(run), writes: 1, total: None };
        for run in [1, 2, 1, 3, 4, 5] {
            states.note_source(site, found(run));
        }
        assert_eq!(states.of(site).sources, [4, 3, 2, 1].map(found));
    }

    #[test]
    fn forgotten_and_expired_markers_make_room() {
        let states = AckedStates::default();
        for number in [1, 2] {
            states.note_markers(SiteNumber(number), [day(), Period::Total].map(|period| (period, RUN)), true);
        }
        states.retain_markers(SiteNumber(1), |_| false);
        assert_eq!(states.lock().marker_count, 2);
        states.forget(SiteNumber(2));
        assert_eq!(states.lock().marker_count, 0);
    }
}
