//! A copy of the node's file while the node runs: one moment's, whole, and checked.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::{sketches, store};

/// Why there is no backup. An unfinished copy is removed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{} exists; a backup replaces nothing, name a new file", .0.display())]
    Exists(PathBuf),
    #[error("there is no {}; is this the data directory?", .0.display())]
    Nothing(PathBuf),
    #[error("can't write the backup {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("can't copy {}: {source}", path.display())]
    Copy { path: PathBuf, source: rusqlite::Error },
    #[error("the copy of {} is damaged: {reason}; the file itself may be: keep it, and older backups", path.display())]
    Damaged { path: PathBuf, reason: String },
}

/// Copies the node's file to `target`, which comes into being whole or not at all.
///
/// The copy is read in one transaction of SQLite's, so commits go on meanwhile and none is seen in
/// part: what was acknowledged before the call is in it. The salts of visitors' keys are left out: a
/// node that goes on from the copy draws its own or, with Redis, is told the others'.
pub fn backup(directory: &Path, target: &Path) -> Result<(), BackupError> {
    let path = store::file(directory);
    if target.exists() {
        return Err(BackupError::Exists(target.to_owned()));
    }
    if !path.exists() {
        return Err(BackupError::Nothing(path));
    }
    let mut unfinished = target.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let io = |source| BackupError::Write { path: target.to_owned(), source };
    if unfinished.exists() {
        fs::remove_file(&unfinished).map_err(io)?;
    }
    let copied = copy(&path, &unfinished).and_then(|()| {
        File::open(&unfinished).and_then(|file| file.sync_all()).map_err(io)?;
        fs::rename(&unfinished, target).map_err(io)?;
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
    });
    if copied.is_err() {
        // What stays behind says by its name that it is nothing.
        let _ = fs::remove_file(&unfinished);
    }
    copied
}

fn copy(path: &Path, unfinished: &Path) -> Result<(), BackupError> {
    let sqlite = |source| BackupError::Copy { path: path.to_owned(), source };
    let damaged = |reason: String| BackupError::Damaged { path: path.to_owned(), reason };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    connection.execute_batch("PRAGMA busy_timeout = 30000").map_err(sqlite)?;
    connection.execute("VACUUM INTO ?", [unfinished.to_string_lossy()]).map_err(sqlite)?;
    let copy = Connection::open_with_flags(unfinished, flags).map_err(sqlite)?;
    let verdict: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(sqlite)?;
    if verdict != "ok" {
        return Err(damaged(verdict));
    }
    let version = store::check_version(&copy, path).map_err(|error| damaged(error.to_string()))?;
    if version >= store::VERSION_WITH_SALTS {
        // A backup outlives the day; with its salt one could ask which visitors an address was.
        sketches::delete_all_salts(&copy).map_err(sqlite)?;
    }
    copy.close().map_err(|(_, source)| sqlite(source))
}
