//! State in memory: recent counters, visitors' sketches and salts, titles, the day's pages, and editors' rules.

pub mod counters;
pub mod editor_rules;
pub mod open_sites;
pub mod page_admission;
pub mod salts;
pub mod site_networks;
pub mod sketches;
pub mod titles;
pub mod tokens;
pub mod vouching;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex whose holders leave nothing half done: a panic aborts the process.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
