//! Merging contributions into `counts`, with their sources and pages.

use std::collections::HashMap;

use rusqlite::Connection;

use super::counts::{self, Key, SITE_ITSELF};
use super::{pages, shown, sources, vouching};
use crate::counter::{Contribution, PageAddress, Period, Register, SiteNumber, Source};

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
    for contribution in contributions {
        let source = &contribution.source;
        let number = match numbers.get(source) {
            Some(number) => *number,
            None => {
                let number = sources::number(connection, source, remote)?;
                sources::note_contributor(connection, site, number)?;
                numbers.insert(source, number);
                number
            }
        };
        let is_import = matches!(contribution.register, Register::Written { .. });
        let page = match (&contribution.page, of_import) {
            (None, _) => SITE_ITSELF,
            // An import's counters of a page stand side by side.
            (Some(page), Some((known, number))) if is_import && page == known => number,
            (Some(page), _) => {
                let number = page_number(connection, site, page, contribution, &mut merged.has_vouched)?;
                of_import = is_import.then_some((page, number));
                number
            }
        };
        let key = Key { site, period: contribution.period, page, source: number };
        let before = match remote && is_import && page == SITE_ITSELF {
            true => Some(counts::hits(connection, key)?.unwrap_or(0)),
            false => None,
        };
        if counts::merge(connection, key, contribution.register)? && remote {
            sources::note_partly_remote(connection, number)?;
            merged.is_corrected |= is_import;
            if let Some(before) = before {
                shown::keep(connection, site, key.period, contribution.register.hits() - before)?;
            }
        }
    }
    Ok(merged)
}

/// The number of a contribution's page. Imports vouch for their pages; of runs and a reset, only vouched pages have
/// months and a total.
fn page_number(
    connection: &Connection,
    site: SiteNumber,
    page: &PageAddress,
    contribution: &Contribution,
    has_vouched: &mut bool,
) -> rusqlite::Result<i64> {
    let unvouched_day = match (&contribution.source, contribution.period) {
        (Source::Run(_), Period::Day(day)) => Some(day),
        (Source::Import(name), Period::Day(day)) if name.is_reset() => Some(day),
        _ => None,
    };
    match (pages::find(connection, site, page)?, unvouched_day) {
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
