//! Reading from Redis: totals for figures, answers to queries, other sources' counters for the file.

pub mod queries;
pub mod remote_sync;
pub mod totals;
