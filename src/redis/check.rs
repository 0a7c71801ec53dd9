//! Looking whether Redis still has what it had confirmed, site by site, round after round.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

use super::connection::{self, Link};
use super::layout::{self, Keys};
use super::node::{Node, RowKey};
use super::publish::{Agreement, CALLS_AT_ONCE, Lease, Publisher, may_raise};
use super::raise::{MarkerState, text};
use super::sweep::Scope;
use super::witness::{SourceWitness, Witness};
use crate::counter::{Contribution, Day, Period, Register, RegisteredSite, SiteNumber, Sites, Source};

/// A round takes about this long, unless that would be more than `CHECKS_PER_SECOND_MAX`.
const ROUND: Duration = Duration::from_secs(7);
const CHECKS_PER_SECOND_MAX: f64 = 150.0;
/// While Redis is suspected to have forgotten something.
const CHECKS_PER_SECOND_SUSPECTED: f64 = 1_000.0;
/// Sources by which a site that was published before this start is known again: imports above all,
/// whose loss nothing else shows, and the newest runs, which a Redis that went back loses first.
const SOURCES_COMPARED: usize = 32;
const TOTALS_READ: usize = 64;

/// Whose turn it is.
#[derive(Default)]
pub struct Rounds {
    queue: VecDeque<SiteNumber>,
    next_at: Option<Instant>,
    interval: Duration,
    is_suspected: bool,
    /// A round was wished for while one at full speed was on.
    again: bool,
}

impl Rounds {
    /// Begins a round over all sites.
    pub fn begin(&mut self, sites: &Sites, is_suspected: bool) {
        if is_suspected && self.is_suspected && !self.queue.is_empty() {
            self.again = true;
            return;
        }
        self.queue = sites.iter().map(|site| site.number).collect();
        self.is_suspected = is_suspected;
        self.again = false;
        let count = f64::from(u32::try_from(self.queue.len()).unwrap_or(u32::MAX)).max(1.0);
        let per_second = match is_suspected {
            true => CHECKS_PER_SECOND_SUSPECTED,
            false => (count / ROUND.as_secs_f64()).clamp(0.5, CHECKS_PER_SECOND_MAX),
        };
        self.interval = Duration::from_secs_f64(1.0 / per_second);
        // A round that began at once after a round of a single site would leave time for nothing else.
        self.next_at = Some(Instant::now() + self.interval);
    }

    /// The site to look at, if it is time for one.
    pub fn next(&mut self, now: Instant) -> Option<SiteNumber> {
        if self.queue.is_empty() || self.next_at? > now {
            return None;
        }
        // Time that was lost to other work is made up for, in part.
        let earliest = now.checked_sub(Duration::from_millis(100)).unwrap_or(now);
        self.next_at = self.next_at.map(|at| at.max(earliest) + self.interval);
        self.queue.pop_front()
    }

    pub fn next_at(&self) -> Option<Instant> {
        self.next_at
    }

    pub fn is_over(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn wants_another(&self) -> bool {
        self.again
    }
}

/// What a question about some sites came to; those that differ, or are in trouble, are in neither.
pub(super) struct SitesAsked {
    pub ready: Vec<Arc<RegisteredSite>>,
    /// With the connection: nobody could say.
    pub lost: Vec<Arc<RegisteredSite>>,
}

impl<N: Node> Publisher<N> {
    /// Looks at one site.
    pub(super) async fn check(&mut self, lease: &Lease, number: SiteNumber) {
        let sites = self.node.sites();
        if let Some(site) = sites.by_number(number)
            && !self.is_troubled(number)
        {
            let outcome = self.look(lease, site).await;
            if let Err(error) = outcome {
                self.failed(lease, site, &error);
            }
        }
        if self.checks.is_over() {
            let is_suspected = self.checks.wants_another();
            self.checks.begin(&sites, is_suspected);
        }
    }

    async fn look(&mut self, lease: &Lease, site: &RegisteredSite) -> Result<(), RedisError> {
        let number = site.number;
        let difference = difference(&lease.link, &self.keys, site).await?;
        self.found(site, difference);
        let progress = self.progress.entry(number).or_default();
        if progress.agreement != Agreement::Agreed {
            return Ok(());
        }
        if !progress.is_met && progress.sweep.is_none() {
            return self.meet(lease, site).await;
        }
        self.witnesses.retain_markers(number, |period| may_raise(&site.site, period));
        let confirmed = self.witnesses.of(number);
        let found = self.read(&lease.link, site, &confirmed).await?;
        if let Some(missing) = missing(&confirmed, &found) {
            self.forgot(number, &missing);
        }
        Ok(())
    }

    /// First look at a site since this start: is what the node's file has as published there?
    async fn meet(&mut self, lease: &Lease, site: &RegisteredSite) -> Result<(), RedisError> {
        let number = site.number;
        let Ok(expected) = self.expected(site).await else { return Ok(()) };
        let found = self.read(&lease.link, site, &expected).await?;
        // How often each was written is not known, only that it was.
        let is_there = missing(&expected, &found).is_none();
        self.progress.entry(number).or_default().is_met = true;
        if is_there {
            for source in found.sources {
                self.witnesses.note_source(number, source);
            }
            self.witnesses.note_markers(number, expected.markers, false);
        } else {
            tracing::info!(site = %site.site.id, "Redis lacks counts of this site; bringing them");
            self.wish(number, Scope::All);
        }
        Ok(())
    }

    /// What Redis should have of the site, by the node's file: some totals, and one source for each
    /// key of pages. The current run is left out: its publication is under way.
    async fn expected(&self, site: &RegisteredSite) -> Result<Witness, String> {
        let current = self.node.recent(site.number).first().map(|contribution| contribution.source.clone());
        let is_frozen = |source: &Source| Some(source) != current.as_ref();
        let mut published = self.node.published_sources(site.number, SOURCES_COMPARED).await?;
        published.retain(is_frozen);
        if published.is_empty() {
            // Nor were any pages published: their periods need not be looked through.
            return Ok(Witness::default());
        }
        let rows = self.node.rows(site.number, None, TOTALS_READ, false).await?;
        let total_of = |source: &Source| {
            let of_source =
                |row: &Contribution| row.page.is_none() && row.period == Period::Total && row.source == *source;
            rows.iter().find(|(_, row)| of_source(row)).map(|(_, row)| row.register)
        };
        let sources = published
            .into_iter()
            // A source that has no total, as an import may, is known by having been written at all.
            .map(|source| SourceWitness { total: total_of(&source), writes: 1, source })
            .collect();
        let mut markers = Vec::new();
        for period in kept_page_periods(site) {
            // The first page's row of the period, if it has any: page 0 is the site itself.
            let after = RowKey { period: period.number(), page: 0, source: i64::MAX };
            let rows = self.node.rows(site.number, Some(after), 1, false).await?;
            let first = rows.into_iter().map(|(_, row)| row).find(|row| row.period == period && row.page.is_some());
            markers.extend(first.filter(|row| is_frozen(&row.source)).map(|row| (period, row.source)));
        }
        Ok(Witness { sources, markers })
    }

    /// What Redis has of all that `about` names, read in one go.
    async fn read(&self, link: &Link, site: &RegisteredSite, about: &Witness) -> Result<Witness, RedisError> {
        let mut commands = Vec::with_capacity(1 + about.markers.len());
        if !about.sources.is_empty() {
            let mut command = redis::cmd("HMGET");
            command.arg(self.keys.hits(&site.site.id));
            for witness in &about.sources {
                command
                    .arg(layout::contribution_field(Period::Total, &witness.source))
                    .arg(layout::writes_field(&witness.source));
            }
            commands.push(command);
        }
        for (period, source) in &about.markers {
            let mut command = redis::cmd("ZSCORE");
            command.arg(self.keys.pages(&site.site.id, *period)).arg(layout::marker(source));
            commands.push(command);
        }
        let answers = join_all(commands.iter().map(|command: &Cmd| link.query(command))).await;
        let mut answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter();
        let mut sources = Vec::new();
        if !about.sources.is_empty()
            && let Some(Value::Array(values)) = answers.next()
        {
            for (witness, values) in about.sources.iter().zip(values.chunks(2)) {
                let value = |at: usize| values.get(at).and_then(text);
                sources.push(SourceWitness {
                    source: witness.source.clone(),
                    writes: value(1).and_then(|text| layout::integer(&text)).unwrap_or(0),
                    total: value(0).and_then(|text| layout::register(&witness.source, &text)),
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
        Ok(Witness { sources, markers: markers.map(|(marker, _)| marker.clone()).collect() })
    }

    // --- What nodes agree on.

    /// Whether the site may be published, asking Redis only where that isn't known.
    pub(super) async fn agree_once(&mut self, lease: &Lease, site: &Arc<RegisteredSite>) -> bool {
        !self.agree_on(lease, vec![Arc::clone(site)]).await.ready.is_empty()
    }

    /// Which of the sites may be published.
    pub(super) async fn agree_on(&mut self, lease: &Lease, sites: Vec<Arc<RegisteredSite>>) -> SitesAsked {
        let agreement =
            |publisher: &mut Self, site: &RegisteredSite| publisher.progress.entry(site.number).or_default().agreement;
        let (mut ready, mut lost, mut unknown) = (Vec::with_capacity(sites.len()), Vec::new(), Vec::new());
        for site in sites {
            match agreement(self, &site) {
                Agreement::Agreed => ready.push(site),
                Agreement::Differs => {}
                Agreement::Unknown => unknown.push(site),
            }
        }
        let keys = self.keys.clone();
        let connections = Arc::clone(&self.connections);
        let asked = futures_util::stream::iter(unknown).map(|site| {
            let (keys, connections) = (&keys, &connections);
            async move {
                let answer = match lease.is_current(connections) {
                    true => difference(&lease.link, keys, &site).await,
                    false => Err(connection::lost()),
                };
                (site, answer)
            }
        });
        let mut answers = pin!(asked.buffer_unordered(CALLS_AT_ONCE));
        while let Some((site, answer)) = answers.next().await {
            match answer {
                Ok(difference) => {
                    self.connections.succeeded();
                    self.found(&site, difference);
                    if agreement(self, &site) == Agreement::Agreed {
                        ready.push(site);
                    }
                }
                Err(error) if self.failed(lease, &site, &error) => self.wait(site.number),
                Err(_) => lost.push(site),
            }
        }
        SitesAsked { ready, lost }
    }

    /// Takes in whether the site's `meta` differs from this node's, and how.
    fn found(&mut self, site: &RegisteredSite, difference: Option<String>) {
        let agreement = if difference.is_none() { Agreement::Agreed } else { Agreement::Differs };
        let progress = self.progress.entry(site.number).or_default();
        let before = std::mem::replace(&mut progress.agreement, agreement);
        if let Some(reason) = difference {
            if self.health.set_site(site.site.id.as_str(), Some(reason.clone())) {
                tracing::warn!(site = %site.site.id, "{reason}");
            }
        } else if before == Agreement::Differs {
            self.health.set_site(site.site.id.as_str(), None);
            self.wish(site.number, Scope::All);
        }
    }
}

/// Compares the site's `meta` with this node's, and writes what isn't there yet.
async fn difference(link: &Link, keys: &Keys, site: &RegisteredSite) -> RedisResult<Option<String>> {
    let key = keys.meta(&site.site.id);
    let ours = layout::agreement(&site.site);
    let mut read = redis::cmd("HMGET");
    read.arg(&key);
    ours.iter().for_each(|(field, _)| {
        read.arg(*field);
    });
    let named = |error| at_key(error, &key);
    let mut theirs = texts(link.query(&read).await.map_err(named)?);
    if theirs.iter().any(Option::is_none) {
        let writes = ours.iter().map(|(field, value)| {
            let mut write = redis::cmd("HSETNX");
            write.arg(&key).arg(*field).arg(value);
            write
        });
        let writes: Vec<Cmd> = writes.collect();
        for written in join_all(writes.iter().map(|write| link.query(write))).await {
            written?;
        }
        theirs = texts(link.query(&read).await?);
    }
    let different = ours.iter().zip(&theirs).find(|((_, ours), theirs)| theirs.as_ref() != Some(ours));
    Ok(different.map(|((field, ours), theirs)| {
        let theirs: String = theirs.as_deref().unwrap_or("nothing").chars().take(60).collect();
        format!("not published: `{key}` says {field} = {theirs}, and here it is {ours}; configure all nodes alike, or, if all are, tell Redis: HSET {key} {field} {ours}")
    }))
}

/// Redis says that a type is wrong, but not whose.
fn at_key(error: RedisError, key: &str) -> RedisError {
    if error.code() != Some("WRONGTYPE") {
        return error;
    }
    let kind = ErrorKind::Server(ServerErrorKind::ResponseError);
    (kind, "wrong type", format!("{key} is not a hash, as it would have to be; move what is there away")).into()
}

fn texts(answer: Value) -> Vec<Option<String>> {
    match answer {
        Value::Array(values) => values.iter().map(text).collect(),
        _ => Vec::new(),
    }
}

/// What was expected and is not found, in words.
fn missing(expected: &Witness, found: &Witness) -> Option<String> {
    for known in &expected.sources {
        let there = found.sources.iter().find(|witness| witness.source == known.source);
        let writes = there.map_or(0, |there| there.writes);
        if writes < known.writes {
            return Some(format!("{writes} writes of {} where {} were confirmed", known.source, known.writes));
        }
        let total: Option<Register> = there.and_then(|there| there.total);
        if let Some(lost) = known.lost(total) {
            return Some(lost);
        }
    }
    let lost = expected.markers.iter().find(|(period, source)| !found.is_marked(*period, source));
    lost.map(|(period, _)| format!("the pages of {period} are gone"))
}

/// Periods whose keys of pages exist or may.
pub(super) fn kept_page_periods(site: &RegisteredSite) -> Vec<Period> {
    let mut periods = vec![Period::Total];
    let now = crate::clock::now();
    let mut day = Day::at(now, site.site.time_zone);
    let retention = site.site.page_retention;
    for _ in 0..=retention.days {
        periods.push(Period::Day(day));
        day = day.previous();
    }
    let mut day = Day::at(now, site.site.time_zone);
    for _ in 0..=retention.months {
        periods.push(day.month());
        day = first_of(day).previous();
    }
    periods.retain(|period| may_raise(&site.site, *period));
    periods
}

fn first_of(day: Day) -> Day {
    use chrono::Datelike as _;
    let date = day.date();
    Day::from_ymd(date.year(), date.month(), 1).unwrap_or(day)
}
