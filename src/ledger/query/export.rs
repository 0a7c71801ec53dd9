//! Exports: a site's counts row by row, and the accounts of its sources.

use rusqlite::{Connection, params};

use crate::counter::account::SourceAccount;
use crate::counter::csv::Row;
use crate::counter::source::ImportName;
use crate::counter::{Period, SiteNumber, Source, Standing};
use crate::ledger::sqlite::tables::{bounded, counts, pages, rows, sources};

/// Up to `limit` counts of a site after a row, summed over all sources, without zeros.
pub fn export(
    connection: &Connection,
    site: SiteNumber,
    after: Option<&Row>,
    limit: usize,
) -> rusqlite::Result<Vec<Row>> {
    let (period, page) = match after {
        None => (0, -1),
        Some(row) => {
            let page = match &row.page {
                None => Some(counts::SITE_ITSELF),
                Some(page) => pages::find(connection, site, page)?.map(|page| page.number),
            };
            (row.period.number(), page.unwrap_or(i64::MAX))
        }
    };
    let sql = "SELECT c.period, p.address, sum(c.hits) FROM counts c LEFT JOIN pages p ON p.number = c.page
               WHERE c.site = ?1 AND (c.period, c.page) > (?2, ?3)
               GROUP BY c.period, c.page HAVING sum(c.hits) != 0 ORDER BY c.period, c.page LIMIT ?4";
    rows(connection, sql, params![site.0, period, page, bounded(limit)], |row| {
        Ok(Row { period: counts::period_at(row, 0)?, page: counts::page_at(row, 1)?, hits: row.get(2)? })
    })
}

/// All counters of a site, with the part of an earlier reset.
pub fn standing(connection: &Connection, site: SiteNumber) -> rusqlite::Result<Vec<Standing>> {
    let reset = sources::find(connection, &Source::Import(ImportName::reset()))?;
    let sql = "SELECT c.period, p.address, sum(c.hits), ifnull(sum(c.hits) FILTER (WHERE c.source = ?2), 0)
               FROM counts c LEFT JOIN pages p ON p.number = c.page
               WHERE c.site = ?1 GROUP BY c.period, c.page ORDER BY c.period, c.page";
    rows(connection, sql, params![site.0, reset.unwrap_or(-1)], |row| {
        let (period, page) = (counts::period_at(row, 0)?, counts::page_at(row, 1)?);
        Ok(Standing { period, page, sum: row.get(2)?, reset: row.get(3)? })
    })
}

/// Each source's account of a site.
pub fn accounts(connection: &Connection, site: SiteNumber, run: &str) -> rusqlite::Result<Vec<SourceAccount>> {
    let sql = "SELECT s.name, s.learned = 1, ifnull(sum(c.hits) FILTER (WHERE c.page = 0 AND c.period = 0), 0),
                      min(c.period) FILTER (WHERE c.page = 0 AND c.period % 100 > 0 AND c.hits != 0),
                      max(c.period) FILTER (WHERE c.page = 0 AND c.period % 100 > 0 AND c.hits != 0),
                      count(*) FILTER (WHERE c.page = 0 AND c.hits != 0),
                      count(*) FILTER (WHERE c.page > 0 AND c.hits != 0)
               FROM counts c JOIN sources s ON s.number = c.source
               WHERE c.site = ? GROUP BY c.source ORDER BY s.number";
    rows(connection, sql, [site.0], |row| {
        let source: String = row.get(0)?;
        let count = |column| row.get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or(0));
        let day = |column| {
            let number: Option<u32> = row.get(column)?;
            Ok::<_, rusqlite::Error>(number.and_then(Period::from_number).map(|period| period.to_string()))
        };
        Ok(SourceAccount {
            current: source == run,
            remote: row.get(1)?,
            total: row.get(2)?,
            first_day: day(3)?,
            last_day: day(4)?,
            site_rows: count(5)?,
            page_rows: count(6)?,
            source,
        })
    })
}
