//! Sorts what is folded next, on a thread of its own: a hundred thousand pages take a hundred
//! milliseconds, for which hits would wait.

use std::sync::Arc;
use std::thread::JoinHandle;

use crate::counter::Tally;

use super::fold::{self, Entry};

#[derive(Debug)]
pub struct Sorting {
    work: Work,
    /// The last journal row that it covers.
    pub target: i64,
}

#[derive(Debug)]
enum Work {
    UnderWay(JoinHandle<Vec<Entry>>),
    Done(Vec<Entry>),
}

impl Sorting {
    pub fn begin(tally: &Arc<Tally>, target: i64) -> Self {
        let shared = Arc::clone(tally);
        let thread = std::thread::Builder::new().name("sorting".to_owned()).spawn(move || {
            // Hits come first, where the system knows a priority for a thread.
            let _ = rustix::process::setpriority_process(None, 10);
            fold::entries(&shared)
        });
        let work = match thread {
            Ok(thread) => Work::UnderWay(thread),
            // Where there can be no thread, hits wait.
            Err(_) => Work::Done(fold::entries(tally)),
        };
        Self { work, target }
    }

    pub fn is_done(&self) -> bool {
        match &self.work {
            Work::UnderWay(thread) => thread.is_finished(),
            Work::Done(_) => true,
        }
    }

    /// Waits for it.
    pub fn entries(self) -> Arc<Vec<Entry>> {
        Arc::new(match self.work {
            Work::UnderWay(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Work::Done(entries) => entries,
        })
    }
}
