//! Bringing what the node's file holds of a site to Redis: history, and what Redis forgot.
//!
//! The order tells the truth at every moment: each source's marker says "being brought" before its
//! first page of a key, and "complete" after its last; the totals come at the very end.

use std::collections::{HashSet, VecDeque};

use super::node::RowKey;
use super::raise::{MarkerMode, MarkerState, ROWS_MAX, Raise, Raised};
use crate::counter::{Contribution, Period, Source};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Sources that are not known to be wholly in Redis.
    Unpublished,
    /// All, other nodes' too: Redis forgot.
    All,
}

/// What a sweep brings, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// What memory knows of the current run: today's figures.
    Recent,
    /// The site's own counters, totals apart.
    Own,
    Pages,
    /// Markers, then totals.
    Endings,
}

/// One site's sweep and how far it came.
#[derive(Debug)]
pub struct Sweep {
    pub scope: Scope,
    pub stage: Stage,
    /// The last row that was brought in this stage.
    pub after: Option<RowKey>,
    /// Sources of which something was brought.
    pub sources: HashSet<Source>,
    /// Keys of pages that it touched, with whose pages.
    pages: HashSet<(Period, Source)>,
    totals: Vec<Contribution>,
    endings: VecDeque<Raise>,
    /// More has changed meanwhile.
    pub again: Option<Scope>,
}

impl Sweep {
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            stage: Stage::Recent,
            after: None,
            sources: HashSet::new(),
            pages: HashSet::new(),
            totals: Vec::new(),
            endings: VecDeque::new(),
            again: None,
        }
    }

    /// The call that brings these rows.
    pub fn plan(&self, rows: &[Contribution]) -> Raise {
        let mut raise = Raise::default();
        let mut begun = HashSet::new();
        for row in rows.iter().filter(|row| !is_total(row)) {
            let place = (row.period, row.source.clone());
            if row.page.is_some() && !self.pages.contains(&place) && begun.insert(place) {
                raise.markers.push((row.period, row.source.clone(), MarkerMode::Begin));
            }
            raise.rows.push(row.clone());
        }
        raise
    }

    /// These rows are in Redis; `after`: the last of them, none at the stage's end.
    pub fn brought(&mut self, rows: Vec<Contribution>, after: Option<RowKey>) {
        for row in rows {
            self.sources.insert(row.source.clone());
            if row.page.is_some() {
                self.pages.insert((row.period, row.source));
            } else if is_total(&row) {
                self.totals.push(row);
            }
        }
        self.after = after;
        if after.is_none() {
            match self.stage {
                Stage::Recent | Stage::Own => self.stage = Stage::Pages,
                Stage::Pages | Stage::Endings => self.end(),
            }
        }
    }

    fn end(&mut self) {
        let mut pages: Vec<_> = self.pages.iter().cloned().collect();
        pages.sort();
        let markers = pages.chunks(ROWS_MAX).map(|chunk| Raise {
            rows: Vec::new(),
            markers: chunk.iter().map(|(period, source)| (*period, source.clone(), MarkerMode::End)).collect(),
        });
        let totals = self.totals.chunks(ROWS_MAX).map(|chunk| Raise { rows: chunk.to_vec(), markers: Vec::new() });
        self.endings = markers.chain(totals).collect();
        self.stage = Stage::Endings;
    }

    /// The next of the last calls; none when the sweep is through.
    pub fn ending(&self) -> Option<&Raise> {
        self.endings.front()
    }

    /// The last call was answered. False: a key was lost while it was being filled.
    pub fn ended(&mut self, raised: &Raised) -> bool {
        self.endings.pop_front();
        raised.markers.iter().all(|(_, _, state)| *state != MarkerState::Absent)
    }
}

fn is_total(row: &Contribution) -> bool {
    row.page.is_none() && row.period == Period::Total
}
