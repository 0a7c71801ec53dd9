//! Comparison of a site's counts in Redis with the node's file.
//!
//! A counter and its contributions change in one command, so that a counter which is not their sum is
//! wrong at any moment, and so is a digest that is not its contributions'. Counts that Redis lacks may be
//! on their way: they are read again for a while. The publisher brings what Redis lacks by its digests;
//! `repair.lua` sets wrong digests and counters.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use redis::{RedisError, RedisResult};

use super::key_audit::{Imbalance, KeyAudit};
use crate::clock;
use crate::counter::verification::{Findings, Kind, Verification};
use crate::counter::{Contribution, PageAddress, Period, Place, Register, RowKey, Site, Source};
use crate::redis::client::{Link, reason_of};
use crate::redis::keys::{self, Keys};
use crate::redis::publish::agreement::differences;
use crate::redis::publish::merge_counts::{ROWS_MAX, place_of};
use crate::redis::publish::periods::{may_publish, page_periods};

/// Interval at which missing counts that may still come are read again.
const READ_INTERVAL: Duration = Duration::from_millis(500);
/// Missing counts that are kept; of the others only the number.
const MISSING_MAX: usize = 10_000;

/// Reason why a comparison failed.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("Redis: {}", reason_of(.0))]
    Redis(#[from] RedisError),
    #[error("{0}")]
    File(String),
}

/// Audit of one site's counts.
pub struct Audit<'a, R> {
    pub link: &'a Link,
    pub keys: &'a Keys,
    pub site: &'a Site,
    /// Sources whose counts are wholly in the file, without the current run.
    pub frozen: Vec<Source>,
    pub rows: R,
}

/// Place of a count in Redis: the key's period of pages, the counter's id, the source.
pub type CounterKey = (Option<Period>, String, Source);

/// Result of a comparison.
#[derive(Default)]
pub struct Found {
    findings: Findings,
    compared: u64,
    summed: u64,
    imbalances: Vec<(Option<Period>, Imbalance)>,
    /// Pages' ids that Redis names without the address, which the file may have.
    pub addresses: HashMap<String, Option<String>>,
    /// Keys and sources of wrong digests: the publisher doesn't see what they lack.
    wrong_digests: HashSet<Place>,
    missing: Vec<Contribution>,
    missing_more: u64,
    /// The file's registers of this node's frozen runs of which Redis has more.
    pub beyond: BTreeMap<CounterKey, Register>,
}

/// Reader of the node's file: up to so many rows after one.
pub trait Rows: AsyncFn(Option<RowKey>, usize) -> Result<Vec<(RowKey, Contribution)>, String> {}
impl<F: AsyncFn(Option<RowKey>, usize) -> Result<Vec<(RowKey, Contribution)>, String>> Rows for F {}

impl<R: Rows> Audit<'_, R> {
    /// Reports differences. Counts that Redis lacks may come until `wait_max`.
    pub async fn verify(&self, wait_max: Duration) -> Result<Verification, AuditError> {
        let mut found = self.compare().await?;
        let begun = Instant::now();
        let missing = std::mem::take(&mut found.missing).into_iter();
        let (unseen, mut awaited): (Vec<_>, Vec<_>) =
            missing.partition(|row| found.wrong_digests.contains(&place_of(row)));
        while !awaited.is_empty() && begun.elapsed() < wait_max {
            tokio::time::sleep(READ_INTERVAL).await;
            for chunk in std::mem::take(&mut awaited).chunks(ROWS_MAX) {
                self.compare_rows(chunk, &mut found).await?;
            }
            awaited = std::mem::take(&mut found.missing);
        }
        let mut findings = found.findings;
        for (period, imbalance) in &found.imbalances {
            findings.add(Kind::NoSum, imbalance_words(*period, imbalance, &found.addresses));
        }
        for row in unseen.iter().chain(&awaited) {
            findings.add(Kind::Lacking, format!("Redis lacks of {}", words(row)));
        }
        findings.more += found.missing_more;
        Ok(Verification {
            agrees: findings.is_empty(),
            compared: found.compared,
            summed: found.summed,
            with_redis: true,
            findings,
        })
    }

    pub async fn compare(&self) -> Result<Found, AuditError> {
        let mut found = Found::default();
        for difference in differences(self.link, self.keys, std::slice::from_ref(self.site)).await {
            found.findings.add(Kind::Disagreement, difference);
        }
        self.check_sums(&mut found).await?;
        let mut after = None;
        loop {
            let chunk = (self.rows)(after, ROWS_MAX).await.map_err(AuditError::File)?;
            let Some((last, _)) = chunk.last() else { return Ok(found) };
            after = Some(*last);
            let chunk: Vec<_> = chunk.into_iter().map(|(_, row)| row).collect();
            if !found.addresses.is_empty() {
                for page in chunk.iter().filter_map(|row| row.page.as_ref()) {
                    found.addresses.entry(page.id()).and_modify(|address| *address = Some(page.to_string()));
                }
            }
            found.compared += chunk.len() as u64;
            self.compare_rows(&chunk, &mut found).await?;
        }
    }

    pub fn keys_of_counters(&self) -> impl Iterator<Item = KeyAudit> {
        let site = self.site;
        let pages = page_periods(site, clock::now()).into_iter().map(Some);
        std::iter::once(None).chain(pages).map(|pages_of| KeyAudit::new(self.keys, site, pages_of))
    }

    /// Compares every counter in Redis with the sum of its contributions.
    async fn check_sums(&self, found: &mut Found) -> Result<(), AuditError> {
        for key in self.keys_of_counters() {
            let report = match key.read_all(self.link).await {
                Err(error) if error.code() == Some("WRONGTYPE") => {
                    let what = format!("Redis: {} is of the wrong type; move what is there away", key.key);
                    found.findings.add(Kind::Unreadable, what);
                    continue;
                }
                other => other?,
            };
            found.summed += report.counters;
            for (name, value) in report.unreadable {
                let (command, name) = (if key.pages_of.is_none() { "HDEL" } else { "ZREM" }, plain(&name));
                let what = format!(
                    "Redis: {} holds {} at `{name}`, which is no count; remove it ({command}), and repair",
                    key.key,
                    plain(&value)
                );
                found.findings.add(Kind::Unreadable, what);
            }
            for wrong in report.wrong_digests {
                let what = format!("Redis: {}: the digest of {} is not that of its counts", key.key, wrong.source);
                found.findings.add(Kind::NoSum, what);
                found.wrong_digests.insert((key.pages_of, wrong.source));
            }
            let nameless = report.imbalances.iter().filter(|imbalance| imbalance.name.is_none());
            found.addresses.extend(nameless.map(|imbalance| (imbalance.id.clone(), None)));
            found.imbalances.extend(report.imbalances.into_iter().map(|imbalance| (key.pages_of, imbalance)));
        }
        Ok(())
    }

    /// Compares rows of the file with Redis's contributions.
    async fn compare_rows(&self, rows: &[Contribution], found: &mut Found) -> Result<(), AuditError> {
        let now = clock::now();
        let mut by_key: BTreeMap<Option<Period>, Vec<&Contribution>> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.page.is_none() || may_publish(self.site, row.period, now)) {
            by_key.entry(place_of(row).0).or_default().push(row);
        }
        for (period, rows) in by_key {
            let there = match self.registers(period, &rows).await {
                // Reported already, for the whole key.
                Err(error) if error.code() == Some("WRONGTYPE") => continue,
                other => other?,
            };
            for (row, there) in rows.into_iter().zip(there) {
                let is_frozen_run = matches!(row.source, Source::Run(_)) && self.frozen.contains(&row.source);
                match verdict(row, there, is_frozen_run) {
                    Verdict::Agrees => {}
                    Verdict::Missing if found.missing.len() < MISSING_MAX => found.missing.push(row.clone()),
                    Verdict::Missing => found.missing_more += 1,
                    Verdict::Beyond(hits) => {
                        let what = format!(
                            "Redis has {hits} of {}: this file is an older copy, or someone has changed Redis",
                            words(row)
                        );
                        let id = row.page.as_ref().map_or_else(|| row.period.to_string(), PageAddress::id);
                        found.beyond.insert((period, id, row.source.clone()), row.register);
                        found.findings.add(Kind::Beyond, what);
                    }
                }
            }
        }
        Ok(())
    }

    /// Redis's contributions to these rows, all of one key.
    async fn registers(&self, period: Option<Period>, rows: &[&Contribution]) -> RedisResult<Vec<Option<Register>>> {
        let names = |row: &&Contribution| keys::contribution_names(row.period, row.page.as_ref(), &row.source);
        let names: Vec<_> = rows.iter().flat_map(names).collect();
        let mut values = KeyAudit::new(self.keys, self.site, period).read(self.link, &names).await?.into_iter();
        let register = |row: &&Contribution| keys::contributed(period.is_some(), &row.source, &mut values).flatten();
        Ok(rows.iter().map(register).collect())
    }
}

/// Result of comparing one row with Redis.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Agrees,
    /// Redis has nothing, or less.
    Missing,
    /// Redis has more hits of a frozen run of this node, which is impossible.
    Beyond(i64),
}

fn verdict(row: &Contribution, there: Option<Register>, is_frozen_here: bool) -> Verdict {
    match there {
        // A run without hits is never published.
        None if row.register == Register::Grown(0) => Verdict::Agrees,
        None => Verdict::Missing,
        Some(there) if there.merge(row.register) != there => Verdict::Missing,
        Some(there) if there != row.register && is_frozen_here => Verdict::Beyond(there.hits()),
        Some(_) => Verdict::Agrees,
    }
}

/// Imbalance in words.
fn imbalance_words(
    pages_of: Option<Period>,
    imbalance: &Imbalance,
    addresses: &HashMap<String, Option<String>>,
) -> String {
    let Imbalance { id, name, total, .. } = imbalance;
    let of = pages_of.map_or_else(
        || id.clone(),
        |period| match name.as_ref().or_else(|| addresses.get(id)?.as_ref()) {
            Some(page) => format!("{period}, page {page}"),
            None => format!("{period}, page whose id is {id}"),
        },
    );
    format!("Redis: {of}: the counter is {total}, the sum of its sources {}", imbalance.sum())
}

/// Row in words.
fn words(row: &Contribution) -> String {
    let Contribution { source, period, page, register } = row;
    let page = page.as_ref().map_or_else(String::new, |page| format!(", page {page}"));
    format!("{source}, {period}{page}: {} here", register.hits())
}

/// Text without control characters, cut.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '|' } else { c }).take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_may_have_more_than_the_file_except_of_a_frozen_run_of_this_node() {
        let row = |register| Contribution { source: Source::Run(1), period: Period::Total, page: None, register };
        let grown = |hits| Some(Register::Grown(hits));
        let five = row(Register::Grown(5));
        assert_eq!(verdict(&five, grown(5), true), Verdict::Agrees);
        assert_eq!(verdict(&five, grown(4), true), Verdict::Missing);
        assert_eq!(verdict(&five, None, true), Verdict::Missing);
        assert_eq!(verdict(&five, grown(6), true), Verdict::Beyond(6));
        assert_eq!(verdict(&five, grown(6), false), Verdict::Agrees);
        assert_eq!(verdict(&row(Register::Grown(0)), None, true), Verdict::Agrees);
        let written = |generation, hits| Register::Written { generation, hits };
        assert_eq!(verdict(&row(written(2, 1)), Some(written(3, 0)), false), Verdict::Agrees);
        assert_eq!(verdict(&row(written(2, 1)), Some(written(1, 9)), false), Verdict::Missing);
    }

    #[test]
    fn names_are_shown_without_control_characters_and_cut() {
        assert_eq!(plain("\x01run\x01id"), "|run|id");
        assert_eq!(plain(&"a".repeat(100)).len(), 60);
    }
}
