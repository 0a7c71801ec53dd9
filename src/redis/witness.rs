//! What Redis has confirmed to this node, by which a Redis that forgot is told.
//!
//! A Redis that went back lost the newest call first, so the newest `writes` of a site tell; a few
//! are kept, since other nodes may raise the same frozen source. A key of pages that is lost alone
//! tells by its markers: one source per key is enough, since a key is lost as a whole.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::raise::{MarkerState, Raised};
use crate::counter::{Period, Register, SiteNumber, Source};

/// Sources remembered for each site, the latest raised last.
const SOURCES_MAX: usize = 4;

/// Keys of pages remembered over all sites, about 50 MB. Beyond, the loss of a single key of pages
/// is found when the node starts again.
const MARKERS_MAX: usize = 1_000_000;

/// What was confirmed of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceWitness {
    pub source: Source,
    pub writes: i64,
    pub total: Option<Register>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Witness {
    pub sources: Vec<SourceWitness>,
    /// Two a period at most: one, and the current run's.
    pub markers: Vec<(Period, Source)>,
}

/// The witnesses of all sites.
#[derive(Default)]
pub struct Witnesses {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    sites: HashMap<SiteNumber, Witness>,
    marker_count: usize,
}

impl Witness {
    pub fn is_marked(&self, period: Period, source: &Source) -> bool {
        self.markers.iter().any(|(p, s)| *p == period && s == source)
    }

    /// What the reply to a call shows to be forgotten, in words; `self` is what was confirmed when
    /// the call was sent.
    pub fn missing_in(&self, raised: &Raised) -> Option<String> {
        for known in &self.sources {
            let fewer =
                raised.writes.iter().find(|writes| writes.source == known.source && writes.before < known.writes);
            if let Some(writes) = fewer {
                return Some(format!(
                    "{} writes of {} where {} were confirmed",
                    writes.before, known.source, known.writes
                ));
            }
            let row = raised
                .rows
                .iter()
                .find(|row| !row.is_page && row.period == Period::Total && row.source == known.source);
            if let Some(row) = row
                && let Some(lost) = known.lost(row.before)
            {
                return Some(lost);
            }
        }
        raised
            .markers
            .iter()
            .find(|(period, source, state)| *state == MarkerState::Absent && self.is_marked(*period, source))
            .map(|(period, ..)| format!("the pages of {period} are gone"))
    }

    fn note(&mut self, raised: &Raised) {
        for writes in &raised.writes {
            let known = self.sources.iter().position(|witness| witness.source == writes.source);
            // What is only repeated is no news, and must not push out what is.
            if known.is_none() && writes.after == writes.before && !self.sources.is_empty() {
                continue;
            }
            let mut witness = match known {
                Some(at) => self.sources.remove(at),
                None => SourceWitness { source: writes.source.clone(), writes: 0, total: None },
            };
            witness.writes = writes.after;
            let total = raised
                .rows
                .iter()
                .rfind(|row| !row.is_page && row.period == Period::Total && row.source == writes.source);
            witness.total = total.map(|row| row.now).or(witness.total);
            self.sources.push(witness);
            if self.sources.len() > SOURCES_MAX {
                self.sources.remove(0);
            }
        }
    }
}

impl SourceWitness {
    /// What is lost if Redis has `there` of the source's total.
    pub fn lost(&self, there: Option<Register>) -> Option<String> {
        let known = self.total?;
        match there {
            Some(there) if there.merge(known) == there => None,
            Some(there) => {
                Some(format!("a total of {} by {} where {} was confirmed", there.hits(), self.source, known.hits()))
            }
            None => Some(format!("no total by {} where {} was confirmed", self.source, known.hits())),
        }
    }
}

impl Witnesses {
    pub fn of(&self, site: SiteNumber) -> Witness {
        self.lock().sites.get(&site).cloned().unwrap_or_default()
    }

    pub fn note(&self, site: SiteNumber, raised: &Raised) {
        self.lock().sites.entry(site).or_default().note(raised);
    }

    /// Remembers what a look at Redis has shown.
    pub fn note_source(&self, site: SiteNumber, found: SourceWitness) {
        let mut kept = self.lock();
        let witness = kept.sites.entry(site).or_default();
        if witness.sources.len() < SOURCES_MAX && witness.sources.iter().all(|known| known.source != found.source) {
            witness.sources.insert(0, found);
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
        let witness = kept.sites.entry(site).or_default();
        for (period, source) in markers {
            let mut known = witness.markers.iter().filter(|(p, _)| *p == period);
            let is_known = if of_current_run { known.any(|(_, s)| *s == source) } else { known.next().is_some() };
            if !is_known && kept.marker_count < MARKERS_MAX {
                witness.markers.push((period, source));
                kept.marker_count += 1;
            }
        }
    }

    /// Forgets keys that are about to expire.
    pub fn retain_markers(&self, site: SiteNumber, keep: impl Fn(Period) -> bool) {
        let mut kept = self.lock();
        let kept = &mut *kept;
        if let Some(witness) = kept.sites.get_mut(&site) {
            let before = witness.markers.len();
            witness.markers.retain(|(period, _)| keep(*period));
            kept.marker_count -= before - witness.markers.len();
        }
    }

    /// Redis forgot: nothing counts as confirmed until it is raised again.
    pub fn forget(&self, site: SiteNumber) {
        let mut kept = self.lock();
        if let Some(witness) = kept.sites.remove(&site) {
            kept.marker_count -= witness.markers.len();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
