//! Entries: the units of folding, and adding one to `counts`.
//!
//! The order of entries depends on nothing but the entries. So the same journal rows give the same entries after a
//! crash, and the fold mark tells how many of them are in `counts`.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::change_feed::ChangeFeed;
use crate::counter::{Day, Hit, PageAddress, SiteNumber, Tally};
use crate::ledger::memory::page_admission::PageAdmission;
use crate::ledger::sqlite::tables::counts::{self, SITE_ITSELF};
use crate::ledger::sqlite::tables::sources::SourceNumber;
use crate::ledger::sqlite::tables::{pages, sources};

/// A site's or a page's hits of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub site: SiteNumber,
    pub day: Day,
    /// None for the site's own.
    pub page: Option<PageAddress>,
    pub hits: i64,
}

/// A tally's entries in the order of folding: each site's days, then the pages.
pub fn entries(tally: &Tally) -> Vec<Entry> {
    let pages = tally.sorted();
    let mut days: BTreeMap<(SiteNumber, Day), u64> = BTreeMap::new();
    for (hit, hits) in &pages {
        *days.entry((hit.site, hit.day)).or_default() += hits;
    }
    let days = days.into_iter().map(|((site, day), hits)| entry(site, day, None, hits));
    days.chain(pages.into_iter().map(|(Hit { site, day, page }, hits)| entry(site, day, Some(page), hits))).collect()
}

fn entry(site: SiteNumber, day: Day, page: Option<PageAddress>, hits: u64) -> Entry {
    Entry { site, day, page, hits: i64::try_from(hits).unwrap_or(i64::MAX) }
}

/// Receivers of what folding changes and finds in the current run.
pub struct Observers<'a> {
    pub feed: &'a ChangeFeed,
    pub admission: &'a PageAdmission,
}

/// Adds an entry to `counts`. Without observers the entry is an earlier run's, which is published from the file.
pub fn add_to_counts(
    connection: &Connection,
    observers: Option<Observers<'_>>,
    source: SourceNumber,
    entry: &Entry,
) -> rusqlite::Result<()> {
    let site = entry.site;
    match &entry.page {
        None => {
            let periods = entry.day.site_periods();
            let [.., total] = counts::add(connection, site, SITE_ITSELF, source, periods, entry.hits)?;
            // The run's first hits of the site.
            if total == entry.hits {
                sources::note_contributor(connection, site, source)?;
            }
        }
        Some(page) => {
            let known = pages::find(connection, site, page)?;
            if let Some(observers) = &observers {
                observers.admission.settle(site, page, known.is_some());
            }
            let number = known.map_or_else(|| pages::insert(connection, site, page), Ok)?;
            let hits = counts::add(connection, site, number, source, entry.day.page_periods(), entry.hits)?;
            if let Some(observers) = &observers {
                observers.feed.note_page(site, entry.day, page, hits);
            }
        }
    }
    Ok(())
}
