//! `sites`: the numbers of sites.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};

use super::rows;
use crate::counter::{Site, SiteId, SiteNumber};

/// The number of each site; a site without one gets one.
pub fn register(connection: &Connection, ids: &[SiteId]) -> rusqlite::Result<Vec<SiteNumber>> {
    let mut find = connection.prepare_cached("SELECT number FROM sites WHERE id = ?")?;
    let mut insert = connection.prepare_cached("INSERT INTO sites (id) VALUES (?) RETURNING number")?;
    ids.iter()
        .map(|id| {
            let found = find.query_row([id.as_str()], |row| row.get(0)).optional()?;
            let number = match found {
                Some(number) => number,
                None => insert.query_row([id.as_str()], |row| row.get(0))?,
            };
            Ok(SiteNumber(number))
        })
        .collect()
}

/// The sites that have a number.
pub fn known<'a>(connection: &Connection, sites: &'a [Site]) -> rusqlite::Result<Vec<(SiteNumber, &'a Site)>> {
    let mut find = connection.prepare_cached("SELECT number FROM sites WHERE id = ?")?;
    let mut found = Vec::new();
    for site in sites {
        if let Some(number) = find.query_row([site.counted_as.as_str()], |row| row.get(0)).optional()? {
            found.push((SiteNumber(number), site));
        }
    }
    Ok(found)
}

/// The number of a site that has counts, whether it is configured or not.
pub fn with_counts(connection: &Connection, id: &str) -> rusqlite::Result<Option<SiteNumber>> {
    let mut find = connection.prepare_cached(
        "SELECT number FROM sites WHERE id = ? AND EXISTS (SELECT 1 FROM counts WHERE site = sites.number)",
    )?;
    Ok(find.query_row([id], |row| row.get(0)).optional()?.map(SiteNumber))
}

/// Ids of all sites that have counts.
pub fn all_with_counts(connection: &Connection) -> rusqlite::Result<Vec<SiteId>> {
    let all = "SELECT id FROM sites WHERE EXISTS (SELECT 1 FROM counts WHERE site = sites.number) ORDER BY id";
    let ids: Vec<String> = rows(connection, all, [], |row| row.get(0))?;
    // Only a file that somebody has changed has others.
    Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
}

/// All ids by number.
pub fn ids(connection: &Connection) -> rusqlite::Result<BTreeMap<u32, String>> {
    Ok(rows(connection, "SELECT number, id FROM sites", [], |row| Ok((row.get(0)?, row.get(1)?)))?
        .into_iter()
        .collect())
}
