//! The committer's commands, and the bounded queue that carries them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use tokio::sync::oneshot;

use super::batch::OpenBatch;
use super::failure::WriteFailure;
use super::file_writer::FileWriter;
use crate::ledger::error::LedgerError;

/// Commands that may wait; a worker that finds the queue full answers 503.
const COMMANDS_MAX: usize = 4_096;

/// The answer to a command.
pub type Done<T = ()> = oneshot::Sender<Result<T, LedgerError>>;

/// Work on the file and the state in memory. Refused with a reason, it only answers.
pub type Work = Box<dyn FnOnce(Result<&mut FileWriter, &LedgerError>) -> Result<(), WriteFailure> + Send>;

pub enum Command {
    /// Commit a worker's batch, with all hits that it has by then.
    Count { batch: Arc<OpenBatch>, done: Done },
    /// Change or load something else than hits.
    Work(Work),
    /// Fold the whole journal.
    Fold { done: Done },
    /// Answer once no staged import moves to the counts.
    AfterImport { done: Done },
    /// Fold the whole journal, copy the log into the file, and end.
    Stop,
}

impl Command {
    /// Answers with the reason for a refusal.
    pub fn refuse(self, reason: &LedgerError) {
        match self {
            // A client that has gone needs no answer.
            Self::Count { done, .. } | Self::Fold { done } | Self::AfterImport { done } => {
                drop(done.send(Err(reason.clone())))
            }
            Self::Work(work) => drop(work(Err(reason))),
            Self::Stop => {}
        }
    }
}

/// The sending end of the queue.
#[derive(Debug, Clone)]
pub struct CommandQueue {
    sender: SyncSender<Command>,
    /// The number of this queue's committer in the process.
    pub id: usize,
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

    /// Runs work in the committer's thread, and answers with its outcome.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut FileWriter) -> Result<T, WriteFailure> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let command = |done: Done<T>| {
            Command::Work(Box::new(move |file| {
                let done_in_place = |file: &mut FileWriter| {
                    let value = work(file)?;
                    file.check_place()?;
                    Ok(value)
                };
                let (answer, outcome) = match file.map(done_in_place) {
                    Ok(Ok(value)) => (Ok(value), Ok(())),
                    Ok(Err(failure)) => (Err(WriteFailure::reason(&failure).clone()), Err(failure)),
                    Err(reason) => (Err(reason.clone()), Ok(())),
                };
                // A client that has gone needs no answer.
                let _ = done.send(answer);
                outcome
            }))
        };
        self.ask(command).await
    }

    /// Sends `Stop`, waiting for room: at the end of the process that is right.
    pub fn send_stop(&self) {
        // An error means that the committer has ended.
        let _ = self.sender.send(Command::Stop);
    }
}

pub fn command_queue() -> (CommandQueue, Receiver<Command>) {
    static NEXT_ID: AtomicUsize = AtomicUsize::new(0);
    let (sender, receiver) = sync_channel(COMMANDS_MAX);
    (CommandQueue { sender, id: NEXT_ID.fetch_add(1, Ordering::Relaxed) }, receiver)
}
