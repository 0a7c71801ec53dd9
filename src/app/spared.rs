//! Hits that were not counted, kept beside the node's file.
//!
//! They answer for nothing, so they are written now and then, not with each hit: a crash forgets
//! the last minute's.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::bots::{CENSUS_FILE, Census, CensusRow, Kind};
use crate::counter::{Day, SiteId};

const KEPT_EVERY: Duration = Duration::from_secs(60);

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

    /// Writes what has changed, now and then, until `stopped` resolves.
    pub async fn keep(&self, stopped: impl Future<Output = ()>) {
        let mut stopped = pin!(stopped);
        while tokio::time::timeout(KEPT_EVERY, stopped.as_mut()).await.is_err() {
            self.write_changes();
        }
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
