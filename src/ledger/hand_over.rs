//! From a worker's hits to the committer and back: one hand-over a batch, one wake-up a batch.
//!
//! Hits that a worker accepts while its other tasks are ready gather in a batch of its own thread.
//! A task, spawned by the batch's first hit and so behind all that is ready, hands the batch over,
//! awaits its commit, and wakes all who wait.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::sync::oneshot;

use crate::counter::Hit;

use super::inbox::{Inbox, Message};

/// Why a hit is not known to be on disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotDurable(pub Arc<str>);

/// Resolves when the hit it was made for is on disk, or will not be.
#[derive(Debug)]
pub struct Durable {
    batch: Rc<Batch>,
}

#[derive(Debug, Default)]
struct Batch {
    hits: RefCell<Vec<Hit>>,
    outcome: RefCell<Option<Result<(), NotDurable>>>,
    waiting: RefCell<Vec<Waker>>,
    handed_over: Cell<bool>,
}

thread_local! {
    /// The batch that gathers on this worker, per committer (a process has one; tests have more).
    static GATHERING: RefCell<HashMap<usize, Rc<Batch>>> = RefCell::default();
}

/// Puts a hit into the worker's batch. Called on a single-threaded runtime.
pub fn count(inbox: &Inbox, hit: Hit) -> Durable {
    GATHERING.with_borrow_mut(|gathering| {
        let batch = gathering.entry(inbox.id()).or_default();
        if batch.handed_over.get() {
            *batch = Rc::default();
        }
        let is_first = batch.hits.borrow().is_empty();
        batch.hits.borrow_mut().push(hit);
        if is_first {
            tokio::task::spawn_local(hand_over(inbox.clone(), Rc::clone(batch)));
        }
        Durable { batch: Rc::clone(batch) }
    })
}

async fn hand_over(inbox: Inbox, batch: Rc<Batch>) {
    batch.handed_over.set(true);
    let (done, committed) = oneshot::channel();
    let hits = batch.hits.take();
    let outcome = match inbox.try_send(Message::Hits { hits, done }) {
        Err(reason) => Err(reason),
        Ok(()) => committed.await.unwrap_or_else(|_| Err(NotDurable("the node is stopping".into()))),
    };
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
