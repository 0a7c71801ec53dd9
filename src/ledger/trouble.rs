//! What a failed write to the node's file means for the next one.

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

use super::hand_over::NotDurable;

/// Why something could not be written. Whatever it is, the transaction is rolled back.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// It goes by: the disk is full, or another program holds the file locked. Nothing was left
    /// unsynced, so writing can go on once it has gone.
    Passing(NotDurable),
    /// Nobody knows what is on disk (after a failed sync the kernel may have dropped pages), so
    /// nothing may be acknowledged until the file has been opened again.
    Lasting(NotDurable),
}

impl Trouble {
    pub fn reason(&self) -> &NotDurable {
        match self {
            Self::Passing(reason) | Self::Lasting(reason) => reason,
        }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        let reason = |what: &str| NotDurable(format!("{what} ({error})").into());
        if is_damage(&error) {
            return Self::Lasting(damaged(&error));
        }
        let code = error.sqlite_error().map(|error| (error.code, error.extended_code));
        match code {
            Some((ErrorCode::DiskFull, _) | (_, SQLITE_IOERR_SHMSIZE)) => Self::Passing(reason("the disk is full")),
            Some((ErrorCode::DatabaseBusy, _)) => Self::Passing(reason("another program holds the node's file locked")),
            _ => Self::Lasting(reason("the node's file can't be written")),
        }
    }
}

/// Whether the file holds what no program ever wrote there: SQLite has noticed, or a value is none.
pub fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || matches!(
            error,
            InvalidColumnType(..) | IntegralValueOutOfRange(..) | FromSqlConversionFailure(..) | Utf8Error(..)
        )
}

/// What was found to be damaged while the node ran; a restart would find it again.
pub fn damaged(error: &rusqlite::Error) -> NotDurable {
    NotDurable(format!("the node's file is damaged ({error}); stop the node and restore a backup of it").into())
}
