//! Reports to the operator about the sources of a site's counts.

use serde::{Deserialize, Serialize};

/// One source's contribution to one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceAccount {
    /// A run's 16 hexadecimal digits, or `import:NAME`.
    pub source: String,
    /// This node's current run; older runs and imports no longer change by themselves.
    pub current: bool,
    /// Known from Redis: another node's run.
    pub remote: bool,
    /// Its contribution to the site's total.
    pub total: i64,
    /// First and last day with a count of the site's own, if any.
    pub first_day: Option<String>,
    pub last_day: Option<String>,
    /// Number of site counters that it contributes to; below, of page counters.
    pub site_rows: u64,
    pub page_rows: u64,
}

/// Result of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    pub source: String,
    /// Counters set.
    pub rows: u64,
    /// Lines of the file that were added to another line's counter, since both addresses are one page.
    #[serde(default)]
    pub summed: u64,
    /// Counters that an earlier import of this name had and this one lacks: they are 0 now.
    pub cleared: u64,
    /// An earlier import of this name was made on another node: its rows of pages, if it had any,
    /// are known there only, and are corrected there.
    #[serde(default)]
    pub made_elsewhere: bool,
    /// The site's figures were set to zero, perhaps with an earlier import of this name in them: then they are too low or
    /// too high by what it has changed.
    #[serde(default)]
    pub after_reset: bool,
    /// Days of the file that already have hits of other sources: both are in the figures now.
    pub days_also_counted_live: Vec<String>,
    /// Its generation; none if there was nothing to write. Not for the operator.
    #[serde(skip)]
    pub generation: Option<u64>,
}
