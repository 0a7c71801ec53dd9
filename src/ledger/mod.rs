//! The node's durable counter.
//!
//! # The file
//! One SQLite file in WAL mode, `thongke.db`. Two of its tables do two jobs:
//!
//! * `journal` has one row per commit: a [`Tally`](crate::counter::Tally) of the hits that shared it. A hit is
//!   acknowledged when the sync of its row has returned, and waits for nothing else.
//! * `counts` has the hits per site, period, page and source. Folding adds the journal to it in small steps, each in
//!   one transaction with its mark, so a crash neither loses nor repeats a hit.
//!
//! A third, `shown`, has the least figures of sites, where more of other nodes' hits was shown than `counts` has yet.
//!
//! A *source* is one run of one node, or an import. A run draws its number at start and writes it with its first hit.
//! The counts of earlier runs never change again.
//!
//! # Visitors
//! The journal holds the visitors of hits too. Memory holds the sketches of the days and minutes that figures need. A
//! fold writes the changed ones before it goes on to `counts`, so its mark never passes a visitor that the file's
//! sketches lack. A sketch merges any number of times, so a crash may repeat part of that. Salts are deleted when
//! their day and one window are over, from the file and from SQLite's log.
//!
//! # A crash
//! The next start opens the file, and SQLite replays its log. The ledger decodes the journal after the mark and folds
//! it before the first hit. So a figure is `counts` plus, in memory, this run's unfolded hits.
//!
//! # Threads
//! The committer writes. The checkpointer copies the log into the file, and each fold starts a thread that sorts. One
//! reader serves publication and the operator, another the public queries, a third hits of new pages. Workers send batches and await their
//! commits. No lock is held during an await or a sync.
//!
//! # Rooms
//! Imports go one way: `error` <- `sqlite` <- `memory` <- `fold` <- `query` and `commit` <- the files beside this one,
//! which hold the methods of [`Ledger`] by subject.

mod check;
mod clock;
mod commit;
mod editor_rules;
mod error;
mod floors;
mod fold;
mod memory;
mod open;
mod pages;
mod publication;
mod query;
mod recover;
mod removed_sites;
mod retention;
mod room;
mod sqlite;
mod tokens;
mod transfer;
mod visitors;
mod vouching;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::change_feed::ChangeFeed;
use crate::counter::{Arrival, Period, RegisteredSite, Site, SiteNumber, Sites, Source};

use check::Damage;
use commit::queue::{Command, CommandQueue};
use commit::state::SharedState;
use memory::lock;
use pages::TopLists;
use query::reader::Reader;
use sqlite::tables::sites;

pub use clock::doubt_of_stopped;
pub use commit::commit_future::CommitFuture;
pub use error::{LedgerError, OpenError};
pub use memory::counters::SiteHits;
pub use memory::vouching::Reading;
pub use pages::Admitted;
pub use query::import_file::ImportFile;
pub use sqlite::backup::{BackupError, backup};
pub use sqlite::file::has_been_used;
pub use sqlite::inspect::inspect;
pub use sqlite::lock::{DirectoryLock, Holder};
pub use sqlite::tables::counts::PublishedRow;
pub use sqlite::tables::own_imports::OwnImport;
pub use transfer::Cleared;

/// A handle on the node's durable counter, shared by all threads.
#[derive(Debug)]
pub struct Ledger {
    queue: CommandQueue,
    state: SharedState,
    /// For publication and the operator.
    reader: Reader,
    /// For public queries, which delay neither publication nor exports.
    public_reader: Reader,
    /// For hits of pages that are new to this run, which wait for no stranger's query.
    hit_reader: Reader,
    tops: Arc<TopLists>,
    committer: Mutex<Option<JoinHandle<()>>>,
    /// One import at a time: it reads the state before it and then writes.
    imports: Arc<Semaphore>,
    directory: PathBuf,
    damage: Damage,
    start: clock::AtStart,
    /// Held as long as the ledger is open.
    _lock: Arc<Mutex<DirectoryLock>>,
}

fn numbered(numbers: Vec<SiteNumber>, sites: Vec<Site>) -> Sites {
    numbers.into_iter().zip(sites).map(|(number, site)| RegisteredSite::new(number, site)).collect()
}

impl Ledger {
    /// Registers the sites of a reloaded configuration.
    pub async fn register(&self, sites: Vec<Site>) -> Result<Sites, LedgerError> {
        let ids: Vec<_> = sites.iter().map(|site| site.counted_as.clone()).collect();
        let numbers = self.queue.run(move |file| file.change(|c| sites::register(c, &ids))).await?;
        self.state.open_sites.note(numbers.iter().copied().zip(&sites));
        Ok(numbered(numbers, sites))
    }

    /// Counts a hit; the future resolves when it is on disk. Needs a single-threaded runtime.
    pub fn count(&self, arrival: impl Into<Arrival>) -> CommitFuture {
        commit::commit_future::count(&self.queue, arrival.into())
    }

    /// The version of the site's counters, which changes with each of them, and true if Redis has less than this node
    /// has shown; none if none is in memory.
    pub fn version(&self, site: SiteNumber) -> Option<(u64, bool)> {
        let counters = self.state.counters.get(site)?;
        Some((counters.version(), counters.is_behind()))
    }

    /// Time since the site's last hit of this run, unless its day has left memory.
    pub fn since_last_hit(&self, site: SiteNumber) -> Option<Duration> {
        Some(self.state.counters.get(site)?.last_hit()?.elapsed())
    }

    /// The hits of each period; loads missing counters.
    pub async fn hits(&self, site: SiteNumber, periods: &[Period]) -> Result<SiteHits, LedgerError> {
        let in_memory = || self.state.counters.get(site).and_then(|counters| counters.hits(periods));
        if let Some(hits) = in_memory() {
            return Ok(hits);
        }
        let missing = periods.to_vec();
        self.queue.run(move |file| file.load_counters(site, missing)).await?;
        in_memory().ok_or_else(|| LedgerError::new("the figures are being loaded; try again"))
    }

    /// The reason why hits can't be made durable now.
    pub fn failed(&self) -> Option<LedgerError> {
        lock(&self.state.failed).clone()
    }

    /// The changes that wait for publication.
    pub fn changes(&self) -> &Arc<ChangeFeed> {
        &self.state.feed
    }

    /// This run, as a source.
    pub fn run(&self) -> &Source {
        &self.state.run
    }

    /// Folds the whole journal.
    pub async fn fold(&self) -> Result<(), LedgerError> {
        self.queue.ask(|done| Command::Fold { done }).await
    }

    /// Folds, syncs, and ends the committer. Batches sent before are counted, later ones refused.
    pub fn close(&self) {
        self.damage.stop_check();
        self.queue.send_stop();
        let committer = lock(&self.committer).take();
        if committer.is_some_and(|committer| committer.join().is_err()) {
            tracing::error!("the committer has panicked");
        }
    }
}
