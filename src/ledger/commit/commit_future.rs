//! A hit's way from its worker to the committer and back: one command and one wake-up per batch.
//!
//! A worker's hits join its open batch until the committer closes it. So hits that arrive during a sync share the
//! next one. The batch's first hit spawns a task, which sends the batch once no more hits are at hand, awaits the
//! commit, and wakes all that wait for it.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::batch::OpenBatch;
use super::queue::{Command, CommandQueue};
use crate::counter::Arrival;
use crate::ledger::error::LedgerError;

/// Resolves when its hit is on disk, or has been refused.
#[derive(Debug)]
pub struct CommitFuture {
    batch: Rc<WorkerBatch>,
}

/// The worker's side of a batch.
#[derive(Debug)]
struct WorkerBatch {
    hits: Arc<OpenBatch>,
    outcome: RefCell<Option<Result<(), LedgerError>>>,
    waiting: RefCell<Vec<Waker>>,
}

thread_local! {
    /// This worker's open batches, one per committer: a process has one committer, tests have more.
    static OPEN: RefCell<Vec<(usize, Rc<WorkerBatch>)>> = const { RefCell::new(Vec::new()) };
}

/// Adds a hit to the worker's open batch. Needs a single-threaded runtime.
pub fn count(queue: &CommandQueue, hit: Arrival) -> CommitFuture {
    OPEN.with_borrow_mut(|open| {
        let at = open.iter().position(|(id, _)| *id == queue.id);
        let mut hit = hit;
        if let Some(at) = at {
            let batch = &open[at].1;
            hit = match batch.hits.push(hit) {
                Ok(()) => return CommitFuture { batch: Rc::clone(batch) },
                Err(hit) => hit,
            };
        }
        let batch = Rc::new(WorkerBatch {
            hits: Arc::new(OpenBatch::with(hit)),
            outcome: RefCell::default(),
            waiting: RefCell::default(),
        });
        match at {
            Some(at) => open[at].1 = Rc::clone(&batch),
            None => open.push((queue.id, Rc::clone(&batch))),
        }
        tokio::task::spawn_local(send(queue.clone(), Rc::clone(&batch)));
        CommitFuture { batch }
    })
}

/// Lets the hits at hand join the batch: a sync costs as much as ten of them. An idle worker sends at once.
async fn gather(hits: &OpenBatch) {
    /// Longest time that a busy worker gathers.
    const BUSY: Duration = Duration::from_millis(1);
    let started = Instant::now();
    let mut gathered = 0;
    loop {
        let now = hits.len();
        if now == gathered || started.elapsed() >= BUSY {
            return;
        }
        gathered = now;
        // The runtime polls the kernel for arrived requests and runs those first.
        tokio::task::yield_now().await;
    }
}

async fn send(queue: CommandQueue, batch: Rc<WorkerBatch>) {
    gather(&batch.hits).await;
    let (done, committed) = oneshot::channel();
    let outcome = match queue.try_send(Command::Count { batch: Arc::clone(&batch.hits), done }) {
        Ok(()) => committed.await.unwrap_or_else(|_| Err(LedgerError::stopping())),
        Err(reason) => Err(reason),
    };
    // A refused batch is still open.
    batch.hits.close();
    batch.outcome.replace(Some(outcome));
    batch.waiting.take().into_iter().for_each(Waker::wake);
}

impl Future for CommitFuture {
    type Output = Result<(), LedgerError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &*self.batch.outcome.borrow() {
            Some(outcome) => Poll::Ready(outcome.clone()),
            None => {
                self.batch.waiting.borrow_mut().push(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
