//! Bots and other uncounted hits: the lists of User-Agents, the kinds, and the numbers by kind.
//!
//! Pure: no I/O, no clock. `server` reads the request's other signs, and names a [`Kind`] for them too.

mod automaton;
mod browser;
mod exceptions;
mod kind;
mod lists;
mod uncounted;

pub use kind::{BOT, Kind};
pub use lists::{Lists, cut};
pub use uncounted::{UNCOUNTED_BYTES_MAX, UNCOUNTED_DAYS_MAX, UNCOUNTED_FILE, Uncounted, UncountedRow};
