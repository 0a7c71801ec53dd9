//! Sorts the next fold on a thread of its own: a hundred thousand pages take a hundred milliseconds, and hits would
//! wait for them.

use std::sync::Arc;
use std::thread::JoinHandle;

use crate::counter::Tally;

use super::entry::{Entry, entries};

#[derive(Debug)]
pub struct FoldSort {
    work: Work,
    /// The last journal row of the fold.
    pub target: i64,
}

#[derive(Debug)]
enum Work {
    Running(JoinHandle<Vec<Entry>>),
    Done(Vec<Entry>),
}

impl FoldSort {
    pub fn start(tally: &Arc<Tally>, target: i64) -> Self {
        let shared = Arc::clone(tally);
        let thread = std::thread::Builder::new().name("fold-sort".to_owned()).spawn(move || {
            // Low priority, where the system has priorities for threads.
            let _ = rustix::process::setpriority_process(None, 10);
            entries(&shared)
        });
        let work = match thread {
            Ok(thread) => Work::Running(thread),
            // Without a thread, hits wait.
            Err(_) => Work::Done(entries(tally)),
        };
        Self { work, target }
    }

    pub fn is_done(&self) -> bool {
        match &self.work {
            Work::Running(thread) => thread.is_finished(),
            Work::Done(_) => true,
        }
    }

    /// The sorted entries; waits for them.
    pub fn finish(self) -> Arc<Vec<Entry>> {
        Arc::new(match self.work {
            Work::Running(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Work::Done(entries) => entries,
        })
    }
}
