//! The committer: the one thread that writes the node's file.
//!
//! A round takes all commands that wait, writes their batches as one journal row together with a step of folding,
//! syncs, changes the counters in memory, and answers. Rounds follow one another, so all that arrives during a sync
//! shares the next: group commit.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use super::batch::{ClosedBatch, OpenBatch};
use super::checkpointer::Checkpoints;
use super::failure::WriteFailure;
use super::file_writer::FileWriter;
use super::folding::{Budget, Folding, Step};
use super::queue::{Command, Done};
use crate::counter::{Day, SiteNumber};
use crate::ledger::error::LedgerError;
use crate::ledger::memory::counters::SiteCounters;
use crate::ledger::memory::lock;
use crate::ledger::room::Room;
use crate::ledger::sqlite::tables::meta;

/// Time after a hit within which another one is expected.
const NEXT_HIT: Duration = Duration::from_millis(50);

/// Time in which a round moves an import's steps to the counts; hits wait for it.
const MOVE_WITH_HITS: Duration = Duration::from_millis(1);
const MOVE_AT_REST: Duration = Duration::from_millis(20);

/// Time without a hit after which an import's steps take longer.
const REST: Duration = Duration::from_secs(1);

/// Longest time without a look at the file's place.
const PLACE_INTERVAL: Duration = Duration::from_millis(500);

/// Interval of attempts to write to a full, locked or missing file.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Interval at which the page cache is given back: filling it again takes some milliseconds.
const SHRINK_INTERVAL: Duration = Duration::from_secs(60);

pub struct Committer {
    commands: Receiver<Command>,
    file: FileWriter,
    folding: Folding,
    checkpoints: Checkpoints,
    last_batch: Instant,
    last_shrink: Instant,
    /// Callers that wait until no import moves to the counts.
    importing: Vec<Done>,
    room: Room,
    /// Time of the look that found too little room for an import to go on.
    scarce_since: Option<Instant>,
    is_stopping: bool,
}

/// The commands of a round: batches with their callers apart.
#[derive(Default)]
struct Round {
    batches: Vec<Arc<OpenBatch>>,
    callers: Vec<Done>,
    commands: Vec<Command>,
}

impl Committer {
    pub fn new(commands: Receiver<Command>, file: FileWriter, folding: Folding, checkpoints: Checkpoints) -> Self {
        let (last_batch, importing) = (Instant::now(), Vec::new());
        let folder = file.connection.path().and_then(|path| Path::new(path).parent()).unwrap_or(Path::new(""));
        let room = Room::of(folder);
        Self {
            commands,
            file,
            folding,
            checkpoints,
            last_batch,
            last_shrink: last_batch,
            importing,
            room,
            scarce_since: None,
            is_stopping: false,
        }
    }

    /// Runs until `Stop`.
    pub fn run(mut self) {
        while !self.is_stopping {
            let outcome = match self.receive() {
                Ok(first) => self.run_once(first),
                Err(RecvTimeoutError::Timeout) => self.run_once(None),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            match outcome {
                Ok(()) => {}
                Err(WriteFailure::Transient(reason)) => self.refuse_until_writable(&reason),
                Err(WriteFailure::Fatal(reason)) => self.refuse_until_stop(&reason),
            }
        }
    }

    /// The next command; waits for one only while no step of folding or of an import is due.
    fn receive(&self) -> Result<Option<Command>, RecvTimeoutError> {
        if let Some(wait) =
            self.folding.idle_time().filter(|_| !self.file.has_whole_import || self.scarce_since.is_some())
        {
            return self.commands.recv_timeout(wait.min(PLACE_INTERVAL)).map(Some);
        }
        match self.commands.try_recv() {
            Ok(command) => Ok(Some(command)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
        }
    }

    fn run_once(&mut self, first: Option<Command>) -> Result<(), WriteFailure> {
        let round = self.receive_rest(first);
        self.folding.start_if_due(self.file.last_row(), self.file.run_number);
        if !round.batches.is_empty() {
            self.last_batch = Instant::now();
        }
        let budget = Budget::of(self.last_batch.elapsed() > NEXT_HIT, self.file.state.unfolded.len());
        // After the sync and before the answer: no hit is acknowledged in a file that its path does not name.
        let outcome = self.commit(&round.batches, budget).and_then(|()| self.file.check_place());
        let answer = outcome.as_ref().copied().map_err(|failure| failure.reason().clone());
        for done in round.callers {
            // A caller that has gone needs no answer.
            let _ = done.send(answer.clone());
        }
        self.execute(round.commands, outcome)?;
        self.folding.answer_folded();
        if self.is_stopping {
            return self.finish();
        }
        if self.file.has_whole_import && self.has_room() {
            let is_at_rest = self.last_batch.elapsed() > REST;
            self.file.move_import_steps(if is_at_rest { MOVE_AT_REST } else { MOVE_WITH_HITS })?;
        }
        if !self.file.has_whole_import {
            self.importing.drain(..).for_each(|done| drop(done.send(Ok(()))));
        }
        self.shrink_if_due();
        Ok(self.checkpoints.run_if_due(&self.file.connection)?)
    }

    /// Gives SQLite's page cache back now and then, so that it doesn't stay as large as a flood has made it. The system has
    /// the pages too.
    fn shrink_if_due(&mut self) {
        if self.last_shrink.elapsed() > SHRINK_INTERVAL {
            self.last_shrink = Instant::now();
            // If it fails, the cache stays as it is: SQLite bounds it.
            let _ = self.file.connection.execute_batch("PRAGMA shrink_memory");
        }
    }

    /// False: an import waits, so that hits don't lack the room that it would take.
    fn has_room(&mut self) -> bool {
        if self.scarce_since.is_some_and(|since| since.elapsed() < RETRY_INTERVAL) {
            return false;
        }
        let was_scarce = self.scarce_since.is_some();
        self.scarce_since = self.room.is_scarce().then(Instant::now);
        if self.scarce_since.is_some() {
            let reason = LedgerError::new("the disk is nearly full: make room");
            if !was_scarce {
                tracing::error!("{reason}; an import waits until there is some, and hits are counted");
            }
            // Those who have come since too: the next import waits for this one.
            self.answer_importing(&reason, "once there is some");
        } else if was_scarce {
            tracing::info!("there is room again; the import goes on");
        }
        self.scarce_since.is_none()
    }

    /// Answers the callers of imports that wait.
    fn answer_importing(&mut self, reason: &LedgerError, until: &str) {
        let of_import = LedgerError::new(format!("{reason}; the import is kept, and goes on {until}"));
        self.importing.drain(..).for_each(|done| drop(done.send(Err(of_import.clone()))));
    }

    /// The first command and all that wait behind it.
    fn receive_rest(&mut self, first: Option<Command>) -> Round {
        let mut round = Round::default();
        let mut next = first;
        while let Some(command) = next {
            match command {
                Command::Count { batch, done } => {
                    round.batches.push(batch);
                    round.callers.push(done);
                }
                Command::Stop => self.is_stopping = true,
                command => round.commands.push(command),
            }
            next = self.commands.try_recv().ok();
        }
        round
    }

    /// Executes commands in order; after a failure it refuses the rest.
    fn execute(&mut self, commands: Vec<Command>, committed: Result<(), WriteFailure>) -> Result<(), WriteFailure> {
        let mut outcome = committed;
        for command in commands {
            if let Err(failure) = &outcome {
                command.refuse(failure.reason());
                continue;
            }
            outcome = match command {
                // Folded step by step, between the commits of later hits.
                Command::Fold { done } => {
                    self.folding.answer_after(self.file.last_row(), done);
                    Ok(())
                }
                Command::AfterImport { done } => {
                    self.importing.push(done);
                    Ok(())
                }
                Command::Work(work) => work(Ok(&mut self.file)),
                // Received as part of the round.
                Command::Count { .. } | Command::Stop => Ok(()),
            }
            .and_then(|()| Ok(self.checkpoints.run_if_due(&self.file.connection)?));
        }
        outcome
    }

    /// Writes batches as one journal row together with a step of folding, and syncs.
    fn commit(&mut self, batches: &[Arc<OpenBatch>], budget: Budget) -> Result<(), WriteFailure> {
        if batches.is_empty() && self.folding.next_step() == Step::Nothing {
            return Ok(());
        }
        let started = Instant::now();
        let batch = ClosedBatch::of(batches);
        let by_day = batch.tally.by_day();
        let changing = self.file.load_days(&by_day)?;
        for site in batch.tally.visited_sites() {
            self.file.load_sketches(site)?;
        }
        let tally = (!batch.is_empty).then_some(&batch.tally);
        let folds = self.folding.next_step() != Step::Nothing;
        let written = self.file.commit(tally, folds, |connection| self.folding.write(connection, budget))?;
        // The batch is on disk: from here on memory may show it.
        self.folding.confirm(written);
        if !batch.is_empty {
            self.file.state.metrics.commit_duration_seconds.observe(started.elapsed().as_secs_f64());
            self.file.state.metrics.commit_batch_hits.observe(batch.hits as f64);
            self.show(batch, &by_day, &changing, started);
        }
        Ok(())
    }

    /// Adds a committed batch to memory, and notes its sites for publication.
    fn show(
        &self,
        mut batch: ClosedBatch,
        by_day: &[(SiteNumber, Day, u64)],
        changing: &[Arc<SiteCounters>],
        at: Instant,
    ) {
        let hits = i64::try_from(batch.hits).unwrap_or(0);
        if self.file.state.feed.is_used() {
            self.file.state.metrics.redis_unpublished_hits.add(hits);
        }
        for (site, window, trace) in batch.tally.take_visitors() {
            self.file.state.sketches.add(site, window, trace);
        }
        self.add_to_counters(by_day, changing, at);
        self.file.state.unfolded.add(batch.tally, by_day.iter().map(|(_, day, _)| *day));
        self.file.state.metrics.ledger_tail_hits.add(hits);
    }

    fn add_to_counters(&self, by_day: &[(SiteNumber, Day, u64)], changing: &[Arc<SiteCounters>], at: Instant) {
        let mut other_days = Vec::new();
        for ((site, day, hits), counters) in by_day.iter().zip(changing) {
            let hits = i64::try_from(*hits).unwrap_or(i64::MAX);
            if counters.add(*day, hits, self.file.last_row(), at) {
                other_days.push((counters, *day));
            }
            self.file.state.feed.note_site(*site);
        }
        // Last: an older day of the same commit must not be dropped before its hits are added.
        for (counters, day) in other_days {
            counters.forget_old(day, self.folding.progress.mark.mark);
        }
    }

    /// Folds the whole journal, writes all titles, and copies the log into the file.
    fn finish(&mut self) -> Result<(), WriteFailure> {
        while self.folding.start_now(self.file.last_row(), self.file.run_number) {
            self.commit(&[], Budget::AT_THE_END)?;
        }
        self.folding.make_titles_due();
        while self.folding.titles_are_due {
            self.commit(&[], Budget::AT_THE_END)?;
        }
        self.folding.answer_folded();
        Ok(self.checkpoints.finish(&self.file.connection)?)
    }

    /// Refuses all commands until the file can be written again.
    fn refuse_until_writable(&mut self, reason: &LedgerError) {
        self.refuse_waiting(reason, "until the file can be written");
        let mut reason = reason.clone();
        loop {
            self.refuse_for(&reason, RETRY_INTERVAL);
            if self.is_stopping {
                // The journal is on disk; the next start folds it.
                return;
            }
            match self.try_to_write() {
                Ok(()) => break,
                Err(WriteFailure::Transient(other)) if other == reason => {}
                Err(WriteFailure::Transient(other)) => {
                    self.refuse_waiting(&other, "until the file can be written");
                    reason = other;
                }
                Err(WriteFailure::Fatal(reason)) => return self.refuse_until_stop(&reason),
            }
        }
        tracing::info!("the node's file can be written again; hits are accepted");
        *lock(&self.file.state.failed) = None;
    }

    /// A transaction that writes, but changes nothing, in a file that is in its place.
    fn try_to_write(&mut self) -> Result<(), WriteFailure> {
        self.file.check_place()?;
        let mark = self.folding.progress.mark;
        self.file.change(|connection| meta::write_fold_mark(connection, mark))
    }

    /// Says why hits are refused, and answers all who wait.
    fn refuse_waiting(&mut self, reason: &LedgerError, until: &str) {
        tracing::error!("{reason}; hits are refused {until}");
        self.folding.refuse_waiting(reason);
        self.answer_importing(reason, until);
        *lock(&self.file.state.failed) = Some(reason.clone());
    }

    /// Refuses all commands for good: after a failed sync the state on disk is unknown.
    fn refuse_until_stop(&mut self, reason: &LedgerError) {
        self.refuse_waiting(reason, "until the node is restarted");
        while !self.is_stopping {
            self.refuse_for(reason, RETRY_INTERVAL);
        }
    }

    fn refuse_for(&mut self, reason: &LedgerError, time: Duration) {
        let end = Instant::now() + time;
        while !self.is_stopping {
            match self.commands.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => self.is_stopping = true,
                Ok(command) => command.refuse(reason),
                Err(RecvTimeoutError::Timeout) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use tempfile::TempDir;
    use tokio::sync::oneshot;

    use super::*;
    use crate::counter::{Hit, PageAddress};
    use crate::ledger::commit::queue::{CommandQueue, command_queue};
    use crate::ledger::commit::state::State;
    use crate::ledger::sqlite::migrations;
    use crate::ledger::sqlite::progress::{HighWater, Progress};
    use crate::ledger::sqlite::tables::meta::FoldMark;
    use crate::metrics::Metrics;

    /// A committer of a file in memory, beside the thread that would run it.
    struct Stand {
        committer: Committer,
        queue: CommandQueue,
        /// Holds the high-water mark.
        _directory: TempDir,
    }

    type Answer = oneshot::Receiver<Result<(), LedgerError>>;

    impl Stand {
        fn new() -> Self {
            let directory = TempDir::new().unwrap();
            let connection = Connection::open_in_memory().unwrap();
            migrations::migrate(&connection).unwrap();
            let mark = FoldMark { mark: 0, target: 0, done: 0 };
            let state = Arc::new(State::new(mark, true, Arc::new(Metrics::new())));
            let high_water = HighWater::open(directory.path()).unwrap();
            let file = FileWriter::new(connection, Progress::default(), high_water, Arc::clone(&state));
            let folding = Folding::new(state, mark, Duration::from_secs(30), false);
            let checkpoints = Checkpoints::start(Arc::default(), Connection::open_in_memory().unwrap()).unwrap();
            let (queue, commands) = command_queue();
            Self { committer: Committer::new(commands, file, folding, checkpoints), queue, _directory: directory }
        }

        fn send_hit(&self, page: &str) -> Answer {
            let day = Day::from_ymd(2024, 6, 17).unwrap();
            let hit = Hit { site: SiteNumber(1), day, page: PageAddress::from_stored(page) };
            let (done, answer) = oneshot::channel();
            self.queue.try_send(Command::Count { batch: Arc::new(OpenBatch::with(hit.into())), done }).unwrap();
            answer
        }

        /// Work that answers whether it was let at the file.
        fn send_work(&self) -> oneshot::Receiver<bool> {
            let (done, answer) = oneshot::channel();
            let work = Command::Work(Box::new(|file| {
                done.send(file.is_ok()).unwrap();
                Ok(())
            }));
            self.queue.try_send(work).unwrap();
            answer
        }

        fn run_once(&mut self) -> Result<(), WriteFailure> {
            let first = self.committer.receive().unwrap();
            self.committer.run_once(first)
        }

        fn failed(&self) -> Option<LedgerError> {
            lock(&self.committer.file.state.failed).clone()
        }

        fn rows(&self) -> i64 {
            let connection = &self.committer.file.connection;
            connection.query_row("SELECT count(*) FROM journal", [], |row| row.get(0)).unwrap()
        }
    }

    #[test]
    fn all_hits_that_wait_share_a_row_and_are_answered_after_it() {
        let mut stand = Stand::new();
        let mut answers = ["/a", "/b", "/a"].map(|page| stand.send_hit(page));
        let mut work = stand.send_work();
        assert!(answers.iter_mut().all(|answer| answer.try_recv().is_err()));
        stand.run_once().unwrap();
        assert!(answers.iter_mut().all(|answer| answer.try_recv() == Ok(Ok(()))));
        assert_eq!((stand.rows(), stand.committer.file.last_row()), (1, 1));
        assert_eq!(work.try_recv(), Ok(true));
        let state = &stand.committer.file.state;
        assert_eq!(state.unfolded.len(), 2);
        assert_eq!((state.metrics.ledger_tail_hits.get(), state.metrics.redis_unpublished_hits.get()), (3, 3));
        assert_eq!(state.feed.take_sites(9).len(), 1);
    }

    #[test]
    fn a_hit_that_is_not_on_disk_is_refused_with_all_behind_it_and_not_shown() {
        let mut stand = Stand::new();
        stand.committer.file.connection.execute_batch("DROP TABLE journal").unwrap();
        let (mut hit, mut work) = (stand.send_hit("/a"), stand.send_work());
        assert!(matches!(stand.run_once(), Err(WriteFailure::Fatal(_))));
        assert!(matches!(hit.try_recv(), Ok(Err(_))));
        assert_eq!(work.try_recv(), Ok(false));
        let state = &stand.committer.file.state;
        assert_eq!((state.unfolded.len(), state.metrics.ledger_tail_hits.get()), (0, 0));
        assert!(state.feed.take_sites(9).is_empty());
    }

    #[test]
    fn work_that_fails_refuses_the_work_behind_it() {
        let mut stand = Stand::new();
        let failing = Command::Work(Box::new(|_| Err(WriteFailure::Transient(LedgerError::new("full")))));
        stand.queue.try_send(failing).unwrap();
        let mut later = stand.send_work();
        assert!(matches!(stand.run_once(), Err(WriteFailure::Transient(_))));
        assert_eq!(later.try_recv(), Ok(false));
    }

    #[test]
    fn after_a_transient_failure_hits_are_refused_until_a_write_succeeds() {
        let mut stand = Stand::new();
        let reason = LedgerError::new("the disk is full");
        let mut refused = stand.send_hit("/a");
        stand.committer.refuse_until_writable(&reason);
        assert_eq!(refused.try_recv(), Ok(Err(reason.clone())));
        assert!(stand.failed().is_none() && !stand.committer.is_stopping);
        let mut counted = stand.send_hit("/a");
        stand.run_once().unwrap();
        assert_eq!(counted.try_recv(), Ok(Ok(())));
        // A node that is stopped meanwhile stays unready.
        stand.queue.send_stop();
        stand.committer.refuse_until_writable(&reason);
        assert_eq!((stand.failed(), stand.committer.is_stopping), (Some(reason), true));
    }

    #[test]
    fn an_import_waits_for_room_while_hits_are_counted() {
        let mut stand = Stand::new();
        stand.committer.file.has_whole_import = true;
        stand.committer.room = Room::seeming(true);
        let (done, mut imported) = oneshot::channel();
        stand.committer.importing.push(done);
        let mut hit = stand.send_hit("/a");
        stand.run_once().unwrap();
        assert_eq!(hit.try_recv(), Ok(Ok(())));
        assert!(imported.try_recv().unwrap().unwrap_err().to_string().contains("the import is kept"));
        assert!(stand.committer.file.has_whole_import);
        let (done, mut next) = oneshot::channel();
        stand.committer.importing.push(done);
        stand.committer.scarce_since = Instant::now().checked_sub(RETRY_INTERVAL);
        drop(stand.send_hit("/a"));
        stand.run_once().unwrap();
        assert!(next.try_recv().unwrap().is_err(), "the next import isn't kept waiting");
        // A look that finds room lets it go on.
        stand.committer.room = Room::seeming(false);
        stand.committer.scarce_since = Instant::now().checked_sub(RETRY_INTERVAL);
        let mut hit = stand.send_hit("/a");
        stand.run_once().unwrap();
        assert_eq!(hit.try_recv(), Ok(Ok(())));
        assert!(!stand.committer.file.has_whole_import, "nothing is left to move");
    }

    #[test]
    fn after_a_fatal_failure_hits_are_refused_until_the_node_stops() {
        let mut stand = Stand::new();
        let reason = LedgerError::new("a sync failed");
        let (mut hit, mut work) = (stand.send_hit("/a"), stand.send_work());
        stand.queue.send_stop();
        stand.committer.refuse_until_stop(&reason);
        assert_eq!((hit.try_recv(), work.try_recv()), (Ok(Err(reason.clone())), Ok(false)));
        assert_eq!((stand.failed(), stand.rows()), (Some(reason), 0));
    }

    #[test]
    fn a_stop_counts_and_folds_what_waits() {
        let mut stand = Stand::new();
        let mut hit = stand.send_hit("/a");
        stand.queue.send_stop();
        stand.run_once().unwrap();
        assert_eq!(hit.try_recv(), Ok(Ok(())));
        assert!(stand.committer.is_stopping);
        assert_eq!(stand.committer.folding.progress.mark, FoldMark { mark: 1, target: 1, done: 0 });
        assert_eq!(stand.committer.file.state.metrics.ledger_tail_hits.get(), 0);
    }
}
