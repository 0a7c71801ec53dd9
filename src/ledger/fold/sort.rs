//! Sorts the next fold on a thread of its own: a hundred thousand pages take a hundred milliseconds, and hits would
//! wait for them.

use std::sync::Arc;
use std::thread::JoinHandle;

use crate::counter::Tally;

use super::entry::{Entry, entries};

#[derive(Debug)]
pub struct FoldSort {
    /// The entries, if no thread could be started.
    work: Result<JoinHandle<Vec<Entry>>, Vec<Entry>>,
    /// The last journal row of the fold.
    pub target: i64,
}

impl FoldSort {
    pub fn start(tally: &Arc<Tally>, target: i64) -> Self {
        let shared = Arc::clone(tally);
        let thread = std::thread::Builder::new().name("fold-sort".to_owned()).spawn(move || {
            // Low priority, where the system has priorities for threads.
            let _ = rustix::process::setpriority_process(None, 10);
            entries(&shared)
        });
        // Without a thread, hits wait.
        Self { work: thread.map_err(|_| entries(tally)), target }
    }

    pub fn is_done(&self) -> bool {
        self.work.as_ref().map_or(true, JoinHandle::is_finished)
    }

    /// The sorted entries; waits for them.
    pub fn finish(self) -> Arc<Vec<Entry>> {
        Arc::new(match self.work {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(entries) => entries,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::{Day, Hit, PageAddress, SiteNumber};

    #[test]
    fn a_sort_gives_the_entries_of_its_tally() {
        let mut tally = Tally::default();
        for page in ["/b", "/a", "/b"] {
            let day = Day::from_ymd(2024, 6, 17).unwrap();
            tally.add(Hit { site: SiteNumber(1), day, page: PageAddress::from_stored(page) });
        }
        let tally = Arc::new(tally);
        let sort = FoldSort::start(&tally, 9);
        assert_eq!(sort.target, 9);
        assert_eq!(*sort.finish(), entries(&tally));
        let without_thread = FoldSort { work: Err(entries(&tally)), target: 9 };
        assert!(without_thread.is_done());
        assert_eq!(*without_thread.finish(), entries(&tally));
    }
}
