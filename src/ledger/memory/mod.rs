//! State in memory: recent counters, visitors' sketches and salts, titles, and the day's pages.

pub mod counters;
pub mod page_admission;
pub mod salts;
pub mod sketches;
pub mod titles;
