//! State that the committer changes and the rest of the node reads.

use std::sync::Arc;

use super::failure::WriteStatus;
use super::file_writer::FileWriter;
use crate::change_feed::ChangeFeed;
use crate::counter::{Day, Period, SiteNumber};
use crate::ledger::fold::unfolded::Unfolded;
use crate::ledger::memory::counters::{CounterStore, SiteCounters};
use crate::ledger::memory::page_admission::PageAdmission;
use crate::ledger::memory::salts::Salts;
use crate::ledger::memory::sketches::SketchStore;
use crate::ledger::memory::titles::NewTitles;
use crate::ledger::sqlite::tables::{counts, visitors};
use crate::metrics::Metrics;

#[derive(Debug, Clone)]
pub struct SharedState {
    pub counters: Arc<CounterStore>,
    pub sketches: Arc<SketchStore>,
    pub salts: Arc<Salts>,
    pub titles: Arc<NewTitles>,
    pub admission: Arc<PageAdmission>,
    pub unfolded: Arc<Unfolded>,
    pub feed: Arc<ChangeFeed>,
    pub status: Arc<WriteStatus>,
    pub metrics: Arc<Metrics>,
}

impl SharedState {
    /// Loads a counter, or reloads it after a change of the file.
    pub fn load_counter(
        &self,
        file: &FileWriter,
        site: SiteNumber,
        period: Period,
        remote: bool,
    ) -> rusqlite::Result<()> {
        let counts = counts::of_site(file.connection(), site, period)?;
        self.counters.get_or_insert(site).load(period, file.run_number(), &counts, remote);
        Ok(())
    }

    /// Loads the missing counters of a tally's days, which its commit will change.
    pub fn load_days(
        &self,
        file: &FileWriter,
        by_day: &[(SiteNumber, Day, u64)],
    ) -> rusqlite::Result<Vec<Arc<SiteCounters>>> {
        let mut changing = Vec::with_capacity(by_day.len());
        for (site, day, _) in by_day {
            let counters = self.counters.get_or_insert(*site);
            if !counters.has_day(*day) {
                for period in day.site_periods() {
                    if !counters.has(period) {
                        self.load_counter(file, *site, period, false)?;
                    }
                }
            }
            changing.push(counters);
        }
        Ok(changing)
    }

    /// Reloads a site's counters after a change of the file.
    pub fn reload_counters(&self, file: &FileWriter, site: SiteNumber, remote: bool) -> rusqlite::Result<()> {
        let Some(counters) = self.counters.get(site) else { return Ok(()) };
        counters.periods().into_iter().try_for_each(|period| self.load_counter(file, site, period, remote))
    }

    /// Loads a site's sketches, unless they are in memory.
    pub fn load_sketches(&self, file: &FileWriter, site: SiteNumber) -> rusqlite::Result<()> {
        if self.sketches.get(site).is_none() {
            self.sketches.load(site, visitors::of_site(file.connection(), site)?);
        }
        Ok(())
    }
}
