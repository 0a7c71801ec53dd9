//! The one thread that writes the node's file.
//!
//! It takes what has gathered, writes it as one journal row, syncs, changes the figures in memory,
//! and then releases all whose hits were in it. Between commits, in small steps, it folds what is
//! journalled into `counts`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use crate::counter::{Contribution, Day, Minute, Period, SiteNumber, Source, Tally, Window};
use crate::metrics::Metrics;

use super::admission::Admission;
use super::checkpointer::Checkpointer;
use super::crowd::{Crowd, Crowds};
use super::expiry;
use super::fold::{Entry, Fold};
use super::hand_over::{Gathering, NotDurable};
use super::high_water::{HighWater, Reached};
use super::inbox::Message;
use super::live::{Live, LiveSite};
use super::outbox::Outbox;
use super::salts::{KnownSalt, Salts};
use super::sketches;
use super::sorting::Sorting;
use super::store::{self, Place, SITE_ITSELF, SourceNumber};
use super::tail::Tail;
use super::titles;
use super::trouble::Trouble;

/// Different pages in the tail at which folding starts whatever the time; about 20 MB. Where 100,000
/// sites have a page each, each has some hits to be folded at once.
const TAIL_PAGES_MAX: usize = 110_000;

/// Where so many come while others are being folded, that must go faster.
const HURRY_PAGES: usize = 32_768;

/// What is added to a commit of hits; each waits for it.
const WITH_HITS: Step = Step { entries: 64, time: Duration::from_micros(100) };
/// And what a commit does where none have come for a time; one that does waits for it.
const AT_REST: Step = Step { entries: 1_024, time: Duration::from_millis(5) };
/// Where nobody waits.
const AT_THE_END: Step = Step { entries: 1_024, time: Duration::from_secs(1) };

/// How often it is looked whether what is folded next is sorted, while nothing else is to be done.
const SORTING_LOOK: Duration = Duration::from_millis(1);

/// How long after a hit the next one is expected.
const NEXT_HIT: Duration = Duration::from_millis(50);

/// Entries that weigh as much as one site's visitors: a sketch can be three pages of the file.
const CROWD_ENTRIES: usize = 16;

/// How long cutting the log may wait for those who read in it.
const CUT_WAIT: Duration = Duration::from_millis(50);

/// Pages in the log at which it is copied into the file, so that it stays short: 8 MiB.
pub const CHECKPOINT_PAGES: u32 = 2_048;

/// How often a full or locked file is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The committer's own state.
pub struct Committer {
    pub connection: Connection,
    pub messages: Receiver<Message>,
    pub live: Arc<Live>,
    pub outbox: Arc<Outbox>,
    pub metrics: Arc<Metrics>,
    pub run: Source,
    pub fold_interval: Duration,
    pub reached: Reached,
    pub high_water: HighWater,
    /// None until the run's first hit.
    pub run_number: Option<SourceNumber>,
    pub tail: Arc<Tail>,
    pub fold: Fold,
    /// What is folded next.
    pub sorting: Option<Sorting>,
    /// When a batch was last committed.
    pub last_hits: Instant,
    /// Who waits until the journal is folded up to a row.
    pub folds_wanted: Vec<(i64, oneshot::Sender<Result<(), NotDurable>>)>,
    pub crowds: Arc<Crowds>,
    pub salts: Arc<Salts>,
    /// Sites whose visitors the file gets before the fold in progress goes on: once they are there,
    /// the journal may be pruned of them.
    pub unfolded_crowds: Vec<SiteNumber>,
    /// The log still holds salts that are deleted.
    pub cuts_log: bool,
    /// Pages in the log as of the last commit, told by SQLite.
    pub log_pages: Arc<AtomicU32>,
    pub checkpoint_at: u32,
    pub checkpointer: Checkpointer,
    pub row: Vec<u8>,
    pub prune: bool,
    pub admission: Arc<Admission>,
    pub titles: Arc<titles::Given>,
    /// Set when a fold has ended: then titles' pages have numbers.
    pub titles_are_due: bool,
}

/// How much one commit folds: so many entries, or what can be done in that time.
#[derive(Debug, Clone, Copy)]
struct Step {
    entries: usize,
    time: Duration,
}

impl Step {
    /// Four times as much for each `HURRY_PAGES` in the tail: where hits bring new pages faster than small
    /// steps fold them, it must not grow for ever.
    fn hurried(self, tail_pages: usize) -> Self {
        let factor = 1 << (2 * (tail_pages / HURRY_PAGES).min(4));
        Self { entries: self.entries * factor, time: self.time * factor as u32 }
    }
}

type Waiting = Vec<oneshot::Sender<Result<(), NotDurable>>>;

/// What comes after a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Go,
    Stop,
}

impl Committer {
    /// Runs until it is told to stop.
    pub fn run(mut self) {
        let mut last_fold = Instant::now();
        loop {
            let next = match self.receive(last_fold) {
                Ok(first) => self.turn(first, &mut last_fold),
                Err(RecvTimeoutError::Timeout) => self.turn(None, &mut last_fold),
                Err(RecvTimeoutError::Disconnected) => Ok(Next::Stop),
            };
            let next = match next {
                Err(Trouble::Passing(reason)) => self.wait_it_out(&reason),
                Err(Trouble::Lasting(reason)) => self.refuse_for_good(&reason),
                Ok(next) => next,
            };
            if next == Next::Stop {
                return;
            }
        }
    }

    /// The next message; waits for one only while there is nothing to fold or prune.
    fn receive(&self, last_fold: Instant) -> Result<Option<Message>, RecvTimeoutError> {
        let is_idle = self.fold.is_idle() && !self.prune && !self.titles_are_due && self.unfolded_crowds.is_empty();
        if is_idle && (self.folds_wanted.is_empty() || self.sorting.is_some()) {
            let until_fold = self.fold_interval.saturating_sub(last_fold.elapsed()).max(Duration::from_micros(1));
            let wait = if self.sorting.is_some() { SORTING_LOOK } else { until_fold };
            return self.messages.recv_timeout(wait).map(Some);
        }
        match self.messages.try_recv() {
            Ok(message) => Ok(Some(message)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
        }
    }

    /// One round: what has gathered, one commit, perhaps a step of folding.
    fn turn(&mut self, first: Option<Message>, last_fold: &mut Instant) -> Result<Next, Trouble> {
        let mut gathered = Vec::new();
        let mut waiting = Waiting::new();
        let mut commands = Vec::new();
        let mut next = first;
        while let Some(message) = next {
            match message {
                Message::Hits { hits: more, done } => {
                    gathered.push(more);
                    waiting.push(done);
                }
                command => commands.push(command),
            }
            next = self.messages.try_recv().ok();
        }
        let is_due = last_fold.elapsed() >= self.fold_interval
            || self.tail.len() >= TAIL_PAGES_MAX
            || !self.folds_wanted.is_empty();
        if self.fold.is_idle() && is_due && self.sorting.is_none() {
            self.prepare_fold();
            *last_fold = Instant::now();
        }
        if self.sorting.as_ref().is_some_and(Sorting::is_done) {
            self.start_fold();
        }
        if !gathered.is_empty() {
            self.last_hits = Instant::now();
        }
        let is_at_rest = self.last_hits.elapsed() > NEXT_HIT;
        let step = if is_at_rest { AT_REST } else { WITH_HITS.hurried(self.tail.len()) };
        let mut outcome = self.commit(&gathered, step);
        let answer = outcome.as_ref().copied().map_err(|trouble| trouble.reason().clone());
        for done in waiting {
            // A waiter that has gone (its client has) needs no answer.
            let _ = done.send(answer.clone());
        }
        let mut next = Next::Go;
        for command in commands {
            match &outcome {
                Ok(()) if matches!(command, Message::Stop) => next = Next::Stop,
                Ok(()) => outcome = self.obey(command).and_then(|()| self.checkpoint_if_due()),
                Err(trouble) => command.refuse(trouble.reason()),
            }
        }
        outcome?;
        self.answer_folds();
        if next == Next::Stop {
            self.fold_all()?;
            self.answer_folds();
            self.checkpointer.stop();
            store::checkpoint(&self.connection)?;
        } else {
            self.checkpoint_if_due()?;
        }
        Ok(next)
    }

    /// Writes a batch as one journal row together with a step of folding, and syncs.
    fn commit(&mut self, gathered: &[Arc<Gathering>], step: Step) -> Result<(), Trouble> {
        let fold_is_idle = self.fold.is_idle();
        if gathered.is_empty() && fold_is_idle && !self.prune && !self.titles_are_due {
            return Ok(());
        }
        let started = Instant::now();
        let arrivals: Vec<_> = gathered.iter().map(|gathering| gathering.take()).collect();
        let is_news = arrivals.iter().any(|batch| !batch.is_empty());
        let mut batch_hits = 0_usize;
        let mut tally = Tally::with_room_for(arrivals.iter().map(Vec::len).sum());
        for arrival in arrivals.into_iter().flatten() {
            batch_hits += usize::from(arrival.is_hit());
            tally.add_arrival(arrival);
        }
        let by_day = tally.by_day();
        let changing = self.load_missing(&by_day)?;
        for site in tally.visited_sites() {
            self.load_crowd(site)?;
        }
        let mut number = self.reached.journal;
        let mut run_number = self.run_number;
        let mut has_more_to_prune = self.prune;
        let writes_titles = fold_is_idle && self.titles_are_due;
        let mut titles = titles::Taken::new(&self.titles, if writes_titles { step.entries / 4 } else { 0 });
        let mut homeless = Vec::new();
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if is_news {
            let source = match run_number {
                Some(number) => number,
                None => *run_number.insert(store::source_number(&transaction, &self.run, false)?),
            };
            number += 1;
            self.row.clear();
            tally.encode(&mut self.row);
            store::append_journal(&transaction, number, source, &self.row)?;
        }
        let visitors = tally.take_visitors();
        let folds_crowds = !self.unfolded_crowds.is_empty();
        let crowds_left = self.unfolded_crowds.len().saturating_sub(step.entries / CROWD_ENTRIES);
        let mut folded_crowds = FoldedCrowds::default();
        let mut folded = 0;
        if folds_crowds {
            folded_crowds.fold(&transaction, &self.crowds, &self.unfolded_crowds[crowds_left..])?;
        } else if fold_is_idle {
            if self.prune {
                has_more_to_prune = store::prune_journal(&transaction, self.fold.mark().mark, 64)?;
            }
            for title in titles.titles() {
                if titles::write(&transaction, title)? {
                    self.outbox.title_changed(title.clone());
                } else {
                    homeless.push(title.clone());
                }
            }
        } else {
            let started = Instant::now();
            for entry in self.fold.next(step.entries) {
                let told = Told { outbox: &self.outbox, admission: &self.admission };
                fold_entry(&transaction, Some(told), self.fold.source(), entry)?;
                folded += 1;
                if started.elapsed() > step.time {
                    break;
                }
            }
            store::write_fold_mark(&transaction, self.fold.mark_after(folded))?;
            self.metrics.fold_step_duration_seconds.observe(started.elapsed().as_secs_f64());
        }
        transaction.commit()?;
        // From here on the batch is on disk; what is remembered of the file changes with it.
        if number > self.reached.journal {
            self.reached.journal = number;
            self.high_water.note(self.reached);
        }
        self.run_number = run_number;
        self.prune = has_more_to_prune;
        if fold_is_idle && !folds_crowds {
            // Those whose pages are not folded yet wait for the next fold, with those that came meanwhile.
            self.titles_are_due &= titles.titles().len() > homeless.len();
            titles.are_on_disk_but(homeless);
        }
        if folds_crowds {
            folded_crowds.are_on_disk();
            self.unfolded_crowds.truncate(crowds_left);
        } else if !fold_is_idle {
            self.finish_fold_step(folded);
        }
        if is_news {
            self.metrics.commit_duration_seconds.observe(started.elapsed().as_secs_f64());
            self.metrics.commit_batch_hits.observe(batch_hits as f64);
            let batch_hits = i64::try_from(batch_hits).unwrap_or(0);
            if self.outbox.is_used() {
                self.metrics.redis_unpublished_hits.add(batch_hits);
            }
            for (site, window, trace) in visitors {
                self.crowds.add(site, window, trace);
            }
            self.show(&by_day, &changing);
            self.tail.add(tally, by_day.iter().map(|(_, day, _)| *day));
            self.metrics.ledger_tail_hits.add(batch_hits);
        }
        Ok(())
    }

    /// Brings the counters that a tally will change into memory, before it changes them.
    fn load_missing(&mut self, by_day: &[(SiteNumber, Day, u64)]) -> Result<Vec<Arc<LiveSite>>, Trouble> {
        let mut changing = Vec::with_capacity(by_day.len());
        for (site, day, _) in by_day {
            let live = self.live.get_or_insert(*site);
            if !live.has_day(*day) {
                for period in day.site_periods() {
                    if !live.has(period) {
                        self.load(*site, period, false)?;
                    }
                }
            }
            changing.push(live);
        }
        Ok(changing)
    }

    fn load(&self, site: SiteNumber, period: Period, learned: bool) -> Result<(), Trouble> {
        let counts = store::site_counts(&self.connection, site, period)?;
        self.live.get_or_insert(site).load(period, self.run_number, &counts, learned);
        Ok(())
    }

    /// Changes the figures in memory and notes what is to be published.
    fn show(&self, by_day: &[(SiteNumber, Day, u64)], changing: &[Arc<LiveSite>]) {
        let mut other_days = Vec::new();
        for ((site, day, hits), live) in by_day.iter().zip(changing) {
            let hits = i64::try_from(*hits).unwrap_or(i64::MAX);
            if live.add(*day, hits, self.reached.journal) {
                other_days.push((live, *day));
            }
            self.outbox.site_changed(*site);
        }
        // Not sooner: an older day of the same commit would be forgotten before its hits are added.
        for (live, day) in other_days {
            live.forget_old(day, self.fold.mark().mark);
        }
    }

    /// The journal goes beyond what is folded or being folded; also where the tail is empty, since rows
    /// of reloads alone are to be pruned too.
    fn has_unfolded(&self) -> bool {
        self.reached.journal > self.fold.mark().target
    }

    /// Has what has gathered sorted beside the commits.
    fn prepare_fold(&mut self) {
        if self.sorting.is_none() && self.run_number.is_some() && self.has_unfolded() {
            self.sorting = Some(Sorting::begin(&self.tail.set_aside(), self.reached.journal));
        }
    }

    /// Begins to fold what is sorted.
    fn start_fold(&mut self) {
        if let Some(source) = self.run_number
            && let Some(sorting) = self.sorting.take()
        {
            let target = sorting.target;
            let entries = sorting.entries();
            self.tail.fold(Arc::clone(&entries));
            self.fold.start(entries, source, target);
            self.unfolded_crowds = self.crowds.take_unfolded();
        }
    }

    fn finish_fold_step(&mut self, folded: usize) {
        for entry in self.fold.next(folded).iter().filter(|entry| entry.page.is_none()) {
            if let Some(live) = self.live.get(entry.site) {
                live.fold(&entry.day.site_periods(), entry.hits);
            }
            self.metrics.ledger_tail_hits.sub(entry.hits);
        }
        let mark = self.fold.mark_after(folded);
        self.fold.advance(mark);
        self.tail.advance(mark);
        if self.fold.is_idle() {
            self.prune = true;
            self.titles_are_due = !self.titles.waiting().is_empty();
        }
    }

    /// Tells those whose rows are folded now.
    fn answer_folds(&mut self) {
        if self.folds_wanted.is_empty() || self.titles_are_due {
            return;
        }
        let mark = self.fold.mark().mark;
        let (folded, waiting): (Vec<_>, Vec<_>) = self.folds_wanted.drain(..).partition(|(number, _)| *number <= mark);
        self.folds_wanted = waiting;
        for (_, done) in folded {
            // Whoever has gone needs no answer.
            let _ = done.send(Ok(()));
        }
    }

    fn fold_all(&mut self) -> Result<(), Trouble> {
        loop {
            if self.fold.is_idle() {
                if !self.has_unfolded() {
                    break;
                }
                self.prepare_fold();
                self.start_fold();
            }
            self.commit(&[], AT_THE_END)?;
        }
        // All pages have numbers now.
        self.titles_are_due = !self.titles.waiting().is_empty();
        while self.titles_are_due {
            self.commit(&[], AT_THE_END)?;
        }
        Ok(())
    }

    fn obey(&mut self, command: Message) -> Result<(), Trouble> {
        match command {
            // Both are the round's own affair.
            Message::Hits { .. } | Message::Stop => Ok(()),
            Message::Load { site, periods, done } => reply(done, self.load_wanted(site, periods)),
            Message::Register { ids, done } => reply(done, self.in_transaction(|c| store::register(c, &ids))),
            Message::Merge { site, contributions, learned, done } => {
                reply(done, self.merge(site, &contributions, learned))
            }
            Message::MarkPublished { site, sources, done } => reply(done, self.mark_published(site, &sources)),
            Message::LoadVisitors { site, done } => reply(done, self.load_crowd(site)),
            Message::KeepSalt { site, day, offered, done } => reply(done, self.keep_salt(site, day, offered)),
            Message::ForgetVisitors { salts, before, done } => reply(done, self.forget_visitors(&salts, before)),
            Message::Delete { site, rows, done } => {
                reply(done, self.in_transaction(|c| expiry::delete(c, site, &rows)))
            }
            // Folded in steps, between the commits of what arrives meanwhile.
            Message::Fold { done } => {
                self.folds_wanted.push((self.reached.journal, done));
                Ok(())
            }
        }
    }

    fn load_wanted(&mut self, site: SiteNumber, periods: Vec<Period>) -> Result<(), Trouble> {
        let live = self.live.get_or_insert(site);
        periods.into_iter().filter(|period| !live.has(*period)).try_for_each(|period| self.load(site, period, false))
    }

    fn load_crowd(&self, site: SiteNumber) -> Result<(), Trouble> {
        if self.crowds.get(site).is_none() {
            self.crowds.load(site, sketches::of_site(&self.connection, site)?);
        }
        Ok(())
    }

    fn keep_salt(&mut self, site: SiteNumber, day: Day, offered: KnownSalt) -> Result<KnownSalt, Trouble> {
        let known = self.salts.get(site, day);
        let kept = known.map_or(offered, |known| known.or(offered));
        if known != Some(kept) {
            self.in_transaction(|c| sketches::write_salt(c, site, day, kept))?;
            self.salts.insert(site, day, kept);
        }
        Ok(kept)
    }

    fn forget_visitors(&mut self, salts: &[(SiteNumber, Day)], (day, minute): (Day, Minute)) -> Result<(), Trouble> {
        // From memory first: nothing is hashed with a salt that is being deleted.
        self.salts.remove(salts);
        self.crowds.forget_before(day, minute);
        self.connection.pragma_update(None, "secure_delete", "ON")?;
        let forgotten = self.in_transaction(|c| {
            sketches::forget_before(c, day, minute)?;
            sketches::delete_salts(c, salts)
        });
        self.connection.pragma_update(None, "secure_delete", "FAST")?;
        forgotten?;
        // The log holds them until it is cut off. Where someone reads in it, that is tried again.
        self.cuts_log |= !salts.is_empty();
        if self.cuts_log {
            self.connection.busy_timeout(CUT_WAIT)?;
            let is_cut = store::cut_log(&self.connection);
            self.connection.busy_timeout(store::BUSY_TIMEOUT)?;
            self.cuts_log = !is_cut?;
        }
        Ok(())
    }

    fn mark_published(&mut self, site: SiteNumber, sources: &[Source]) -> Result<(), Trouble> {
        self.in_transaction(|c| {
            for source in sources {
                if let Some(number) = store::find_source(c, source)? {
                    store::set_published(c, site, number, true)?;
                }
            }
            Ok(())
        })?;
        self.reload(site, false)
    }

    fn merge(&mut self, site: SiteNumber, contributions: &[Contribution], learned: bool) -> Result<(), Trouble> {
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
                let place = Place { site, period: contribution.period, page, source: number };
                if store::merge(c, place, contribution.register)? && learned {
                    store::note_partly_learned(c, number)?;
                }
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
    fn reload(&self, site: SiteNumber, learned: bool) -> Result<(), Trouble> {
        let Some(live) = self.live.get(site) else { return Ok(()) };
        live.periods().into_iter().try_for_each(|period| self.load(site, period, learned))
    }

    fn in_transaction<T>(&mut self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Trouble> {
        let transaction = self.connection.transaction()?;
        let value = work(&transaction)?;
        let changes = store::note_change(&transaction)?;
        transaction.commit()?;
        self.reached.changes = changes;
        self.high_water.note(self.reached);
        Ok(value)
    }

    /// Has the log copied into the file once it is long, and copies the rest, so that the next commit
    /// begins it anew. Where someone still reads in it, it goes on growing, and that is tried again.
    fn checkpoint_if_due(&mut self) -> Result<(), Trouble> {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if self.checkpointer.has_ended() {
            store::checkpoint(&self.connection)?;
        } else if pages < CHECKPOINT_PAGES {
            self.checkpoint_at = CHECKPOINT_PAGES;
        } else if pages >= self.checkpoint_at {
            self.checkpoint_at = pages.saturating_add(CHECKPOINT_PAGES);
            self.checkpointer.begin();
        }
        Ok(())
    }

    /// Refuses all that comes until the file can be written again.
    fn wait_it_out(&mut self, reason: &NotDurable) -> Next {
        tracing::error!("{reason}; hits are refused until that has passed");
        self.refuse_folds(reason);
        self.outbox.set_failed(Some(reason.clone()));
        loop {
            if self.refuse_until(reason, Instant::now() + RETRY_INTERVAL) == Next::Stop {
                // What is journalled is on disk, and folded at the next start.
                return Next::Stop;
            }
            // A transaction that changes nothing and writes all the same.
            let mark = self.fold.mark();
            match self.in_transaction(|c| store::write_fold_mark(c, mark)) {
                Ok(()) => break,
                Err(Trouble::Passing(_)) => {}
                Err(Trouble::Lasting(reason)) => return self.refuse_for_good(&reason),
            }
        }
        tracing::info!("the node's file can be written again; hits are taken");
        self.outbox.set_failed(None);
        Next::Go
    }

    /// After a failed sync nobody knows what is on disk, so nothing is acknowledged any more.
    fn refuse_for_good(&mut self, reason: &NotDurable) -> Next {
        self.refuse_folds(reason);
        tracing::error!("{reason}; hits are refused until the node is started again");
        self.outbox.set_failed(Some(reason.clone()));
        while self.refuse_until(reason, Instant::now() + RETRY_INTERVAL) == Next::Go {}
        Next::Stop
    }

    fn refuse_folds(&mut self, reason: &NotDurable) {
        for (_, done) in self.folds_wanted.drain(..) {
            let _ = done.send(Err(reason.clone()));
        }
    }

    fn refuse_until(&self, reason: &NotDurable, end: Instant) -> Next {
        loop {
            match self.messages.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return Next::Stop,
                Ok(message) => message.refuse(reason),
                Err(RecvTimeoutError::Timeout) => return Next::Go,
            }
        }
    }
}

/// Sketches that a transaction writes; given back if it comes to nothing.
#[derive(Default)]
struct FoldedCrowds(Vec<(Arc<Crowd>, Vec<Window>)>);

impl FoldedCrowds {
    fn fold(&mut self, connection: &Connection, crowds: &Crowds, sites: &[SiteNumber]) -> rusqlite::Result<()> {
        for site in sites {
            let Some(crowd) = crowds.get(*site) else { continue };
            let unfolded = crowd.take_unfolded();
            self.0.push((crowd, unfolded.iter().map(|(window, _)| *window).collect()));
            for (window, sketch) in &unfolded {
                sketches::merge(connection, *site, *window, sketch)?;
            }
        }
        Ok(())
    }

    fn are_on_disk(&mut self) {
        self.0.clear();
    }
}

impl Drop for FoldedCrowds {
    fn drop(&mut self) {
        for (crowd, windows) in &self.0 {
            crowd.put_back_unfolded(windows);
        }
    }
}

/// Tells whoever asked how it went, and passes trouble on.
fn reply<T>(done: oneshot::Sender<Result<T, NotDurable>>, outcome: Result<T, Trouble>) -> Result<(), Trouble> {
    let (answer, outcome) = match outcome {
        Ok(value) => (Ok(value), Ok(())),
        Err(trouble) => (Err(trouble.reason().clone()), Err(trouble)),
    };
    // Whoever has gone needs no answer.
    let _ = done.send(answer);
    outcome
}

/// Who is told of what folding has changed and found.
pub struct Told<'a> {
    pub outbox: &'a Outbox,
    pub admission: &'a Admission,
}

/// Adds one entry of the tail to `counts`, and tells of it, if it is the current run's.
pub fn fold_entry(
    connection: &Connection,
    told: Option<Told<'_>>,
    source: SourceNumber,
    entry: &Entry,
) -> rusqlite::Result<()> {
    let site = entry.site;
    match &entry.page {
        None => {
            if store::add_to_site(connection, site, source, entry.day.site_periods(), entry.hits)? {
                store::note_contributor(connection, site, source, false)?;
            }
        }
        Some(page) => {
            let known = store::find_page(connection, site, page)?;
            if let Some(told) = &told {
                told.admission.settle(site, page, known.is_some());
            }
            let number = match known {
                Some(number) => number,
                None => store::page_number(connection, site, page)?,
            };
            let hits = store::add_to_page(connection, site, number, source, entry.day.page_periods(), entry.hits)?;
            if let Some(told) = &told {
                told.outbox.page_changed(site, entry.day, page, hits);
            }
        }
    }
    Ok(())
}
