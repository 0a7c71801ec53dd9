//! The committer's commands, and the bounded queue that carries them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use tokio::sync::oneshot;

use super::batch::OpenBatch;
use crate::counter::{Contribution, Day, Minute, Period, RowKey, SiteId, SiteNumber, Source};
use crate::ledger::error::LedgerError;
use crate::ledger::sqlite::tables::salts::KnownSalt;

/// Commands that may wait; a worker that finds the queue full answers 503.
const COMMANDS_MAX: usize = 4_096;

/// The answer to a command.
pub type Done<T = ()> = oneshot::Sender<Result<T, LedgerError>>;

#[derive(Debug)]
pub enum Command {
    /// Commit a worker's batch, with all hits that it has by then.
    Count {
        batch: Arc<OpenBatch>,
        done: Done,
    },
    /// Load counters of a site into memory.
    LoadCounters {
        site: SiteNumber,
        periods: Vec<Period>,
        done: Done,
    },
    /// Number sites.
    Register {
        ids: Vec<SiteId>,
        done: Done<Vec<SiteNumber>>,
    },
    /// Merge counts of other sources than the current run; `remote` ones come from Redis.
    Merge {
        site: SiteNumber,
        contributions: Vec<Contribution>,
        remote: bool,
        done: Done,
    },
    MarkPublished {
        site: SiteNumber,
        sources: Vec<Source>,
        done: Done,
    },
    /// Load a site's sketches into memory.
    LoadSketches {
        site: SiteNumber,
        done: Done,
    },
    /// Keep a salt, unless the day has one with precedence; the answer is the salt that counts.
    KeepSalt {
        site: SiteNumber,
        day: Day,
        offered: KnownSalt,
        done: Done<KnownSalt>,
    },
    /// Delete salts, and sketches of days and minutes before those given.
    ForgetVisitors {
        salts: Vec<(SiteNumber, Day)>,
        before: (Day, Minute),
        done: Done,
    },
    /// Delete counts of pages.
    DeleteRows {
        site: SiteNumber,
        rows: Vec<RowKey>,
        done: Done,
    },
    /// Fold the whole journal.
    Fold {
        done: Done,
    },
    /// Fold the whole journal, copy the log into the file, and end.
    Stop,
}

impl Command {
    /// Answers with the reason for a refusal.
    pub fn refuse(self, reason: &LedgerError) {
        let refusal = reason.clone();
        // A client that has gone needs no answer.
        match self {
            Self::Count { done, .. }
            | Self::LoadCounters { done, .. }
            | Self::Merge { done, .. }
            | Self::MarkPublished { done, .. }
            | Self::LoadSketches { done, .. }
            | Self::ForgetVisitors { done, .. }
            | Self::DeleteRows { done, .. }
            | Self::Fold { done } => drop(done.send(Err(refusal))),
            Self::Register { done, .. } => drop(done.send(Err(refusal))),
            Self::KeepSalt { done, .. } => drop(done.send(Err(refusal))),
            Self::Stop => {}
        }
    }
}

/// The sending end of the queue.
#[derive(Debug, Clone)]
pub struct CommandQueue {
    sender: SyncSender<Command>,
    id: usize,
}

impl CommandQueue {
    pub fn try_send(&self, command: Command) -> Result<(), LedgerError> {
        self.sender.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => LedgerError::new("too many hits wait for the disk"),
            TrySendError::Disconnected(_) => LedgerError::stopping(),
        })
    }

    /// Sends a command and awaits its answer.
    pub async fn ask<T>(&self, command: impl FnOnce(Done<T>) -> Command) -> Result<T, LedgerError> {
        let (done, answer) = oneshot::channel();
        self.try_send(command(done))?;
        answer.await.unwrap_or_else(|_| Err(LedgerError::stopping()))
    }

    /// Sends `Stop`, waiting for room: at the end of the process that is right.
    pub fn send_stop(&self) {
        // An error means that the committer has ended.
        let _ = self.sender.send(Command::Stop);
    }

    /// The number of this queue's committer in the process.
    pub fn id(&self) -> usize {
        self.id
    }
}

pub fn command_queue() -> (CommandQueue, Receiver<Command>) {
    static NEXT_ID: AtomicUsize = AtomicUsize::new(0);
    let (sender, receiver) = sync_channel(COMMANDS_MAX);
    (CommandQueue { sender, id: NEXT_ID.fetch_add(1, Ordering::Relaxed) }, receiver)
}
