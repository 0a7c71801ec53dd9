//! Errors of the ledger, and the SQLite errors that mean damage.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;

/// Refused request: the reason in words, shared by all that wait for the same commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LedgerError(pub Arc<str>);

impl LedgerError {
    pub fn new(reason: impl Into<Arc<str>>) -> Self {
        Self(reason.into())
    }

    pub fn stopping() -> Self {
        Self::new("the node is stopping")
    }

    /// Damage found while the node runs; a restart would find it again.
    pub fn damaged(error: &rusqlite::Error) -> Self {
        Self::new(format!("the node's file is damaged ({error}); stop the node and restore a backup"))
    }

    /// Failed read of the node's file.
    pub fn unreadable(error: &rusqlite::Error) -> Self {
        match is_damage(error) {
            true => Self::damaged(error),
            false => Self::new(format!("the node's file can't be read ({error})")),
        }
    }
}

/// Refusal to open the node's file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("can't use the data directory {}: {source}; it must exist or be creatable, and be writable by this user", path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("the data directory {} is in use by process {holder}; each node needs a directory of its own", path.display())]
    InUse { path: PathBuf, holder: String },
    #[error("{} is damaged: {reason}; restore the data directory from a backup, or move it away to start from zero (with Redis, the sites' figures come back from there, those of pages only in Redis itself)", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{} was written by a newer thongke (format {found}, this program knows {known}); run that version, or restore a backup from before the upgrade", path.display())]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{} has lost commits: {missing}; its log was cut off or removed, or an older copy took its place: restore a backup made by `thongke backup`, or, to go on with the file as it is, remove {} and start again", path.display(), note.display())]
    Older { path: PathBuf, missing: String, note: PathBuf },
    #[error("{}: {source}", path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
}

impl OpenError {
    /// SQLite's error from opening the file or reading it for the first time.
    pub fn of_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        match is_damage(&source) {
            true => Self::Damaged { path: path.to_owned(), reason: source.to_string() },
            false => Self::Sqlite { path: path.to_owned(), source },
        }
    }
}

/// True for contents that no program wrote: SQLite reports corruption, or a value is out of its domain.
pub fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || matches!(
            error,
            InvalidColumnType(..) | IntegralValueOutOfRange(..) | FromSqlConversionFailure(..) | Utf8Error(..)
        )
}
