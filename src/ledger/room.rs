//! Room on the disk of the node's file: an import takes none that hits need.

use std::path::{Path, PathBuf};

use super::error::LedgerError;

/// Room that an import leaves.
const RESERVE_BYTES: u64 = 4 << 20;

/// Bytes that the file and its log may grow for each byte of an import's sorted lines: the lines are staged, then
/// written as pages, their index and counts.
const GROWTH: u64 = 4;

/// The same of the log before it is copied into the file, and the most that it grows.
const LOG_GROWTH: u64 = 8;
const LOG_BYTES_MAX: u64 = 8 << 20;

#[derive(Debug, Default)]
pub struct Room {
    folder: PathBuf,
    reserve: u64,
}

impl Room {
    pub fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), reserve: RESERVE_BYTES }
    }

    /// Room that always seems too little, or never.
    #[cfg(test)]
    pub fn seeming(is_scarce: bool) -> Self {
        Self { folder: PathBuf::from("/"), reserve: if is_scarce { u64::MAX } else { 0 } }
    }

    /// True if an import must wait.
    pub fn is_scarce(&self) -> bool {
        free(&self.folder).is_some_and(|free| free < self.reserve)
    }

    /// Refuses an import whose sorted lines have so many bytes, if it may take the room that hits need.
    pub fn admit(&self, bytes: u64) -> Result<(), LedgerError> {
        let log = bytes.saturating_mul(LOG_GROWTH).min(LOG_BYTES_MAX);
        let needed = bytes.saturating_mul(GROWTH).saturating_add(log + self.reserve);
        match free(&self.folder) {
            Some(free) if free < needed => {
                let megabytes = |bytes: u64| bytes.div_ceil(1 << 20);
                Err(LedgerError::new(format!(
                    "the import may need {} MiB in {}, where {} MiB are free: make room, or import its years one by one",
                    megabytes(needed),
                    self.folder.display(),
                    free >> 20
                )))
            }
            _ => Ok(()),
        }
    }
}

/// Free bytes of a folder's disk; none if the system doesn't tell.
fn free(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_that_may_fill_the_disk_is_refused_with_what_it_needs() {
        let folder = tempfile::TempDir::new().unwrap();
        let room = Room::of(folder.path());
        assert_eq!(room.admit(1_000), Ok(()));
        let refused = room.admit(1 << 60).unwrap_err().to_string();
        assert!(refused.contains("may need 4398046511116 MiB in /") && refused.contains("make room"), "{refused}");
        assert!(room.admit(u64::MAX).is_err());
        assert_eq!(Room::of(Path::new("/nowhere")).admit(u64::MAX), Ok(()), "it is refused elsewhere");
    }
}
