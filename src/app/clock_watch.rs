//! Watch over the node's clock: while it is doubted, hits count and nothing is deleted.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Node;
use crate::clock;
use crate::counter::clock_trust::{Change, ClockRecord, ClockTrust, Moment, NewestDay, Verdict, Witnesses};
use crate::ledger::{Ledger, LedgerError};

/// Time between two looks at the clock; deletions look for themselves.
const INTERVAL: Duration = Duration::from_secs(10);
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

impl ClockWatch {
    pub fn of(ledger: &Ledger) -> Self {
        let trust = ClockTrust::new(ledger.clock_record(), ledger.had_hits(), clock::since_boot());
        Self(Mutex::new(State { trust, newest: None, recorded_at: None }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Witnesses for Node {
    fn redis(&self) -> Option<DateTime<Utc>> {
        self.publication().and_then(crate::redis::Publication::server_time)
    }

    fn kernel(&self, now: DateTime<Utc>) -> bool {
        clock::is_synchronised(now) == Some(true)
    }
}

impl Node {
    fn moment(&self) -> Moment {
        Moment { now: (self.now)(), since_boot: clock::since_boot() }
    }

    /// Judges the clock, and logs a changed opinion.
    fn judge_clock(&self) -> (DateTime<Utc>, Verdict) {
        let moment = self.moment();
        let (verdict, change) = self.clock.lock().trust.judge(moment, self);
        match change {
            Some(Change::Doubted(doubt)) => tracing::warn!("{}", doubt.in_words(moment.now)),
            Some(Change::Believed(voucher)) => tracing::info!("the clock is believed: {}", voucher.in_words()),
            None => {}
        }
        (moment.now, verdict)
    }

    /// The time by a clock that is believed. None: nothing may be deleted.
    pub fn believed_now(&self) -> Option<DateTime<Utc>> {
        match self.judge_clock() {
            (now, Verdict::Believed) => Some(now),
            (_, Verdict::Doubted(_) | Verdict::Unknown) => None,
        }
    }

    /// The doubt about the clock, in words.
    pub fn clock_doubt(&self) -> Option<String> {
        match self.judge_clock() {
            (now, Verdict::Doubted(doubt)) => Some(doubt.in_words(now)),
            (_, Verdict::Believed | Verdict::Unknown) => None,
        }
    }

    /// Believes the clock as an operator says; returns its time.
    pub async fn accept_clock_now(&self) -> Result<DateTime<Utc>, LedgerError> {
        self.look_at_clock().await?;
        let moment = self.moment();
        self.clock.lock().trust.believe(moment);
        tracing::info!("the clock is believed: an operator has accepted it at {}", moment.now);
        self.record_clock().await?;
        Ok(moment.now)
    }

    /// Writes into the file that the clock is believed, if it is.
    pub async fn record_clock(&self) -> Result<(), LedgerError> {
        let Some(now) = self.believed_now() else { return Ok(()) };
        let record = {
            let state = self.clock.lock();
            // The clock of an empty file is believed without a reason.
            state.newest.filter(|_| state.trust.has_hits()).map(|newest| ClockRecord::of(now, newest))
        };
        if let Some(record) = record {
            self.ledger.note_clock(record).await?;
            self.clock.lock().recorded_at = Some(clock::since_boot());
        }
        Ok(())
    }

    async fn look_at_clock(&self) -> Result<(), LedgerError> {
        if self.clock.lock().newest.is_none() {
            let newest = self.ledger.newest_day(&self.current_sites()).await?;
            let mut state = self.clock.lock();
            state.newest = Some(newest);
            state.trust.learn(newest, clock::since_boot());
        }
        let has_hits = self.clock.lock().trust.has_hits();
        if !has_hits && self.ledger.has_hits().await? {
            self.clock.lock().trust.note_hits(self.moment());
        }
        let is_due = |at: Duration| clock::since_boot().saturating_sub(at) >= RECORD_INTERVAL;
        let recorded_at = self.clock.lock().recorded_at;
        if self.believed_now().is_some() && recorded_at.is_none_or(is_due) {
            self.record_clock().await?;
        }
        Ok(())
    }
}

/// Never returns.
pub async fn run(node: &Node) {
    loop {
        if let Err(error) = node.look_at_clock().await {
            // Tried again soon.
            tracing::debug!("the file can't be asked about the clock now: {error}");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
