//! First check after start: does Redis still hold what the file marks as published?

use futures_util::future::join_all;
use redis::{Cmd, RedisError, Value};

use super::acked_state::{AckedSource, AckedState};
use super::backfill_plan::Scope;
use super::merge_counts::MarkerState;
use super::periods::page_periods;
use super::{Lease, Publisher};
use crate::clock;
use crate::counter::RowKey;
use crate::counter::{Contribution, Period, RegisteredSite, Source};
use crate::redis::client::link::Link;
use crate::redis::client::reply::text;
use crate::redis::keys;
use crate::redis::ports::Node;

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
            let score = match answer {
                Value::Double(score) => Some(*score),
                answer => text(answer).and_then(|text| text.parse().ok()),
            };
            MarkerState::from_score(score) == MarkerState::Complete
        });
        Ok(AckedState { sources, markers: markers.map(|(marker, _)| marker.clone()).collect() })
    }
}
