//! Uncounted hits, kept in a file beside the node's counts.
//!
//! No acknowledgement depends on them, so they are written once a minute: a crash loses the last minute.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::bots::{Kind, UNCOUNTED_BYTES_MAX, UNCOUNTED_FILE, Uncounted, UncountedRow};
use crate::counter::{Day, SiteId};
use crate::obstacle;

#[derive(Debug)]
pub struct UncountedFile {
    path: PathBuf,
    uncounted: Mutex<Uncounted>,
    changed: AtomicBool,
}

impl UncountedFile {
    pub fn open(data_dir: &Path) -> Self {
        let path = data_dir.join(UNCOUNTED_FILE);
        let text = obstacle::read(&path, UNCOUNTED_BYTES_MAX).unwrap_or_default();
        let uncounted = Mutex::new(Uncounted::from_lines(&String::from_utf8_lossy(&text)));
        Self { path, uncounted, changed: AtomicBool::new(false) }
    }

    pub fn note(&self, site: &SiteId, day: Day, kind: Kind) {
        self.lock().note(site, day, kind);
        self.changed.store(true, Ordering::Relaxed);
    }

    pub fn rows(&self, site: &SiteId) -> Vec<UncountedRow> {
        self.lock().rows(site)
    }

    pub fn write_changes(&self) {
        if self.changed.swap(false, Ordering::Relaxed)
            && let Err(error) = self.write()
        {
            tracing::warn!("can't write {}: {error}", self.path.display());
        }
    }

    /// Replaces the file as a whole: a crash leaves the old one or the new one.
    fn write(&self) -> std::io::Result<()> {
        let text = self.lock().to_lines();
        let draft = self.path.with_extension("csv.new");
        std::fs::write(&draft, text)?;
        std::fs::rename(&draft, &self.path)
    }

    fn lock(&self) -> MutexGuard<'_, Uncounted> {
        self.uncounted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
