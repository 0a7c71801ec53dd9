//! From a worker's hits to the committer and back: one message a batch, one wake-up a batch.
//!
//! A worker's hits gather in a batch, which is open until the committer takes it: also while an
//! earlier one is being synced, so that whatever arrived during a sync shares the next. A task,
//! spawned by the batch's first hit, tells the committer of it once no more hits are at hand,
//! awaits its commit, and wakes all who wait.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::counter::Arrival;

use super::inbox::{Inbox, Message};

/// Why a hit is not known to be on disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotDurable(pub Arc<str>);

/// The hits of one worker that will share a commit; closed once the committer has taken them.
#[derive(Debug)]
pub struct Gathering(Mutex<Option<Vec<Arrival>>>);

impl Gathering {
    /// Gives the hit back if the batch is closed.
    fn push(&self, hit: Arrival) -> Result<(), Arrival> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(hits) => {
                hits.push(hit);
                Ok(())
            }
            None => Err(hit),
        }
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, Vec::len)
    }

    /// Closes the batch.
    pub fn take(&self) -> Vec<Arrival> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }
}

/// Resolves when the hit it was made for is on disk, or will not be.
#[derive(Debug)]
pub struct Durable {
    batch: Rc<Batch>,
}

#[derive(Debug)]
struct Batch {
    hits: Arc<Gathering>,
    outcome: RefCell<Option<Result<(), NotDurable>>>,
    waiting: RefCell<Vec<Waker>>,
}

thread_local! {
    /// The batches that gather on this worker, one a committer (a process has one; tests have more).
    static OPEN: RefCell<Vec<(usize, Rc<Batch>)>> = const { RefCell::new(Vec::new()) };
}

/// Puts a hit into the worker's batch. Called on a single-threaded runtime.
pub fn count(inbox: &Inbox, hit: Arrival) -> Durable {
    OPEN.with_borrow_mut(|open| {
        let at = open.iter().position(|(id, _)| *id == inbox.id());
        let mut hit = hit;
        if let Some(at) = at {
            let batch = &open[at].1;
            hit = match batch.hits.push(hit) {
                Ok(()) => return Durable { batch: Rc::clone(batch) },
                Err(hit) => hit,
            };
        }
        let batch = Rc::new(Batch {
            hits: Arc::new(Gathering(Mutex::new(Some(vec![hit])))),
            outcome: RefCell::default(),
            waiting: RefCell::default(),
        });
        match at {
            Some(at) => open[at].1 = Rc::clone(&batch),
            None => open.push((inbox.id(), Rc::clone(&batch))),
        }
        tokio::task::spawn_local(hand_over(inbox.clone(), Rc::clone(&batch)));
        Durable { batch }
    })
}

/// Lets hits join the batch that are at hand: a sync costs as much as ten of them.
///
/// It waits for nobody: a worker that has nothing else to do hands over at once.
async fn gather(hits: &Gathering) {
    /// A worker that always has something to do still hands over so often.
    const BUSY: Duration = Duration::from_millis(1);
    let started = Instant::now();
    let mut gathered = 0;
    loop {
        let now = hits.len();
        if now == gathered || started.elapsed() >= BUSY {
            return;
        }
        gathered = now;
        // The runtime asks the kernel for what has arrived, and runs that first.
        tokio::task::yield_now().await;
    }
}

async fn hand_over(inbox: Inbox, batch: Rc<Batch>) {
    gather(&batch.hits).await;
    let (done, committed) = oneshot::channel();
    let outcome = match inbox.try_send(Message::Hits { hits: Arc::clone(&batch.hits), done }) {
        Ok(()) => committed.await.unwrap_or_else(|_| Err(NotDurable("the node is stopping".into()))),
        Err(reason) => Err(reason),
    };
    // Where it was refused, nobody has closed it yet.
    batch.hits.take();
    batch.outcome.replace(Some(outcome));
    batch.waiting.take().into_iter().for_each(Waker::wake);
}

impl Future for Durable {
    type Output = Result<(), NotDurable>;

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
