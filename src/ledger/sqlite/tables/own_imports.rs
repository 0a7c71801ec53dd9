//! `own_imports`: the last import of each name that this node has made, since another node may have made one too.

use rusqlite::{Connection, params};

use super::{execute, rows, sources};
use crate::counter::{SiteNumber, Source};

/// An import that this node has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnImport {
    pub site: SiteNumber,
    pub source: Source,
    pub generation: u64,
    /// Redis was found to have nothing of another node's import of the same time.
    pub is_compared: bool,
}

/// Notes the import that is staged.
pub fn note_staged(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "REPLACE INTO own_imports (site, source, generation)
               SELECT site, source, generation FROM import_steps ORDER BY number LIMIT 1";
    execute(connection, sql, []).map(drop)
}

pub fn note_compared(
    connection: &Connection,
    site: SiteNumber,
    source: &Source,
    generation: u64,
) -> rusqlite::Result<()> {
    let sql = "UPDATE own_imports SET is_compared = 1 WHERE site = ? AND source = ? AND generation = ?";
    let generation = i64::try_from(generation).unwrap_or(i64::MAX);
    execute(connection, sql, params![site.0, source.to_string(), generation]).map(drop)
}

pub fn all(connection: &Connection) -> rusqlite::Result<Vec<OwnImport>> {
    rows(connection, "SELECT site, source, generation, is_compared FROM own_imports", [], |row| {
        Ok(OwnImport {
            site: SiteNumber(row.get(0)?),
            source: sources::source_at(row, 1)?,
            generation: u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0),
            is_compared: row.get(3)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::sqlite::migrations;
    use crate::ledger::sqlite::tables::imports::{self, Import, StagedRows};

    #[test]
    fn the_last_import_of_a_name_is_kept_until_it_was_compared_and_after() {
        let file = Connection::open_in_memory().unwrap();
        migrations::migrate(&file).unwrap();
        let (site, source): (_, Source) = (SiteNumber(3), "import:old".parse().unwrap());
        let make = |generation| {
            let mut step = StagedRows::default();
            step.push(b"", 0, 1);
            imports::drop_some(&file).unwrap();
            imports::stage(&file, &Import { site, source: source.clone(), generation }, 1, &[step]).unwrap();
            note_staged(&file).unwrap();
        };
        let is = |generation, is_compared| vec![OwnImport { site, source: source.clone(), generation, is_compared }];
        make(5);
        assert_eq!(all(&file).unwrap(), is(5, false));
        note_compared(&file, site, &source, 5).unwrap();
        assert_eq!(all(&file).unwrap(), is(5, true));
        make(9);
        note_compared(&file, site, &source, 5).unwrap();
        assert_eq!(all(&file).unwrap(), is(9, false));
    }
}
