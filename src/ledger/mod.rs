//! The node's durable counter.
//!
//! # The file
//! One SQLite file in WAL mode, `thongke.db`, with two tables that do two jobs:
//!
//! * `journal` has one row per commit: a [`Tally`] of the hits that shared it.
//!   A hit is acknowledged when the sync of its row has returned. That is all it waits for.
//! * `counts` has the hits per site, period, page and source. Folding adds the journal to it in small
//!   steps, each in one transaction with its mark, so that a crash neither loses nor repeats a hit.
//!
//! A *source* is one run of one node, or an import. The run's number is drawn at start and is
//! written with its first hit; the counts of earlier runs never change again.
//!
//! # Visitors
//! What a hit says of its visitor is journalled with it. In memory are the sketches of the days and
//! minutes that figures ask for; a fold writes those that have changed before it goes on to `counts`,
//! so that its mark never passes a visitor whom the file's sketches lack. A sketch merges without
//! regard to repeats, so a crash may do part of that twice. `salts` are deleted when their day and
//! one window are over, from the file and from SQLite's log.
//!
//! # A crash
//! The file is opened, SQLite replays its log, the journal after the mark is decoded, and what the
//! mark does not cover is folded before the first hit is taken. So figures are `counts` plus, in
//! memory, what this run has journalled and not folded: the tail.
//!
//! # Threads
//! The committer writes; beside it, the checkpointer copies the log into the file, and a thread that
//! each fold starts sorts what it will fold. One reader reads for publication and the operator,
//! another for what strangers ask, workers hand over and wait. Nothing is locked while anything is
//! awaited or synced.

mod admission;
mod backup;
mod checkpointer;
mod committer;
mod crowd;
mod expiry;
mod fold;
mod hand_over;
mod high_water;
mod inbox;
mod live;
mod log_check;
mod outbox;
mod pages;
mod reader;
mod salts;
mod sketches;
mod sorting;
mod soundness;
mod store;
mod tail;
mod titles;
mod trouble;
mod visitors;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use crate::counter::account::{ImportReport, SourceAccount};
use crate::counter::csv::Row;
use crate::counter::source::ImportName;
use crate::counter::{
    Arrival, ChangedPage, Contribution, Period, Register, RegisteredSite, Site, SiteNumber, Sites, Sketch, Source,
    Tally, Trace, Window,
};
use crate::metrics::Metrics;

pub use backup::backup;
pub use hand_over::{Durable, NotDurable};
pub use live::{LiveHits, Seen};
pub use pages::TOP_MAX;
pub use store::{DirectoryLock, Holder, OpenError, PublishedRow, has_been_used};
pub use titles::{GivenTitle, PagesTitle};

use admission::Admission;
use checkpointer::Checkpointer;
use committer::Committer;
use crowd::Crowds;
use high_water::{HighWater, Reached};
use inbox::{Inbox, Message};
use live::Live;
use outbox::Outbox;
use pages::Tops;
use reader::Reader;
use salts::Salts;
use soundness::Check;
use tail::Tail;

/// Counters that one transaction of an import writes: short, so that hits go on between.
const IMPORT_STEP: usize = 1_000;

/// Folding every 30 s writes a page that is hit often once instead of often; with Redis, pages are
/// published as they are folded, and wait less.
const FOLD_INTERVAL: Duration = Duration::from_secs(30);
const FOLD_INTERVAL_PUBLISHING: Duration = Duration::from_secs(10);

/// A handle on the node's durable counter; shared by all threads.
#[derive(Debug)]
pub struct Ledger {
    inbox: Inbox,
    reader: Reader,
    /// For what strangers ask, so that they hold up neither publication nor an export.
    queries: Reader,
    live: Arc<Live>,
    tail: Arc<Tail>,
    tops: Arc<Tops>,
    admission: Arc<Admission>,
    titles: Arc<titles::Given>,
    outbox: Arc<Outbox>,
    crowds: Arc<Crowds>,
    salts: Arc<Salts>,
    metrics: Arc<Metrics>,
    run: Source,
    committer: Mutex<Option<JoinHandle<()>>>,
    /// One at a time: an import reads what an earlier one had before it writes.
    imports: Semaphore,
    directory: PathBuf,
    /// What the check of the whole file has found.
    damage: Arc<OnceLock<String>>,
    checking: Mutex<Option<soundness::Background>>,
    /// Held as long as the ledger is open.
    _lock: DirectoryLock,
}

impl Ledger {
    /// Opens the data directory, folds what a crash left unfolded, and starts the committer.
    pub fn open(
        lock: DirectoryLock,
        directory: &Path,
        sites: Vec<Site>,
        is_publishing: bool,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Sites), OpenError> {
        let path = directory.join("thongke.db");
        let sqlite = |source| OpenError::of_sqlite(&path, source);
        let mut connection = store::open(directory)?;
        store::check_reached(directory, &connection)?;
        let outbox = Arc::new(Outbox::new(is_publishing));
        let last_number =
            recover(&mut connection).map_err(|reason| OpenError::Damaged { path: path.clone(), reason })?;
        let transaction = connection.transaction().map_err(sqlite)?;
        let ids: Vec<_> = sites.iter().map(|site| site.id.clone()).collect();
        let numbers = store::register(&transaction, &ids).map_err(sqlite)?;
        transaction.commit().map_err(sqlite)?;
        let registered = numbers.into_iter().zip(sites).map(|(number, site)| RegisteredSite { number, site }).collect();
        let start_reader = |name| {
            let connection = store::open_reader(directory).map_err(sqlite)?;
            Reader::start(name, connection).map_err(|source| OpenError::Directory { path: path.clone(), source })
        };
        let (reader, queries) = (start_reader("reader")?, start_reader("queries")?);
        let live = Arc::new(Live::default());
        let run = Source::Run(rand::random());
        let (inbox, messages) = inbox::inbox();
        let mark = store::read_fold_mark(&connection).map_err(sqlite)?;
        let reached = Reached::of(&connection).map_err(sqlite)?;
        let high_water =
            HighWater::open(directory).map_err(|source| OpenError::Directory { path: path.clone(), source })?;
        high_water.note(reached);
        if sketches::have_ever_been(&connection).map_err(sqlite)? {
            // The log of a run that ended too early may hold salts that it has deleted.
            store::cut_log(&connection).map_err(sqlite)?;
        }
        let crowds = Arc::new(Crowds::default());
        if is_publishing {
            // What an earlier run could not publish has no hit to remind of it.
            for site in sketches::sites(&connection).map_err(sqlite)? {
                crowds.load(site, sketches::of_site(&connection, site).map_err(sqlite)?);
            }
        }
        let salts = Arc::new(Salts::new(sketches::all_salts(&connection).map_err(sqlite)?));
        let checkpointer = store::open_reader(directory).map_err(sqlite)?;
        let checkpointer =
            Checkpointer::start(checkpointer).map_err(|source| OpenError::Directory { path: path.clone(), source })?;
        let log_pages = store::watch_log(&mut connection).map_err(sqlite)?;
        let tail = Arc::new(Tail::new(mark));
        let (admission, titles) = (Arc::<Admission>::default(), Arc::<titles::Given>::default());
        let committer = Committer {
            connection,
            messages,
            live: Arc::clone(&live),
            outbox: Arc::clone(&outbox),
            metrics: Arc::clone(&metrics),
            run: run.clone(),
            fold_interval: if is_publishing { FOLD_INTERVAL_PUBLISHING } else { FOLD_INTERVAL },
            reached,
            high_water,
            run_number: None,
            tail: Arc::clone(&tail),
            fold: fold::Fold::new(mark),
            sorting: None,
            last_hits: Instant::now(),
            folds_wanted: Vec::new(),
            crowds: Arc::clone(&crowds),
            salts: Arc::clone(&salts),
            unfolded_crowds: Vec::new(),
            cuts_log: false,
            log_pages,
            checkpoint_at: committer::CHECKPOINT_PAGES,
            checkpointer,
            row: Vec::new(),
            prune: last_number > 0,
            admission: Arc::clone(&admission),
            titles: Arc::clone(&titles),
            titles_are_due: false,
        };
        let committer = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || committer.run())
            .map_err(|source| OpenError::Directory { path, source })?;
        let ledger = Self {
            inbox,
            reader,
            queries,
            live,
            tail,
            tops: Arc::default(),
            admission,
            titles,
            outbox,
            crowds,
            salts,
            metrics,
            run,
            committer: Mutex::new(Some(committer)),
            imports: Semaphore::new(1),
            directory: directory.to_owned(),
            damage: Arc::default(),
            checking: Mutex::default(),
            _lock: lock,
        };
        Ok((ledger, registered))
    }

    /// Numbers for the sites of a configuration that was read again.
    pub async fn register(&self, sites: Vec<Site>) -> Result<Sites, NotDurable> {
        let ids = sites.iter().map(|site| site.id.clone()).collect();
        let numbers = self.ask(|done| Message::Register { ids, done }).await?;
        Ok(numbers.into_iter().zip(sites).map(|(number, site)| RegisteredSite { number, site }).collect())
    }

    /// Counts a hit; to be called on a single-threaded runtime. Resolves when it is on disk.
    pub fn count(&self, arrival: impl Into<Arrival>) -> Durable {
        hand_over::count(&self.inbox, arrival.into())
    }

    /// What changes with every change of the site's counters in memory; none if none are there.
    pub fn version(&self, site: SiteNumber) -> Option<u64> {
        Some(self.live.get(site)?.version())
    }

    /// The hits of each period, brought into memory first if need be.
    pub async fn hits(&self, site: SiteNumber, periods: &[Period]) -> Result<LiveHits, NotDurable> {
        if let Some(found) = self.live.get(site).and_then(|live| live.hits(periods)) {
            return Ok(found);
        }
        let wanted = periods.to_vec();
        self.ask(|done| Message::Load { site, periods: wanted, done }).await?;
        self.live
            .get(site)
            .and_then(|live| live.hits(periods))
            .ok_or_else(|| NotDurable("the figures are being loaded".into()))
    }

    /// Why hits can't be made durable now.
    pub fn failed(&self) -> Option<NotDurable> {
        self.outbox.failed()
    }

    /// What a check of the file has found to be damaged. Hits are counted on: what they are added to
    /// may be wrong, they themselves are not lost.
    pub fn damage(&self) -> Option<&str> {
        self.damage.get().map(String::as_str)
    }

    /// Begins a check of the whole file, beside all else; `damage` tells what it finds.
    pub fn check_in_background(&self, sites: &Sites, now: DateTime<Utc>) {
        let check = match Check::new(&self.directory) {
            Ok(check) => check,
            Err(error) => return tracing::warn!("the node's file could not be checked: {error}"),
        };
        let damage = Arc::clone(&self.damage);
        let begun =
            check.begin(self.run.clone(), kept(sites.iter().map(AsRef::as_ref), now), move |found| match found {
                Ok(faults) if faults.is_empty() => tracing::debug!("the node's file was checked: it is sound"),
                Ok(faults) => {
                    let said = format!("the node's file is damaged: {}; restore a backup of it", faults.join("; "));
                    tracing::error!("{said}");
                    // Nobody else sets it.
                    let _ = damage.set(said);
                }
                Err(error) => tracing::debug!("the check of the node's file ended early: {error}"),
            });
        match begun {
            Ok(begun) => *self.checking.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun),
            Err(error) => tracing::warn!("the node's file could not be checked: {error}"),
        }
    }

    /// Looks through the file for what is damaged: SQLite's own check, and whether the site's counts
    /// add up. On a thread of its own.
    pub async fn faults(&self, site: &RegisteredSite, now: DateTime<Utc>) -> Result<Vec<String>, NotDurable> {
        let unreadable =
            |error: rusqlite::Error| NotDurable(format!("the node's file can't be checked ({error})").into());
        let check = Check::new(&self.directory).map_err(unreadable)?;
        let (run, kept, site) = (self.run.clone(), kept([site], now), site.number);
        let (done, answer) = oneshot::channel();
        std::thread::Builder::new()
            .name("check".to_owned())
            .spawn(move || drop(done.send(check.faults(&run, &kept, Some(site)))))
            .map_err(|error| NotDurable(format!("no thread can be started ({error})").into()))?;
        match answer.await {
            Ok(faults) => faults.map_err(unreadable),
            Err(_) => Err(NotDurable("the check has broken off".into())),
        }
    }

    /// Writes an import: what it lacks of an earlier one of its name becomes 0.
    pub async fn import(
        &self,
        site: SiteNumber,
        name: ImportName,
        rows: Vec<Row>,
        now: DateTime<Utc>,
    ) -> Result<ImportReport, NotDurable> {
        let Ok(_turn) = self.imports.try_acquire() else {
            return Err(NotDurable("another import is running; try again when it is done".into()));
        };
        self.import_alone(site, name, rows, now).await
    }

    async fn import_alone(
        &self,
        site: SiteNumber,
        name: ImportName,
        rows: Vec<Row>,
        now: DateTime<Utc>,
    ) -> Result<ImportReport, NotDurable> {
        self.ask(|done| Message::Fold { done }).await?;
        let source = Source::Import(name);
        let days: Vec<_> = rows
            .iter()
            .filter(|row| row.page.is_none())
            .filter_map(|row| if let Period::Day(day) = row.period { Some(day) } else { None })
            .collect();
        let wanted = source.clone();
        let (earlier, last_generation, made_elsewhere, also_counted) = self
            .reader
            .read(move |connection| {
                let number = store::find_source(connection, &wanted)?;
                let also_counted = reader::days_also_counted(connection, site, number, &days)?;
                let Some(number) = number else { return Ok((Vec::new(), 0, false, also_counted)) };
                let earlier = reader::counters_of(connection, site, number)?;
                let made_elsewhere = store::is_learned(connection, number)?;
                Ok((earlier, store::generation_of(connection, site, number)?, made_elsewhere, also_counted))
            })
            .await?;
        let now_us = u64::try_from(now.timestamp_micros()).unwrap_or(0);
        let generation = now_us.max(last_generation + 1);
        let written = |period, page, hits| Contribution {
            source: source.clone(),
            period,
            page,
            register: Register::Written { generation, hits },
        };
        let named: std::collections::HashSet<_> = rows.iter().map(|row| (row.period, row.page.clone())).collect();
        let cleared: Vec<_> = earlier.into_iter().filter(|counter| !named.contains(counter)).collect();
        let mut report = ImportReport {
            source: source.to_string(),
            rows: rows.len() as u64,
            cleared: cleared.len() as u64,
            made_elsewhere,
            days_also_counted_live: Vec::new(),
        };
        also_counted.into_iter().for_each(|day| report.name_day(day));
        let zeros = cleared.into_iter().map(|(period, page)| written(period, page, 0));
        let all: Vec<_> = rows.into_iter().map(|row| written(row.period, row.page, row.hits)).chain(zeros).collect();
        for step in all.chunks(IMPORT_STEP) {
            self.merge(site, step.to_vec(), false).await?;
        }
        Ok(report)
    }

    /// Sets all that an import contributed to 0. None: it contributes nothing here.
    pub async fn forget(
        &self,
        site: SiteNumber,
        name: ImportName,
        now: DateTime<Utc>,
    ) -> Result<Option<ImportReport>, NotDurable> {
        let report = self.import(site, name, Vec::new(), now).await?;
        Ok((report.cleared > 0).then_some(report))
    }

    /// Merges what other sources than the current run state; `learned` from Redis, or else new to it.
    pub async fn merge(
        &self,
        site: SiteNumber,
        contributions: Vec<Contribution>,
        learned: bool,
    ) -> Result<(), NotDurable> {
        self.ask(|done| Message::Merge { site, contributions, learned, done }).await
    }

    pub async fn sources(&self, site: SiteNumber) -> Result<Vec<SourceAccount>, NotDurable> {
        self.ask(|done| Message::Fold { done }).await?;
        let run = self.run.to_string();
        self.reader.read(move |connection| reader::sources(connection, site, &run)).await
    }

    /// Up to `limit` counts after a row, summed over all sources.
    pub async fn export(&self, site: SiteNumber, after: Option<Row>, limit: usize) -> Result<Vec<Row>, NotDurable> {
        if after.is_none() {
            self.ask(|done| Message::Fold { done }).await?;
        }
        self.reader.read(move |connection| reader::export(connection, site, after.as_ref(), limit)).await
    }

    // What publication asks for.

    /// This run, as a source.
    pub fn run(&self) -> &Source {
        &self.run
    }

    pub fn take_changed_sites(&self, limit: usize) -> Vec<(SiteNumber, Instant)> {
        self.outbox.take_sites(limit)
    }

    pub fn put_back_changed_site(&self, site: SiteNumber, since: Instant) {
        self.outbox.put_back_site(site, since);
    }

    pub fn note_changed_site(&self, site: SiteNumber) {
        self.outbox.site_changed(site);
    }

    pub fn oldest_site_change(&self) -> Option<Instant> {
        self.outbox.oldest_site_change()
    }

    pub fn take_changed_pages(&self) -> Vec<ChangedPage> {
        self.outbox.take_pages()
    }

    pub fn has_changed_pages(&self) -> bool {
        self.outbox.has_pages()
    }

    pub fn has_many_changed_pages(&self) -> bool {
        self.outbox.has_many_pages()
    }

    pub fn take_overflowed_sites(&self) -> Vec<SiteNumber> {
        self.outbox.take_overflowed()
    }

    /// The current run's contributions to the site's own counters, the total last.
    pub fn recent(&self, site: SiteNumber) -> Vec<Contribution> {
        self.live.get(site).map(|live| live.recent(&self.run)).unwrap_or_default()
    }

    /// The site's counters that are being asked for, with the sources to ask Redis for.
    pub fn wanted(&self, site: SiteNumber) -> Vec<(Period, Vec<Source>)> {
        self.live.get(site).map(|live| live.wanted(Some(&self.run))).unwrap_or_default()
    }

    pub fn saw(&self, site: SiteNumber, seen: &[Seen<'_>]) {
        if let Some(live) = self.live.get(site) {
            let confirmed = live.saw(seen, Some(&self.run));
            self.metrics.redis_unpublished_hits.sub(confirmed);
        }
    }

    pub async fn rows(
        &self,
        site: SiteNumber,
        after: (u32, i64, i64),
        limit: usize,
        unpublished_only: bool,
    ) -> Result<Vec<PublishedRow>, NotDurable> {
        self.reader.read(move |connection| store::rows_after(connection, site, after, limit, unpublished_only)).await
    }

    pub async fn unpublished_sites(&self) -> Result<Vec<SiteNumber>, NotDurable> {
        let run = self.run.to_string();
        self.reader.read(move |connection| reader::unpublished_sites(connection, &run)).await
    }

    pub async fn published_sources(&self, site: SiteNumber, limit: usize) -> Result<Vec<Source>, NotDurable> {
        self.reader.read(move |connection| reader::published_sources(connection, site, limit)).await
    }

    pub async fn own_sources(&self, site: SiteNumber) -> Result<Vec<Source>, NotDurable> {
        self.reader.read(move |connection| reader::own_sources(connection, site)).await
    }

    pub async fn mark_published(&self, site: SiteNumber, sources: Vec<Source>) -> Result<(), NotDurable> {
        self.ask(|done| Message::MarkPublished { site, sources, done }).await
    }

    /// Folds all that is journalled.
    pub async fn fold(&self) -> Result<(), NotDurable> {
        self.ask(|done| Message::Fold { done }).await
    }

    /// Folds, syncs, and ends the committer. Hits handed over before are counted, later ones refused.
    pub fn close(&self) {
        if let Some(check) = self.checking.lock().unwrap_or_else(PoisonError::into_inner).take() {
            check.stop();
        }
        self.inbox.send_stop();
        let committer = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if committer.is_some_and(|committer| committer.join().is_err()) {
            tracing::error!("the committer has panicked");
        }
    }

    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<T, NotDurable>>) -> Message,
    ) -> Result<T, NotDurable> {
        let (done, answer) = oneshot::channel();
        self.inbox.try_send(message(done))?;
        answer.await.unwrap_or_else(|_| Err(NotDurable("the node is stopping".into())))
    }
}

/// From when on the sites' page counts are kept; a day later, since midnight may pass meanwhile.
fn kept<'a>(sites: impl IntoIterator<Item = &'a RegisteredSite>, now: DateTime<Utc>) -> soundness::Kept {
    let tomorrow = |site: &Site| crate::counter::Day::at(now, site.time_zone).next();
    let of = |site: &RegisteredSite| (site.number, site.site.page_retention.oldest_kept(tomorrow(&site.site)));
    sites.into_iter().map(of).collect()
}

/// Folds what the last run left in the journal; returns the journal's last number.
fn recover(connection: &mut Connection) -> Result<i64, String> {
    let text = |error: rusqlite::Error| error.to_string();
    let mark = store::read_fold_mark(connection).map_err(text)?;
    let last = store::last_journal_number(connection).map_err(text)?;
    if mark.mark > last || mark.target > last {
        return Err(format!(
            "its counts hold the journal up to row {}, but the journal ends at row {last}",
            mark.mark.max(mark.target)
        ));
    }
    // Not told by the mark, which also moves past rows that add nothing to the counts: reloads' alone.
    if store::has_contributors(connection).map_err(text)? && !store::has_counts(connection).map_err(text)? {
        return Err(format!("it has no counts, though its journal was added to them up to row {}", mark.mark));
    }
    let rows = store::journal_after(connection, mark.mark).map_err(text)?;
    let transaction = connection.transaction().map_err(text)?;
    let (begun, rest): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(number, ..)| *number <= mark.target);
    for (rows, done) in [(begun, mark.done), (rest, 0)] {
        let mut skip = done;
        // A run's rows stand together: runs follow one another.
        for of_one_source in rows.chunk_by(|(_, a, _), (_, b, _)| a == b) {
            let mut tally = Tally::default();
            for (number, _, row) in of_one_source {
                tally.merge(store::decode(*number, row)?);
            }
            for (site, window, sketch) in sketches_of(tally.take_visitors()) {
                sketches::merge(&transaction, site, window, &sketch).map_err(text)?;
            }
            let source = of_one_source.first().map_or(0, |(_, source, _)| *source);
            let entries = fold::entries(&tally);
            if skip > entries.len() {
                return Err("its fold mark does not fit its journal".to_owned());
            }
            for entry in entries.iter().skip(skip) {
                // Runs before this one are published from the file, not as they are folded.
                committer::fold_entry(&transaction, None, source, entry).map_err(text)?;
            }
            skip = 0;
        }
    }
    // Always to the end: what a fold has done is a position in the rows of one run.
    store::write_fold_mark(&transaction, store::FoldMark { mark: last, target: last, done: 0 }).map_err(text)?;
    transaction.commit().map_err(text)?;
    Ok(last)
}

/// One sketch for all that is to be merged into the same.
fn sketches_of(traces: Vec<(SiteNumber, Window, Trace)>) -> Vec<(SiteNumber, Window, Sketch)> {
    let groups = traces.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1));
    groups
        .filter_map(|group| {
            let (site, window, _) = group.first()?;
            Some((*site, *window, group.iter().map(|(.., trace)| *trace).collect()))
        })
        .collect()
}
