//! `meta`: the fold mark, and the number of changes.

use rusqlite::{Connection, OptionalExtension as _};

use super::execute;

/// Progress of folding: journal rows up to `mark` are in `counts`, and of the entries of the rows up to `target`
/// the first `done`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FoldMark {
    pub mark: i64,
    pub target: i64,
    pub done: usize,
}

pub fn read_fold_mark(connection: &Connection) -> rusqlite::Result<FoldMark> {
    let value =
        |key: &str| connection.query_row("SELECT value FROM meta WHERE key = ?", [key], |row| row.get::<_, i64>(0));
    Ok(FoldMark {
        mark: value("fold_mark")?,
        target: value("fold_target")?,
        done: usize::try_from(value("fold_done")?).unwrap_or(usize::MAX),
    })
}

pub fn write_fold_mark(connection: &Connection, mark: FoldMark) -> rusqlite::Result<()> {
    let done = i64::try_from(mark.done).unwrap_or(i64::MAX);
    let sql = "REPLACE INTO meta VALUES ('fold_mark', ?), ('fold_target', ?), ('fold_done', ?)";
    execute(connection, sql, [mark.mark, mark.target, done]).map(drop)
}

/// The number of transactions that changed something else than hits. New files start without the key.
pub fn changes(connection: &Connection) -> rusqlite::Result<i64> {
    let found =
        connection.query_row("SELECT value FROM meta WHERE key = 'changes'", [], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or(0))
}

pub fn note_change(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(
            "INSERT INTO meta VALUES ('changes', 1) ON CONFLICT DO UPDATE SET value = value + 1 RETURNING value",
        )?
        .query_row([], |row| row.get(0))
}
