//! The place of the open files: their paths must go on naming them.
//!
//! A deleted or moved file can still be written, and all of that is lost with its last descriptor. So each commit is
//! followed by a look at the paths before it is acknowledged, which costs a few microseconds beside its sync. The lock
//! file is looked at once a second: without it another node could start in the same directory.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::file;
use super::lock::DirectoryLock;

/// Longest time without a look at the lock file, while the node's file is looked at.
const LOCK_INTERVAL: Duration = Duration::from_millis(900);

/// The paths of the open files, each with its device and inode, and the lock.
#[derive(Debug, Default)]
pub struct Place {
    files: Vec<(PathBuf, (u64, u64))>,
    lock: Option<Arc<Mutex<DirectoryLock>>>,
    lock_seen: Option<Instant>,
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

    /// Also keeps the directory locked.
    pub fn with_lock(self, lock: Arc<Mutex<DirectoryLock>>) -> Self {
        Self { lock: Some(lock), lock_seen: Some(Instant::now()), ..self }
    }

    /// The reason why nothing may be acknowledged, if there is one: a file is not in its place any more, or another
    /// program has locked the directory.
    pub fn fault(&mut self) -> Option<String> {
        self.loss().or_else(|| self.lock_fault())
    }

    fn lock_fault(&mut self) -> Option<String> {
        let lock = self.lock.as_ref()?;
        if self.lock_seen.is_some_and(|at| at.elapsed() < LOCK_INTERVAL) {
            return None;
        }
        let fault = lock.lock().unwrap_or_else(PoisonError::into_inner).take_again_if_gone().err();
        // After a fault each look asks again.
        self.lock_seen = fault.is_none().then(Instant::now);
        fault
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
}
