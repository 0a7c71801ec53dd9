//! Sites of which a read showed less than this node knows.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::counter::SiteNumber;

#[derive(Debug, Default)]
pub struct Suspects(Mutex<HashSet<SiteNumber>>);

impl Suspects {
    pub fn add(&self, site: SiteNumber) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(site);
    }

    /// Suspects since the last call.
    pub fn take(&self) -> HashSet<SiteNumber> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
