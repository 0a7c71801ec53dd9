//! `salts`: the keys of visitors' hashes.

use rusqlite::{Connection, params};

use super::counts::day_at;
use super::{execute, rows};
use crate::counter::{Day, Period, Salt, SiteNumber};

/// A salt, and whether other nodes have it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownSalt {
    pub salt: Salt,
    pub is_shared: bool,
}

impl KnownSalt {
    /// The salt that counts of two of the same day: the first, unless only the later is agreed on with other nodes.
    pub fn or(self, later: Self) -> Self {
        if later.is_shared && !self.is_shared { later } else { self }
    }
}

pub fn all(connection: &Connection) -> rusqlite::Result<Vec<((SiteNumber, Day), KnownSalt)>> {
    rows(connection, "SELECT site, day, salt, shared FROM salts", [], |row| {
        let salt = KnownSalt { salt: Salt::new(row.get(2)?), is_shared: row.get(3)? };
        Ok(((SiteNumber(row.get(0)?), day_at(row, 1)?), salt))
    })
}

pub fn write(connection: &Connection, site: SiteNumber, day: Day, known: KnownSalt) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO salts (site, day, salt, shared) VALUES (?, ?, ?, ?)";
    let salt = params![site.0, Period::Day(day).number(), known.salt.bytes(), known.is_shared];
    execute(connection, sql, salt).map(drop)
}

/// Deletes salts; returns their number. The file keeps no trace with `secure_delete`; the log does until it is truncated.
pub fn delete(connection: &Connection, salts: &[(SiteNumber, Day)]) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM salts WHERE site = ? AND day = ?";
    let delete = |(site, day): &(SiteNumber, Day)| execute(connection, sql, [site.0, Period::Day(*day).number()]);
    salts.iter().map(delete).sum()
}

/// Deletes all salts and tags, without a trace, from a copy of the file that no other connection has open.
pub fn delete_all(copy: &Connection) -> rusqlite::Result<()> {
    // In memory: a journal on disk would hold the deleted salts.
    copy.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA secure_delete = ON; DELETE FROM salts;")?;
    // A copy that is made before a migration may lack the table.
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'vouch_tags')";
    if copy.query_row(sql, [], |row| row.get(0))? {
        execute(copy, "DELETE FROM vouch_tags", [])?;
    }
    Ok(())
}
