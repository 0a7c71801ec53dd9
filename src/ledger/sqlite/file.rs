//! Opening and creating the node's file.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::progress::{self, Progress};
use super::{migrations, wal};
use crate::ledger::error::OpenError;

const FILE: &str = "thongke.db";

/// The high-water mark, in words.
pub const NOTE: &str = "the note of its progress";

/// Longest wait of a statement while another program holds the file locked.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The path of a data directory's file.
pub fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

fn log_path(directory: &Path) -> PathBuf {
    directory.join(format!("{FILE}-wal"))
}

/// The files that an open connection writes: the database, its log, and the log's index.
pub fn open_files(directory: &Path) -> [PathBuf; 3] {
    [path(directory), log_path(directory), directory.join(format!("{FILE}-shm"))]
}

/// True if a node has counted in the directory, or some of its files are still there.
pub fn has_been_used(directory: &Path) -> bool {
    [path(directory), log_path(directory), progress::path(directory)].iter().any(|path| path.exists())
}

/// Opens the node's file, creating it if there is none. A file of an earlier version is not migrated yet.
pub fn open(directory: &Path) -> Result<Connection, OpenError> {
    let path = path(directory);
    let sqlite = |source| OpenError::of_sqlite(&path, source);
    match look(directory)? {
        Look::Missing => create(directory, &path)?,
        Look::HasRun => {}
        // A note of another file's progress.
        Look::HasNotRun => match fs::remove_file(progress::path(directory)) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Err(OpenError::Refused { what: NOTE, path: progress::path(directory), source });
            }
            _ => {}
        },
    }
    let connection = Connection::open_with_flags(&path, flags()).map_err(sqlite)?;
    migrations::check_format(&connection, &path)?;
    configure(&connection).map_err(sqlite)?;
    Ok(connection)
}

/// The state of a data directory's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// No node has counted here.
    Missing,
    /// New, or a backup.
    HasNotRun,
    HasRun,
}

/// Looks at the file and its log without SQLite, which would ignore some damage, and changes nothing.
pub fn look(directory: &Path) -> Result<Look, OpenError> {
    let path = path(directory);
    let log = log_path(directory);
    let io = |source| OpenError::Refused { what: "the node's file", path: path.clone(), source };
    let damaged = |reason: String| Err(OpenError::Damaged { path: path.clone(), reason });
    let length = match fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if log.exists() {
                return damaged(format!("it is missing while its log {} is there", log.display()));
            }
            return match noted(directory)? {
                Some(noted) => damaged(format!("it is missing, and its journal had reached row {}", noted.journal)),
                None => Ok(Look::Missing),
            };
        }
        Err(error) => return Err(io(error)),
    };
    if length == 0 {
        return damaged("it is empty".to_owned());
    }
    let has_run = has_run(&path).map_err(io)?;
    if !has_run && fs::metadata(&log).is_ok_and(|metadata| metadata.len() > 0) {
        // Files beside a backup belonged to another file.
        return damaged(format!("the log {} beside it is of another file; move that away", log.display()));
    }
    match wal::damage(&log).map_err(|source| OpenError::Refused { what: "its log", path: log, source })? {
        Some(reason) => damaged(reason),
        None if has_run => Ok(Look::HasRun),
        None => Ok(Look::HasNotRun),
    }
}

/// Flags of every connection: its owner is one thread, and the file exists.
pub fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// True if a node has ever run on the file: it is in WAL mode. A new file and a `VACUUM INTO` backup are not.
fn has_run(path: &Path) -> std::io::Result<bool> {
    // The header's "file format write version": 1 is a rollback journal, 2 a write-ahead log.
    const WRITE_VERSION_AT: usize = 18;
    let mut header = [0; WRITE_VERSION_AT + 1];
    match File::open(path)?.read_exact(&mut header) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(true),
        other => other.map(|()| header.last() != Some(&1)),
    }
}

fn noted(directory: &Path) -> Result<Option<Progress>, OpenError> {
    progress::read(directory).map_err(|source| OpenError::Refused {
        what: NOTE,
        path: progress::path(directory),
        source,
    })
}

/// Refuses a file with less progress than was noted.
pub fn check_progress(directory: &Path, connection: &Connection) -> Result<(), OpenError> {
    let path = path(directory);
    let Some(noted) = noted(directory)? else { return Ok(()) };
    let found = Progress::of(connection).map_err(|source| OpenError::of_sqlite(&path, source))?;
    match noted.missing_in(found) {
        None => Ok(()),
        Some(missing) => Err(OpenError::Older { path, missing, note: progress::path(directory) }),
    }
}

/// Opens a second connection for work that must not delay commits: reads and checkpoints.
pub fn open_reader(directory: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path(directory), flags())?;
    connection.execute_batch(
        "PRAGMA query_only = ON; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; PRAGMA mmap_size = 0;",
    )?;
    keep_plans(&connection)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Opens the file of a stopped node to look at it. Changes and creates nothing, even if the node has crashed.
pub fn open_to_look(directory: &Path) -> rusqlite::Result<Connection> {
    let log = log_path(directory);
    let has_log = fs::metadata(&log).is_ok_and(|metadata| metadata.len() > 0);
    // Without a log SQLite would create an empty one, unless the file is said to be immutable.
    open_read_only(directory, !has_log)
}

/// `is_immutable`: SQLite reads the file alone, without its log.
pub fn open_read_only(directory: &Path, is_immutable: bool) -> rusqlite::Result<Connection> {
    let path = path(directory);
    let query = if is_immutable { "mode=ro&immutable=1" } else { "mode=ro" };
    let bytes = path.as_os_str().as_encoded_bytes();
    let path = percent_encoding::percent_encode(bytes, percent_encoding::NON_ALPHANUMERIC);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{path}?{query}"), flags)
}

/// Creates the file under another name and renames it: a crash leaves no half-made file.
fn create(directory: &Path, path: &Path) -> Result<(), OpenError> {
    let unfinished = directory.join(format!("{FILE}.new"));
    let io = |source| OpenError::Refused { what: "the data directory", path: directory.to_owned(), source };
    let sqlite = |source| OpenError::of_sqlite(&unfinished, source);
    if unfinished.exists() {
        fs::remove_file(&unfinished).map_err(io)?;
    }
    let connection = Connection::open(&unfinished).map_err(sqlite)?;
    connection.execute_batch("PRAGMA page_size = 4096; PRAGMA secure_delete = ON;").map_err(sqlite)?;
    migrations::migrate(&connection).map_err(sqlite)?;
    connection.close().map_err(|(_, source)| sqlite(source))?;
    File::open(&unfinished).and_then(|file| file.sync_all()).map_err(io)?;
    fs::rename(&unfinished, path).map_err(io)?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    // FULL: each commit is synced before it returns; an acknowledgement promises that sync.
    // The committer runs the checkpoints; the log keeps its blocks, up to 64 MiB.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192; PRAGMA secure_delete = FAST;",
    )?;
    keep_plans(connection)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Makes statements keep their first plan. By default SQLite plans some again for other bound values,
/// which was most of the cost of a site's first hit of a day.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(|_| ())
}
