//! Migrations of the node's file: numbered SQL files, run once each and in order.
//!
//! `user_version` is the *format*: a program that knows a lower one refuses the file. A migration that older
//! programs may ignore keeps the format of the one before it, so a downgrade stays possible. The number of
//! the last migration is `migration` in `meta`; in files older than that key it is the format.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use crate::ledger::error::OpenError;

const APPLICATION_ID: i64 = 1_953_001_835;

/// The newest format that this program knows.
const FORMAT: i64 = 3;

/// The version of this program whose migration is the last one.
pub const VERSION: &str = "0.2";

/// From this format on a file may hold salts.
pub const FORMAT_WITH_SALTS: i64 = 2;

/// The SQL of each migration, at its number less one.
const MIGRATIONS: [&str; 6] = [
    include_str!("migrations/0001_counts.sql"),
    include_str!("migrations/0002_visitors.sql"),
    include_str!("migrations/0003_titles.sql"),
    include_str!("migrations/0004_reserved.sql"),
    include_str!("migrations/0005_shown.sql"),
    include_str!("migrations/0006_tokens.sql"),
];

/// True if no migration is missing.
pub fn is_newest(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(last_migration(connection)? >= MIGRATIONS.len())
}

/// Brings a file to the newest migration, in one transaction.
pub fn migrate(connection: &Connection) -> rusqlite::Result<()> {
    let missing = MIGRATIONS.get(last_migration(connection)?..).unwrap_or_default();
    if missing.is_empty() {
        return Ok(());
    }
    let note = format!("REPLACE INTO meta VALUES ('migration', {});", MIGRATIONS.len());
    connection.execute_batch(&format!("BEGIN; {} {note} COMMIT;", missing.concat()))
}

fn last_migration(connection: &Connection) -> rusqlite::Result<usize> {
    let format: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let noted: Option<i64> = match format {
        0 => None,
        _ => connection.query_row("SELECT value FROM meta WHERE key = 'migration'", [], |row| row.get(0)).optional()?,
    };
    Ok(usize::try_from(noted.unwrap_or(format)).unwrap_or(0))
}

/// The file's format, from 1 to this program's.
pub fn check_format(connection: &Connection, path: &Path) -> Result<i64, OpenError> {
    let number = |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
    let damaged = |reason: String| OpenError::Damaged { path: path.to_owned(), reason };
    let number = |pragma| number(pragma).map_err(|error| OpenError::of_sqlite(path, error));
    let application_id = number("application_id")?;
    if application_id != APPLICATION_ID {
        return Err(damaged("it is an SQLite file, but not one of thongke".to_owned()));
    }
    match number("user_version")? {
        found @ 1..=FORMAT => Ok(found),
        found if found > FORMAT => Err(OpenError::Newer { path: path.to_owned(), found, known: FORMAT }),
        found => Err(damaged(format!("its format is {found}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(connection: &Connection) -> Vec<String> {
        connection
            .prepare("SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap()
    }

    fn file_after(migrations: usize) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(&MIGRATIONS[..migrations].concat()).unwrap();
        connection
    }

    #[test]
    fn a_file_of_any_age_gets_the_migrations_that_it_lacks_once() {
        let newest = file_after(0);
        migrate(&newest).unwrap();
        assert_eq!(check_format(&newest, Path::new("x")).unwrap(), FORMAT);
        // Files of these three ages were written before `meta` noted the migration.
        for age in 1..=3 {
            let file = file_after(age);
            file.execute_batch("INSERT INTO sites (id) VALUES ('demo')").unwrap();
            migrate(&file).unwrap();
            migrate(&file).unwrap();
            assert_eq!(schema(&file), schema(&newest), "{age}");
            assert_eq!(last_migration(&file).unwrap(), MIGRATIONS.len());
            assert_eq!(check_format(&file, Path::new("x")).unwrap(), FORMAT);
            assert_eq!(file.query_row("SELECT count(*) FROM sites", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
        }
    }

    #[test]
    fn a_later_migration_of_the_same_format_is_left_alone() {
        let file = file_after(MIGRATIONS.len());
        file.execute_batch("INSERT INTO meta VALUES ('migration', 9)").unwrap();
        migrate(&file).unwrap();
        assert_eq!(last_migration(&file).unwrap(), 9);
    }

    #[test]
    fn a_file_of_another_program_or_a_newer_format_is_refused() {
        let refusal = |file: &Connection| check_format(file, Path::new("x")).unwrap_err();
        let file = file_after(MIGRATIONS.len());
        file.execute_batch("PRAGMA user_version = 4").unwrap();
        assert!(matches!(refusal(&file), OpenError::Newer { found: 4, known: 3, .. }));
        file.execute_batch("PRAGMA user_version = 0").unwrap();
        assert!(matches!(refusal(&file), OpenError::Damaged { .. }));
        assert!(matches!(refusal(&file_after(0)), OpenError::Damaged { .. }));
    }
}
