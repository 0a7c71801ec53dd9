//! Repair: makes counters in Redis the sum of their parts again, and brings what the file has.

use std::collections::BTreeMap;

use redis::{RedisError, RedisResult, Value};

use super::compare::{AuditError, Comparison, CounterKey, Rows};
use super::key_audit::{Imbalance, KeyAudit, WrongDigest};
use crate::clock;
use crate::counter::{Contribution, Period, Register, Source};
use crate::redis::client::link::Link;
use crate::redis::keys;
use crate::redis::publish::merge_counts::{MergeCounts, ROWS_MAX};
use crate::redis::publish::periods::may_publish;

/// Tries of a counter that changes during its repair.
const REPAIRS_MAX: usize = 10;

const REPAIR: &str = include_str!("repair.lua");

impl Comparison<'_> {
    /// Makes each counter the sum of its contributions again. Returns the repairs in words.
    pub async fn repair(&self, rows: &impl Rows) -> Result<Vec<String>, AuditError> {
        let found = self.compare(rows).await?;
        let mut repaired = Vec::new();
        let mut keys: BTreeMap<Option<Period>, Vec<&Imbalance>> = BTreeMap::new();
        for (period, imbalance) in &found.imbalances {
            keys.entry(*period).or_default().push(imbalance);
        }
        for (period, imbalances) in keys {
            let key = KeyAudit::new(self.keys, &self.site.site, period);
            let names: BTreeMap<String, Option<String>> =
                imbalances.into_iter().map(|imbalance| (imbalance.id.clone(), imbalance.name.clone())).collect();
            for _ in 0..REPAIRS_MAX {
                let now = key.read_closely(self.link, |id| names.contains_key(id)).await?;
                if now.is_empty() {
                    break;
                }
                for mut imbalance in now {
                    imbalance.name = imbalance.name.or_else(|| names.get(&imbalance.id).cloned().flatten());
                    if let Some(done) = self.set(&key, &imbalance, &found.beyond).await? {
                        repaired.push(done);
                    }
                }
            }
        }
        repaired.extend(self.repair_digests().await?);
        Ok(repaired)
    }

    /// Makes each digest that of its contributions.
    async fn repair_digests(&self) -> Result<Vec<String>, RedisError> {
        let mut repaired = Vec::new();
        for key in self.keys_of_counters() {
            for _ in 0..REPAIRS_MAX {
                let report = match key.read_all(self.link).await {
                    Err(error) if error.code() == Some("WRONGTYPE") => break,
                    other => other?,
                };
                let wrong = key.wrong_digests(self.link, &report.digests).await?;
                if wrong.is_empty() {
                    break;
                }
                for wrong in wrong {
                    if set_digest(self.link, &key, &wrong).await? {
                        let WrongDigest { source, .. } = wrong;
                        repaired
                            .push(format!("Redis: {}: the digest of {source} is that of its counts again", key.key));
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
        imbalance: &Imbalance,
        beyond: &BTreeMap<CounterKey, Register>,
    ) -> Result<Option<String>, RedisError> {
        let Some(name) = &imbalance.name else { return Ok(None) };
        let by_file = |source: &Source| beyond.get(&(key.pages_of, imbalance.id.clone(), source.clone()));
        let (total, lowered) = remedy(imbalance, by_file);
        let is_there = async || key.read(self.link, std::slice::from_ref(name)).await.map(|values| values != [None]);
        let is_gone = imbalance.total == 0 && !is_there().await?;
        let seen = if is_gone { String::new() } else { imbalance.total.to_string() };
        let mut command = redis::cmd("EVAL");
        command.arg(REPAIR).arg(1).arg(&key.key).arg(imbalance.cardinality);
        command.arg(name).arg(seen).arg(total.to_string());
        for part in &imbalance.parts {
            let wanted = lowered.get(&part.name).map_or(String::new(), |register| match key.pages_of {
                None => keys::register_text(*register),
                Some(_) => (-register.hits()).to_string(),
            });
            command.arg(&part.name).arg(&part.text).arg(wanted);
        }
        let is_done = matches!(self.link.query(&command).await?, Value::Int(1));
        let of = match key.pages_of {
            None => imbalance.id.clone(),
            Some(period) => format!("{period}, page {name}"),
        };
        Ok(is_done.then(|| match lowered.len() {
            0 => format!("Redis: {of}: the counter was {} and is now {total}, the sum of its sources", imbalance.total),
            _ => format!(
                "Redis: {of}: {} sources had more than their node's file, and were lowered to it",
                lowered.len()
            ),
        }))
    }

    /// Publishes everything in the file, for a stopped node.
    pub async fn publish_all(&self, rows: &impl Rows) -> Result<(), AuditError> {
        let now = clock::now();
        let mut after = None;
        loop {
            let chunk = rows(after, ROWS_MAX).await.map_err(AuditError::File)?;
            let Some((last, _)) = chunk.last() else { return Ok(()) };
            after = Some(*last);
            let may_go = |row: &Contribution| row.page.is_none() || may_publish(&self.site.site, row.period, now);
            let rows: Vec<_> = chunk.into_iter().map(|(_, row)| row).filter(may_go).collect();
            if !rows.is_empty() {
                MergeCounts { rows }.send(self.link, self.keys, &self.site.site).await?;
            }
        }
    }
}

/// Corrects a digest. False if it has changed since it was read.
pub async fn set_digest(link: &Link, key: &KeyAudit, wrong: &WrongDigest) -> RedisResult<bool> {
    let mut command = redis::cmd("EVAL");
    command.arg(REPAIR).arg(1).arg(&key.key).arg("");
    command.arg(&wrong.name).arg(wrong.text.as_deref().unwrap_or_default()).arg(&wrong.right);
    Ok(matches!(link.query(&command).await?, Value::Int(1)))
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
        Imbalance { id: "total".to_owned(), name: Some("total".to_owned()), total, parts, cardinality: 3 }
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
