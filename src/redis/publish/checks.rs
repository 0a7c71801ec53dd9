//! Checks whether Redis still holds what it acknowledged, site by site, in endless rounds. The first after
//! a start compares Redis with what the file marks as published.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::{Cmd, RedisError, Value};

use super::acked_state::{AckedSource, AckedState};
use super::agreement::difference;
use super::backfill_plan::Scope;
use super::merge_counts::MarkerState;
use super::periods::{may_publish, page_periods};
use super::{Agreement, Lease, Publisher};
use crate::clock;
use crate::counter::{Contribution, Period, RegisteredSite, RowKey, SiteNumber, Sites, Source};
use crate::redis::client::link::Link;
use crate::redis::client::reply::text;
use crate::redis::keys;
use crate::redis::ports::Node;

/// Duration of a round, unless that needs more than `CHECKS_PER_SECOND_MAX`.
const ROUND: Duration = Duration::from_secs(7);
const CHECKS_PER_SECOND_MAX: f64 = 150.0;
/// Pace of a suspicious round: Redis may have forgotten something.
const CHECKS_PER_SECOND_SUSPECTED: f64 = 1_000.0;
/// Order and pace of the checks.
#[derive(Default)]
pub struct CheckRounds {
    queue: VecDeque<SiteNumber>,
    pub next_at: Option<Instant>,
    interval: Duration,
    is_suspected: bool,
    /// A suspicious round was requested during one.
    is_again_due: bool,
}

impl CheckRounds {
    /// Begins a round over all sites.
    pub fn begin(&mut self, sites: &Sites, is_suspected: bool, now: Instant) {
        if is_suspected && self.is_suspected && !self.queue.is_empty() {
            self.is_again_due = true;
            return;
        }
        self.queue = sites.iter().map(|site| site.number).collect();
        self.is_suspected = is_suspected;
        self.is_again_due = false;
        let count = f64::from(u32::try_from(self.queue.len()).unwrap_or(u32::MAX)).max(1.0);
        let per_second = match is_suspected {
            true => CHECKS_PER_SECOND_SUSPECTED,
            false => (count / ROUND.as_secs_f64()).clamp(0.5, CHECKS_PER_SECOND_MAX),
        };
        self.interval = Duration::from_secs_f64(1.0 / per_second);
        // With a single site, rounds without a pause would leave no time for other work.
        self.next_at = Some(now + self.interval);
    }

    /// Next site, if its time has come.
    pub fn next(&mut self, now: Instant) -> Option<SiteNumber> {
        if self.queue.is_empty() || self.next_at? > now {
            return None;
        }
        // Up to 100 ms that other work took are made up for.
        let earliest = now.checked_sub(Duration::from_millis(100)).unwrap_or(now);
        self.next_at = self.next_at.map(|at| at.max(earliest) + self.interval);
        self.queue.pop_front()
    }
}

impl<N: Node> Publisher<N> {
    /// Checks one site.
    pub async fn check(&mut self, lease: &Lease, number: SiteNumber) {
        let sites = self.node.sites();
        if let Some(site) = sites.by_number(number)
            && !self.is_troubled(number)
            && let Err(error) = self.check_site(lease, site).await
        {
            self.failed(lease, site, &error);
        }
        if self.checks.queue.is_empty() {
            self.checks.begin(&sites, self.checks.is_again_due, Instant::now());
        }
    }

    async fn check_site(&mut self, lease: &Lease, site: &RegisteredSite) -> Result<(), RedisError> {
        let number = site.number;
        let difference = difference(&lease.link, &self.keys, site).await?;
        self.note_agreement(site, difference);
        let progress = self.progress.entry(number).or_default();
        if progress.agreement != Agreement::Agreed {
            return Ok(());
        }
        if !progress.is_first_checked && progress.backfill.is_none() {
            return self.first_check(lease, site).await;
        }
        let now = clock::now();
        self.acked_states.retain_markers(number, |period| may_publish(&site.site, period, now));
        let acked = self.acked_states.of(number);
        let found = self.read_state(&lease.link, site, &acked).await?;
        if let Some(lost) = acked.lost_in(&found) {
            self.note_regression(number, &lost);
        }
        Ok(())
    }
}

/// Sources by which a site that was published before this start is checked: imports above all, whose
/// loss nothing else shows, and the newest runs, which a Redis that went back loses first.
const SOURCES_COMPARED: usize = 32;
const TOTALS_READ: usize = 64;

impl<N: Node> Publisher<N> {
    /// Compares Redis with what the file marks as published, and requests a backfill if Redis has less.
    pub async fn first_check(&mut self, lease: &Lease, site: &RegisteredSite) -> Result<(), RedisError> {
        let number = site.number;
        let Ok(expected) = self.expected(site).await else { return Ok(()) };
        let found = self.read_state(&lease.link, site, &expected).await?;
        // The file doesn't know the number of writes: one is enough.
        let is_there = expected.lost_in(&found).is_none();
        self.progress.entry(number).or_default().is_first_checked = true;
        if is_there {
            for source in found.sources {
                self.acked_states.note_source(number, source);
            }
            self.acked_states.note_markers(number, expected.markers, false);
        } else {
            tracing::info!(site = %site.site.id, "Redis lacks counts of this site; bringing them");
            self.request_backfill(number, Scope::All);
        }
        Ok(())
    }

    /// State that Redis should hold, by the node's file: some totals, and one source for each key of
    /// pages. The current run is left out, since its publication is under way.
    async fn expected(&self, site: &RegisteredSite) -> Result<AckedState, String> {
        let current = self.node.recent(site.number).first().map(|contribution| contribution.source.clone());
        let is_frozen = |source: &Source| Some(source) != current.as_ref();
        let mut published = self.node.published_sources(site.number, SOURCES_COMPARED).await?;
        published.retain(is_frozen);
        if published.is_empty() {
            // No pages were published either: their periods are skipped.
            return Ok(AckedState::default());
        }
        let rows = self.node.rows(site.number, None, TOTALS_READ, false).await?;
        let total_of = |source: &Source| {
            let of_source =
                |row: &Contribution| row.page.is_none() && row.period == Period::Total && row.source == *source;
            rows.iter().find(|(_, row)| of_source(row)).map(|(_, row)| row.register)
        };
        let sources = published
            .into_iter()
            // An import may have no total: that it was written at all shows it.
            .map(|source| AckedSource { total: total_of(&source), writes: 1, source })
            .collect();
        let mut markers = Vec::new();
        for period in page_periods(&site.site, clock::now()) {
            // First row of a page in the period: page 0 is the site itself.
            let after = RowKey { period: period.number(), page: 0, source: i64::MAX };
            let rows = self.node.rows(site.number, Some(after), 1, false).await?;
            let first = rows.into_iter().map(|(_, row)| row).find(|row| row.period == period && row.page.is_some());
            markers.extend(first.filter(|row| is_frozen(&row.source)).map(|row| (period, row.source)));
        }
        Ok(AckedState { sources, markers })
    }

    /// State that Redis holds of everything in `about`, read in one go.
    pub async fn read_state(
        &self,
        link: &Link,
        site: &RegisteredSite,
        about: &AckedState,
    ) -> Result<AckedState, RedisError> {
        let mut commands = Vec::with_capacity(1 + about.markers.len());
        if !about.sources.is_empty() {
            let mut command = redis::cmd("HMGET");
            command.arg(self.keys.hits(&site.site.id));
            for acked in &about.sources {
                command
                    .arg(keys::contribution_field(Period::Total, &acked.source))
                    .arg(keys::writes_field(&acked.source));
            }
            commands.push(command);
        }
        for (period, source) in &about.markers {
            let mut command = redis::cmd("ZSCORE");
            command.arg(self.keys.pages(&site.site.id, *period)).arg(keys::marker(source));
            commands.push(command);
        }
        let answers = join_all(commands.iter().map(|command: &Cmd| link.query(command))).await;
        let mut answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter();
        let mut sources = Vec::new();
        if !about.sources.is_empty()
            && let Some(Value::Array(values)) = answers.next()
        {
            for (acked, values) in about.sources.iter().zip(values.chunks(2)) {
                let value = |at: usize| values.get(at).and_then(text);
                sources.push(AckedSource {
                    source: acked.source.clone(),
                    writes: value(1).and_then(|text| keys::integer(&text)).unwrap_or(0),
                    total: value(0).and_then(|text| keys::register(&acked.source, &text)),
                });
            }
        }
        let markers = about.markers.iter().zip(answers).filter(|(_, answer)| {
            let score = text(answer).and_then(|text| text.parse().ok());
            MarkerState::from_score(score) == MarkerState::Complete
        });
        Ok(AckedState { sources, markers: markers.map(|(marker, _)| marker.clone()).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Site;

    fn sites(count: u32) -> Sites {
        let site = |number| RegisteredSite {
            number: SiteNumber(number),
            site: Site::with_defaults(format!("site-{number}").parse().unwrap(), Vec::new()),
        };
        (0..count).map(site).collect()
    }

    /// Sites that are checked within a time, asked for every millisecond.
    fn checked_within(rounds: &mut CheckRounds, begin: Instant, time: Duration) -> usize {
        let moments = (0..=time.as_millis()).map(|ms| begin + Duration::from_millis(ms as u64));
        moments.filter(|now| rounds.next(*now).is_some()).count()
    }

    #[test]
    fn a_round_over_few_sites_is_spread_over_its_time_and_a_suspicious_one_is_quick() {
        let begin = Instant::now();
        let mut rounds = CheckRounds::default();
        rounds.begin(&sites(70), false, begin);
        let in_a_second = checked_within(&mut rounds, begin, Duration::from_secs(1));
        assert!((9..=10).contains(&in_a_second), "{in_a_second}");
        rounds.begin(&sites(70), true, begin);
        assert_eq!(checked_within(&mut rounds, begin, Duration::from_millis(75)), 70);
        assert!(rounds.queue.is_empty());
    }

    #[test]
    fn a_second_suspicion_during_a_suspicious_round_is_kept_for_the_next() {
        let begin = Instant::now();
        let mut rounds = CheckRounds::default();
        rounds.begin(&sites(3), true, begin);
        checked_within(&mut rounds, begin, Duration::from_millis(1));
        rounds.begin(&sites(3), true, begin);
        assert!(rounds.is_again_due);
        assert_eq!(checked_within(&mut rounds, begin + Duration::from_millis(2), Duration::from_secs(1)), 2);
        rounds.begin(&sites(3), rounds.is_again_due, begin);
        assert!(!rounds.is_again_due);
    }

    #[test]
    fn a_long_pause_is_made_up_for_in_part_only() {
        let begin = Instant::now();
        let mut rounds = CheckRounds::default();
        rounds.begin(&sites(1_000), false, begin);
        let late = begin + Duration::from_secs(60);
        let at_once = std::iter::from_fn(|| rounds.next(late)).count();
        assert!((14..=17).contains(&at_once), "100 ms at 143 a second: {at_once}");
    }
}
