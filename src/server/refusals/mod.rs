//! Refused requests: a summary of all for the log, and a bounded memory of refused hits, with what to do about each.

pub mod advice;
pub mod listed;
mod memory;
mod seen;
mod summary;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::http::HeaderFields;
use crate::counter::{ClientPrefix, SiteNumber, Sites};
use advice::SitesSource;
use listed::Listed;
use memory::Memory;
use summary::Summary;

pub use listed::Refused;
pub use seen::{ORIGIN_HEADER, PREFIX, RefusedHit};

/// Shortest time between two lines of advice.
const ADVICE_INTERVAL: Duration = Duration::from_secs(60);
/// Networks that make a refused page certain.
const NETWORKS_MIN: u32 = 3;

/// Entries among which a report looks for one that deserves a line.
const LOOKED_AT_MAX: usize = 20;

/// Refused requests of the public listener. Shared by all workers; a request that is not refused never comes here.
#[derive(Debug)]
pub struct Refusals {
    summary: Summary,
    memory: Memory,
    source: SitesSource,
    advised_at: Mutex<Option<Instant>>,
}

impl Refusals {
    /// `now`: the beginning of the memory.
    pub fn new(source: SitesSource, now: DateTime<Utc>) -> Self {
        Self { summary: Summary::default(), memory: Memory::new(now), source, advised_at: Mutex::default() }
    }

    /// Counts a refused request.
    pub fn count(&self, reason: &'static str) {
        self.summary.count(reason);
    }

    /// Keeps a request that is about to be counted as the summary's example, if it is the first since the last line.
    pub fn show(&self, reason: &'static str, site: Option<&str>, headers: &impl HeaderFields) {
        self.summary.show(reason, site, headers);
    }

    /// Remembers a refused hit.
    pub fn remember(
        &self,
        hit: &RefusedHit<'_>,
        headers: &impl HeaderFields,
        sites: &Sites,
        client: Option<ClientPrefix>,
        now: DateTime<Utc>,
    ) {
        self.memory.note(hit.seen(headers, sites), client, now);
    }

    /// Remembers a request to a hit's path beside the path prefix.
    pub fn remember_beside_prefix(
        &self,
        path: &str,
        headers: &impl HeaderFields,
        client: Option<ClientPrefix>,
        now: DateTime<Utc>,
    ) {
        self.memory.note(seen::beside_prefix(path, headers), client, now);
    }

    /// Remembered hits, those of the most networks first: of one site with the ids that look like its own, or of all.
    pub fn list(&self, sites: &Sites, of_site: Option<&str>) -> Listed {
        listed::list(&self.memory, sites, &self.source, of_site)
    }

    /// Sites of which pages were refused since a moment for where they lie, as readers of several networks have found.
    pub fn sites_refused_since(&self, since: DateTime<Utc>) -> HashSet<SiteNumber> {
        let (entries, _) = self.memory.entries();
        let is_found = |entry: &memory::Entry| {
            let is_of_pages = ["origin", seen::ORIGIN_HEADER].contains(&entry.seen.group.reason);
            is_of_pages && entry.last >= since && entry.networks() >= NETWORKS_MIN
        };
        entries.into_iter().filter(is_found).filter_map(|entry| entry.seen.group.site).collect()
    }

    /// Logs what has been refused: at most one line a minute and reason, and one a minute with what to do.
    pub fn report(&self, sites: &Sites, now: Instant) {
        self.summary.report(now);
        let mut advised_at = self.advised_at.lock().unwrap_or_else(PoisonError::into_inner);
        if advised_at.is_some_and(|at| now.saturating_duration_since(at) < ADVICE_INTERVAL) {
            return;
        }
        for _ in 0..LOOKED_AT_MAX {
            let Some(entry) = self.memory.take_unadvised(now) else { return };
            if advice::is_for_the_log(&entry.seen, sites) {
                *advised_at = Some(now);
                let advice = advice::of(&entry.seen, sites, &self.source);
                tracing::info!(reason = entry.seen.group.reason, requests = entry.requests, "{advice}");
                return;
            }
        }
    }

    /// Logs the rest at the end.
    pub fn report_last(&self) {
        self.summary.report_last();
    }
}
