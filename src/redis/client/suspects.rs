//! Sites about which Redis is to be asked soon.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::counter::SiteNumber;

/// Suspects, each with whether it was repaired: then digests that differed before say nothing.
#[derive(Debug, Default)]
pub struct Suspects(Mutex<HashMap<SiteNumber, bool>>);

impl Suspects {
    /// Notes a site of which a read showed less than this node knows.
    pub fn add(&self, site: SiteNumber) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(site).or_default();
    }

    pub fn add_repaired(&self, site: SiteNumber) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(site, true);
    }

    /// Suspects since the last call.
    pub fn take(&self) -> HashMap<SiteNumber, bool> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
