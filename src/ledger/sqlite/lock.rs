//! The lock on a data directory: one node, or one command, at a time.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::ledger::error::OpenError;

const LOCK: &str = "thongke.lock";

/// Exclusive lock on a data directory; the file names its holder.
#[derive(Debug)]
pub struct DirectoryLock {
    file: File,
    path: PathBuf,
    /// The address in the file: the holder's admin listener.
    admin_address: String,
}

/// Result of a look at the lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    Always,
    /// It was gone, and another program may have held the directory meanwhile.
    Again,
    /// It can't be seen or made.
    Unknown,
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
                let mut lock = Self { file, path, admin_address: String::new() };
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
        admin_address.clone_into(&mut self.admin_address);
        self.write().map_err(|source| OpenError::Refused { what: "the lock file", path: self.path.clone(), source })
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.set_len(0)?;
        writeln!(self.file, "{} {}", std::process::id(), self.admin_address)
    }

    /// Locks the directory again if the lock file was deleted or replaced. The error, in words: another program has locked
    /// it.
    pub fn take_again_if_gone(&mut self) -> Result<Held, String> {
        let identity = |found: &fs::Metadata| (found.dev(), found.ino());
        let held = self.file.metadata().map(|found| identity(&found));
        match (held, fs::metadata(&self.path)) {
            (Ok(held), Ok(found)) if identity(&found) != held => {}
            (Ok(_), Err(error)) if error.kind() == ErrorKind::NotFound => {}
            (Ok(_), Ok(_)) => return Ok(Held::Always),
            _ => return Ok(Held::Unknown),
        }
        let shown = self.path.display().to_string();
        // A directory that is gone, full or closed is reported as such by the next write.
        let Ok(file) = File::options().read(true).write(true).create(true).truncate(false).open(&self.path) else {
            return Ok(Held::Unknown);
        };
        match file.try_lock() {
            Ok(()) => {
                self.file = file;
                if let Err(error) = self.write() {
                    tracing::warn!("{shown} was deleted, is locked again, but can't be written: {error}");
                } else {
                    tracing::warn!("{shown} was deleted or replaced; it is made and locked again");
                }
                Ok(Held::Again)
            }
            Err(TryLockError::WouldBlock) => Err(format!(
                "another program has locked the data directory, since {shown} was deleted or replaced: stop one of them"
            )),
            Err(TryLockError::Error(_)) => Ok(Held::Unknown),
        }
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
