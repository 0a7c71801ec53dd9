//! Opening the ledger: the file, recovery, memory, and the threads.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::check::Damage;
use super::clock::AtStart;
use super::commit::checkpointer::Checkpoints;
use super::commit::committer::Committer;
use super::commit::file_writer::FileWriter;
use super::commit::folding::Folding;
use super::commit::queue::command_queue;
use super::commit::state::{SharedState, State};
use super::error::OpenError;
use super::memory::open_sites::OpenSites;
use super::query::reader::Reader;
use super::query::sort;
use super::recover::{RecoverError, recover};
use super::sqlite::lock::DirectoryLock;
use super::sqlite::place::Place;
use super::sqlite::progress::{self, HighWater, Progress};
use super::sqlite::tables::meta::FoldMark;
use super::sqlite::tables::{imports, meta, page_rules, salts, sites, tokens, visitors, vouching};
use super::sqlite::upgrade::upgrade;
use super::sqlite::{file, wal};
use super::{Ledger, numbered};
use crate::counter::{EditorTokens, Site, Sites};
use crate::metrics::Metrics;

/// Interval of folds: a page with many hits is then written once for all of them. With Redis it is shorter, since
/// pages are published as they are folded.
const FOLD_INTERVAL: Duration = Duration::from_secs(30);
const FOLD_INTERVAL_PUBLISHING: Duration = Duration::from_secs(10);

impl Ledger {
    /// Opens the data directory, folds the hits that a crash left unfolded, and starts the committer.
    pub fn open(
        lock: DirectoryLock,
        directory: &Path,
        sites: Vec<Site>,
        is_publishing: bool,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Sites), OpenError> {
        let path = file::path(directory);
        let sqlite = |source| OpenError::of_sqlite(&path, source);
        let no_thread = |source| OpenError::Refused { what: "a thread for", path: path.clone(), source };
        let mut connection = file::open(directory)?;
        file::check_progress(directory, &connection)?;
        let is_upgraded = upgrade(directory, &connection)?;
        let open_sites = OpenSites::default();
        open_sites.note(sites::known(&connection, &sites).map_err(sqlite)?);
        // Former versions listed and kept all pages.
        recover(&mut connection, &|site| is_upgraded || open_sites.has(site)).map_err(|error| match error {
            RecoverError::Damage(reason) => OpenError::Damaged { path: path.clone(), reason },
            RecoverError::Sqlite(error) => sqlite(error),
        })?;
        imports::recover(&connection).map_err(sqlite)?;
        sort::remove_left(directory);
        let mut registered = register(&mut connection, sites).map_err(sqlite)?;
        let reached = Progress::of(&connection).map_err(sqlite)?;
        let high_water = HighWater::open(directory).map_err(|source| OpenError::Refused {
            what: file::NOTE,
            path: progress::path(directory),
            source,
        })?;
        high_water.note(reached);
        if visitors::were_ever_counted(&connection).map_err(sqlite)? {
            // After a crash the log may hold salts that were deleted.
            wal::truncate(&connection).map_err(sqlite)?;
        }
        let mark = meta::read_fold_mark(&connection).map_err(sqlite)?;
        let start = AtStart::read(&connection, &registered, reached.journal > 0).map_err(sqlite)?;
        let state = load(&connection, mark, is_publishing, metrics).map_err(sqlite)?;
        state.open_sites.note(registered.iter().map(|site| (site.number, &site.site)));
        registered.set_rules(state.editor_rules.all());
        let reader = |name| Reader::start(name, file::open_reader(directory).map_err(sqlite)?).map_err(no_thread);
        let (reader, public_reader, hit_reader) = (reader("reader")?, reader("queries")?, reader("new pages")?);
        let log_pages = wal::watch_pages(&mut connection).map_err(sqlite)?;
        let checkpoints =
            Checkpoints::start(log_pages, file::open_reader(directory).map_err(sqlite)?).map_err(no_thread)?;
        let (queue, commands) = command_queue();
        let lock = Arc::new(Mutex::new(lock));
        let interval = if is_publishing { FOLD_INTERVAL_PUBLISHING } else { FOLD_INTERVAL };
        let folding = Folding::new(Arc::clone(&state), mark, interval, reached.journal > 0);
        let place = Place::of(directory).map_err(|source| OpenError::Refused {
            what: "the data directory",
            path: directory.to_owned(),
            source,
        })?;
        let place = place.with_lock(Arc::clone(&lock), &connection).map_err(sqlite)?;
        let writer = FileWriter::new(connection, reached, high_water, Arc::clone(&state)).watching(place);
        let committer = Committer::new(commands, writer, folding, checkpoints);
        let committer = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || committer.run())
            .map_err(no_thread)?;
        let ledger = Self {
            queue,
            state,
            reader,
            public_reader,
            hit_reader,
            tops: Arc::default(),
            committer: Mutex::new(Some(committer)),
            imports: Arc::new(Semaphore::new(1)),
            directory: directory.to_owned(),
            damage: Damage::default(),
            start,
            _lock: lock,
        };
        Ok((ledger, registered))
    }
}

fn register(connection: &mut Connection, configured: Vec<Site>) -> rusqlite::Result<Sites> {
    let ids: Vec<_> = configured.iter().map(|site| site.counted_as.clone()).collect();
    let transaction = connection.transaction()?;
    let numbers = sites::register(&transaction, &ids)?;
    transaction.commit()?;
    Ok(numbered(numbers, configured))
}

/// Memory at the start: salts, and the sketches that an earlier run could not publish.
fn load(
    connection: &Connection,
    mark: FoldMark,
    is_publishing: bool,
    metrics: Arc<Metrics>,
) -> rusqlite::Result<SharedState> {
    let state = State::new(mark, is_publishing, metrics);
    if is_publishing {
        for site in visitors::sites(connection)? {
            state.sketches.load(site, visitors::of_site(connection, site)?);
        }
    }
    salts::all(connection)?.into_iter().for_each(|((site, day), salt)| state.salts.insert(site, day, salt));
    state.vouching.load(vouching::all(connection)?);
    state.editor_rules.load(page_rules::all(connection)?);
    state.tokens.put(EditorTokens::of(tokens::all(connection)?));
    Ok(Arc::new(state))
}
