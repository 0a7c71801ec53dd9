//! Sites that are no longer configured, and whose counts stay.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::Connection;

use super::Ledger;
use super::error::LedgerError;
use super::sqlite::tables::sites as table;
use crate::counter::{RegisteredSite, Site, SiteId, Sites};

impl Ledger {
    /// Ids under which the file has counts and no configured site keeps its own.
    pub async fn removed_sites(&self, configured: &Sites) -> Result<Vec<SiteId>, LedgerError> {
        self.fold().await?;
        let stored = self.reader.read(table::all_with_counts).await?;
        let configured: HashSet<_> = configured.iter().map(|site| &site.site.counted_as).collect();
        Ok(stored.into_iter().filter(|id| !configured.contains(id)).collect())
    }

    /// Filters ids: the file has counts under those that are left.
    pub async fn with_counts(&self, ids: Vec<SiteId>) -> Result<Vec<SiteId>, LedgerError> {
        self.fold().await?;
        let read = move |connection: &Connection| {
            let mut found = Vec::new();
            for id in ids {
                if table::with_counts(connection, id.as_str())?.is_some() {
                    found.push(id);
                }
            }
            Ok(found)
        };
        self.reader.read(read).await
    }

    /// The site whose counts the file keeps under `id`: a configured or a removed one. An alias whose own counts stand
    /// by themselves is none of its site here.
    pub async fn stored_site(
        &self,
        configured: &Sites,
        id: &SiteId,
    ) -> Result<Option<Arc<RegisteredSite>>, LedgerError> {
        let named = configured.get(id.as_str()).cloned();
        if named.as_ref().is_some_and(|site| site.site.id == *id || site.site.counted_as == *id) {
            return Ok(named);
        }
        self.fold().await?;
        let wanted = id.clone();
        let removed = self.reader.read(move |connection| table::with_counts(connection, wanted.as_str())).await?;
        let removed = removed.map(|number| RegisteredSite::new(number, Site::with_defaults(id.clone(), Vec::new())));
        Ok(removed.map(Arc::new).or(named))
    }
}
