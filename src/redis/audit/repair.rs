//! Repair: makes counters in Redis the sum of their parts again, and brings what the file has.

use std::collections::BTreeMap;

use redis::RedisResult;
use tokio::sync::mpsc;

use super::compare::{Audit, AuditError, CounterKey, Rows};
use super::key_audit::{Imbalance, KeyAudit, WrongDigest};
use crate::clock;
use crate::counter::{Contribution, Place, Register, SiteNumber, Source};
use crate::redis::client::{Link, Shared};
use crate::redis::keys;
use crate::redis::ports::Node;
use crate::redis::publish::merge_counts::{MergeCounts, ROWS_MAX};
use crate::redis::publish::periods::may_publish;

/// Tries of a counter or digest that changes during its repair.
const REPAIRS_MAX: usize = 10;
/// The same for a recount, which the next question repeats.
const RECOUNTS_MAX: usize = 3;

const REPAIR: &str = include_str!("repair.lua");

impl<R: Rows> Audit<'_, R> {
    /// Makes each counter the sum of its contributions again, and each digest theirs. Returns the repairs in words.
    pub async fn repair(&self) -> Result<Vec<String>, AuditError> {
        let found = self.compare().await?;
        let mut repaired = Vec::new();
        for key in self.keys_of_counters() {
            for _ in 0..REPAIRS_MAX {
                let mut report = match key.read_all(self.link).await {
                    Err(error) if error.code() == Some("WRONGTYPE") => break,
                    report => report?,
                };
                for counter in report.imbalances.iter_mut().filter(|counter| counter.name.is_none()) {
                    counter.name = found.addresses.get(&counter.id).cloned().flatten();
                }
                report.imbalances.retain(|counter| counter.name.is_some());
                if report.imbalances.is_empty() && report.wrong_digests.is_empty() {
                    break;
                }
                let before = repaired.len();
                for counter in &report.imbalances {
                    repaired.extend(self.set(&key, counter, &found.beyond).await?);
                }
                if repaired.len() > before {
                    // A source that was lowered has another digest now.
                    continue;
                }
                for wrong in &report.wrong_digests {
                    if set_digest(self.link, &key, wrong).await? {
                        let (key, source) = (&key.key, &wrong.source);
                        repaired.push(format!("Redis: {key}: the digest of {source} is that of its counts again"));
                    }
                }
            }
        }
        Ok(repaired)
    }

    /// Sets a counter. Returns none if it has changed meanwhile, or its page's address is unknown.
    async fn set(
        &self,
        key: &KeyAudit,
        counter: &Imbalance,
        beyond: &BTreeMap<CounterKey, Register>,
    ) -> RedisResult<Option<String>> {
        let Some(name) = &counter.name else { return Ok(None) };
        let by_file = |source: &Source| beyond.get(&(key.pages_of, counter.id.clone(), source.clone()));
        let (total, lowered) = remedy(counter, by_file);
        let mut values = vec![[name.clone(), counter.text.clone().unwrap_or_default(), total.to_string()]];
        values.extend(counter.parts.iter().map(|part| {
            let wanted = lowered.get(&part.name).map_or_else(String::new, |register| match key.pages_of {
                None => keys::register_text(*register),
                Some(_) => (-register.hits()).to_string(),
            });
            [part.name.clone(), part.text.clone(), wanted]
        }));
        if !compare_and_set(self.link, key, Some(counter.cardinality), &values).await? {
            return Ok(None);
        }
        let of = match key.pages_of {
            None => counter.id.clone(),
            Some(period) => format!("{period}, page {name}"),
        };
        Ok(Some(match lowered.len() {
            0 => format!("Redis: {of}: the counter was {} and is now {total}, the sum of its sources", counter.total),
            more => format!("Redis: {of}: {more} sources had more than their node's file, and were lowered to it"),
        }))
    }

    /// Publishes everything in the file, for a stopped node.
    pub async fn publish_all(&self) -> Result<(), AuditError> {
        let now = clock::now();
        let mut after = None;
        loop {
            let chunk = (self.rows)(after, ROWS_MAX).await.map_err(AuditError::File)?;
            let Some((last, _)) = chunk.last() else { return Ok(()) };
            after = Some(*last);
            let may_go = |row: &Contribution| row.page.is_none() || may_publish(self.site, row.period, now);
            let rows: Vec<_> = chunk.into_iter().map(|(_, row)| row).filter(may_go).collect();
            if !rows.is_empty() {
                MergeCounts { rows }.send(self.link, self.keys, self.site).await?;
            }
        }
    }
}

/// Recounts digests beside publication, since a key may have a million names: Redis has all rows of the file, and a
/// digest of this node's is still another. Never returns.
pub async fn serve_recounts<N: Node>(
    node: &N,
    Shared { keys, connections, suspects, .. }: &Shared,
    mut requests: mpsc::Receiver<(SiteNumber, Vec<Place>)>,
) {
    while let Some((number, places)) = requests.recv().await {
        let Some(site) = node.site(number) else { continue };
        let recount = connections.run(async |link| {
            let mut corrected = 0;
            for (pages_of, source) in &places {
                let key = KeyAudit::new(keys, &site.site, *pages_of);
                for _ in 0..RECOUNTS_MAX {
                    let Some(wrong) = key.recount(link, source).await? else { break };
                    if set_digest(link, &key, &wrong).await? {
                        corrected += 1;
                        break;
                    }
                }
            }
            Ok(corrected)
        });
        if let Some(digests @ 1..) = recount.await {
            tracing::warn!(site = %site.site.id, digests, "digests in Redis were not those of their counts; corrected");
            suspects.add_repaired(number);
        }
    }
    std::future::pending().await
}

/// Corrects a digest. False if it has changed since it was read.
async fn set_digest(link: &Link, key: &KeyAudit, wrong: &WrongDigest) -> RedisResult<bool> {
    let value = [wrong.name.clone(), wrong.text.clone().unwrap_or_default(), wrong.right.clone()];
    compare_and_set(link, key, None, &[value]).await
}

/// Sets names, each with its value as it was read and its new one, in a key with so many names. False, and nothing is
/// set, if any of it has changed.
async fn compare_and_set(
    link: &Link,
    key: &KeyAudit,
    cardinality: Option<i64>,
    values: &[[String; 3]],
) -> RedisResult<bool> {
    let mut command = redis::cmd("EVAL");
    command.arg(REPAIR).arg(1).arg(&key.key).arg(cardinality.map_or_else(String::new, |names| names.to_string()));
    link.query(command.arg(values.as_flattened())).await
}

/// Counter that is the sum of its contributions, and those, by name, that are lowered to the file's. The
/// counter changes, unless it agrees with the file's contributions where Redis has more.
fn remedy<'a>(
    imbalance: &Imbalance,
    by_file: impl Fn(&Source) -> Option<&'a Register>,
) -> (i64, BTreeMap<String, Register>) {
    let lowered: BTreeMap<_, _> =
        imbalance.parts.iter().filter_map(|part| Some((part.name.clone(), *by_file(&part.source)?))).collect();
    let by_files: i64 =
        imbalance.parts.iter().map(|part| lowered.get(&part.name).map_or(part.hits, |register| register.hits())).sum();
    match by_files == imbalance.total {
        true => (by_files, lowered),
        false => (imbalance.sum(), BTreeMap::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::key_audit::Part;
    use super::*;

    fn imbalance(total: i64, parts: &[(u64, i64)]) -> Imbalance {
        let part = |(run, hits): &(u64, i64)| Part {
            name: run.to_string(),
            source: Source::Run(*run),
            hits: *hits,
            text: hits.to_string(),
        };
        let parts = parts.iter().map(part).collect();
        Imbalance { id: "total".to_owned(), name: Some("total".to_owned()), text: None, total, parts, cardinality: 3 }
    }

    #[test]
    fn a_counter_is_set_to_the_sum_of_its_parts_unless_the_file_shows_that_a_part_is_wrong() {
        let nothing = |_: &Source| None;
        let set = remedy(&imbalance(99, &[(1, 4), (2, 5)]), nothing);
        assert_eq!(set, (9, BTreeMap::new()));
        let here = Register::Grown(4);
        let of_first = |source: &Source| (*source == Source::Run(1)).then_some(&here);
        let lowered = remedy(&imbalance(9, &[(1, 50), (2, 5)]), of_first);
        assert_eq!(lowered, (9, BTreeMap::from([("1".to_owned(), here)])));
        let neither = remedy(&imbalance(7, &[(1, 50), (2, 5)]), of_first);
        assert_eq!(neither, (55, BTreeMap::new()));
    }
}
