//! The one thread that writes the node's file.
//!
//! It takes what has gathered, writes it as one journal row, syncs, changes the figures in memory,
//! and then releases all whose hits were in it. Between commits, in small steps, it folds what is
//! journalled into `counts`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::counter::{Contribution, Day, Hit, Period, SiteId, SiteNumber, Source, Tally};
use crate::metrics::Metrics;

use super::fold::Fold;
use super::hand_over::NotDurable;
use super::live::Live;
use super::outbox::Outbox;
use super::store::{self, Place, SITE_ITSELF, SourceNumber};

/// Hand-overs and commands that may wait; a worker that finds it full answers 503.
const INBOX_MESSAGES_MAX: usize = 4_096;

/// Different pages in the tail at which folding starts whatever the time.
const TAIL_PAGES_MAX: usize = 32_768;

/// Entries folded in one step while hits are arriving, and while none are.
const STEP_BUSY: usize = 64;
const STEP_IDLE: usize = 1_024;

/// Commits after which the log is copied into the file, so that it stays short.
const CHECKPOINT_COMMITS: u32 = 1_000;

/// What the committer is asked to do.
#[derive(Debug)]
pub enum Message {
    Hits {
        hits: Vec<Hit>,
        done: oneshot::Sender<Result<(), NotDurable>>,
    },
    /// Bring counters of a site into memory.
    Load {
        site: SiteNumber,
        periods: Vec<Period>,
        done: oneshot::Sender<Result<(), NotDurable>>,
    },
    /// Give sites their numbers.
    Enroll {
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
    /// Fold all that is journalled.
    Fold {
        done: oneshot::Sender<Result<(), NotDurable>>,
    },
    /// Fold, copy the log into the file, and end.
    Stop,
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
            std::sync::mpsc::TrySendError::Full(_) => NotDurable("too many hits wait for the disk".into()),
            std::sync::mpsc::TrySendError::Disconnected(_) => NotDurable("the node is stopping".into()),
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

/// The committer's own state.
pub struct Committer {
    pub connection: Connection,
    pub messages: Receiver<Message>,
    pub live: Arc<Live>,
    pub outbox: Arc<Outbox>,
    pub metrics: Arc<Metrics>,
    pub run: Source,
    pub fold_interval: Duration,
    pub last_number: i64,
    /// None until the run's first hit.
    pub run_number: Option<SourceNumber>,
    pub tail: Tally,
    pub fold: Fold,
    pub commits_since_checkpoint: u32,
    pub row: Vec<u8>,
    pub prune: bool,
}

type Waiting = Vec<oneshot::Sender<Result<(), NotDurable>>>;

impl Committer {
    /// Runs until it is told to stop, or until the disk fails: then every later message is refused,
    /// since after a failed sync nobody knows what is on disk (the kernel may have dropped pages).
    pub fn run(mut self) {
        let mut last_fold = Instant::now();
        loop {
            let idle = self.fold.is_idle() && !self.prune;
            let wait = if idle { self.fold_interval.saturating_sub(last_fold.elapsed()) } else { Duration::ZERO };
            let first = match self.messages.recv_timeout(wait.max(Duration::from_micros(u64::from(idle)))) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Message::Stop),
            };
            let is_busy = first.is_some();
            match self.turn(first, &mut last_fold, if is_busy { STEP_BUSY } else { STEP_IDLE }) {
                Ok(true) => {}
                Ok(false) => return,
                Err(reason) => return self.fail(&reason),
            }
        }
    }

    /// One round: what has gathered, one commit, perhaps a step of folding. False: stopped.
    fn turn(&mut self, first: Option<Message>, last_fold: &mut Instant, step: usize) -> Result<bool, NotDurable> {
        let mut hits = Vec::new();
        let mut waiting = Waiting::new();
        let mut commands = Vec::new();
        let mut next = first;
        while let Some(message) = next {
            match message {
                Message::Hits { hits: more, done } => {
                    hits.extend(more);
                    waiting.push(done);
                }
                command => commands.push(command),
            }
            next = self.messages.try_recv().ok();
        }
        if self.fold.is_idle() {
            let is_due = last_fold.elapsed() >= self.fold_interval || self.tail.len() >= TAIL_PAGES_MAX;
            if is_due && !self.tail.is_empty() {
                self.start_fold();
                *last_fold = Instant::now();
            } else if is_due {
                *last_fold = Instant::now();
            }
        }
        let outcome = self.commit(hits, step);
        for done in waiting {
            // A waiter that has gone (its client has) needs no answer.
            let _ = done.send(outcome.clone());
        }
        outcome?;
        for command in commands {
            if !self.obey(command)? {
                return Ok(false);
            }
        }
        self.checkpoint_if_due()?;
        Ok(true)
    }

    /// Writes a batch as one journal row together with a step of folding, and syncs.
    fn commit(&mut self, hits: Vec<Hit>, step: usize) -> Result<(), NotDurable> {
        let fold_is_idle = self.fold.is_idle();
        if hits.is_empty() && fold_is_idle && !self.prune {
            return Ok(());
        }
        let started = Instant::now();
        let batch_hits = hits.len();
        let mut tally = Tally::default();
        hits.into_iter().for_each(|hit| tally.add(hit));
        self.load_missing(&tally)?;
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(disk)?;
        if batch_hits > 0 {
            self.journal(&tally)?;
        }
        let folded = if fold_is_idle { Vec::new() } else { self.fold_step(step)? };
        if self.prune && fold_is_idle {
            let mark = self.fold.mark().mark;
            self.prune = store::prune_journal(&self.connection, mark, 64).map_err(disk)?;
        }
        self.connection.execute_batch("COMMIT").map_err(disk)?;
        self.commits_since_checkpoint += 1;
        // From here on the batch is on disk.
        self.finish_fold_step(folded);
        if batch_hits > 0 {
            self.metrics.commit_duration.observe(started.elapsed().as_secs_f64());
            self.metrics.commit_batch_hits.observe(batch_hits as f64);
            if self.outbox.is_used() {
                self.metrics.redis_unpublished_hits.inc_by(i64::try_from(batch_hits).unwrap_or(0));
            }
            self.show(&tally);
            self.tail.merge(tally);
            self.metrics.ledger_tail_hits.inc_by(i64::try_from(batch_hits).unwrap_or(0));
        }
        Ok(())
    }

    fn journal(&mut self, tally: &Tally) -> Result<(), NotDurable> {
        let source = match self.run_number {
            Some(number) => number,
            None => *self.run_number.insert(store::source_number(&self.connection, &self.run, false).map_err(disk)?),
        };
        self.row.clear();
        tally.encode(&mut self.row);
        self.last_number += 1;
        store::append_journal(&self.connection, self.last_number, source, &self.row).map_err(disk)
    }

    /// Brings the counters that the tally will change into memory, before it changes them.
    fn load_missing(&mut self, tally: &Tally) -> Result<(), NotDurable> {
        for (hit, _) in tally.iter() {
            let live = self.live.get_or_insert(hit.site);
            for period in hit.day.site_periods() {
                if !live.has(period) {
                    self.load(hit.site, period, false)?;
                    live.forget_old(hit.day, self.fold.mark().mark);
                }
            }
        }
        Ok(())
    }

    fn load(&self, site: SiteNumber, period: Period, learned: bool) -> Result<(), NotDurable> {
        let counts = store::site_counts(&self.connection, site, period).map_err(disk)?;
        self.live.get_or_insert(site).load(period, self.run_number, &counts, learned);
        Ok(())
    }

    /// Changes the figures in memory and notes what is to be published.
    fn show(&self, tally: &Tally) {
        let mut by_day: HashMap<(SiteNumber, Day), u64> = HashMap::new();
        for (hit, hits) in tally.iter() {
            *by_day.entry((hit.site, hit.day)).or_default() += hits;
        }
        for ((site, day), hits) in by_day {
            let hits = i64::try_from(hits).unwrap_or(i64::MAX);
            self.live.get_or_insert(site).add(&day.site_periods(), hits, self.last_number);
            self.outbox.site_changed(site);
        }
    }

    fn start_fold(&mut self) {
        if let Some(source) = self.run_number {
            let tail = std::mem::take(&mut self.tail);
            self.fold.start(tail, source, self.last_number);
        }
    }

    /// Folds the next entries within the transaction that is open; returns them.
    fn fold_step(&mut self, step: usize) -> Result<Vec<super::fold::Entry>, NotDurable> {
        let started = Instant::now();
        let entries = self.fold.take_step(step);
        for entry in &entries {
            let publish = Some((&*self.outbox, &self.run));
            fold_entry(&self.connection, publish, self.fold.source(), entry).map_err(disk)?;
        }
        store::write_fold_mark(&self.connection, self.fold.mark()).map_err(disk)?;
        self.metrics.fold_duration.observe(started.elapsed().as_secs_f64());
        Ok(entries)
    }

    fn finish_fold_step(&mut self, entries: Vec<super::fold::Entry>) {
        for entry in entries.iter().filter(|entry| entry.page.is_none()) {
            if let Some(live) = self.live.get(entry.site) {
                live.fold(&entry.day.site_periods(), entry.hits);
            }
            self.metrics.ledger_tail_hits.dec_by(entry.hits);
        }
        if !entries.is_empty() && self.fold.is_idle() {
            self.prune = true;
        }
    }

    fn fold_all(&mut self) -> Result<(), NotDurable> {
        loop {
            if self.fold.is_idle() {
                if self.tail.is_empty() {
                    return Ok(());
                }
                self.start_fold();
            }
            self.commit(Vec::new(), STEP_IDLE)?;
        }
    }

    /// False: stopped.
    fn obey(&mut self, command: Message) -> Result<bool, NotDurable> {
        match command {
            Message::Hits { .. } => {}
            Message::Load { site, periods, done } => {
                let live = self.live.get_or_insert(site);
                for period in periods.into_iter().filter(|period| !live.has(*period)) {
                    self.load(site, period, false)?;
                }
                let _ = done.send(Ok(()));
            }
            Message::Enroll { ids, done } => {
                let numbers = self.in_transaction(|c| store::enroll(c, &ids))?;
                let _ = done.send(Ok(numbers));
            }
            Message::Merge { site, contributions, learned, done } => {
                self.merge(site, &contributions, learned)?;
                let _ = done.send(Ok(()));
            }
            Message::MarkPublished { site, sources, done } => {
                self.in_transaction(|c| {
                    for source in &sources {
                        if let Some(number) = store::find_source(c, source)? {
                            store::set_published(c, site, number, true)?;
                        }
                    }
                    Ok(())
                })?;
                self.reload(site, false)?;
                let _ = done.send(Ok(()));
            }
            Message::Fold { done } => {
                self.fold_all()?;
                let _ = done.send(Ok(()));
            }
            Message::Stop => {
                self.fold_all()?;
                self.checkpoint()?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn merge(&mut self, site: SiteNumber, contributions: &[Contribution], learned: bool) -> Result<(), NotDurable> {
        let run = self.run.clone();
        self.in_transaction(|c| {
            let mut numbers = HashMap::new();
            for contribution in contributions.iter().filter(|contribution| contribution.source != run) {
                let source = &contribution.source;
                let number = match numbers.get(source) {
                    Some(number) => *number,
                    None => {
                        let number = store::source_number(c, source, learned)?;
                        store::note_contributor(c, site, number, learned)?;
                        if !learned {
                            store::set_published(c, site, number, false)?;
                        }
                        numbers.insert(source.clone(), number);
                        number
                    }
                };
                let page = match &contribution.page {
                    None => SITE_ITSELF,
                    Some(page) => store::page_number(c, site, page)?,
                };
                store::merge(
                    c,
                    Place { site, period: contribution.period, page, source: number },
                    contribution.register,
                )?;
            }
            Ok(())
        })?;
        self.reload(site, learned)?;
        if !learned {
            self.outbox.history_changed(site);
        }
        Ok(())
    }

    /// Reads a site's counters again after the file has changed under them.
    fn reload(&self, site: SiteNumber, learned: bool) -> Result<(), NotDurable> {
        let Some(live) = self.live.get(site) else { return Ok(()) };
        live.periods().into_iter().try_for_each(|period| self.load(site, period, learned))
    }

    fn in_transaction<T>(&mut self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, NotDurable> {
        let transaction = self.connection.transaction().map_err(disk)?;
        let value = work(&transaction).map_err(disk)?;
        transaction.commit().map_err(disk)?;
        self.commits_since_checkpoint += 1;
        Ok(value)
    }

    fn checkpoint_if_due(&mut self) -> Result<(), NotDurable> {
        if self.commits_since_checkpoint >= CHECKPOINT_COMMITS { self.checkpoint() } else { Ok(()) }
    }

    fn checkpoint(&mut self) -> Result<(), NotDurable> {
        self.commits_since_checkpoint = 0;
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).map_err(disk)
    }

    /// Refuses all that comes, until nobody can send any more.
    fn fail(self, reason: &NotDurable) {
        tracing::error!("the node's file can't be written: {reason}; hits are refused until it is restarted");
        self.outbox.set_failed(reason.clone());
        while let Ok(message) = self.messages.recv() {
            match message {
                Message::Hits { done, .. }
                | Message::Load { done, .. }
                | Message::Merge { done, .. }
                | Message::MarkPublished { done, .. }
                | Message::Fold { done } => drop(done.send(Err(reason.clone()))),
                Message::Enroll { done, .. } => drop(done.send(Err(reason.clone()))),
                Message::Stop => return,
            }
        }
    }
}

/// Adds one entry of the tail to `counts`, and to what the current run publishes, if it is its own.
pub fn fold_entry(
    connection: &Connection,
    publish: Option<(&Outbox, &Source)>,
    source: SourceNumber,
    entry: &super::fold::Entry,
) -> rusqlite::Result<()> {
    let site = entry.site;
    match &entry.page {
        None => {
            store::note_contributor(connection, site, source, false)?;
            for period in entry.day.site_periods() {
                store::add(connection, Place { site, period, page: SITE_ITSELF, source }, entry.hits)?;
            }
        }
        Some(page) => {
            let number = store::page_number(connection, site, page)?;
            for period in entry.day.page_periods() {
                let hits = store::add(connection, Place { site, period, page: number, source }, entry.hits)?;
                if let Some((outbox, run)) = publish {
                    outbox.page_changed(site, run, period, page, hits);
                }
            }
        }
    }
    Ok(())
}

fn disk(error: rusqlite::Error) -> NotDurable {
    NotDurable(error.to_string().into())
}
