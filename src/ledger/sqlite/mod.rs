//! The node's SQLite file: opening, migrations, its log, its integrity, and each statement run on it.

pub mod file;
pub mod integrity;
pub mod lock;
pub mod migrations;
pub mod progress;
pub mod tables;
pub mod wal;
