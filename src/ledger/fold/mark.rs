//! The fold mark: the position of folding in the journal and its entries.

use std::sync::Arc;

use super::entry::Entry;
use crate::ledger::sqlite::tables::meta::FoldMark;
use crate::ledger::sqlite::tables::sources::SourceNumber;

/// The fold in progress, or none.
#[derive(Debug)]
pub struct FoldProgress {
    pub mark: FoldMark,
    pub source: SourceNumber,
    /// The mark's `done` of them are in `counts`.
    entries: Arc<Vec<Entry>>,
}

impl FoldProgress {
    pub fn new(mark: FoldMark) -> Self {
        Self { mark, source: 0, entries: Arc::default() }
    }

    pub fn is_idle(&self) -> bool {
        self.mark.mark == self.mark.target
    }

    /// Starts a fold of the journal from the mark to `target`, all of one source. Rows of reloads alone have no
    /// entries.
    pub fn start(&mut self, entries: Arc<Vec<Entry>>, source: SourceNumber, target: i64) {
        debug_assert!(self.is_idle());
        self.source = source;
        self.mark.target = target;
        self.mark.done = 0;
        self.entries = entries;
    }

    /// The next entries, at most `limit`.
    pub fn next(&self, limit: usize) -> &[Entry] {
        let rest = &self.entries[self.mark.done..];
        &rest[..rest.len().min(limit)]
    }

    /// The mark after the next `entries`; after the last one it is at the target.
    pub fn mark_after(&self, entries: usize) -> FoldMark {
        let done = self.mark.done + entries;
        if done < self.entries.len() {
            FoldMark { done, ..self.mark }
        } else {
            FoldMark { mark: self.mark.target, target: self.mark.target, done: 0 }
        }
    }

    /// Moves to a mark that is on disk.
    pub fn advance(&mut self, mark: FoldMark) {
        self.mark = mark;
        if mark.mark == mark.target {
            self.entries = Arc::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::{Day, SiteNumber};

    const IDLE: FoldMark = FoldMark { mark: 4, target: 4, done: 0 };

    fn entries(number: u32) -> Arc<Vec<Entry>> {
        let day = Day::from_ymd(2024, 6, 17).unwrap();
        Arc::new((0..number).map(|site| Entry { site: SiteNumber(site), day, page: None, hits: 1 }).collect())
    }

    #[test]
    fn steps_move_the_mark_through_the_entries_and_then_to_the_target() {
        let mut fold = FoldProgress::new(IDLE);
        assert!(fold.is_idle() && fold.next(9).is_empty());
        fold.start(entries(5), 3, 9);
        assert!(!fold.is_idle());
        let mut folded = Vec::new();
        for done in [2, 4] {
            folded.extend(fold.next(2).to_vec());
            let mark = fold.mark_after(2);
            assert_eq!(mark, FoldMark { mark: 4, target: 9, done });
            // A transaction that failed leaves the mark.
            assert_eq!(fold.mark_after(2), mark);
            fold.advance(mark);
        }
        folded.extend(fold.next(2).to_vec());
        assert_eq!(folded, *entries(5));
        fold.advance(fold.mark_after(1));
        assert_eq!(fold.mark, FoldMark { mark: 9, target: 9, done: 0 });
        assert!(fold.is_idle() && fold.next(9).is_empty());
    }

    #[test]
    fn rows_without_entries_are_folded_by_the_mark_alone() {
        let mut fold = FoldProgress::new(IDLE);
        fold.start(entries(0), 3, 9);
        assert!(!fold.is_idle() && fold.next(9).is_empty());
        assert_eq!(fold.mark_after(0), FoldMark { mark: 9, target: 9, done: 0 });
    }
}
