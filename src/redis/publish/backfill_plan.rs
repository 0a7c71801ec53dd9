//! Plan of a backfill: bringing a site's counts from the node's file to Redis, history as well as
//! counts that Redis forgot.
//!
//! Markers are true at every moment: a source's marker says "being brought" before its first page of
//! a key, and "complete" after its last. The totals come last.

use std::collections::{HashSet, VecDeque};

use super::merge_counts::{MarkerMode, MarkerState, MergeCounts, Merged, ROWS_MAX};
use crate::counter::RowKey;
use crate::counter::{Contribution, Period, Source};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Sources that the file doesn't mark as published.
    Unpublished,
    /// All sources, other nodes' too: Redis forgot.
    All,
}

/// Stages of a backfill, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The current run's newest counters, from memory: today's figures.
    Recent,
    /// The site's own counters, totals apart.
    SiteCounters,
    Pages,
    /// Markers, then totals.
    Finalizers,
}

/// Backfill of one site, and its progress.
#[derive(Debug)]
pub struct Backfill {
    pub scope: Scope,
    pub stage: Stage,
    /// Last row that was brought in this stage.
    pub after: Option<RowKey>,
    /// Sources of the rows that were brought.
    pub sources: HashSet<Source>,
    /// Keys of pages that were written, with the sources.
    pages: HashSet<(Period, Source)>,
    totals: Vec<Contribution>,
    finalizers: VecDeque<MergeCounts>,
    /// Another backfill was requested meanwhile.
    pub again: Option<Scope>,
}

impl Backfill {
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            stage: Stage::Recent,
            after: None,
            sources: HashSet::new(),
            pages: HashSet::new(),
            totals: Vec::new(),
            finalizers: VecDeque::new(),
            again: None,
        }
    }

    /// Call that brings these rows. Totals wait for the end.
    pub fn plan(&self, rows: &[Contribution]) -> MergeCounts {
        let mut merge = MergeCounts::default();
        let mut begun = HashSet::new();
        for row in rows.iter().filter(|row| !is_total(row)) {
            let place = (row.period, row.source.clone());
            if row.page.is_some() && !self.pages.contains(&place) && begun.insert(place) {
                merge.markers.push((row.period, row.source.clone(), MarkerMode::Begin));
            }
            merge.rows.push(row.clone());
        }
        merge
    }

    /// Records that these rows are in Redis. `after` is the last of them; none ends the stage.
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
                Stage::Recent | Stage::SiteCounters => self.stage = Stage::Pages,
                Stage::Pages | Stage::Finalizers => self.end(),
            }
        }
    }

    fn end(&mut self) {
        let mut pages: Vec<_> = self.pages.iter().cloned().collect();
        pages.sort();
        let markers = pages.chunks(ROWS_MAX).map(|chunk| MergeCounts {
            rows: Vec::new(),
            markers: chunk.iter().map(|(period, source)| (*period, source.clone(), MarkerMode::End)).collect(),
        });
        let totals =
            self.totals.chunks(ROWS_MAX).map(|chunk| MergeCounts { rows: chunk.to_vec(), markers: Vec::new() });
        self.finalizers = markers.chain(totals).collect();
        self.stage = Stage::Finalizers;
    }

    /// Next of the last calls; none when the backfill is complete.
    pub fn finalizer(&self) -> Option<&MergeCounts> {
        self.finalizers.front()
    }

    /// Records that the finalizer was answered. Returns false if a key was lost while it was being filled.
    pub fn finalized(&mut self, merged: &Merged) -> bool {
        self.finalizers.pop_front();
        merged.markers.iter().all(|(_, _, state)| *state != MarkerState::Absent)
    }
}

/// Site counters at the head of rows in the file's order, and the place to read on from: behind the
/// pages of the period where pages begin; none at the end of the file.
pub fn site_counters(rows: Vec<(RowKey, Contribution)>) -> (Vec<Contribution>, Option<RowKey>) {
    let first_page = rows.iter().find(|(_, row)| row.page.is_some());
    let after = match first_page {
        Some((key, _)) => Some(RowKey { page: i64::MAX, source: i64::MAX, ..*key }),
        None => rows.last().map(|(key, _)| *key),
    };
    let counters = rows.into_iter().map(|(_, row)| row).take_while(|row| row.page.is_none());
    (counters.collect(), after)
}

fn is_total(row: &Contribution) -> bool {
    row.page.is_none() && row.period == Period::Total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::{PageAddress, Register};

    fn row(run: u64, period: &str, page: Option<&str>) -> Contribution {
        Contribution {
            source: Source::Run(run),
            period: period.parse().unwrap(),
            page: page.map(PageAddress::from_stored),
            register: Register::Grown(1),
        }
    }

    fn key(page: i64) -> RowKey {
        RowKey { period: 1, page, source: 1 }
    }

    #[test]
    fn a_key_of_pages_is_marked_as_begun_once_for_each_source_and_totals_wait() {
        let mut backfill = Backfill::new(Scope::All);
        backfill.stage = Stage::Pages;
        let rows = [
            row(1, "2024", None),
            row(1, "total", None),
            row(1, "2024-06", Some("/a")),
            row(1, "2024-06", Some("/b")),
            row(2, "2024-06", Some("/a")),
        ];
        let merge = backfill.plan(&rows);
        assert_eq!(merge.rows.len(), 4, "all but the total");
        let begun: Vec<_> = merge.markers.iter().map(|(_, source, mode)| (source.clone(), *mode)).collect();
        assert_eq!(begun, [1, 2].map(|run| (Source::Run(run), MarkerMode::Begin)));
        backfill.brought(rows.to_vec(), Some(key(3)));
        assert_eq!(backfill.plan(&rows[2..]).markers, [], "begun already");
    }

    #[test]
    fn markers_end_after_all_pages_and_totals_come_last_in_calls_of_500() {
        let mut backfill = Backfill::new(Scope::All);
        let totals: Vec<_> = (0..501).map(|run| row(run, "total", None)).collect();
        backfill.brought(totals, None);
        assert_eq!(backfill.stage, Stage::Pages);
        let pages: Vec<_> = (0..501).map(|run| row(run, "2024-06", Some("/a"))).collect();
        backfill.brought(pages, None);
        assert_eq!(backfill.stage, Stage::Finalizers);
        let mut sizes = Vec::new();
        while let Some(merge) = backfill.finalizer().cloned() {
            assert!(merge.markers.iter().all(|(_, _, mode)| *mode == MarkerMode::End));
            assert!(merge.rows.iter().all(is_total));
            sizes.push((merge.markers.len(), merge.rows.len()));
            let states = merge.markers.into_iter().map(|(period, source, _)| (period, source, MarkerState::Complete));
            let reply = Merged { rows: Vec::new(), markers: states.collect(), writes: Vec::new() };
            assert!(backfill.finalized(&reply));
        }
        assert_eq!(sizes, [(ROWS_MAX, 0), (1, 0), (0, ROWS_MAX), (0, 1)]);
        assert_eq!(backfill.sources.len(), 501);
    }

    #[test]
    fn a_marker_that_is_gone_at_the_end_shows_that_the_key_was_lost() {
        let mut backfill = Backfill::new(Scope::All);
        let markers = |state| vec![(Period::Total, Source::Run(1), state)];
        let reply = |state| Merged { rows: Vec::new(), markers: markers(state), writes: Vec::new() };
        assert!(backfill.finalized(&reply(MarkerState::Begun)));
        assert!(!backfill.finalized(&reply(MarkerState::Absent)));
    }

    #[test]
    fn site_counters_are_read_up_to_the_first_page_and_then_from_the_next_period_on() {
        let site = |at| (key(at), row(1, "2024-06", None));
        let page = |at| (key(at), row(1, "2024-06", Some("/a")));
        let (counters, after) = site_counters(vec![site(0), site(0), page(4), page(5)]);
        assert_eq!((counters.len(), after), (2, Some(RowKey { period: 1, page: i64::MAX, source: i64::MAX })));
        assert_eq!(site_counters(vec![site(0)]).1, Some(key(0)));
        assert_eq!(site_counters(Vec::new()), (Vec::new(), None));
    }
}
