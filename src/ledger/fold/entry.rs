//! Entries: the units of folding, and adding one to `counts`.
//!
//! The order of entries depends on nothing but the entries. So the same journal rows give the same entries after a
//! crash, and the fold mark tells how many of them are in `counts`.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::change_feed::ChangeFeed;
use crate::counter::{Day, Hit, PageAddress, Period, SiteNumber, Source, Tally};
use crate::ledger::memory::page_admission::PageAdmission;
use crate::ledger::memory::vouching::Vouching;
use crate::ledger::sqlite::tables::counts::{self, SITE_ITSELF};
use crate::ledger::sqlite::tables::sources::SourceNumber;
use crate::ledger::sqlite::tables::{pages, sources, vouching};

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
    pub vouching: &'a Vouching,
    /// The current run.
    pub run: &'a Source,
}

impl Observers<'_> {
    /// Vouches for a page of the file, and notes what that adds to the current run's counts.
    pub fn vouch(
        &self,
        connection: &Connection,
        site: SiteNumber,
        page: &PageAddress,
        number: i64,
    ) -> rusqlite::Result<()> {
        for (source, day, hits) in vouching::vouch(connection, site, number)? {
            // What earlier runs have counted is brought when Redis is asked.
            if source == *self.run {
                self.feed.note_page(site, day, page, hits);
            }
        }
        self.vouching.note_new(site, page);
        self.admission.settle(site, page, true);
        Ok(())
    }
}

/// Adds an entry to `counts`. Without observers the entry is an earlier run's, which is published from the file.
/// `vouches`: no network must vouch for the site's pages.
pub fn add_to_counts(
    connection: &Connection,
    observers: Option<Observers<'_>>,
    vouches: bool,
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
            let mut is_vouched = known.map_or(page.is_other(), |known| known.is_vouched);
            let number = match known {
                Some(known) => known.number,
                None if page.is_other() => pages::insert_vouched(connection, site, page)?,
                None => pages::insert_unvouched(connection, site, page, entry.day)?,
            };
            let is_pending = |observers: &Observers<'_>| observers.vouching.is_pending(site, page);
            let is_new = !is_vouched && (vouches || observers.as_ref().is_some_and(is_pending));
            is_vouched |= is_new;
            match &observers {
                Some(observers) if is_new => observers.vouch(connection, site, page, number)?,
                Some(observers) => observers.admission.settle(site, page, is_vouched),
                None if is_new => drop(vouching::vouch(connection, site, number)?),
                None => {}
            }
            let hits = if is_vouched {
                counts::add(connection, site, number, source, entry.day.page_periods(), entry.hits)?
            } else {
                if known.is_some() {
                    pages::note_earlier_day(connection, number, entry.day)?;
                }
                let [day] = counts::add(connection, site, number, source, [Period::Day(entry.day)], entry.hits)?;
                [day, 0, 0]
            };
            if let Some(observers) = &observers {
                observers.feed.note_page(site, entry.day, page, hits);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tallys_entries_are_its_sites_days_and_then_its_pages_in_one_order() {
        let day = |day| Day::from_ymd(2024, 6, day).unwrap();
        let hits = [(2, 17, "/b"), (1, 18, "/a"), (1, 17, "/b"), (1, 17, "/a"), (1, 17, "/b")];
        let tally = |hits: &mut dyn Iterator<Item = &(u32, u32, &str)>| {
            let mut tally = Tally::default();
            for (site, of, page) in hits {
                tally.add(Hit { site: SiteNumber(*site), day: day(*of), page: PageAddress::from_stored(page) });
            }
            entries(&tally)
        };
        let expected = [
            (1, 17, None, 3),
            (1, 18, None, 1),
            (2, 17, None, 1),
            (1, 17, Some("/a"), 1),
            (1, 17, Some("/b"), 2),
            (1, 18, Some("/a"), 1),
            (2, 17, Some("/b"), 1),
        ];
        let expected = expected.map(|(site, of, page, hits)| Entry {
            site: SiteNumber(site),
            day: day(of),
            page: page.map(PageAddress::from_stored),
            hits,
        });
        assert_eq!(tally(&mut hits.iter()), expected);
        // After a crash the mark counts entries: rows replayed in another order must give the same.
        assert_eq!(tally(&mut hits.iter().rev()), expected);
        assert_eq!(entries(&Tally::default()), []);
    }
}
