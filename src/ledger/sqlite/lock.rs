//! The lock on a data directory: one node, or one command, at a time.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::ledger::error::OpenError;

const LOCK: &str = "thongke.lock";

/// Exclusive lock on a data directory; the file names its holder.
#[derive(Debug)]
pub struct DirectoryLock {
    file: File,
    path: PathBuf,
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing alone is not enough: a process that is being forked elsewhere holds the file open until it has
        // become another program.
        let _ = self.file.unlock();
    }
}

impl DirectoryLock {
    /// True if the directory has a lock file, held or not.
    pub fn exists(directory: &Path) -> bool {
        directory.join(LOCK).exists()
    }

    pub fn take(directory: &Path) -> Result<Self, OpenError> {
        let refused = |what, path: &Path, source| OpenError::Refused { what, path: path.to_owned(), source };
        fs::create_dir_all(directory).map_err(|source| refused("the data directory", directory, source))?;
        let path = directory.join(LOCK);
        let io = |source: io::Error| refused("the lock file", &path, source);
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(io)?;
        match file.try_lock() {
            Ok(()) => {
                let mut lock = Self { file, path };
                lock.sign("")?;
                Ok(lock)
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // For the message only: an unreadable lock file still refuses.
                let _ = file.read_to_string(&mut text);
                let holder = text.split_whitespace().next().unwrap_or("(unknown)").to_owned();
                Err(OpenError::InUse { path: directory.to_owned(), holder })
            }
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }

    /// Writes the holder: this process, and the address of its admin listener.
    pub fn sign(&mut self, admin_address: &str) -> Result<(), OpenError> {
        let path = &self.path;
        let mut write = || {
            self.file.seek(SeekFrom::Start(0))?;
            self.file.set_len(0)?;
            writeln!(self.file, "{} {admin_address}", std::process::id())
        };
        write().map_err(|source| OpenError::Refused { what: "the lock file", path: path.clone(), source })
    }

    /// The current holder of the directory.
    pub fn holder(directory: &Path) -> Option<Holder> {
        let mut file = File::open(directory.join(LOCK)).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.read_to_string(&mut text).ok()?;
                let mut words = text.split_whitespace();
                let process = words.next().unwrap_or("(unknown)").to_owned();
                Some(Holder { process, admin_address: words.next().map(str::to_owned) })
            }
            _ => None,
        }
    }
}

/// The process that holds a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub process: String,
    /// None: the holder is a command at work on the files, not a node.
    pub admin_address: Option<String>,
}
