//! `tokens`: editors' tokens, the last written of each name.

use rusqlite::{Connection, params};

use super::{execute, rows};
use crate::counter::EditorToken;

/// All tokens. Rows that this version doesn't know are left out.
pub fn all(connection: &Connection) -> rusqlite::Result<Vec<EditorToken>> {
    let read = rows(connection, "SELECT name, value, given FROM tokens", [], |row| {
        let (name, value): (String, Option<String>) = (row.get(0)?, row.get(1)?);
        Ok(EditorToken::stored(&name, value.as_deref(), row.get(2)?))
    })?;
    Ok(read.into_iter().flatten().collect())
}

/// Writes a token, unless a later one is there.
pub fn write(connection: &Connection, token: &EditorToken) -> rusqlite::Result<()> {
    let EditorToken { name, grant, given_ms } = token;
    // Of two in one millisecond the greater value, and any value is greater than none.
    let sql = "INSERT INTO tokens (name, value, given) VALUES (?, ?, ?)
               ON CONFLICT DO UPDATE SET value = excluded.value, given = excluded.given
               WHERE excluded.given > given
                  OR excluded.given = given AND excluded.value IS NOT NULL AND (value IS NULL OR excluded.value > value)";
    execute(connection, sql, params![name.as_str(), grant.as_deref(), given_ms]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::{EditorTokens, Grant};
    use crate::ledger::sqlite::migrations;

    #[test]
    fn the_file_keeps_what_memory_keeps_whatever_the_order() {
        let grant = |byte| Some(Grant::viewing("demo", [byte; 32]).text());
        let writes = [(None, 5), (grant(1), 5), (grant(2), 5), (grant(2), 4), (None, 4), (grant(1), 6), (None, 7)];
        for first in &writes {
            for second in &writes {
                let file = Connection::open_in_memory().unwrap();
                migrations::migrate(&file).unwrap();
                let both = [first, second]
                    .map(|(grant, given_ms)| EditorToken::stored("lan", grant.as_deref(), *given_ms).unwrap());
                both.iter().for_each(|token| write(&file, token).unwrap());
                let expected: Vec<_> = EditorTokens::of(both).all().collect();
                assert_eq!(all(&file).unwrap(), expected, "{first:?} {second:?}");
            }
        }
    }
}
