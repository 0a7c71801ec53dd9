//! The writing connection, with the progress of its commits and the state that mirrors the file.

use rusqlite::{Connection, TransactionBehavior};

use super::failure::WriteFailure;
use super::state::SharedState;
use crate::counter::{RowKey, Tally};
use crate::ledger::error::LedgerError;
use crate::ledger::sqlite::place::{Fault, Place};
use crate::ledger::sqlite::progress::{HighWater, Progress};
use crate::ledger::sqlite::tables::merge::ImportPages;
use crate::ledger::sqlite::tables::sources::{self, SourceNumber};
use crate::ledger::sqlite::tables::{journal, meta};

/// The only writer of the node's file.
#[derive(Debug)]
pub struct FileWriter {
    pub connection: Connection,
    pub state: SharedState,
    progress: Progress,
    high_water: HighWater,
    place: Place,
    /// None until the run's first hit.
    pub run_number: Option<SourceNumber>,
    /// The encoded tally, kept for its allocation.
    row: Vec<u8>,
    /// True while the log still holds deleted salts.
    pub must_truncate_log: bool,
    /// True while a staged import moves to the counts.
    pub has_whole_import: bool,
    /// The row up to which its site's counts were looked through for those of another import, once all of it has moved.
    pub import_cleared: Option<RowKey>,
    pub import_pages: ImportPages,
}

impl FileWriter {
    pub fn new(connection: Connection, progress: Progress, high_water: HighWater, state: SharedState) -> Self {
        Self {
            connection,
            state,
            progress,
            high_water,
            place: Place::default(),
            run_number: None,
            row: Vec::new(),
            must_truncate_log: false,
            has_whole_import: false,
            import_cleared: None,
            import_pages: ImportPages::default(),
        }
    }

    /// Looks after each commit whether the files are still in this place.
    pub fn watching(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// Fails if the file, its log or its index is not in its place any more, since what is in them may be lost; and if
    /// the directory is another program's.
    pub fn check_place(&mut self) -> Result<(), WriteFailure> {
        failure_of(self.place.fault(&self.connection)?)
    }

    /// The newest journal row.
    pub fn last_row(&self) -> i64 {
        self.progress.journal
    }

    /// Writes a tally as one journal row, together with `fold`, and syncs. `folds`: something is folded.
    pub fn commit<T>(
        &mut self,
        tally: Option<&Tally>,
        folds: bool,
        fold: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, WriteFailure> {
        let mut journal = self.progress.journal;
        let mut run_number = self.run_number;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if folds {
            // While nobody else can write: a program that has taken the directory before has folded the same hits.
            failure_of(self.place.lock_fault(&transaction)?)?;
        }
        if let Some(tally) = tally {
            let source = match run_number {
                Some(number) => number,
                None => *run_number.insert(sources::number(&transaction, &self.state.run, false)?),
            };
            journal += 1;
            self.row.clear();
            tally.encode(&mut self.row);
            journal::append(&transaction, journal, source, &self.row)?;
        }
        let folded = fold(&transaction)?;
        transaction.commit()?;
        self.run_number = run_number;
        if journal > self.progress.journal {
            self.note(Progress { journal, ..self.progress });
        }
        Ok(folded)
    }

    /// Writes something else than hits, and syncs.
    pub fn change<T>(&mut self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, WriteFailure> {
        let transaction = self.connection.transaction()?;
        let value = work(&transaction)?;
        let changes = meta::note_change(&transaction)?;
        transaction.commit()?;
        self.note(Progress { changes, ..self.progress });
        Ok(value)
    }

    fn note(&mut self, progress: Progress) {
        self.progress = progress;
        self.high_water.note(progress);
    }
}

fn failure_of(fault: Option<Fault>) -> Result<(), WriteFailure> {
    match fault {
        None => Ok(()),
        Some(Fault::Loss(loss)) => Err(WriteFailure::Transient(LedgerError::new(loss))),
        Some(Fault::Taken(taken)) => Err(WriteFailure::Fatal(LedgerError::new(taken))),
    }
}
