//! Merging contributions into `counts`, with their sources and pages.

use std::collections::HashMap;

use rusqlite::Connection;
use rustc_hash::FxHashMap;

use super::counts::{self, Key, Merging, SITE_ITSELF};
use super::sources::SourceNumber;
use super::{pages, shown, sources, vouching};
use crate::counter::{Contribution, Day, PageAddress, Period, Register, SiteNumber, Source};

/// Changes beyond the counts themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// Redis has brought some of an import.
    pub is_corrected: bool,
    /// A page that this node has counted is now vouched for, so the site's history must be published.
    pub has_vouched: bool,
}

/// Merges contributions of a site; `remote`: they came from Redis.
pub fn merge<'a>(
    connection: &Connection,
    site: SiteNumber,
    contributions: impl IntoIterator<Item = &'a Contribution>,
    remote: bool,
) -> rusqlite::Result<Merged> {
    let mut merged = Merged::default();
    let mut numbers = HashMap::new();
    let mut of_import: Option<(&PageAddress, i64)> = None;
    let mut counts = Merging::new(connection)?;
    for contribution in contributions {
        let Contribution { source, period, page, register } = contribution;
        let number = match numbers.get(source) {
            Some(number) => *number,
            None => {
                let number = contributor(connection, site, source, remote)?;
                numbers.insert(source, number);
                number
            }
        };
        let is_import = matches!(register, Register::Written { .. });
        let page = match (page, of_import) {
            (None, _) => SITE_ITSELF,
            // An import's counters of a page stand side by side.
            (Some(page), Some((known, number))) if is_import && page == known => number,
            (Some(page), _) => {
                let number = page_number(connection, site, page, (source, *period), &mut merged.has_vouched)?;
                of_import = is_import.then_some((page, number));
                number
            }
        };
        let key = Key { site, period: *period, page, source: number };
        let before = match remote && is_import && page == SITE_ITSELF {
            true => Some(counts::hits(connection, key)?.unwrap_or(0)),
            false => None,
        };
        if counts.merge(key, *register)? && remote {
            sources::note_partly_remote(connection, number)?;
            merged.is_corrected |= is_import;
            if let Some(before) = before {
                shown::keep(connection, site, key.period, register.hits() - before)?;
            }
        }
    }
    Ok(merged)
}

/// The number of a source that contributes to the site.
fn contributor(
    connection: &Connection,
    site: SiteNumber,
    source: &Source,
    remote: bool,
) -> rusqlite::Result<SourceNumber> {
    let number = sources::number(connection, source, remote)?;
    sources::note_contributor(connection, site, number)?;
    Ok(number)
}

/// Numbers of an import's pages while it moves; only of vouched ones, which are never deleted.
#[derive(Debug, Default)]
pub struct ImportPages {
    numbers: FxHashMap<Box<str>, i64>,
    bytes: usize,
}

impl ImportPages {
    const BYTES_MAX: usize = 8 << 20;
    /// An entry beside its page.
    const ENTRY_BYTES: usize = 48;

    /// Notes a page's number, while there is room.
    fn note(&mut self, page: &str, number: i64) {
        let bytes = self.bytes + page.len() + Self::ENTRY_BYTES;
        if bytes <= Self::BYTES_MAX {
            self.bytes = bytes;
            self.numbers.insert(page.into(), number);
        }
    }
}

/// Merges counters of an import of this node.
pub struct OfImport<'c> {
    connection: &'c Connection,
    pages: &'c mut ImportPages,
    counts: Merging<'c>,
    site: SiteNumber,
    source: &'c Source,
    number: SourceNumber,
    generation: u64,
    /// True where pages are likely to be there.
    finds_pages: bool,
}

impl<'c> OfImport<'c> {
    pub fn new(
        connection: &'c Connection,
        pages: &'c mut ImportPages,
        site: SiteNumber,
        source: &'c Source,
        generation: u64,
    ) -> rusqlite::Result<Self> {
        let number = contributor(connection, site, source, false)?;
        let counts = Merging::new(connection)?;
        Ok(Self { connection, pages, counts, site, source, number, generation, finds_pages: false })
    }

    /// Merges a counter of a page, or, without a text, of the site itself.
    pub fn merge(&mut self, period: Period, page: &str, hits: i64) -> rusqlite::Result<()> {
        let page = match page {
            "" => SITE_ITSELF,
            page => match self.pages.numbers.get(page) {
                Some(number) => *number,
                None => self.page_number(page, period)?,
            },
        };
        let key = Key { site: self.site, period, page, source: self.number };
        self.counts.merge(key, Register::Written { generation: self.generation, hits }).map(drop)
    }

    fn page_number(&mut self, page: &str, period: Period) -> rusqlite::Result<i64> {
        let vouches = unvouched_day(self.source, period).is_none();
        let inserted = match vouches && !self.finds_pages {
            true => pages::insert_vouched_if_new(self.connection, self.site, page)?,
            false => None,
        };
        self.finds_pages = inserted.is_none();
        let number = match inserted {
            Some(number) => number,
            None => {
                let page = PageAddress::from_stored(page);
                // The move of an import notes the site's history in any case.
                page_number(self.connection, self.site, &page, (self.source, period), &mut false)?
            }
        };
        if vouches {
            self.pages.note(page, number);
        }
        Ok(number)
    }
}

/// The number of a contribution's page, by its source and period.
fn page_number(
    connection: &Connection,
    site: SiteNumber,
    page: &PageAddress,
    (source, period): (&Source, Period),
    has_vouched: &mut bool,
) -> rusqlite::Result<i64> {
    match (pages::find(connection, site, page)?, unvouched_day(source, period)) {
        (None, None) => pages::insert_vouched(connection, site, page),
        (None, Some(day)) => pages::insert_unvouched(connection, site, page, day),
        (Some(known), Some(day)) if !known.is_vouched => {
            pages::note_earlier_day(connection, known.number, day)?;
            Ok(known.number)
        }
        (Some(known), None) if !known.is_vouched => {
            *has_vouched |= !vouching::vouch(connection, site, known.number)?.is_empty();
            Ok(known.number)
        }
        (Some(known), _) => Ok(known.number),
    }
}

/// The day of a counter that does not vouch for its page. Imports vouch for their pages; of runs and a reset, only vouched
/// pages have months and a total.
fn unvouched_day(source: &Source, period: Period) -> Option<Day> {
    match (source, period) {
        (Source::Run(_), Period::Day(day)) => Some(day),
        (Source::Import(name), Period::Day(day)) if name.is_reset() => Some(day),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::{PageAddress, Period};
    use crate::ledger::sqlite::migrations;

    #[test]
    fn the_first_rows_of_a_later_import_from_redis_leave_those_that_are_on_their_way() {
        let file = Connection::open_in_memory().unwrap();
        migrations::migrate(&file).unwrap();
        let of_page = |page, generation, hits| Contribution {
            source: "import:old".parse().unwrap(),
            period: Period::Total,
            page: Some(PageAddress::from_stored(page)),
            register: Register::Written { generation, hits },
        };
        let corrects = |rows: &[_], remote| merge(&file, SiteNumber(1), rows, remote).unwrap().is_corrected;
        assert!(!corrects(&[of_page("/a", 5, 7), of_page("/b", 5, 8)], false));
        assert!(corrects(&[of_page("/a", 9, 6)], true));
        assert!(!corrects(&[of_page("/a", 9, 6)], true));
        let sum: i64 = file.query_row("SELECT sum(hits) FROM counts", [], |row| row.get(0)).unwrap();
        assert_eq!(sum, 6 + 8);
    }
}
