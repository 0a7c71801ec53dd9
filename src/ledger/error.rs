//! Errors of the ledger, and the causes of SQLite's errors.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

use crate::obstacle;

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
    #[error("can't use {what} {}: {source}{}", path.display(), obstacle::advice(path, source))]
    Refused { what: &'static str, path: PathBuf, source: io::Error },
    #[error("the data directory {} is in use by process {holder}; each node needs a directory of its own", path.display())]
    InUse { path: PathBuf, holder: String },
    #[error("{} is damaged: {reason}; restore the data directory from a backup, or move it away to start from zero (with Redis, the sites' figures come back from there, those of pages only in Redis itself)", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{} was written by a newer thongke (format {found}, this program knows {known}); run that version, or restore the copy from before the upgrade: a backup, or the file `thongke.db.before-…` beside it", path.display())]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{} is of an earlier version and is copied before it is upgraded, which failed: {reason}; it is unchanged, and the earlier program can go on with it", path.display())]
    NotCopied { path: PathBuf, reason: String },
    #[error("{} has lost commits: {missing}; its log was cut off or removed, or an older copy took its place: restore a backup made by `thongke backup`, or, to go on with the file as it is, remove {} and start again", path.display(), note.display())]
    Older { path: PathBuf, missing: String, note: PathBuf },
    #[error("{} is locked by another program ({source}); end it, such as an `sqlite3` or a copy of this program in another container, and try again", path.display())]
    Locked { path: PathBuf, source: rusqlite::Error },
    #[error("can't open {}: {source}; it was not found damaged: see `dmesg` for errors of the disk, and keep the data directory as it is", path.display())]
    Unreadable { path: PathBuf, source: rusqlite::Error },
}

impl OpenError {
    /// SQLite's error from opening the file or reading it for the first time.
    pub fn of_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match Cause::of(&source) {
            Cause::Damage => Self::Damaged { path, reason: source.to_string() },
            Cause::NoSpace => Self::Refused { what: FILE, path, source: no_space() },
            Cause::Locked => Self::Locked { path, source },
            Cause::Other => refused_by_the_system(&path).unwrap_or(Self::Unreadable { path, source }),
        }
    }
}

const FILE: &str = "the node's file";

/// Space with less of which a disk is full: a start makes a log and its index of 32 KiB.
const ROOM_MIN_BYTES: u64 = 64 << 10;

fn no_space() -> io::Error {
    rustix::io::Errno::NOSPC.into()
}

/// The system's refusal of the file, its log or its index, or of new files beside it. SQLite's errors do not pass it on.
pub fn refused_by_the_system(path: &Path) -> Option<OpenError> {
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    for (what, path) in [(FILE, path.to_owned()), ("its log", beside("-wal")), ("its index", beside("-shm"))] {
        match File::options().read(true).write(true).open(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Some(OpenError::Refused { what, path, source });
            }
            _ => {}
        }
    }
    let folder = path.parent()?;
    let refused = |source| Some(OpenError::Refused { what: "the data directory", path: folder.to_owned(), source });
    use rustix::fs::{Access, AtFlags, CWD, accessat, statvfs};
    if let Err(errno) = accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
        return refused(errno.into());
    }
    let is_full = statvfs(folder).is_ok_and(|disk| {
        let room = disk.f_bavail.saturating_mul(disk.f_frsize);
        room < ROOM_MIN_BYTES || (disk.f_files > 0 && disk.f_favail == 0)
    });
    if is_full { refused(no_space()) } else { None }
}

/// The cause of an error of SQLite, as far as it decides what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Contents that no program wrote: SQLite reports corruption, or a value is out of its domain.
    Damage,
    NoSpace,
    /// Another program holds the file locked.
    Locked,
    Other,
}

impl Cause {
    pub fn of(error: &rusqlite::Error) -> Self {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
        match error {
            InvalidColumnType(..) | IntegralValueOutOfRange(..) | FromSqlConversionFailure(..) | Utf8Error(..) => {
                return Self::Damage;
            }
            _ => {}
        }
        match error.sqlite_error().map(|error| (error.code, error.extended_code)) {
            Some((ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _)) => Self::Damage,
            Some((ErrorCode::DiskFull, _) | (_, SQLITE_IOERR_SHMSIZE)) => Self::NoSpace,
            Some((ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _)) => Self::Locked,
            _ => Self::Other,
        }
    }
}

/// True for contents that no program wrote.
pub fn is_damage(error: &rusqlite::Error) -> bool {
    Cause::of(error) == Cause::Damage
}
