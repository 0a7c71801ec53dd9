//! A worker's batch: the hits that will share a commit.

use std::sync::{Arc, Mutex};

use crate::counter::{Arrival, Tally};
use crate::ledger::memory::lock;

/// The hits of one worker, open until the committer closes the batch.
#[derive(Debug)]
pub struct OpenBatch(Mutex<Option<Vec<Arrival>>>);

impl OpenBatch {
    pub fn with(first: Arrival) -> Self {
        Self(Mutex::new(Some(vec![first])))
    }

    /// Adds a hit, or gives it back if the batch is closed.
    pub fn push(&self, hit: Arrival) -> Result<(), Arrival> {
        match &mut *lock(&self.0) {
            Some(hits) => {
                hits.push(hit);
                Ok(())
            }
            None => Err(hit),
        }
    }

    pub fn len(&self) -> usize {
        lock(&self.0).as_ref().map_or(0, Vec::len)
    }

    /// Closes the batch and takes its hits.
    pub fn close(&self) -> Vec<Arrival> {
        lock(&self.0).take().unwrap_or_default()
    }
}

/// All batches of one commit, closed and summed.
#[derive(Debug)]
pub struct ClosedBatch {
    pub tally: Tally,
    pub hits: usize,
    /// True without hits and reloads.
    pub is_empty: bool,
}

impl ClosedBatch {
    pub fn of(batches: &[Arc<OpenBatch>]) -> Self {
        let arrivals: Vec<_> = batches.iter().map(|batch| batch.close()).collect();
        let number = arrivals.iter().map(Vec::len).sum();
        let mut batch = Self { tally: Tally::with_room_for(number), hits: 0, is_empty: number == 0 };
        for arrival in arrivals.into_iter().flatten() {
            batch.hits += usize::from(arrival.is_hit());
            batch.tally.add_arrival(arrival);
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::{Day, Hit, Minute, PageAddress, SiteNumber, Trace, Visit};

    fn hit(page: &str) -> Arrival {
        let day = Day::from_ymd(2024, 6, 17).unwrap();
        Hit { site: SiteNumber(1), day, page: PageAddress::from_stored(page) }.into()
    }

    #[test]
    fn a_closed_batch_gives_a_late_hit_back() {
        let batch = OpenBatch::with(hit("/a"));
        batch.push(hit("/b")).unwrap();
        assert_eq!((batch.len(), batch.close().len()), (2, 2));
        assert!(batch.push(hit("/c")).is_err());
        assert_eq!((batch.len(), batch.close().len()), (0, 0));
    }

    #[test]
    fn the_batches_of_a_commit_become_one_tally() {
        let batches =
            [OpenBatch::with(hit("/a")), OpenBatch::with(hit("/a")), OpenBatch::with(hit("/b"))].map(Arc::new);
        batches[2].close();
        let closed = ClosedBatch::of(&batches);
        assert_eq!((closed.hits, closed.is_empty, closed.tally.len()), (2, false, 1));
        let again = ClosedBatch::of(&batches);
        assert_eq!((again.hits, again.is_empty, again.tally.len()), (0, true, 0));
    }

    #[test]
    fn a_reload_is_written_though_it_is_no_hit() {
        let visit = Visit { trace: Trace::of(b"a"), minute: Minute::from_number(1), earlier: None };
        let day = Day::from_ymd(2024, 6, 17).unwrap();
        let batch = Arc::new(OpenBatch::with(Arrival::Reload { site: SiteNumber(1), day, visit }));
        let closed = ClosedBatch::of(&[batch]);
        assert_eq!((closed.hits, closed.is_empty), (0, false));
    }
}
