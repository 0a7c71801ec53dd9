//! The node's SQLite file: opening, and each statement that is run on it.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use crate::counter::{Contribution, PageAddress, Period, Register, SiteId, SiteNumber, Source, Tally};

use super::{high_water, log_check, trouble};

/// A source's number in the file.
pub type SourceNumber = i64;

/// The page number that stands for the site itself.
pub const SITE_ITSELF: i64 = 0;

const APPLICATION_ID: i64 = 1_953_001_835;
const SCHEMA_VERSION: i64 = 2;
/// From here on a file may hold salts.
pub const VERSION_WITH_SALTS: usize = 2;
/// What each format adds to the one before it.
const SCHEMAS: [&str; SCHEMA_VERSION as usize] = [include_str!("schema.sql"), include_str!("visitors.sql")];
/// How long a statement waits for another program that holds the file locked.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const FILE: &str = "thongke.db";
const LOCK: &str = "thongke.lock";

/// Why the node's file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("can't use the data directory {}: {source}; it must exist or be creatable, and be writable by this user", path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("the data directory {} is in use by process {holder}; each node needs a directory of its own", path.display())]
    InUse { path: PathBuf, holder: String },
    #[error("{} is damaged: {reason}; restore the data directory from a backup, or move it away to start from zero (with Redis, the sites' figures come back from there, those of pages only in Redis itself)", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{} was written by a newer thongke (format {found}, this program knows {SCHEMA_VERSION}); run that version, or restore a backup of before the upgrade", path.display())]
    Newer { path: PathBuf, found: i64 },
    #[error("{} is older than it was: {missing}; its log was cut off or removed, or an older copy took its place: restore a backup made by `thongke backup`, or, if what is there is all that is left or just what you want, remove {} and start again", path.display(), note.display())]
    Older { path: PathBuf, missing: String, note: PathBuf },
    #[error("{}: {source}", path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
}

impl OpenError {
    /// What SQLite said when the file was opened or first read.
    pub fn of_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        match trouble::is_damage(&source) {
            true => Self::Damaged { path: path.to_owned(), reason: source.to_string() },
            false => Self::Sqlite { path: path.to_owned(), source },
        }
    }
}

/// Holds the data directory against a second node, and tells it who holds it.
#[derive(Debug)]
pub struct DirectoryLock {
    file: File,
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing the file would do, but for a process that is just being forked off elsewhere: until
        // it has become another program, it holds the file open too.
        let _ = self.file.unlock();
    }
}

impl DirectoryLock {
    pub fn take(directory: &Path) -> Result<Self, OpenError> {
        let io = |source| OpenError::Directory { path: directory.to_owned(), source };
        fs::create_dir_all(directory).map_err(io)?;
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join(LOCK))
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {
                let mut lock = Self { file };
                lock.write("").map_err(io)?;
                Ok(lock)
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Only for the message: a lock file that can't be read still refuses.
                let _ = file.read_to_string(&mut text);
                let holder = text.split_whitespace().next().unwrap_or("(unknown)").to_owned();
                Err(OpenError::InUse { path: directory.to_owned(), holder })
            }
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }

    /// Adds where the holder's admin listener is.
    pub fn sign(&mut self, admin_address: &str) -> std::io::Result<()> {
        self.write(admin_address)
    }

    fn write(&mut self, admin_address: &str) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.set_len(0)?;
        writeln!(self.file, "{} {admin_address}", std::process::id())
    }

    /// Who holds the directory now.
    pub fn holder(directory: &Path) -> Option<Holder> {
        let mut file = File::open(directory.join(LOCK)).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.read_to_string(&mut text).ok()?;
                let mut words = text.split_whitespace();
                let process = words.next().unwrap_or("(unknown)").to_owned();
                Some(Holder { process, admin_address: words.next().map(str::to_owned) })
            }
            _ => None,
        }
    }
}

/// The process that holds a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub process: String,
    /// None: it is no node that can be asked, but another command at work on the files.
    pub admin_address: Option<String>,
}

/// Where a data directory's counts are.
pub fn file(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// Whether a node has counted in it, or some of what it left is still there.
pub fn has_been_used(directory: &Path) -> bool {
    let log = directory.join(format!("{FILE}-wal"));
    [file(directory), log, high_water::path(directory)].iter().any(|path| path.exists())
}

/// Opens the node's file, creating it if there is none.
pub fn open(directory: &Path) -> Result<Connection, OpenError> {
    let path = file(directory);
    let sqlite = |source| OpenError::of_sqlite(&path, source);
    if !path.exists() {
        let log = directory.join(format!("{FILE}-wal"));
        if log.exists() {
            let reason = format!("it is missing while its log {} is there", log.display());
            return Err(OpenError::Damaged { path, reason });
        }
        let noted =
            high_water::read(directory).map_err(|source| OpenError::Directory { path: path.clone(), source })?;
        if let Some(noted) = noted {
            let reason = format!("it is missing, and its journal had reached row {}", noted.journal);
            return Err(OpenError::Damaged { path, reason });
        }
        create(directory, &path)?;
    }
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == 0) {
        return Err(OpenError::Damaged { path, reason: "it is empty".to_owned() });
    }
    let log = directory.join(format!("{FILE}-wal"));
    let io = |source| OpenError::Directory { path: path.clone(), source };
    if !has_run(&path).map_err(io)? {
        // A backup, or new: what lies beside it was another file's.
        if fs::metadata(&log).is_ok_and(|metadata| metadata.len() > 0) {
            let reason = format!("the log {} beside it is of another file; move that away", log.display());
            return Err(OpenError::Damaged { path, reason });
        }
        match fs::remove_file(high_water::path(directory)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
    }
    match log_check::damage(&log) {
        Ok(None) => {}
        Ok(Some(reason)) => return Err(OpenError::Damaged { path, reason }),
        Err(source) => return Err(OpenError::Directory { path: log, source }),
    }
    let connection =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(sqlite)?;
    let version = check_version(&connection, &path)?;
    configure(&connection).map_err(sqlite)?;
    upgrade(&connection, version).map_err(sqlite)?;
    connection.execute_batch(include_str!("titles.sql")).map_err(sqlite)?;
    Ok(connection)
}

/// Whether a node has ever run on the file: then it is in WAL mode, which neither a new file is nor a
/// backup made by `VACUUM INTO`.
fn has_run(path: &Path) -> std::io::Result<bool> {
    // The file format's version for writers: 1 is the older journal, 2 the log.
    const WRITE_VERSION_AT: usize = 18;
    let mut header = [0; WRITE_VERSION_AT + 1];
    match File::open(path)?.read_exact(&mut header) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(true),
        other => other.map(|()| header.last() != Some(&1)),
    }
}

/// Refuses a file that has reached less than was noted.
pub fn check_reached(directory: &Path, connection: &Connection) -> Result<(), OpenError> {
    let path = file(directory);
    let noted = high_water::read(directory).map_err(|source| OpenError::Directory { path: path.clone(), source })?;
    let Some(noted) = noted else { return Ok(()) };
    let found = high_water::Reached::of(connection).map_err(|source| OpenError::of_sqlite(&path, source))?;
    match high_water::missing(noted, found) {
        None => Ok(()),
        Some(missing) => Err(OpenError::Older { path, missing, note: high_water::path(directory) }),
    }
}

/// A second connection, for what must not hold up commits: reads, and copying the log into the file.
pub fn open_reader(directory: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(directory.join(FILE), flags)?;
    connection.execute_batch(
        "PRAGMA query_only = ON; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; PRAGMA mmap_size = 0;",
    )?;
    plan_once(&connection)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// The file comes into being whole, by a rename: a crash while it is made leaves none.
fn create(directory: &Path, path: &Path) -> Result<(), OpenError> {
    let io = |source| OpenError::Directory { path: directory.to_owned(), source };
    let sqlite = |source| OpenError::of_sqlite(path, source);
    let unfinished = directory.join(format!("{FILE}.new"));
    if unfinished.exists() {
        fs::remove_file(&unfinished).map_err(io)?;
    }
    let connection = Connection::open(&unfinished).map_err(sqlite)?;
    connection.execute_batch("PRAGMA page_size = 4096; PRAGMA secure_delete = ON;").map_err(sqlite)?;
    upgrade(&connection, 0).map_err(sqlite)?;
    connection.close().map_err(|(_, source)| sqlite(source))?;
    File::open(&unfinished).and_then(|file| file.sync_all()).map_err(io)?;
    fs::rename(&unfinished, path).map_err(io)?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)
}

/// Brings a file of format `version` to this program's, in one transaction.
fn upgrade(connection: &Connection, version: usize) -> rusqlite::Result<()> {
    match SCHEMAS.get(version..) {
        None | Some([]) => Ok(()),
        Some(additions) => connection.execute_batch(&format!("BEGIN; {} COMMIT;", additions.concat())),
    }
}

/// The file's format, of 1 to this program's.
pub fn check_version(connection: &Connection, path: &Path) -> Result<usize, OpenError> {
    let number = |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
    let damaged = |reason: String| OpenError::Damaged { path: path.to_owned(), reason };
    let application_id = number("application_id").map_err(|error| damaged(error.to_string()))?;
    if application_id != APPLICATION_ID {
        return Err(damaged("it is an SQLite file, but not one of thongke".to_owned()));
    }
    match number("user_version") {
        Ok(found @ 1..=SCHEMA_VERSION) => Ok(found as usize),
        Ok(found) if found > SCHEMA_VERSION => Err(OpenError::Newer { path: path.to_owned(), found }),
        Ok(found) => Err(damaged(format!("its format is {found}"))),
        Err(error) => Err(damaged(error.to_string())),
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    // FULL: each commit is synced before it returns; that sync is what an acknowledgement means.
    // Checkpoints are run by the committer when it suits it; the log keeps its blocks, up to 64 MiB.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192; PRAGMA secure_delete = FAST;",
    )?;
    plan_once(connection)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Statements keep the plan with which they were prepared. Otherwise SQLite looks at what is bound to some of
/// them, and plans those anew each time that is something else: most of what a site's first hit of a day cost.
fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(|_| ())
}

/// Copies of the log into the file what nobody reads there any more, and waits for nobody.
pub fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// Copies the log into the file and cuts it off, so that nothing of what it held is left. False: someone
/// reads in it.
pub fn cut_log(connection: &Connection) -> rusqlite::Result<bool> {
    let is_busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(!is_busy)
}

/// A number that is, after each commit, how many pages are in the log.
pub fn watch_log(connection: &mut Connection) -> rusqlite::Result<Arc<AtomicU32>> {
    let pages = Arc::new(AtomicU32::new(0));
    let written = Arc::clone(&pages);
    connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count: std::ffi::c_int| {
        written.store(u32::try_from(count).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }))?;
    Ok(pages)
}

/// How far folding has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoldMark {
    pub mark: i64,
    pub target: i64,
    pub done: usize,
}

pub fn read_fold_mark(connection: &Connection) -> rusqlite::Result<FoldMark> {
    let value =
        |key: &str| connection.query_row("SELECT value FROM meta WHERE key = ?", [key], |row| row.get::<_, i64>(0));
    Ok(FoldMark {
        mark: value("fold_mark")?,
        target: value("fold_target")?,
        done: usize::try_from(value("fold_done")?).unwrap_or(usize::MAX),
    })
}

pub fn write_fold_mark(connection: &Connection, mark: FoldMark) -> rusqlite::Result<()> {
    let done = i64::try_from(mark.done).unwrap_or(i64::MAX);
    connection
        .prepare_cached("REPLACE INTO meta VALUES ('fold_mark', ?), ('fold_target', ?), ('fold_done', ?)")?
        .execute(params![mark.mark, mark.target, done])?;
    Ok(())
}

/// How many transactions have changed something else than hits; kept in the file since its format
/// has had no other number for it, so an older file has none.
pub fn changes(connection: &Connection) -> rusqlite::Result<i64> {
    let found =
        connection.query_row("SELECT value FROM meta WHERE key = 'changes'", [], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or(0))
}

pub fn note_change(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(
            "INSERT INTO meta VALUES ('changes', 1) ON CONFLICT DO UPDATE SET value = value + 1 RETURNING value",
        )?
        .query_row([], |row| row.get(0))
}

/// Whether anything was ever counted.
pub fn has_counts(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM counts)", [], |row| row.get(0))
}

/// Whether any source was ever said to contribute: whoever does has counts.
pub fn has_contributors(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM site_sources)", [], |row| row.get(0))
}

/// The newest journal row's number; 0 where there is none yet.
pub fn last_journal_number(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT ifnull(max(number), 0) FROM journal", [], |row| row.get(0))
}

pub fn append_journal(connection: &Connection, number: i64, source: SourceNumber, row: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO journal (number, source, tally) VALUES (?, ?, ?)")?
        .execute(params![number, source, row])?;
    Ok(())
}

/// The journal rows after `mark`: number, source, tally as written.
pub fn journal_after(connection: &Connection, mark: i64) -> rusqlite::Result<Vec<(i64, SourceNumber, Vec<u8>)>> {
    connection
        .prepare("SELECT number, source, tally FROM journal WHERE number > ? ORDER BY number")?
        .query_map([mark], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect()
}

/// Deletes up to `limit` folded rows, never the newest. Returns whether there are more.
pub fn prune_journal(connection: &Connection, mark: i64, limit: i64) -> rusqlite::Result<bool> {
    let deleted = connection
        .prepare_cached(
            "DELETE FROM journal WHERE number IN (SELECT number FROM journal
             WHERE number <= ?1 AND number < (SELECT max(number) FROM journal) ORDER BY number LIMIT ?2)",
        )?
        .execute(params![mark, limit])?;
    Ok(i64::try_from(deleted).unwrap_or(0) == limit)
}

/// The number of each site, which gets one if it has none.
pub fn register(connection: &Connection, ids: &[SiteId]) -> rusqlite::Result<Vec<SiteNumber>> {
    let mut find = connection.prepare_cached("SELECT number FROM sites WHERE id = ?")?;
    let mut insert = connection.prepare_cached("INSERT INTO sites (id) VALUES (?) RETURNING number")?;
    ids.iter()
        .map(|id| {
            let found = find.query_row([id.as_str()], |row| row.get(0)).optional()?;
            let number = match found {
                Some(number) => number,
                None => insert.query_row([id.as_str()], |row| row.get(0))?,
            };
            Ok(SiteNumber(number))
        })
        .collect()
}

/// The number of a source, which gets one if it has none.
pub fn source_number(connection: &Connection, source: &Source, learned: bool) -> rusqlite::Result<SourceNumber> {
    let name = source.to_string();
    if let Some(number) = find_source(connection, source)? {
        return Ok(number);
    }
    connection
        .prepare_cached("INSERT INTO sources (name, learned) VALUES (?, ?) RETURNING number")?
        .query_row(params![name, learned], |row| row.get(0))
}

pub fn find_source(connection: &Connection, source: &Source) -> rusqlite::Result<Option<SourceNumber>> {
    connection
        .prepare_cached("SELECT number FROM sources WHERE name = ?")?
        .query_row([source.to_string()], |row| row.get(0))
        .optional()
}

/// Whether all that is known of a source came from Redis.
pub fn is_learned(connection: &Connection, source: SourceNumber) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT learned = 1 FROM sources WHERE number = ?")?.query_row([source], |row| row.get(0))
}

/// Notes that a source contributes to a site; what was known of its publication stays.
pub fn note_contributor(
    connection: &Connection,
    site: SiteNumber,
    source: SourceNumber,
    published: bool,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO site_sources (site, source, published) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")?
        .execute(params![site.0, source, published])?;
    Ok(())
}

pub fn set_published(
    connection: &Connection,
    site: SiteNumber,
    source: SourceNumber,
    published: bool,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE site_sources SET published = ?3 WHERE site = ?1 AND source = ?2")?
        .execute(params![site.0, source, published])?;
    Ok(())
}

/// A page's number, which it gets if it has none.
pub fn page_number(connection: &Connection, site: SiteNumber, page: &PageAddress) -> rusqlite::Result<i64> {
    if let Some(number) = find_page(connection, site, page)? {
        return Ok(number);
    }
    connection.prepare_cached("INSERT INTO pages (site, address) VALUES (?, ?)")?.insert(params![site.0, page.as_str()])
}

pub fn find_page(connection: &Connection, site: SiteNumber, page: &PageAddress) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT number FROM pages WHERE site = ? AND address = ?")?
        .query_row(params![site.0, page.as_str()], |row| row.get(0))
        .optional()
}

/// Adds a run's hits to a site's own counts. True: the run is new to the site.
pub fn add_to_site(
    connection: &Connection,
    site: SiteNumber,
    source: SourceNumber,
    periods: [Period; 4],
    hits: i64,
) -> rusqlite::Result<bool> {
    let [.., total] = add_to_page(connection, site, SITE_ITSELF, source, periods, hits)?;
    Ok(total == hits)
}

/// Adds a run's hits to a page's counts and returns what they are now.
///
/// Read, then written: SQLite keeps what one statement is to return of its writing in a table of its own until
/// its end, which costs as much again.
pub fn add_to_page<const PERIODS: usize>(
    connection: &Connection,
    site: SiteNumber,
    page: i64,
    source: SourceNumber,
    periods: [Period; PERIODS],
    hits: i64,
) -> rusqlite::Result<[i64; PERIODS]> {
    let mut read = connection
        .prepare_cached("SELECT hits FROM counts WHERE site = ? AND period = ? AND page = ? AND source = ?")?;
    let mut write =
        connection.prepare_cached("REPLACE INTO counts (site, period, page, source, hits) VALUES (?, ?, ?, ?, ?)")?;
    let mut now = [hits; PERIODS];
    for (period, now) in periods.iter().zip(&mut now) {
        let period = period.number();
        let known: Option<i64> = read.query_row(params![site.0, period, page, source], |row| row.get(0)).optional()?;
        *now = now.saturating_add(known.unwrap_or(0));
        write.execute(params![site.0, period, page, source, *now])?;
    }
    Ok(now)
}

/// Where a count stands.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub site: SiteNumber,
    pub period: Period,
    pub page: i64,
    pub source: SourceNumber,
}

/// Redis knew more of a source than its own node's file.
pub fn note_partly_learned(connection: &Connection, source: SourceNumber) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE sources SET learned = 2 WHERE number = ? AND learned = 0")?.execute([source])?;
    Ok(())
}

/// Merges what is stated about a count into it. True: it was news.
pub fn merge(connection: &Connection, place: Place, stated: Register) -> rusqlite::Result<bool> {
    let (hits, generation) = match stated {
        Register::Grown(hits) => (hits, None),
        Register::Written { generation, hits } => (hits, Some(i64::try_from(generation).unwrap_or(i64::MAX))),
    };
    let changed = connection
        .prepare_cached(
            "INSERT INTO counts (site, period, page, source, hits, generation) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET hits = excluded.hits, generation = excluded.generation
             WHERE (ifnull(excluded.generation, 0), excluded.hits) > (ifnull(generation, 0), hits)",
        )?
        .execute(params![place.site.0, place.period.number(), place.page, place.source, hits, generation])?;
    Ok(changed > 0)
}

/// One source's count of a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteCount {
    pub source: SourceNumber,
    pub name: Source,
    pub published: bool,
    pub register: Register,
}

/// All sources' counts of one of the site's own periods.
pub fn site_counts(connection: &Connection, site: SiteNumber, period: Period) -> rusqlite::Result<Vec<SiteCount>> {
    counts_of(connection, site, period, SITE_ITSELF)
}

/// All sources' counts of a period of the site or one of its pages.
pub fn counts_of(
    connection: &Connection,
    site: SiteNumber,
    period: Period,
    page: i64,
) -> rusqlite::Result<Vec<SiteCount>> {
    connection
        .prepare_cached(
            "SELECT c.source, s.name, ifnull(p.published, 0), c.hits, c.generation
             FROM counts c JOIN sources s ON s.number = c.source
             LEFT JOIN site_sources p ON p.site = c.site AND p.source = c.source
             WHERE c.site = ?1 AND c.period = ?2 AND c.page = ?3",
        )?
        .query_map(params![site.0, period.number(), page], |row| {
            Ok(SiteCount {
                source: row.get(0)?,
                name: source_at(row, 1)?,
                published: row.get(2)?,
                register: register_at(row, 3)?,
            })
        })?
        .collect()
}

/// The highest generation that the site has of a source.
pub fn generation_of(connection: &Connection, site: SiteNumber, source: SourceNumber) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT ifnull(max(generation), 0) FROM counts WHERE site = ? AND source = ?")?
        .query_row(params![site.0, source], |row| row.get::<_, i64>(0))
        .map(|generation| u64::try_from(generation).unwrap_or(0))
}

/// A row of `counts` as it is published, with where it stands.
pub type PublishedRow = ((u32, i64, i64), Contribution);

/// Up to `limit` rows of a site after a place; those of unpublished sources only, if so asked.
pub fn rows_after(
    connection: &Connection,
    site: SiteNumber,
    after: (u32, i64, i64),
    limit: usize,
    unpublished_only: bool,
) -> rusqlite::Result<Vec<PublishedRow>> {
    connection
        .prepare_cached(
            "SELECT c.period, c.page, c.source, c.hits, c.generation, s.name, p.address
             FROM counts c JOIN sources s ON s.number = c.source LEFT JOIN pages p ON p.number = c.page
             WHERE c.site = ?1 AND (c.period, c.page, c.source) > (?2, ?3, ?4)
             AND (?6 = 0 OR EXISTS (SELECT 1 FROM site_sources u
                  WHERE u.site = c.site AND u.source = c.source AND u.published = 0))
             ORDER BY c.period, c.page, c.source LIMIT ?5",
        )?
        .query_map(
            params![site.0, after.0, after.1, after.2, i64::try_from(limit).unwrap_or(i64::MAX), unpublished_only],
            |row| {
                let address: Option<String> = row.get(6)?;
                let contribution = Contribution {
                    source: source_at(row, 5)?,
                    period: period_at(row, 0)?,
                    page: address.as_deref().map(PageAddress::from_stored),
                    register: register_at(row, 3)?,
                };
                Ok(((row.get(0)?, row.get(1)?, row.get(2)?), contribution))
            },
        )?
        .collect()
}

pub fn period_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Period> {
    let number = row.get(column)?;
    Period::from_number(number).ok_or(rusqlite::Error::IntegralValueOutOfRange(column, i64::from(number)))
}

pub fn source_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Source> {
    row.get::<_, String>(column)?.parse().map_err(|error: crate::counter::source::SourceError| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}

fn register_at(row: &rusqlite::Row<'_>, hits_column: usize) -> rusqlite::Result<Register> {
    let hits = row.get(hits_column)?;
    let generation: Option<i64> = row.get(hits_column + 1)?;
    Ok(match generation {
        None => Register::Grown(hits),
        Some(generation) => Register::Written { generation: u64::try_from(generation).unwrap_or(0), hits },
    })
}

/// Decodes a journal row, or says which one is damaged.
pub fn decode(number: i64, row: &[u8]) -> Result<Tally, String> {
    Tally::decode(row).map_err(|error| format!("journal row {number}: {error}"))
}
