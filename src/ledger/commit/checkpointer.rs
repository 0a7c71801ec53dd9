//! Checkpoints: copying the log into the file, on a thread beside the committer.
//!
//! A log of 8 MiB takes milliseconds to copy, and every hit would wait. SQLite allows commits during a passive
//! checkpoint. The committer then copies the few pages that were added meanwhile and syncs, after which the log
//! restarts. A copy that fails here loses nothing: the log keeps the pages, and the committer gets the same error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::ledger::sqlite::wal;

/// Pages in the log at which a copy starts, so that the log stays short: 8 MiB.
const START_PAGES: u32 = 2_048;

/// The schedule of checkpoints, and the thread that copies the log.
#[derive(Debug)]
pub struct Checkpoints {
    /// Pages in the log as of the last commit, updated by SQLite.
    log_pages: Arc<AtomicU32>,
    start_at: u32,
    /// None once stopped.
    requests: Option<SyncSender<()>>,
    has_ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Nothing,
    /// Let the checkpointer copy the log.
    Start,
    /// Copy the rest, so that the next commit restarts the log.
    CopyRest,
}

impl Checkpoints {
    /// Starts the thread, with a connection of its own.
    pub fn start(log_pages: Arc<AtomicU32>, connection: Connection) -> std::io::Result<Self> {
        let (requests, requested) = sync_channel(1);
        let has_ended = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&has_ended);
        let thread = std::thread::Builder::new().name("checkpointer".to_owned()).spawn(move || {
            // Low priority, where the system has priorities for threads.
            let _ = rustix::process::setpriority_process(None, 10);
            for () in requested {
                if let Err(error) = wal::checkpoint(&connection) {
                    tracing::debug!("could not copy the log beside the commits: {error}");
                }
                ended.store(true, Ordering::Release);
            }
        })?;
        Ok(Self { log_pages, start_at: START_PAGES, requests: Some(requests), has_ended, thread: Some(thread) })
    }

    /// Starts or completes a checkpoint, if one is due.
    pub fn run_if_due(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let has_ended = self.has_ended.load(Ordering::Relaxed) && self.has_ended.swap(false, Ordering::Acquire);
        match next(self.log_pages.load(Ordering::Relaxed), has_ended, &mut self.start_at) {
            Next::Nothing => Ok(()),
            Next::Start => {
                // A full channel means that a copy is running.
                let _ = self.requests.as_ref().map(|requests| requests.try_send(()));
                Ok(())
            }
            Next::CopyRest => wal::checkpoint(connection),
        }
    }

    /// Copies the whole log; no copy starts after it.
    pub fn finish(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.stop();
        wal::checkpoint(connection)
    }

    /// Waits for a running copy and ends the thread.
    fn stop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been logged; there is no other result.
            let _ = thread.join();
        }
    }
}

/// While a reader needs the log, it keeps growing; a copy is tried again every `START_PAGES`.
fn next(log_pages: u32, has_ended: bool, start_at: &mut u32) -> Next {
    if has_ended {
        return Next::CopyRest;
    }
    if log_pages < START_PAGES {
        *start_at = START_PAGES;
    } else if log_pages >= *start_at {
        *start_at = log_pages.saturating_add(START_PAGES);
        return Next::Start;
    }
    Next::Nothing
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_starts_when_the_log_is_long_and_again_only_after_it_has_grown_as_much() {
        let mut start_at = START_PAGES;
        let mut at = |pages| next(pages, false, &mut start_at);
        assert_eq!(at(START_PAGES - 1), Next::Nothing);
        assert_eq!(at(START_PAGES + 5), Next::Start);
        assert_eq!(at(2 * START_PAGES), Next::Nothing);
        assert_eq!(at(2 * START_PAGES + 5), Next::Start);
        // The log has restarted.
        assert_eq!(at(1), Next::Nothing);
        assert_eq!(at(START_PAGES), Next::Start);
    }

    #[test]
    fn the_rest_is_copied_once_a_copy_has_ended() {
        let mut start_at = START_PAGES;
        assert_eq!(next(9 * START_PAGES, true, &mut start_at), Next::CopyRest);
        assert_eq!(start_at, START_PAGES);
    }

    #[test]
    fn a_due_copy_runs_beside_the_committer_which_then_copies_the_rest() {
        let file = Connection::open_in_memory().unwrap();
        let log_pages = Arc::new(AtomicU32::new(START_PAGES - 1));
        let mut checkpoints =
            Checkpoints::start(Arc::clone(&log_pages), Connection::open_in_memory().unwrap()).unwrap();
        checkpoints.run_if_due(&file).unwrap();
        log_pages.store(START_PAGES, Ordering::Relaxed);
        checkpoints.run_if_due(&file).unwrap();
        // Ends the thread after the copy that was asked for.
        checkpoints.finish(&file).unwrap();
        assert!(checkpoints.thread.is_none() && checkpoints.has_ended.load(Ordering::Relaxed));
        checkpoints.run_if_due(&file).unwrap();
        assert!(!checkpoints.has_ended.load(Ordering::Relaxed), "the rest is copied once");
        checkpoints.run_if_due(&file).unwrap();
    }
}
