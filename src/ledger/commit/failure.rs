//! Failed writes to the node's file.

use crate::ledger::error::{Cause, LedgerError};

/// A failed write. Its transaction is rolled back.
#[derive(Debug, Clone)]
pub enum WriteFailure {
    /// The disk is full, another program holds the file locked, or the file is not in its place. Nothing was left
    /// unsynced, so writing goes on once the cause is gone.
    Transient(LedgerError),
    /// The state on disk is unknown: after a failed sync the kernel may have dropped pages, or another program has written
    /// the file. Nothing may be acknowledged until the file has been opened again.
    Fatal(LedgerError),
}

impl WriteFailure {
    pub fn reason(&self) -> &LedgerError {
        match self {
            Self::Transient(reason) | Self::Fatal(reason) => reason,
        }
    }
}

impl From<rusqlite::Error> for WriteFailure {
    fn from(error: rusqlite::Error) -> Self {
        let reason = |cause: &str| LedgerError::new(format!("{cause} ({error})"));
        match Cause::of(&error) {
            Cause::Damage => Self::Fatal(LedgerError::damaged(&error)),
            Cause::NoSpace => Self::Transient(reason("the disk is full; no file is damaged: make room")),
            Cause::Locked => Self::Transient(reason("another program holds the node's file locked")),
            Cause::Other => Self::Fatal(reason("the node's file can't be written")),
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Error::{IntegralValueOutOfRange, QueryReturnedNoRows, SqliteFailure};
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn only_a_full_disk_and_a_locked_file_are_transient() {
        let failed = |code| SqliteFailure(ffi::Error::new(code), None);
        for (error, is_transient, says) in [
            (failed(ffi::SQLITE_FULL), true, "full"),
            (failed(ffi::SQLITE_IOERR_SHMSIZE), true, "full"),
            (failed(ffi::SQLITE_BUSY), true, "locked"),
            (failed(ffi::SQLITE_BUSY_SNAPSHOT), true, "locked"),
            (failed(ffi::SQLITE_IOERR_FSYNC), false, "can't be written"),
            (failed(ffi::SQLITE_IOERR_WRITE), false, "can't be written"),
            (failed(ffi::SQLITE_CORRUPT), false, "damaged"),
            (failed(ffi::SQLITE_NOTADB), false, "damaged"),
            (IntegralValueOutOfRange(0, -1), false, "damaged"),
            (QueryReturnedNoRows, false, "can't be written"),
        ] {
            let failure = WriteFailure::from(error);
            assert_eq!(matches!(failure, WriteFailure::Transient(_)), is_transient, "{failure:?}");
            assert!(failure.reason().to_string().contains(says), "{failure:?}");
        }
    }
}
