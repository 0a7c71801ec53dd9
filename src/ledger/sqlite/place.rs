//! The place of the open files: their paths must go on naming them.
//!
//! A deleted or moved file can still be written, and all of that is lost with its last descriptor. So each commit is
//! followed by a look at the paths before it is acknowledged, which costs a few microseconds beside its sync. The lock
//! file is looked at once a second, and in each step of folding: without it another node can start in the same directory,
//! and folds the same hits.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::file;
use super::lock::{DirectoryLock, Held};

/// Longest time without a look at the lock file, while the node's file is looked at.
const LOCK_INTERVAL: Duration = Duration::from_millis(900);

/// The paths of the open files, each with its device and inode, and the lock.
#[derive(Debug, Default)]
pub struct Place {
    files: Vec<(PathBuf, (u64, u64))>,
    lock: Option<Arc<Mutex<DirectoryLock>>>,
    lock_seen: Option<Instant>,
    /// SQLite's number, which changes with each commit of another program, when the lock was held last.
    data_version: Option<i64>,
}

/// The reason why nothing may be acknowledged.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// A file is not in its place any more; it may come back.
    Loss(String),
    /// Another program has taken the directory. What memory holds of the file is wrong from then on.
    Taken(String),
}

impl Place {
    /// Of files that were just opened.
    pub fn of(directory: &Path) -> std::io::Result<Self> {
        let placed = |path: PathBuf| {
            let opened = identity(&path)?;
            Ok((path, opened))
        };
        let files = file::open_files(directory).into_iter().map(placed).collect::<std::io::Result<_>>()?;
        Ok(Self { files, ..Self::default() })
    }

    /// Also keeps the directory locked, in which `connection` has opened the file.
    pub fn with_lock(self, lock: Arc<Mutex<DirectoryLock>>, connection: &Connection) -> rusqlite::Result<Self> {
        let data_version = Some(data_version(connection)?);
        Ok(Self { lock: Some(lock), lock_seen: Some(Instant::now()), data_version, ..self })
    }

    pub fn fault(&mut self, connection: &Connection) -> rusqlite::Result<Option<Fault>> {
        if let Some(loss) = self.loss() {
            return Ok(Some(Fault::Loss(loss)));
        }
        match self.lock_seen {
            Some(at) if at.elapsed() >= LOCK_INTERVAL => self.lock_fault(connection),
            _ => Ok(None),
        }
    }

    /// Looks at the lock file, and locks it again if it was deleted. Nothing may be written after a fault.
    pub fn lock_fault(&mut self, connection: &Connection) -> rusqlite::Result<Option<Fault>> {
        let Some(lock) = &self.lock else { return Ok(None) };
        let before = data_version(connection)?;
        match lock.lock().unwrap_or_else(PoisonError::into_inner).take_again_if_gone() {
            Err(held) => return Ok(Some(Fault::Taken(held))),
            // Read again: now nobody else writes any more.
            Ok(Held::Again) if Some(data_version(connection)?) != self.data_version => {
                let taken = "another program has written to the node's file while its lock file was gone";
                return Ok(Some(Fault::Taken(taken.to_owned())));
            }
            Ok(Held::Always | Held::Again) => self.data_version = Some(before),
            Ok(Held::Unknown) => {}
        }
        self.lock_seen = Some(Instant::now());
        Ok(None)
    }

    /// The reason why an open file is not in its place any more, if it is not.
    fn loss(&self) -> Option<String> {
        self.files.iter().find_map(|(path, opened)| {
            let shown = path.display();
            let advice = "put the folder back as it was, or stop the node and restore a backup";
            match identity(path) {
                Ok(found) if found == *opened => None,
                Ok(_) => Some(format!("another file has taken the place of {shown}: {advice}")),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    Some(format!("{shown} is gone: it was deleted or moved; {advice}"))
                }
                // The file may well be there: a folder above it was closed to this user, for example.
                Err(_) => None,
            }
        })
    }
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_deleted_or_replaced_file_is_missed_until_it_is_back() {
        let folder = tempfile::TempDir::new().unwrap();
        let (data, aside) = (folder.path().join("data"), folder.path().join("aside"));
        std::fs::create_dir(&data).unwrap();
        let files = file::open_files(&data);
        files.iter().for_each(|path| std::fs::write(path, "x").unwrap());
        let place = Place::of(&data).unwrap();
        assert_eq!(place.loss(), None);
        std::fs::rename(&data, &aside).unwrap();
        assert!(place.loss().unwrap().contains("is gone"));
        // A copy is not the same.
        std::fs::create_dir(&data).unwrap();
        for path in &files {
            std::fs::copy(aside.join(path.file_name().unwrap()), path).unwrap();
        }
        assert!(place.loss().unwrap().contains("another file"));
        std::fs::remove_dir_all(&data).unwrap();
        std::fs::rename(&aside, &data).unwrap();
        assert_eq!(place.loss(), None);
        for path in files {
            std::fs::remove_file(&path).unwrap();
            assert!(place.loss().is_some(), "{path:?}");
        }
    }
    #[test]
    fn a_lock_that_was_gone_is_taken_again_only_if_nobody_has_written_meanwhile() {
        let folder = tempfile::TempDir::new().unwrap();
        let (data, path) = (folder.path(), folder.path().join("thongke.lock"));
        let open = || {
            let connection = file::open(data).unwrap();
            connection.execute_batch("CREATE TABLE IF NOT EXISTS t (n); INSERT INTO t VALUES (1)").unwrap();
            connection
        };
        let connection = open();
        let lock = Arc::new(Mutex::new(DirectoryLock::take(data).unwrap()));
        let mut place = Place::of(data).unwrap().with_lock(lock, &connection).unwrap();
        for _ in 0..2 {
            assert_eq!(place.lock_fault(&connection).unwrap(), None);
            connection.execute("INSERT INTO t VALUES (2)", []).unwrap();
            std::fs::remove_file(&path).unwrap();
            assert_eq!(place.lock_fault(&connection).unwrap(), None);
            assert!(path.exists() && DirectoryLock::take(data).is_err());
        }
        std::fs::remove_file(&path).unwrap();
        let other = DirectoryLock::take(data).unwrap();
        assert!(matches!(place.lock_fault(&connection).unwrap(), Some(Fault::Taken(_))));
        drop(open());
        drop(other);
        std::fs::remove_file(&path).unwrap();
        let fault = place.lock_fault(&connection).unwrap();
        assert!(matches!(&fault, Some(Fault::Taken(why)) if why.contains("has written")), "{fault:?}");
    }
}
