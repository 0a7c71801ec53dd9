//! Backups: a checked copy of one snapshot of the node's file, made while the node runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::tables::salts;
use super::{file, migrations};
use crate::ledger::error::{Cause, OpenError};
use crate::obstacle;

/// A failed backup. The unfinished copy is removed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{} exists; a backup replaces no file: name a new one", .0.display())]
    Exists(PathBuf),
    #[error("there is no {}; is this the data directory?", .0.display())]
    Missing(PathBuf),
    #[error("can't write the copy {}: {source}{}", path.display(), obstacle::advice(path, source))]
    Write { path: PathBuf, source: std::io::Error },
    #[error("nothing can be copied: {0}")]
    Source(OpenError),
    #[error("the copy of {} is damaged: {reason}; the file itself may be: keep it, and older backups", path.display())]
    Damaged { path: PathBuf, reason: String },
}

/// Copies the node's file to `target`, wholly or not at all.
///
/// SQLite reads one snapshot, which has all hits acknowledged before the call; commits go on meanwhile. The copy has no
/// salts of visitors' keys: a node that goes on from it draws its own or, with Redis, reads the others'.
pub fn backup(directory: &Path, target: &Path) -> Result<(), BackupError> {
    let path = file::path(directory);
    if target.exists() {
        return Err(BackupError::Exists(target.to_owned()));
    }
    if !path.exists() {
        return Err(BackupError::Missing(path));
    }
    let mut unfinished = target.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let io = |source| BackupError::Write { path: target.to_owned(), source };
    if unfinished.exists() {
        fs::remove_file(&unfinished).map_err(io)?;
    }
    // SQLite takes an empty file, and would not pass the system's refusal on.
    let copied = File::create_new(&unfinished).map_err(io).and_then(|_| copy(&path, &unfinished)).and_then(|()| {
        File::open(&unfinished).and_then(|file| file.sync_all()).map_err(io)?;
        fs::rename(&unfinished, target).map_err(io)?;
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
    });
    if copied.is_err() {
        // If this fails, the name says that the copy is unfinished. SQLite leaves its journal on a full disk.
        let _ = fs::remove_file(&unfinished);
        let _ = fs::remove_file(journal_of(&unfinished));
    }
    copied
}

fn copy(path: &Path, unfinished: &Path) -> Result<(), BackupError> {
    let sqlite = |source: rusqlite::Error| match Cause::of(&source) {
        Cause::NoSpace => BackupError::Write { path: unfinished.to_owned(), source: rustix::io::Errno::NOSPC.into() },
        _ => BackupError::Source(OpenError::of_sqlite(path, source)),
    };
    let damaged = |reason: String| BackupError::Damaged { path: path.to_owned(), reason };
    let connection = Connection::open_with_flags(path, file::flags()).map_err(sqlite)?;
    connection.execute_batch("PRAGMA busy_timeout = 30000").map_err(sqlite)?;
    let format = migrations::check_format(&connection, path).map_err(BackupError::Source)?;
    connection.execute("VACUUM INTO ?", [unfinished.to_string_lossy()]).map_err(sqlite)?;
    let copy = Connection::open_with_flags(unfinished, file::flags()).map_err(sqlite)?;
    let verdict: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(sqlite)?;
    if verdict != "ok" {
        return Err(damaged(verdict));
    }
    if format >= migrations::FORMAT_WITH_SALTS {
        // A backup outlives the day; its salt would tell which visitor an address was.
        salts::delete_all(&copy).map_err(sqlite)?;
    }
    copy.close().map_err(|(_, source)| sqlite(source))
}

fn journal_of(copy: &Path) -> PathBuf {
    let mut name = copy.as_os_str().to_owned();
    name.push("-journal");
    PathBuf::from(name)
}
