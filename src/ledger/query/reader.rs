//! A thread that reads the node's file on a connection of its own, so that reads delay no commit.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::ledger::error::LedgerError;

/// Reads that may wait; more are refused.
const READS_MAX: usize = 1_024;

/// Time without a read after which the connection gives its page cache back.
const REST: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// Dropping it closes the connection.
#[derive(Debug)]
pub struct Reader {
    /// None while dropping.
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    pub fn start(name: &str, connection: Connection) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel::<Job>(READS_MAX);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&waiting, &connection))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (done, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Nobody waits any more for a read whose request has ended: others come sooner.
            if !done.is_closed() {
                drop(done.send(work(connection)));
            }
        });
        let is_taken = self.jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok());
        if !is_taken {
            return Err(LedgerError::new("too many reads of the node's file wait"));
        }
        match answer.await {
            Ok(outcome) => outcome.map_err(|error| LedgerError::unreadable(&error)),
            Err(_) => Err(LedgerError::stopping()),
        }
    }
}

fn work(waiting: &Receiver<Job>, connection: &Connection) {
    loop {
        match waiting.recv_timeout(REST) {
            Ok(job) => job(connection),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                // If it fails, the cache stays as it is: SQLite bounds it.
                let _ = connection.execute_batch("PRAGMA shrink_memory");
                let Ok(job) = waiting.recv() else { return };
                job(connection);
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been logged; there is no other result.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_read_whose_request_has_ended_is_not_done() {
        let reader = Reader::start("reader", Connection::open_in_memory().unwrap()).unwrap();
        let (go, wait) = sync_channel::<()>(1);
        let read = Arc::new(AtomicU32::new(0));
        let first = reader.read(move |_| {
            let _ = wait.recv();
            Ok(())
        });
        let count = |read: &Arc<AtomicU32>| {
            let read = Arc::clone(read);
            reader.read(move |_| Ok(read.fetch_add(1, Ordering::SeqCst)))
        };
        {
            let (mut first, mut abandoned) = (Box::pin(first), Box::pin(count(&read)));
            assert!((&mut first).now_or_never().is_none() && (&mut abandoned).now_or_never().is_none());
            drop(abandoned);
            go.send(()).unwrap();
            first.await.unwrap();
        }
        assert_eq!(count(&read).await.unwrap(), 0, "only the last read was done");
    }
}
