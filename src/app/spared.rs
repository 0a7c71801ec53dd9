//! Hits that were not counted, kept beside the node's file.
//!
//! They answer for nothing, so they are written now and then, not with each hit: a crash forgets
//! the last minute's.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::bots::{CENSUS_FILE, Census, CensusRow, Kind};
use crate::counter::{Day, SiteId};

#[derive(Debug)]
pub struct Spared {
    file: PathBuf,
    census: Mutex<Census>,
    changed: AtomicBool,
}

impl Spared {
    pub fn open(data_dir: &Path) -> Self {
        let file = data_dir.join(CENSUS_FILE);
        let text = std::fs::read(&file).unwrap_or_default();
        let census = Mutex::new(Census::from_lines(&String::from_utf8_lossy(&text)));
        Self { file, census, changed: AtomicBool::new(false) }
    }

    pub fn note(&self, site: &SiteId, day: Day, kind: Kind) {
        self.census().note(site, day, kind);
        self.changed.store(true, Ordering::Relaxed);
    }

    pub fn rows(&self, site: &SiteId) -> Vec<CensusRow> {
        self.census().rows(site)
    }

    pub fn write_changes(&self) {
        if self.changed.swap(false, Ordering::Relaxed)
            && let Err(error) = self.write()
        {
            tracing::warn!("can't write {}: {error}", self.file.display());
        }
    }

    /// The file is the old one or the new one, never half of it.
    fn write(&self) -> std::io::Result<()> {
        let text = self.census().to_lines();
        let draft = self.file.with_extension("csv.new");
        std::fs::write(&draft, text)?;
        std::fs::rename(&draft, &self.file)
    }

    fn census(&self) -> MutexGuard<'_, Census> {
        self.census.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
