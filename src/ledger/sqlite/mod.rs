//! The node's SQLite file: opening, migrations, its log, its integrity, and each statement run on it.

pub mod backup;
pub mod file;
pub mod inspect;
pub mod integrity;
pub mod lock;
pub mod migrations;
pub mod place;
pub mod progress;
pub mod tables;
pub mod upgrade;
pub mod wal;
