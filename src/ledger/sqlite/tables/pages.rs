//! `pages`: the numbers of page addresses.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::counter::page::PAGE_RULE_VERSION;
use crate::counter::{PageAddress, SiteNumber};

/// A page's number; a page without one gets one.
pub fn number(connection: &Connection, site: SiteNumber, page: &PageAddress) -> rusqlite::Result<i64> {
    find(connection, site, page)?.map_or_else(|| insert(connection, site, page), Ok)
}

pub fn insert(connection: &Connection, site: SiteNumber, page: &PageAddress) -> rusqlite::Result<i64> {
    connection.prepare_cached("INSERT INTO pages (site, address, address_rule) VALUES (?, ?, ?)")?.insert(params![
        site.0,
        page.as_str(),
        PAGE_RULE_VERSION
    ])
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

pub fn find(connection: &Connection, site: SiteNumber, page: &PageAddress) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT number FROM pages WHERE site = ? AND address = ?")?
        .query_row(params![site.0, page.as_str()], |row| row.get(0))
        .optional()
}
