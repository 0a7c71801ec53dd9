//! Work of the committer's thread that changes or loads something else than hits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::failure::WriteFailure;
use super::file_writer::FileWriter;
use crate::counter::{Contribution, Day, Minute, Period, RowKey, SiteNumber};
use crate::ledger::memory::counters::SiteCounters;
use crate::ledger::memory::lock;
use crate::ledger::sqlite::file::BUSY_TIMEOUT;
use crate::ledger::sqlite::tables::counts::{self, SITE_ITSELF};
use crate::ledger::sqlite::tables::imports::{self, CLEAR_STEP, Moved};
use crate::ledger::sqlite::tables::salts::{self, KnownSalt};
use crate::ledger::sqlite::tables::sources::SourceNumber;
use crate::ledger::sqlite::tables::visitors::Forgotten;
use crate::ledger::sqlite::tables::{last_shown, merge, own_imports, shown, visitors, vouching};
use crate::ledger::sqlite::wal;

/// Longest wait for readers when the log is truncated.
const TRUNCATE_WAIT: Duration = Duration::from_millis(50);

impl FileWriter {
    /// Loads a counter, or reloads it after a change of the file.
    pub fn load_counter(&self, site: SiteNumber, period: Period, remote: bool) -> rusqlite::Result<()> {
        let counts = counts::of_page(&self.connection, site, period, SITE_ITSELF)?;
        // Without Redis a node shows its own hits alone.
        let floor = match self.state.feed.is_used() {
            true => shown::read(&self.connection, site, period, &counts, self.run_number)?,
            false => None,
        };
        self.state.counters.get_or_insert(site).load(period, self.run_number, &counts, floor, remote);
        Ok(())
    }

    /// Loads the missing counters of a tally's days, which its commit will change.
    pub fn load_days(&self, by_day: &[(SiteNumber, Day, u64)]) -> rusqlite::Result<Vec<Arc<SiteCounters>>> {
        let mut changing = Vec::with_capacity(by_day.len());
        for (site, day, _) in by_day {
            let counters = self.state.counters.get_or_insert(*site);
            if !counters.has_day(*day) {
                for period in day.site_periods() {
                    if !counters.has(period) {
                        self.load_counter(*site, period, false)?;
                    }
                }
            }
            changing.push(counters);
        }
        Ok(changing)
    }

    /// Reloads a site's counters after a change of the file.
    pub fn reload_counters(&self, site: SiteNumber, remote: bool) -> rusqlite::Result<()> {
        let Some(counters) = self.state.counters.get(site) else { return Ok(()) };
        counters.periods().into_iter().try_for_each(|period| self.load_counter(site, period, remote))?;
        if self.state.feed.is_used() {
            lock(&self.state.old_floors).insert(site);
        }
        Ok(())
    }

    /// Writes what is shown of other nodes' hits of sites, where the file has less.
    pub fn write_floors(&mut self, sites: &[SiteNumber]) -> Result<(), WriteFailure> {
        let of_site = |site: &SiteNumber| Some((*site, self.state.counters.get(*site)?));
        let floors = sites.iter().filter_map(of_site).map(|(site, counters)| {
            let floors = counters.old_floors();
            (site, counters, floors)
        });
        let floors: Vec<_> = floors.filter(|(.., floors)| !floors.is_empty()).collect();
        if floors.is_empty() {
            return Ok(());
        }
        let current = self.run_number;
        let have_risen = self.change(|c| {
            let of_site = |(site, _, floors): &(SiteNumber, _, Vec<(Period, i64)>)| {
                floors.iter().try_fold(false, |has_risen, (period, hits)| {
                    Ok(shown::note(c, *site, *period, *hits, current)? || has_risen)
                })
            };
            floors.iter().map(of_site).collect::<rusqlite::Result<Vec<_>>>()
        })?;
        let mut unsynced = lock(&self.state.unsynced);
        for ((site, counters, floors), has_risen) in floors.iter().zip(have_risen) {
            counters.keep_floors(floors);
            if has_risen {
                unsynced.insert(*site, Instant::now());
            }
        }
        Ok(())
    }

    /// Forgets a site's figures that were shown.
    pub fn forget_shown(&mut self, site: SiteNumber) -> Result<(), WriteFailure> {
        self.change(|connection| {
            shown::clear(connection, site)?;
            last_shown::clear_site(connection, site)
        })?;
        if let Some(counters) = self.state.counters.get(site) {
            counters.forget_shown();
        }
        Ok(())
    }

    /// Loads a site's sketches, unless they are in memory.
    pub fn load_sketches(&self, site: SiteNumber) -> rusqlite::Result<()> {
        if self.state.sketches.get(site).is_none() {
            self.state.sketches.load(site, visitors::of_site(&self.connection, site)?);
        }
        Ok(())
    }

    pub fn load_counters(&self, site: SiteNumber, periods: Vec<Period>) -> Result<(), WriteFailure> {
        let counters = self.state.counters.get_or_insert(site);
        for period in periods.into_iter().filter(|period| !counters.has(*period)) {
            self.load_counter(site, period, false)?;
        }
        Ok(())
    }

    pub fn keep_salt(&mut self, site: SiteNumber, day: Day, offered: KnownSalt) -> Result<KnownSalt, WriteFailure> {
        let known = self.state.salts.get(site, day);
        let kept = known.map_or(offered, |known| known.or(offered));
        if known != Some(kept) {
            self.change(|c| salts::write(c, site, day, kept))?;
            self.state.salts.insert(site, day, kept);
        }
        Ok(kept)
    }

    pub fn forget_visitors(
        &mut self,
        salts: &[(SiteNumber, Day)],
        (day, minute): (Day, Minute),
    ) -> Result<Forgotten, WriteFailure> {
        // From memory first: no visitor is hashed with a salt that is being deleted.
        self.state.salts.remove(salts);
        self.state.sketches.forget_before(day, minute);
        self.connection.pragma_update(None, "secure_delete", "ON")?;
        let deleted = self.change(|c| {
            let (days, minutes) = visitors::delete_before(c, day, minute)?;
            vouching::forget_days(c, salts)?;
            Ok(Forgotten { salts: salts::delete(c, salts)?, days, minutes })
        });
        self.connection.pragma_update(None, "secure_delete", "FAST")?;
        let forgotten = deleted?;
        // A reader of the log may prevent this; the next call tries again.
        self.must_truncate_log |= !salts.is_empty();
        if self.must_truncate_log {
            self.connection.busy_timeout(TRUNCATE_WAIT)?;
            let is_truncated = wal::truncate(&self.connection);
            self.connection.busy_timeout(BUSY_TIMEOUT)?;
            self.must_truncate_log = !is_truncated?;
        }
        Ok(forgotten)
    }

    /// Merges contributions; true: Redis has brought another import.
    pub fn merge(
        &mut self,
        site: SiteNumber,
        contributions: &[Contribution],
        remote: bool,
    ) -> Result<bool, WriteFailure> {
        let run = self.state.run.clone();
        let of_others = contributions.iter().filter(|contribution| contribution.source != run);
        let merged = self.change(|c| merge::merge(c, site, of_others, remote))?;
        self.reload_counters(site, remote)?;
        if !remote || merged.has_vouched {
            self.state.feed.note_history(site);
        }
        Ok(merged.is_corrected)
    }

    /// Makes a staged import one that a start completes; the committer moves it to the counts.
    pub fn begin_import(&mut self) -> Result<(), WriteFailure> {
        self.change(|connection| {
            imports::mark_whole(connection)?;
            own_imports::note_staged(connection)?;
            // It may lower figures.
            last_shown::clear(connection)
        })?;
        self.has_whole_import = true;
        Ok(())
    }

    /// Moves steps of the whole import to the counts for so long.
    pub fn move_import_steps(&mut self, time: Duration) -> Result<(), WriteFailure> {
        let cleared = self.import_cleared;
        // After a failure they are looked up again: numbers that it gave were rolled back.
        let mut pages = std::mem::take(&mut self.import_pages);
        let moved = self.change(|connection| imports::move_steps(connection, &mut pages, cleared, time))?;
        self.has_whole_import = moved.is_some();
        if self.has_whole_import {
            self.import_pages = pages;
        }
        self.import_cleared = moved.and_then(|moved| moved.cleared);
        if let Some(Moved { site, .. }) = moved {
            self.reload_counters(site, false)?;
            self.state.feed.note_history(site);
        }
        Ok(())
    }

    /// Clears what is left of earlier generations of an import among the next rows of the site; returns the last of them.
    pub fn clear_earlier_imports(
        &mut self,
        site: SiteNumber,
        import: (SourceNumber, u64),
        after: RowKey,
    ) -> Result<Option<RowKey>, WriteFailure> {
        let last = self.change(|c| counts::clear_earlier_imports(c, site, import, after, CLEAR_STEP))?;
        if last.is_none() {
            self.reload_counters(site, false)?;
            self.state.feed.note_history(site);
        }
        Ok(last)
    }
}
