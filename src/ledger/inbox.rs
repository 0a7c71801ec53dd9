//! What the committer can be asked, and the bounded queue by which it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use tokio::sync::oneshot;

use crate::counter::{Contribution, Day, Minute, Period, SiteId, SiteNumber, Source};

use super::expiry::RowPlace;
use super::hand_over::{Gathering, NotDurable};
use super::salts::KnownSalt;

/// Hand-overs and commands that may wait; a worker that finds it full answers 503.
const INBOX_MESSAGES_MAX: usize = 4_096;

/// What the committer is asked to do.
#[derive(Debug)]
pub enum Message {
    /// A worker's hits, as many as there are when it is taken.
    Hits {
        hits: Arc<Gathering>,
        done: oneshot::Sender<Result<(), NotDurable>>,
    },
    /// Bring counters of a site into memory.
    Load {
        site: SiteNumber,
        periods: Vec<Period>,
        done: oneshot::Sender<Result<(), NotDurable>>,
    },
    /// Give sites their numbers.
    Register {
        ids: Vec<SiteId>,
        done: oneshot::Sender<Result<Vec<SiteNumber>, NotDurable>>,
    },
    /// Merge statements of other sources than the current run into `counts`.
    Merge {
        site: SiteNumber,
        contributions: Vec<Contribution>,
        learned: bool,
        done: oneshot::Sender<Result<(), NotDurable>>,
    },
    MarkPublished {
        site: SiteNumber,
        sources: Vec<Source>,
        done: oneshot::Sender<Result<(), NotDurable>>,
    },
    /// Bring a site's visitors into memory.
    LoadVisitors {
        site: SiteNumber,
        done: oneshot::Sender<Result<(), NotDurable>>,
    },
    /// Keep a salt, unless the day has one that counts before it; the answer is the one that counts.
    KeepSalt {
        site: SiteNumber,
        day: Day,
        offered: KnownSalt,
        done: oneshot::Sender<Result<KnownSalt, NotDurable>>,
    },
    /// Delete these salts, and sketches of days and minutes before those named.
    ForgetVisitors {
        salts: Vec<(SiteNumber, Day)>,
        before: (Day, Minute),
        done: oneshot::Sender<Result<(), NotDurable>>,
    },
    /// Delete counts of pages.
    Delete {
        site: SiteNumber,
        rows: Vec<RowPlace>,
        done: oneshot::Sender<Result<(), NotDurable>>,
    },
    /// Fold all that is journalled.
    Fold {
        done: oneshot::Sender<Result<(), NotDurable>>,
    },
    /// Fold, copy the log into the file, and end.
    Stop,
}

impl Message {
    /// Answers that what was asked can't be done.
    pub fn refuse(self, reason: &NotDurable) {
        let refusal = reason.clone();
        // Whoever has gone needs no answer.
        match self {
            Self::Hits { done, .. }
            | Self::Load { done, .. }
            | Self::Merge { done, .. }
            | Self::MarkPublished { done, .. }
            | Self::LoadVisitors { done, .. }
            | Self::ForgetVisitors { done, .. }
            | Self::Delete { done, .. }
            | Self::Fold { done } => drop(done.send(Err(refusal))),
            Self::Register { done, .. } => drop(done.send(Err(refusal))),
            Self::KeepSalt { done, .. } => drop(done.send(Err(refusal))),
            Self::Stop => {}
        }
    }
}

/// Where messages for the committer go.
#[derive(Debug, Clone)]
pub struct Inbox {
    sender: SyncSender<Message>,
    id: usize,
}

impl Inbox {
    pub fn try_send(&self, message: Message) -> Result<(), NotDurable> {
        self.sender.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => NotDurable("too many hits wait for the disk".into()),
            TrySendError::Disconnected(_) => NotDurable("the node is stopping".into()),
        })
    }

    /// For the end of the process, where waiting is right.
    pub fn send_stop(&self) {
        // An error means that the committer has ended already.
        let _ = self.sender.send(Message::Stop);
    }

    pub fn id(&self) -> usize {
        self.id
    }
}

pub fn inbox() -> (Inbox, Receiver<Message>) {
    static NEXT_ID: AtomicUsize = AtomicUsize::new(0);
    let (sender, receiver) = sync_channel(INBOX_MESSAGES_MAX);
    (Inbox { sender, id: NEXT_ID.fetch_add(1, Ordering::Relaxed) }, receiver)
}
