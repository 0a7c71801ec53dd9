//! `sources` and `site_sources`: runs and imports, and the sites to which each contributes.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{execute, rows};
use crate::counter::source::SourceError;
use crate::counter::{SiteNumber, Source};

/// A source's number in the file.
pub type SourceNumber = i64;

/// The number of a source; a source without one gets one.
pub fn number(connection: &Connection, source: &Source, remote: bool) -> rusqlite::Result<SourceNumber> {
    if let Some(number) = find(connection, source)? {
        return Ok(number);
    }
    connection
        .prepare_cached("INSERT INTO sources (name, learned) VALUES (?, ?) RETURNING number")?
        .query_row(params![source.to_string(), remote], |row| row.get(0))
}

pub fn find(connection: &Connection, source: &Source) -> rusqlite::Result<Option<SourceNumber>> {
    connection
        .prepare_cached("SELECT number FROM sources WHERE name = ?")?
        .query_row([source.to_string()], |row| row.get(0))
        .optional()
}

/// True if all that is known of a source came from Redis.
pub fn is_remote(connection: &Connection, source: SourceNumber) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT learned = 1 FROM sources WHERE number = ?")?.query_row([source], |row| row.get(0))
}

/// Notes that Redis knew more of a source than its own node's file.
pub fn note_partly_remote(connection: &Connection, source: SourceNumber) -> rusqlite::Result<()> {
    execute(connection, "UPDATE sources SET learned = 2 WHERE number = ? AND learned = 0", [source]).map(drop)
}

/// Notes that a source contributes to a site.
pub fn note_contributor(connection: &Connection, site: SiteNumber, source: SourceNumber) -> rusqlite::Result<()> {
    let sql = "INSERT INTO site_sources (site, source) VALUES (?, ?) ON CONFLICT DO NOTHING";
    execute(connection, sql, params![site.0, source]).map(drop)
}

/// True if any run contributes to any site: then the file must have counts, since those of a site never expire. An import
/// may have been of pages alone.
pub fn has_contributing_runs(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM site_sources p JOIN sources s ON s.number = p.source
               WHERE s.name NOT LIKE 'import:%')";
    connection.query_row(sql, [], |row| row.get(0))
}

/// Sources whose counts are wholly in this file, with nothing from Redis.
pub fn own(connection: &Connection, site: SiteNumber) -> rusqlite::Result<Vec<Source>> {
    let sql =
        "SELECT s.name FROM site_sources p JOIN sources s ON s.number = p.source WHERE p.site = ? AND s.learned = 0";
    rows(connection, sql, [site.0], |row| source_at(row, 0))
}

pub fn source_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Source> {
    row.get::<_, String>(column)?.parse().map_err(|error: SourceError| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}
