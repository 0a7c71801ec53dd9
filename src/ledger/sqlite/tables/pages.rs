//! `pages`: the numbers of page addresses, and the pages that are vouched for.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{bounded, execute, rows};
use crate::counter::page::PAGE_RULE_VERSION;
use crate::counter::{Day, PageAddress, Period, SiteNumber};

/// A page of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    pub number: i64,
    pub is_vouched: bool,
}

/// A vouched page's number; a page without one gets one. The page must not be there unvouched.
pub fn insert_vouched(connection: &Connection, site: SiteNumber, page: &PageAddress) -> rusqlite::Result<i64> {
    insert(connection, site, page, 1)
}

/// Inserts a vouched page, unless it is there, and returns its number.
pub fn insert_vouched_if_new(connection: &Connection, site: SiteNumber, page: &str) -> rusqlite::Result<Option<i64>> {
    let sql = "INSERT INTO pages (site, address, address_rule, vouched) VALUES (?, ?, ?, 1) ON CONFLICT DO NOTHING";
    let is_new = execute(connection, sql, params![site.0, page, PAGE_RULE_VERSION])? > 0;
    Ok(is_new.then(|| connection.last_insert_rowid()))
}

/// Calls `then` with each page of the site that was made by rule 1, until that returns false.
pub fn of_rule_1(
    connection: &Connection,
    site: SiteNumber,
    mut then: impl FnMut(PageAddress) -> bool,
) -> rusqlite::Result<()> {
    let mut select = connection.prepare_cached("SELECT address FROM pages WHERE site = ? AND address_rule = 1")?;
    let mut rows = select.query([site.0])?;
    while let Some(row) = rows.next()? {
        if !then(PageAddress::from_stored(row.get_ref(0)?.as_str()?)) {
            break;
        }
    }
    Ok(())
}

/// Inserts a page that was read first on this day, and isn't vouched for.
pub fn insert_unvouched(
    connection: &Connection,
    site: SiteNumber,
    page: &PageAddress,
    day: Day,
) -> rusqlite::Result<i64> {
    insert(connection, site, page, unvouched_since(day))
}

fn insert(connection: &Connection, site: SiteNumber, page: &PageAddress, vouched: i64) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("INSERT INTO pages (site, address, address_rule, vouched) VALUES (?, ?, ?, ?)")?
        .insert(params![site.0, page.as_str(), PAGE_RULE_VERSION, vouched])
}

fn unvouched_since(day: Day) -> i64 {
    -i64::from(Period::Day(day).number())
}

/// Notes that an unvouched page has counts of an earlier day than was known.
pub fn note_earlier_day(connection: &Connection, number: i64, day: Day) -> rusqlite::Result<()> {
    let sql = "UPDATE pages SET vouched = ?2 WHERE number = ?1 AND vouched < ?2";
    execute(connection, sql, [number, unvouched_since(day)]).map(drop)
}

pub fn find(connection: &Connection, site: SiteNumber, page: &PageAddress) -> rusqlite::Result<Option<Page>> {
    connection
        .prepare_cached("SELECT number, vouched > 0 FROM pages WHERE site = ? AND address = ?")?
        .query_row(params![site.0, page.as_str()], |row| Ok(Page { number: row.get(0)?, is_vouched: row.get(1)? }))
        .optional()
}

/// True for a page that isn't of rule 1: such ones are read with the page that has their address now.
pub fn stands_alone(connection: &Connection, site: SiteNumber, page: &PageAddress) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM pages WHERE site = ? AND address = ? AND address_rule != 1)";
    connection.prepare_cached(sql)?.query_row(params![site.0, page.as_str()], |row| row.get(0))
}

/// Up to `limit` unvouched pages of all sites, after a page's number.
pub fn unvouched(
    connection: &Connection,
    after: i64,
    limit: usize,
) -> rusqlite::Result<Vec<(i64, SiteNumber, PageAddress)>> {
    let sql = "SELECT number, site, address FROM pages WHERE vouched <= 0 AND number > ? ORDER BY number LIMIT ?";
    rows(connection, sql, [after, bounded(limit)], |row| {
        let address: String = row.get(2)?;
        Ok((row.get(0)?, SiteNumber(row.get(1)?), PageAddress::from_stored(&address)))
    })
}

/// Deletes unvouched pages of which no counts are left.
pub fn delete_unvouched(connection: &Connection, numbers: &[i64]) -> rusqlite::Result<usize> {
    // The periods of an unvouched page are days, from its first one on.
    let sql = "DELETE FROM pages WHERE number = ?1 AND vouched <= 0 AND NOT EXISTS (
                 WITH RECURSIVE days (period) AS (
                   SELECT min(period) FROM counts WHERE site = pages.site AND period >= -pages.vouched
                   UNION ALL
                   SELECT (SELECT min(period) FROM counts WHERE site = pages.site AND period > days.period)
                   FROM days WHERE days.period IS NOT NULL)
                 SELECT 1 FROM days JOIN counts c ON c.site = pages.site AND c.period = days.period AND c.page = ?1)";
    let delete = |number: &i64| -> rusqlite::Result<usize> {
        let deleted = execute(connection, sql, [number])?;
        if deleted > 0 {
            execute(connection, "DELETE FROM titles WHERE page = ?", [number])?;
        }
        Ok(deleted)
    };
    numbers.iter().map(delete).sum()
}
