//! Watch over the node's clock: while it is doubted, hits count and nothing is deleted.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock;
use crate::counter::Sites;
use crate::counter::clock_trust::{Change, ClockRecord, ClockTrust, Moment, NewestDay, Verdict, Witnesses};
use crate::ledger::{Ledger, LedgerError};

/// Time between two records of a believed clock in the file.
const RECORD_INTERVAL: Duration = Duration::from_secs(60 * 60);

#[derive(Debug)]
pub struct ClockWatch(Mutex<State>);

#[derive(Debug)]
struct State {
    trust: ClockTrust,
    /// The file's newest day at the start; none until it is read.
    newest: Option<Option<NewestDay>>,
    /// Time since boot of the last record in the file.
    recorded_at: Option<Duration>,
}

fn moment(now: DateTime<Utc>) -> Moment {
    Moment { now, since_boot: clock::since_boot() }
}

impl ClockWatch {
    pub fn of(ledger: &Ledger) -> Self {
        let (record, newest) = (ledger.clock_record(), ledger.newest_day_at_start());
        let trust = ClockTrust::new(record, newest, ledger.had_hits(), clock::since_boot());
        // With a record, the newest day is read after the start.
        let newest = record.is_none().then_some(newest);
        Self(Mutex::new(State { trust, newest, recorded_at: None }))
    }

    /// Judges a clock that says `now`, and logs a changed opinion.
    pub fn judge(&self, now: DateTime<Utc>, witnesses: &impl Witnesses) -> Verdict {
        let (verdict, change) = self.lock().trust.judge(moment(now), witnesses);
        match change {
            Some(Change::Doubted(doubt)) => tracing::warn!("{}", doubt.in_words(now)),
            Some(Change::Believed(voucher)) => tracing::info!("the clock is believed: {}", voucher.in_words()),
            None => {}
        }
        verdict
    }

    /// Learns what the file knows by now, judges the clock, and records at intervals that it is believed.
    pub async fn look(
        &self,
        now: DateTime<Utc>,
        witnesses: &impl Witnesses,
        ledger: &Ledger,
        sites: &Sites,
    ) -> Result<(), LedgerError> {
        self.learn(now, ledger, sites).await?;
        let is_due = |at: Duration| clock::since_boot().saturating_sub(at) >= RECORD_INTERVAL;
        let recorded_at = self.lock().recorded_at;
        match self.judge(now, witnesses) {
            Verdict::Believed if recorded_at.is_none_or(is_due) => self.record(now, ledger).await,
            Verdict::Believed | Verdict::Doubted(_) => Ok(()),
        }
    }

    /// The next look at a clock that is believed records it, whatever the interval.
    pub fn record_soon(&self) {
        self.lock().recorded_at = None;
    }

    /// Believes a clock, as an operator says.
    pub async fn accept(&self, now: DateTime<Utc>, ledger: &Ledger, sites: &Sites) -> Result<(), LedgerError> {
        self.learn(now, ledger, sites).await?;
        self.lock().trust.believe(moment(now));
        tracing::info!("the clock is believed: an operator has accepted it");
        self.record(now, ledger).await
    }

    async fn learn(&self, now: DateTime<Utc>, ledger: &Ledger, sites: &Sites) -> Result<(), LedgerError> {
        let is_read = self.lock().newest.is_some();
        if !is_read {
            let newest = ledger.newest_day(sites).await?;
            let mut state = self.lock();
            state.newest = Some(newest);
            state.trust.learn(newest);
        }
        let has_hits = self.lock().trust.has_hits();
        if !has_hits && ledger.has_hits().await? {
            self.lock().trust.note_hits(moment(now));
        }
        Ok(())
    }

    async fn record(&self, now: DateTime<Utc>, ledger: &Ledger) -> Result<(), LedgerError> {
        let record = {
            let state = self.lock();
            // The clock of an empty file is believed without a reason.
            state.newest.filter(|_| state.trust.has_hits()).map(|newest| ClockRecord::of(now, newest))
        };
        if let Some(record) = record {
            ledger.note_clock(record).await?;
            self.lock().recorded_at = Some(clock::since_boot());
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
