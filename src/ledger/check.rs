//! Integrity checks of the file while the node runs.

use std::sync::{Arc, Mutex, OnceLock};

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use super::Ledger;
use super::error::LedgerError;
use super::memory::lock;
use super::sqlite::integrity::{BackgroundCheck, IntegrityCheck, OldestKept};
use crate::counter::{Day, RegisteredSite, Sites};

/// The finding of the background check.
#[derive(Debug, Default)]
pub struct Damage {
    found: Arc<OnceLock<String>>,
    check: Mutex<Option<BackgroundCheck>>,
}

impl Damage {
    pub fn stop_check(&self) {
        if let Some(check) = lock(&self.check).take() {
            check.stop();
        }
    }
}

impl Ledger {
    /// The damage that the background check has found. Hits are accepted all the same: the counts that they are added
    /// to may be wrong, but they are not lost.
    pub fn damage(&self) -> Option<&str> {
        self.damage.found.get().map(String::as_str)
    }

    /// Starts a check of the whole file in the background, whose finding `damage` returns.
    pub fn check_in_background(&self, sites: &Sites, now: DateTime<Utc>) {
        let found = Arc::clone(&self.damage.found);
        let report = move |faults: rusqlite::Result<Vec<String>>| match faults {
            Ok(faults) if faults.is_empty() => tracing::debug!("the check of the node's file found no damage"),
            Ok(faults) => {
                let damage = format!("the node's file is damaged: {}; restore a backup", faults.join("; "));
                tracing::error!("{damage}");
                // Set here only.
                let _ = found.set(damage);
            }
            Err(error) => tracing::debug!("the check of the node's file ended early: {error}"),
        };
        let oldest_kept = oldest_kept(sites.iter().map(AsRef::as_ref), self.latest_known(now));
        let started = IntegrityCheck::new(&self.directory).map_err(|error| error.to_string()).and_then(|check| {
            check.start(self.state.run.clone(), oldest_kept, report).map_err(|error| error.to_string())
        });
        match started {
            Ok(check) => *lock(&self.damage.check) = Some(check),
            Err(error) => tracing::warn!("the node's file could not be checked: {error}"),
        }
    }

    /// Checks the file on a thread of its own: SQLite's check of all of it, and the sums of a site's counts.
    pub async fn faults(&self, site: &RegisteredSite, now: DateTime<Utc>) -> Result<Vec<String>, LedgerError> {
        let failed = |error: rusqlite::Error| LedgerError::new(format!("the node's file can't be checked ({error})"));
        let check = IntegrityCheck::new(&self.directory).map_err(failed)?;
        let (run, kept, site) = (self.state.run.clone(), oldest_kept([site], self.latest_known(now)), site.number);
        let (done, answer) = oneshot::channel();
        std::thread::Builder::new()
            .name("check".to_owned())
            .spawn(move || drop(done.send(check.faults(&run, &kept, Some(site)))))
            .map_err(|error| LedgerError::new(format!("no thread can be started ({error})")))?;
        match answer.await {
            Ok(faults) => faults.map_err(failed),
            Err(_) => Err(LedgerError::new("the check was interrupted; try again")),
        }
    }
}

/// The oldest kept day and month of each site; tomorrow's, since midnight may pass during the check.
fn oldest_kept<'a>(sites: impl IntoIterator<Item = &'a RegisteredSite>, now: DateTime<Utc>) -> OldestKept {
    let of = |site: &RegisteredSite| {
        let tomorrow = Day::at(now, site.site.time_zone).next();
        (site.number, site.site.page_retention.oldest_kept(tomorrow))
    };
    sites.into_iter().map(of).collect()
}
