//! Merging contributions into `counts`, with their sources and pages.

use std::collections::HashMap;

use rusqlite::Connection;

use super::counts::{self, Key, SITE_ITSELF};
use super::{pages, shown, sources};
use crate::counter::{Contribution, Register, SiteNumber};

/// Merges contributions of a site; `remote`: they came from Redis. True: some of an import did.
pub fn merge<'a>(
    connection: &Connection,
    site: SiteNumber,
    contributions: impl IntoIterator<Item = &'a Contribution>,
    remote: bool,
) -> rusqlite::Result<bool> {
    let mut numbers = HashMap::new();
    let mut is_corrected = false;
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
        let page = match &contribution.page {
            None => SITE_ITSELF,
            Some(page) => pages::number(connection, site, page)?,
        };
        let key = Key { site, period: contribution.period, page, source: number };
        let is_import = matches!(contribution.register, Register::Written { .. });
        let before = match remote && is_import && page == SITE_ITSELF {
            true => Some(counts::hits(connection, key)?.unwrap_or(0)),
            false => None,
        };
        if counts::merge(connection, key, contribution.register)? && remote {
            sources::note_partly_remote(connection, number)?;
            is_corrected |= is_import;
            if let Some(before) = before {
                shown::keep(connection, site, key.period, contribution.register.hits() - before)?;
            }
        }
    }
    Ok(is_corrected)
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
        assert!(!merge(&file, SiteNumber(1), &[of_page("/a", 5, 7), of_page("/b", 5, 8)], false).unwrap());
        assert!(merge(&file, SiteNumber(1), &[of_page("/a", 9, 6)], true).unwrap());
        assert!(!merge(&file, SiteNumber(1), &[of_page("/a", 9, 6)], true).unwrap());
        let sum: i64 = file.query_row("SELECT sum(hits) FROM counts", [], |row| row.get(0)).unwrap();
        assert_eq!(sum, 6 + 8);
    }
}
