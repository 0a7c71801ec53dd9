//! Imports, exports, and the accounts of sources.

use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::Ledger;
use super::commit::file_writer::FileWriter;
use super::commit::queue::Command;
use super::error::LedgerError;
use super::query::import_file::{Checked, ImportFile};
use super::query::{export, import};
use super::room::Room;
use super::sqlite::tables::imports::{self, Import, StagedRows};
use super::sqlite::tables::own_imports::{self, OwnImport};
use super::sqlite::tables::{counts, sources};
use crate::counter::account::{ImportReport, SourceAccount};
use crate::counter::csv::{CsvError, Line, Row, TakeLines as _};
use crate::counter::source::ImportName;
use crate::counter::{RowKey, SiteNumber, Source, Standing};

/// What was left of earlier imports of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleared {
    Nothing,
    Some,
    /// Another node has made a later import, and clears.
    IsEarlier,
}

/// Counters of a step of an import: few, so that hits go on between those that move to the counts.
const STEP_ROWS: usize = 500;

/// Steps that one transaction stages.
const STAGED_STEPS: usize = 16;

/// Transactions of steps that wait for the committer.
const STEPS_WAITING: usize = 2;

fn unwritable(error: &io::Error) -> LedgerError {
    LedgerError::new(format!("the import's file beside the node's can't be used ({error})"))
}

/// Sorts an import and hands over its steps until its first fault. The sums are none if nobody takes the steps any more.
fn make_steps(
    mut file: ImportFile,
    steps: &mpsc::Sender<Vec<StagedRows>>,
) -> io::Result<Option<Result<Checked, CsvError>>> {
    let (mut counters, mut made) = (file.counters()?, Vec::new());
    let mut step = StagedRows::default();
    while let Some(counter) = counters.next()? {
        step.push(counter.page, counter.period, counter.hits);
        if step.rows == STEP_ROWS {
            made.push(std::mem::take(&mut step));
            if made.len() == STAGED_STEPS
                && !counters.is_faulty()
                && steps.blocking_send(std::mem::take(&mut made)).is_err()
            {
                return Ok(None);
            }
        }
        if counters.is_faulty() {
            made.clear();
        }
    }
    made.extend((step.rows > 0).then_some(step));
    let checked = counters.checked();
    if checked.is_ok() && !made.is_empty() && steps.blocking_send(made).is_err() {
        return Ok(None);
    }
    Ok(Some(checked))
}

impl Ledger {
    /// Begins an import: the file that takes its lines.
    pub fn begin_import(&self) -> Result<ImportFile, LedgerError> {
        self.permit_import(ImportFile::new(&self.directory))
    }

    /// Lets an import run, unless another one does.
    pub fn permit_import(&self, file: ImportFile) -> Result<ImportFile, LedgerError> {
        match Arc::clone(&self.imports).try_acquire_owned() {
            Ok(permit) => Ok(file.permitted(permit)),
            Err(_) => Err(LedgerError::new("another import is running; try again when it has ended")),
        }
    }

    /// Writes an import, wholly or not at all. Counters of an earlier import of its name that this one lacks become 0.
    pub async fn finish_import(
        &self,
        site: SiteNumber,
        name: ImportName,
        mut file: ImportFile,
        now: DateTime<Utc>,
    ) -> Result<Result<ImportReport, CsvError>, LedgerError> {
        let _permit = file.take_permit();
        // An earlier one, of a caller that has gone, may still move to the counts.
        self.queue.ask(|done| Command::AfterImport { done }).await?;
        self.fold().await?;
        let source = Source::Import(name);
        let named = source.clone();
        let read = move |connection: &Connection| {
            let before = import::read(connection, site, &named, &mut file)?;
            Ok(before.map(|before| (file, before)))
        };
        let (file, before) = self.reader.read(read).await?.map_err(|error| unwritable(&error))?;
        Room::of(&self.directory).admit(file.bytes())?;
        let generation = before.generation(now);
        let import = Import { site, source: source.clone(), generation };
        let checked = match self.stage(file, import).await? {
            Ok(checked) => checked,
            Err(fault) => {
                self.drop_staged().await?;
                return Ok(Err(fault));
            }
        };
        let report = before.report(&source, checked, generation);
        if report.generation.is_none() {
            // Nothing is staged, or what an import cut short has left.
            return Ok(Ok(report));
        }
        // From here on it is completed, whatever happens to this caller or the node.
        self.queue.run(FileWriter::begin_import).await?;
        self.queue.ask(|done| Command::AfterImport { done }).await?;
        Ok(Ok(report))
    }

    /// Stages an import's counters while they are being sorted. Of one with a fault it may stage a part.
    async fn stage(&self, file: ImportFile, import: Import) -> Result<Result<Checked, CsvError>, LedgerError> {
        self.drop_staged().await?;
        let (sender, mut steps) = mpsc::channel::<Vec<StagedRows>>(STEPS_WAITING);
        let sorting = tokio::task::spawn_blocking(move || make_steps(file, &sender));
        let mut number = 1;
        while let Some(steps) = steps.recv().await {
            let (import, first) = (import.clone(), number);
            number += i64::try_from(steps.len()).unwrap_or(0);
            self.queue.run(move |file| file.change(|c| imports::stage(c, &import, first, &steps))).await?;
        }
        let sorted = sorting.await.map_err(|_| LedgerError::stopping())?;
        sorted.map_err(|error| unwritable(&error))?.ok_or_else(LedgerError::stopping)
    }

    /// Drops what an import cut short has staged.
    async fn drop_staged(&self) -> Result<(), LedgerError> {
        while !self.queue.run(|file| file.change(imports::drop_some)).await? {}
        Ok(())
    }

    /// Writes an import of these rows, of which no two are of one counter.
    pub async fn import(
        &self,
        site: SiteNumber,
        name: ImportName,
        rows: Vec<Row>,
        now: DateTime<Utc>,
    ) -> Result<ImportReport, LedgerError> {
        let mut file = self.begin_import()?;
        for (number, row) in (1..).zip(rows) {
            file.take(&Line { number, row, written: number }).map_err(LedgerError::new)?;
        }
        let imported = self.finish_import(site, name, file, now).await?;
        imported.map_err(|fault| LedgerError::new(fault.to_string()))
    }

    /// Sets all counters of an import to 0. None: it has none.
    pub async fn forget(
        &self,
        site: SiteNumber,
        name: ImportName,
        now: DateTime<Utc>,
    ) -> Result<Option<ImportReport>, LedgerError> {
        let report = self.import(site, name, Vec::new(), now).await?;
        Ok((report.cleared > 0).then_some(report))
    }

    /// The site's counters, as they stand in the file.
    pub async fn standing(&self, site: SiteNumber) -> Result<Vec<Standing>, LedgerError> {
        self.fold().await?;
        self.reader.read(move |connection| export::standing(connection, site)).await
    }

    /// Sets figures to zero: from each counter, a source of its own takes the figure that is shown of it.
    pub async fn reset(
        &self,
        site: SiteNumber,
        figures: Vec<(Standing, i64)>,
        now: DateTime<Utc>,
    ) -> Result<ImportReport, LedgerError> {
        let row = |(Standing { period, page, reset, .. }, figure)| Row { period, page, hits: reset - figure };
        let rows = figures.into_iter().map(row).filter(|row| row.hits != 0).collect();
        let report = self.import(site, ImportName::reset(), rows, now).await?;
        self.forget_shown(site).await?;
        // All of its days have other hits; that is its purpose.
        Ok(ImportReport { days_also_counted_live: Vec::new(), ..report })
    }

    /// Sets what the file has of earlier generations of an import to 0, if this one is the last.
    pub async fn clear_earlier_imports(
        &self,
        site: SiteNumber,
        source: &Source,
        generation: u64,
    ) -> Result<Cleared, LedgerError> {
        let name = source.clone();
        let read = move |connection: &Connection| {
            let Some(number) = sources::find(connection, &name)? else { return Ok(None) };
            let is_last = counts::last_generation(connection, site, number)? <= generation;
            let has_more = is_last && counts::has_earlier_imports(connection, site, number, generation)?;
            Ok(Some((number, is_last, has_more)))
        };
        let Some((number, is_last, has_more)) = self.reader.read(read).await? else { return Ok(Cleared::Nothing) };
        if !is_last {
            return Ok(Cleared::IsEarlier);
        }
        if !has_more {
            return Ok(Cleared::Nothing);
        }
        let mut after = Some(RowKey::START);
        while let Some(key) = after {
            after = self.queue.run(move |file| file.clear_earlier_imports(site, (number, generation), key)).await?;
        }
        Ok(Cleared::Some)
    }

    /// Imports that this node has made, the last of each name.
    pub async fn own_imports(&self) -> Result<Vec<OwnImport>, LedgerError> {
        self.reader.read(own_imports::all).await
    }

    /// Notes that Redis has nothing left of another node's import of the name.
    pub async fn note_compared(&self, site: SiteNumber, source: &Source, generation: u64) -> Result<(), LedgerError> {
        let source = source.clone();
        self.queue.run(move |file| file.change(|c| own_imports::note_compared(c, site, &source, generation))).await
    }

    /// Each source's account of a site.
    pub async fn sources(&self, site: SiteNumber) -> Result<Vec<SourceAccount>, LedgerError> {
        self.fold().await?;
        let run = self.state.run.to_string();
        self.reader.read(move |connection| export::accounts(connection, site, &run)).await
    }

    /// Up to `limit` counts after a row, summed over all sources.
    pub async fn export(&self, site: SiteNumber, after: Option<Row>, limit: usize) -> Result<Vec<Row>, LedgerError> {
        if after.is_none() {
            self.fold().await?;
        }
        self.reader.read(move |connection| export::export(connection, site, after.as_ref(), limit)).await
    }
}
