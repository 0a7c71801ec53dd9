//! Sites whose pages need no network that vouches for them.

use std::collections::HashSet;
use std::sync::Mutex;

use super::lock;
use crate::counter::{Site, SiteNumber};

#[derive(Debug, Default)]
pub struct OpenSites(Mutex<HashSet<SiteNumber>>);

impl OpenSites {
    pub fn has(&self, site: SiteNumber) -> bool {
        lock(&self.0).contains(&site)
    }

    /// Notes configured sites; others stay as they are.
    pub fn note<'a>(&self, sites: impl IntoIterator<Item = (SiteNumber, &'a Site)>) {
        let mut open = lock(&self.0);
        for (number, site) in sites {
            match site.vouching_networks {
                0 | 1 => open.insert(number),
                _ => open.remove(&number),
            };
        }
    }
}
