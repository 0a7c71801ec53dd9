//! Copies the log into the file, on a thread of its own.
//!
//! A log of 8 MiB takes milliseconds to copy, for which every hit would wait. SQLite lets commits go on
//! beside a passive checkpoint; the committer is left with copying what they have added and with the
//! sync, which SQLite makes when a copy reaches the log's end. Only then the log begins anew. So a copy
//! that fails here loses nothing: the log keeps it, and the committer meets the same error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::store;

#[derive(Debug)]
pub struct Checkpointer {
    /// None once it is told to stop.
    wishes: Option<SyncSender<()>>,
    has_ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub fn start(connection: Connection) -> std::io::Result<Self> {
        let (wishes, wished) = sync_channel(1);
        let has_ended = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&has_ended);
        let thread = std::thread::Builder::new().name("checkpointer".to_owned()).spawn(move || {
            // Hits come first, where the system knows a priority for a thread.
            let _ = rustix::process::setpriority_process(None, 10);
            for () in wished {
                if let Err(error) = store::checkpoint(&connection) {
                    tracing::debug!("the log could not be copied beside the commits: {error}");
                }
                ended.store(true, Ordering::Release);
            }
        })?;
        Ok(Self { wishes: Some(wishes), has_ended, thread: Some(thread) })
    }

    /// Begins a copy, unless one is under way.
    pub fn begin(&self) {
        if let Some(wishes) = &self.wishes {
            // A full channel has a copy under way behind it.
            let _ = wishes.try_send(());
        }
    }

    /// Whether a copy has ended since this was asked last.
    pub fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed) && self.has_ended.swap(false, Ordering::Acquire)
    }

    /// Waits for a copy that is under way; none begins after it.
    pub fn stop(&mut self) {
        self.wishes = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell.
            let _ = thread.join();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop();
    }
}
