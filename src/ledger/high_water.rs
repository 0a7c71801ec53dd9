//! How far the node's file had come, kept beside it.
//!
//! To SQLite a log that was cut off, emptied or removed is an older state of the file, which it opens
//! without a word. So what a commit has reached is written beside the file after the commit's sync,
//! and a file that has reached less is refused. The note is not synced: a power cut may leave an
//! older one, which asks for less, never a newer one.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::store;

const FILE: &str = "thongke.reached";

/// What was committed, in numbers that only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reached {
    /// The newest journal row.
    pub journal: i64,
    /// Transactions that wrote something else than hits: imports, and what was learned from others.
    pub changes: i64,
}

impl Reached {
    pub fn of(connection: &Connection) -> rusqlite::Result<Self> {
        Ok(Self { journal: store::last_journal_number(connection)?, changes: store::changes(connection)? })
    }

    fn line(self) -> String {
        let Self { journal, changes } = self;
        let numbers = format!("journal {journal:020} changes {changes:020}");
        format!("{numbers} {:08x}\n", crc32fast::hash(numbers.as_bytes()))
    }

    /// None: nobody wrote this so.
    fn from_line(text: &str) -> Option<Self> {
        let words: Vec<_> = text.split_whitespace().collect();
        let ["journal", journal, "changes", changes, _] = words.as_slice() else { return None };
        let read = Self { journal: journal.parse().ok()?, changes: changes.parse().ok()? };
        (read.line() == text).then_some(read)
    }
}

/// The note beside the file.
#[derive(Debug)]
pub struct HighWater(File);

impl HighWater {
    pub fn open(directory: &Path) -> std::io::Result<Self> {
        File::options().write(true).create(true).truncate(false).open(path(directory)).map(Self)
    }

    /// To be called after the sync of what was reached.
    pub fn note(&self, reached: Reached) {
        if let Err(error) = self.0.write_all_at(reached.line().as_bytes(), 0) {
            // The older note stays, and asks for less.
            tracing::debug!("could not note how far the node's file has come: {error}");
        }
    }
}

pub fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// What the note says; none where there is none, or where it is damaged itself: it protects the file,
/// and must not keep a good one from being opened.
pub fn read(directory: &Path) -> std::io::Result<Option<Reached>> {
    let bytes = match fs::read(path(directory)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let reached = std::str::from_utf8(&bytes).ok().and_then(Reached::from_line);
    if reached.is_none() {
        tracing::warn!("{} is damaged and was not heeded", path(directory).display());
    }
    Ok(reached)
}

/// What is missing in the file that had come so far, in words.
pub fn missing(noted: Reached, found: Reached) -> Option<String> {
    if found.journal < noted.journal {
        return Some(format!("its journal ends at row {}, and row {} was written", found.journal, noted.journal));
    }
    (found.changes < noted.changes)
        .then(|| format!("it has seen {} imports and the like, and had seen {}", found.changes, noted.changes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_as_it_was_written_or_not_at_all() {
        let reached = Reached { journal: 812, changes: 3 };
        let line = reached.line();
        assert_eq!(Reached::from_line(&line), Some(reached));
        for wrong in ["", "\n", &line[1..], &line[..line.len() - 1], &line.replace('8', "9"), &format!("{line}\n")] {
            assert_eq!(Reached::from_line(wrong), None, "{wrong:?}");
        }
    }
}
