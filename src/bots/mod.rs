//! Hits that are no reader's: how they are recognised, and how many of which kind there were.
//!
//! Pure: no I/O, no clock. What a request says of itself is `server`'s to read; it then names a
//! [`Kind`] all the same.

mod browser;
mod census;
mod kind;
mod lists;

pub use census::{CENSUS_FILE, Census, CensusRow};
pub use kind::{BOT, Kind};
pub use lists::{Lists, cut};
