//! Upgrades: a file of an earlier version is copied before it is migrated.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::backup::backup;
use super::progress::Progress;
use super::{file, migrations};
use crate::ledger::error::OpenError;

/// Copies a file of an earlier version and migrates it. True: it was one, or is new.
pub fn upgrade(directory: &Path, connection: &Connection) -> Result<bool, OpenError> {
    let path = file::path(directory);
    let sqlite = |source| OpenError::of_sqlite(&path, source);
    if migrations::is_newest(connection).map_err(sqlite)? {
        return Ok(false);
    }
    let progress = Progress::of(connection).map_err(sqlite)?;
    if let Some(copy) = free_name(directory, progress) {
        backup(directory, &copy)
            .map_err(|error| OpenError::NotCopied { path: path.clone(), reason: error.to_string() })?;
        tracing::info!("{} is upgraded; {} is its copy, for going back", path.display(), copy.display());
    }
    migrations::migrate(connection).map_err(sqlite)?;
    Ok(true)
}

/// The name for a copy: `thongke.db.before-0.2`, or with a number where another copy has it. None: a copy with this
/// progress is there, of an upgrade that did not end.
fn free_name(directory: &Path, progress: Progress) -> Option<PathBuf> {
    let named = |suffix: &str| {
        let mut name = file::path(directory).into_os_string();
        name.push(format!(".before-{}{suffix}", migrations::VERSION));
        PathBuf::from(name)
    };
    let has_it = |copy: &Path| {
        let connection = Connection::open_with_flags(copy, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY);
        connection.and_then(|copy| Progress::of(&copy)).is_ok_and(|found| found == progress)
    };
    let mut copy = named("");
    let mut number = 1;
    while copy.exists() {
        if has_it(&copy) {
            return None;
        }
        number += 1;
        copy = named(&format!("-{number}"));
    }
    Some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of_0_1(directory: &Path) -> Connection {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-2.db");
        std::fs::copy(fixture, file::path(directory)).unwrap();
        file::open(directory).unwrap()
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<_> = entries.map(name).filter(|name| name.contains("before")).collect();
        names.sort();
        names
    }

    fn format(path: &Path) -> i64 {
        Connection::open(path).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_file_is_copied_once_before_it_is_migrated_and_no_copy_is_overwritten() {
        let folder = tempfile::TempDir::new().unwrap();
        let directory = folder.path();
        // An upgrade that ended after the copy.
        let connection = file_of_0_1(directory);
        let progress = Progress::of(&connection).unwrap();
        backup(directory, &free_name(directory, progress).unwrap()).unwrap();
        upgrade(directory, &connection).unwrap();
        upgrade(directory, &connection).unwrap();
        assert_eq!(names(directory), ["thongke.db.before-0.2"]);
        assert_eq!((format(&directory.join("thongke.db.before-0.2")), format(&file::path(directory))), (2, 3));
        drop(connection);
        // Back to the earlier version, which counts on, and upgraded again.
        std::fs::remove_file(file::path(directory)).unwrap();
        let _ = std::fs::remove_file(directory.join("thongke.reached"));
        let connection = file_of_0_1(directory);
        connection.execute_batch("REPLACE INTO meta VALUES ('changes', 99)").unwrap();
        let first = std::fs::read(directory.join("thongke.db.before-0.2")).unwrap();
        upgrade(directory, &connection).unwrap();
        assert_eq!(names(directory), ["thongke.db.before-0.2", "thongke.db.before-0.2-2"]);
        assert_eq!(std::fs::read(directory.join("thongke.db.before-0.2")).unwrap(), first);
    }

    #[test]
    fn a_new_file_needs_no_copy() {
        let folder = tempfile::TempDir::new().unwrap();
        upgrade(folder.path(), &file::open(folder.path()).unwrap()).unwrap();
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_can_not_be_copied_is_not_migrated() {
        let folder = tempfile::TempDir::new().unwrap();
        let connection = file_of_0_1(folder.path());
        // A folder in the way of the unfinished copy.
        std::fs::create_dir(folder.path().join("thongke.db.before-0.2.unfinished")).unwrap();
        let said = upgrade(folder.path(), &connection).unwrap_err().to_string();
        assert!(said.contains("it is unchanged") && said.contains("before-0.2"), "{said}");
        assert!(!migrations::is_newest(&connection).unwrap());
        assert_eq!(format(&file::path(folder.path())), 2);
    }
}
