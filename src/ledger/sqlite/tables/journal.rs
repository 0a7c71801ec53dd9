//! `journal`: one row per commit of hits.

use rusqlite::{Connection, params};

use super::sources::SourceNumber;
use super::{execute, rows};
use crate::counter::Tally;

/// The newest row's number; 0 in an empty journal.
pub fn last_number(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT ifnull(max(number), 0) FROM journal", [], |row| row.get(0))
}

pub fn append(connection: &Connection, number: i64, source: SourceNumber, row: &[u8]) -> rusqlite::Result<()> {
    execute(connection, "INSERT INTO journal (number, source, tally) VALUES (?, ?, ?)", params![number, source, row])
        .map(drop)
}

/// The rows after `mark`: number, source, encoded tally.
pub fn rows_after(connection: &Connection, mark: i64) -> rusqlite::Result<Vec<(i64, SourceNumber, Vec<u8>)>> {
    let sql = "SELECT number, source, tally FROM journal WHERE number > ? ORDER BY number";
    rows(connection, sql, [mark], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
}

/// Deletes up to `limit` folded rows, never the newest. True: there may be more.
pub fn prune(connection: &Connection, mark: i64, limit: i64) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM journal WHERE number IN (SELECT number FROM journal
               WHERE number <= ?1 AND number < (SELECT max(number) FROM journal) ORDER BY number LIMIT ?2)";
    let deleted = execute(connection, sql, [mark, limit])?;
    Ok(i64::try_from(deleted).unwrap_or(0) == limit)
}

/// Decodes a row, or names the damaged one.
pub fn decode(number: i64, row: &[u8]) -> Result<Tally, String> {
    Tally::decode(row).map_err(|error| format!("journal row {number}: {error}"))
}
