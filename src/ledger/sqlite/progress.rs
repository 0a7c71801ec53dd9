//! The high-water mark: the progress of the node's file, noted beside it.
//!
//! SQLite opens a file whose log was cut off, emptied or removed: to SQLite that is an older state. So each
//! commit's progress is written beside the file after the sync, and a file with less progress is refused. The
//! note is not synced: a power cut may leave an older note, which asks for less, but no newer one.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::tables::{journal, meta};

const FILE: &str = "thongke.reached";

/// Committed work, in numbers that only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The newest journal row.
    pub journal: i64,
    /// Transactions that wrote something else than hits, such as imports and remote counts.
    pub changes: i64,
}

impl Progress {
    pub fn of(connection: &Connection) -> rusqlite::Result<Self> {
        Ok(Self { journal: journal::last_number(connection)?, changes: meta::changes(connection)? })
    }

    /// The work that a file lacks, in words.
    pub fn missing_in(self, found: Self) -> Option<String> {
        if found.journal < self.journal {
            return Some(format!("its journal ends at row {}, and row {} was written", found.journal, self.journal));
        }
        (found.changes < self.changes)
            .then(|| format!("it has seen {} imports and other changes, and had seen {}", found.changes, self.changes))
    }

    fn line(self) -> String {
        let Self { journal, changes } = self;
        let numbers = format!("journal {journal:020} changes {changes:020}");
        format!("{numbers} {:08x}\n", crc32fast::hash(numbers.as_bytes()))
    }

    /// None: this program did not write the line.
    fn from_line(text: &str) -> Option<Self> {
        let words: Vec<_> = text.split_whitespace().collect();
        let ["journal", journal, "changes", changes, _] = words.as_slice() else { return None };
        let read = Self { journal: journal.parse().ok()?, changes: changes.parse().ok()? };
        (read.line() == text).then_some(read)
    }
}

/// The note beside the file, open for writing.
#[derive(Debug)]
pub struct HighWater(File);

impl HighWater {
    pub fn open(directory: &Path) -> std::io::Result<Self> {
        File::options().write(true).create(true).truncate(false).open(path(directory)).map(Self)
    }

    /// Notes progress that is synced.
    pub fn note(&self, progress: Progress) {
        if let Err(error) = self.0.write_all_at(progress.line().as_bytes(), 0) {
            // The older note stays, and asks for less.
            tracing::debug!("could not note the progress of the node's file: {error}");
        }
    }
}

pub fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// The noted progress. None without a note or with a damaged one: a bad note must not keep a good file from
/// opening.
pub fn read(directory: &Path) -> std::io::Result<Option<Progress>> {
    let bytes = match fs::read(path(directory)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let progress = std::str::from_utf8(&bytes).ok().and_then(Progress::from_line);
    if progress.is_none() {
        tracing::warn!("{} is damaged and was ignored", path(directory).display());
    }
    Ok(progress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_as_it_was_written_or_not_at_all() {
        let progress = Progress { journal: 812, changes: 3 };
        let line = progress.line();
        assert_eq!(Progress::from_line(&line), Some(progress));
        for wrong in ["", "\n", &line[1..], &line[..line.len() - 1], &line.replace('8', "9"), &format!("{line}\n")] {
            assert_eq!(Progress::from_line(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_file_lacks_work_only_if_a_number_is_lower() {
        let at = |journal, changes| Progress { journal, changes };
        let noted = at(812, 3);
        for found in [at(812, 3), at(813, 3), at(812, 4)] {
            assert_eq!(noted.missing_in(found), None, "{found:?}");
        }
        assert!(noted.missing_in(at(811, 9)).unwrap().contains("row 812"));
        assert!(noted.missing_in(at(900, 2)).unwrap().contains("had seen 3"));
    }
}
