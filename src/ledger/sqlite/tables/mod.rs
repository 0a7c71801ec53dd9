//! Statements, a file for each table or pair of tables.

pub mod counts;
pub mod imports;
pub mod journal;
pub mod last_shown;
pub mod merge;
pub mod meta;
pub mod own_imports;
pub mod page_rules;
pub mod pages;
pub mod salts;
pub mod shown;
pub mod sites;
pub mod sources;
pub mod titles;
pub mod tokens;
pub mod visitors;
pub mod vouching;

use rusqlite::{Connection, Params, Row};

/// Runs a statement that changes rows; returns their number.
pub fn execute(connection: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute(params)
}

/// Reads all rows of a statement.
pub fn rows<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(params, read)?.collect()
}

/// A limit that SQLite can hold.
pub fn bounded(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
