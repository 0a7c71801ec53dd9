//! Execution of the commands that change or load something else than hits.

use std::collections::HashMap;
use std::time::Duration;

use super::failure::WriteFailure;
use super::file_writer::FileWriter;
use super::queue::{Command, Done};
use super::state::SharedState;
use crate::counter::{Contribution, Day, Minute, Period, SiteNumber, Source};
use crate::ledger::sqlite::file::BUSY_TIMEOUT;
use crate::ledger::sqlite::tables::counts::{self, Key, SITE_ITSELF};
use crate::ledger::sqlite::tables::salts::{self, KnownSalt};
use crate::ledger::sqlite::tables::{pages, sites, sources, visitors};
use crate::ledger::sqlite::wal;

/// Longest wait for readers when the log is truncated.
const TRUNCATE_WAIT: Duration = Duration::from_millis(50);

/// Executes commands on the file and the shared state.
#[derive(Debug)]
pub struct Executor {
    state: SharedState,
    /// True while the log still holds deleted salts.
    must_truncate_log: bool,
}

impl Executor {
    pub fn new(state: SharedState) -> Self {
        Self { state, must_truncate_log: false }
    }

    /// Executes and answers a command.
    pub fn execute(&mut self, file: &mut FileWriter, command: Command) -> Result<(), WriteFailure> {
        match command {
            // The committer handles these itself.
            Command::Count { .. } | Command::Fold { .. } | Command::Stop => Ok(()),
            Command::LoadCounters { site, periods, done } => answer(done, self.load_counters(file, site, periods)),
            Command::Register { ids, done } => answer(done, file.change(|c| sites::register(c, &ids))),
            Command::Merge { site, contributions, remote, done } => {
                answer(done, self.merge(file, site, &contributions, remote))
            }
            Command::MarkPublished { site, sources, done } => answer(done, self.mark_published(file, site, &sources)),
            Command::LoadSketches { site, done } => {
                answer(done, self.state.load_sketches(file, site).map_err(WriteFailure::from))
            }
            Command::KeepSalt { site, day, offered, done } => answer(done, self.keep_salt(file, site, day, offered)),
            Command::ForgetVisitors { salts, before, done } => answer(done, self.forget_visitors(file, &salts, before)),
            Command::DeleteRows { site, rows, done } => answer(done, file.change(|c| counts::delete(c, site, &rows))),
        }
    }

    fn load_counters(&self, file: &FileWriter, site: SiteNumber, periods: Vec<Period>) -> Result<(), WriteFailure> {
        let counters = self.state.counters.get_or_insert(site);
        for period in periods.into_iter().filter(|period| !counters.has(*period)) {
            self.state.load_counter(file, site, period, false)?;
        }
        Ok(())
    }

    fn keep_salt(
        &self,
        file: &mut FileWriter,
        site: SiteNumber,
        day: Day,
        offered: KnownSalt,
    ) -> Result<KnownSalt, WriteFailure> {
        let known = self.state.salts.get(site, day);
        let kept = known.map_or(offered, |known| known.or(offered));
        if known != Some(kept) {
            file.change(|c| salts::write(c, site, day, kept))?;
            self.state.salts.insert(site, day, kept);
        }
        Ok(kept)
    }

    fn forget_visitors(
        &mut self,
        file: &mut FileWriter,
        salts: &[(SiteNumber, Day)],
        (day, minute): (Day, Minute),
    ) -> Result<(), WriteFailure> {
        // From memory first: no visitor is hashed with a salt that is being deleted.
        self.state.salts.remove(salts);
        self.state.sketches.forget_before(day, minute);
        file.connection().pragma_update(None, "secure_delete", "ON")?;
        let deleted = file.change(|c| {
            visitors::delete_before(c, day, minute)?;
            salts::delete(c, salts)
        });
        file.connection().pragma_update(None, "secure_delete", "FAST")?;
        deleted?;
        // A reader of the log may prevent this; the next call tries again.
        self.must_truncate_log |= !salts.is_empty();
        if self.must_truncate_log {
            file.connection().busy_timeout(TRUNCATE_WAIT)?;
            let is_truncated = wal::truncate(file.connection());
            file.connection().busy_timeout(BUSY_TIMEOUT)?;
            self.must_truncate_log = !is_truncated?;
        }
        Ok(())
    }

    fn mark_published(
        &self,
        file: &mut FileWriter,
        site: SiteNumber,
        published: &[Source],
    ) -> Result<(), WriteFailure> {
        file.change(|c| {
            for source in published {
                if let Some(number) = sources::find(c, source)? {
                    sources::set_published(c, site, number, true)?;
                }
            }
            Ok(())
        })?;
        Ok(self.state.reload_counters(file, site, false)?)
    }

    fn merge(
        &self,
        file: &mut FileWriter,
        site: SiteNumber,
        contributions: &[Contribution],
        remote: bool,
    ) -> Result<(), WriteFailure> {
        let run = file.run().clone();
        file.change(|c| {
            let mut numbers = HashMap::new();
            for contribution in contributions.iter().filter(|contribution| contribution.source != run) {
                let source = &contribution.source;
                let number = match numbers.get(source) {
                    Some(number) => *number,
                    None => {
                        let number = sources::number(c, source, remote)?;
                        sources::note_contributor(c, site, number, remote)?;
                        if !remote {
                            sources::set_published(c, site, number, false)?;
                        }
                        numbers.insert(source.clone(), number);
                        number
                    }
                };
                let page = match &contribution.page {
                    None => SITE_ITSELF,
                    Some(page) => pages::number(c, site, page)?,
                };
                let key = Key { site, period: contribution.period, page, source: number };
                if counts::merge(c, key, contribution.register)? && remote {
                    sources::note_partly_remote(c, number)?;
                }
            }
            Ok(())
        })?;
        self.state.reload_counters(file, site, remote)?;
        if !remote {
            self.state.feed.note_history(site);
        }
        Ok(())
    }
}

/// Answers with the outcome, and passes a failure on.
fn answer<T>(done: Done<T>, outcome: Result<T, WriteFailure>) -> Result<(), WriteFailure> {
    let (answer, outcome) = match outcome {
        Ok(value) => (Ok(value), Ok(())),
        Err(failure) => (Err(failure.reason().clone()), Err(failure)),
    };
    // A client that has gone needs no answer.
    let _ = done.send(answer);
    outcome
}
