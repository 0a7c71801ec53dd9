//! An inspection of a stopped node's file, which changes nothing.

use std::path::Path;

use super::file::{self, Look};
use super::migrations;
use crate::ledger::error::{OpenError, refused_by_the_system};

/// The reason why a node can't start on the file, as far as it shows without opening the file for writing.
///
/// A log that no node has copied into the file yet is checked by itself. What it changes is not: reading it through
/// SQLite would write an index beside it.
pub fn inspect(directory: &Path) -> Result<(), OpenError> {
    if file::look(directory)? == Look::Missing {
        return Ok(());
    }
    let path = file::path(directory);
    if let Some(refused) = refused_by_the_system(&path) {
        return Err(refused);
    }
    let sqlite = |source| OpenError::of_sqlite(&path, source);
    // SQLite takes no locks and makes no files beside it.
    let connection = file::open_read_only(directory, true).map_err(sqlite)?;
    migrations::check_format(&connection, &path)?;
    let [_, log, _] = file::open_files(directory);
    if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        return Ok(());
    }
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(sqlite)?;
    if verdict != "ok" {
        return Err(OpenError::Damaged { path, reason: verdict });
    }
    file::check_progress(directory, &connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::sqlite::upgrade;

    fn entries(directory: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
        let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
        let mut entries: Vec<_> =
            entries.map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap())).collect();
        entries.sort();
        entries
    }

    #[test]
    fn a_sound_file_passes_each_damaged_one_is_named_and_none_is_changed() {
        let folder = tempfile::TempDir::with_prefix("a%20?b#c ").unwrap();
        let directory = folder.path();
        assert!(inspect(directory).is_ok());
        let connection = file::open(directory).unwrap();
        upgrade::upgrade(directory, &connection).unwrap();
        connection.execute_batch("INSERT INTO sites (id) VALUES ('demo')").unwrap();
        let verdict = |says: &str| {
            let before = entries(directory);
            let said = inspect(directory).map_or_else(|error| error.to_string(), |()| "sound".to_owned());
            assert!(said.contains(says), "{said}");
            assert_eq!(entries(directory), before, "{says}");
        };
        verdict("sound");
        drop(connection);
        verdict("sound");
        let path = file::path(directory);
        let sound = std::fs::read(&path).unwrap();
        for (bytes, says) in [
            (b"garbage".repeat(1_000), "is damaged"),
            (Vec::new(), "it is empty"),
            (sound[..sound.len() / 2].to_vec(), "is damaged"),
            ([&sound[..4_096], &vec![7; sound.len() - 4_096][..]].concat(), "is damaged"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            verdict(says);
        }
    }
}
