//! Audit of one key of counters: the site's hash, or a sorted set of pages. `keys.rs` describes them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use redis::{Cmd, RedisResult, Value};

use crate::counter::{PageAddress, Period, Site, Source};
use crate::redis::client::link::Link;
use crate::redis::client::reply::{scanned, unexpected};
use crate::redis::keys::{self, Keys};

const SCANNED_AT_ONCE: usize = 1_000;
const READ_AT_ONCE: usize = 5_000;
/// Reads in a row in which a counter must be wrong: between two reads a new source may come.
const READS: usize = 3;
/// Wrong counters that are read closely; the next repair takes the others.
const SUSPECTS_MAX: usize = 10_000;

/// Key of counters.
pub struct KeyAudit {
    pub key: String,
    /// Period of a set of pages; none for the hash of the site's own counters.
    pub pages_of: Option<Period>,
}

/// Period, or a page's id.
type CounterId = String;

/// Counter that is not the sum of its contributions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imbalance {
    pub id: CounterId,
    /// None if the counter itself is gone: its contributions name only the page's id.
    pub name: Option<String>,
    pub total: i64,
    pub parts: Vec<Part>,
    /// Number of names in the key.
    pub cardinality: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub source: Source,
    pub hits: i64,
    /// Value in Redis.
    pub text: String,
}

impl Imbalance {
    pub fn sum(&self) -> i64 {
        self.parts.iter().map(|part| part.hits).sum()
    }
}

/// Result of reading a key.
#[derive(Debug, Default)]
pub struct KeyReport {
    pub counters: u64,
    pub imbalances: Vec<Imbalance>,
    /// Names with values that are no counts.
    pub unreadable: Vec<(String, String)>,
}

impl KeyAudit {
    pub fn new(keys: &Keys, site: &Site, pages_of: Option<Period>) -> Self {
        Self { key: pages_of.map_or_else(|| keys.hits(&site.id), |period| keys.pages(&site.id, period)), pages_of }
    }

    fn command(&self, of_hash: &str, of_set: &str) -> Cmd {
        let mut command = redis::cmd(if self.pages_of.is_none() { of_hash } else { of_set });
        command.arg(&self.key);
        command
    }

    /// Reads every name with its value at least once, in pieces.
    async fn scan(&self, link: &Link, mut each: impl FnMut(&str, &str)) -> RedisResult<()> {
        let mut cursor = "0".to_owned();
        loop {
            let mut command = self.command("HSCAN", "ZSCAN");
            command.arg(&cursor).arg("COUNT").arg(SCANNED_AT_ONCE);
            let pairs;
            (cursor, pairs) = scanned(&link.query(&command).await?).ok_or_else(|| unexpected("no scan"))?;
            pairs.iter().for_each(|(name, value)| each(name, value));
            if cursor == "0" {
                return Ok(());
            }
        }
    }

    /// Values of these names: of one moment where they are no more than `READ_AT_ONCE`.
    pub async fn read(&self, link: &Link, names: &[String]) -> RedisResult<Vec<Option<String>>> {
        let mut values = Vec::with_capacity(names.len());
        for names in names.chunks(READ_AT_ONCE) {
            let mut command = self.command("HMGET", "ZMSCORE");
            command.arg(names);
            values.extend(link.query_texts(&command).await?);
        }
        if values.len() == names.len() { Ok(values) } else { Err(unexpected("no values")) }
    }

    /// Counter to which a name belongs, and the source if the name is a contribution's. None for any other
    /// name.
    fn counter(&self, name: &str) -> Option<(CounterId, Option<Source>)> {
        let (id, source) = match (self.pages_of, name.strip_prefix('\x01')) {
            (None, _) => match name.split_once(' ') {
                None => return Some((name.to_owned(), None)),
                Some((period, source)) => (period, source),
            },
            (Some(_), None) => return Some((PageAddress::from_stored(name).id(), None)),
            (Some(_), Some(rest)) => {
                let (source, id) = rest.split_once('\x01')?;
                (id, source)
            }
        };
        let is_counter = id != "writes" && !id.is_empty() && !id.contains('\x01');
        let source = source.parse().ok().filter(|_| is_counter)?;
        Some((id.to_owned(), Some(source)))
    }

    /// Hits of a value; none if it is no count.
    fn hits(&self, source: Option<&Source>, text: &str) -> Option<i64> {
        if self.pages_of.is_some() {
            let score: f64 = text.parse().ok()?;
            let is_whole = score.fract() == 0.0 && score.abs() < 9e15;
            #[expect(clippy::cast_possible_truncation, reason = "whole, and below 2^53")]
            let hits = score as i64;
            return is_whole.then_some(if source.is_some() { -hits } else { hits });
        }
        match source {
            None => keys::integer(text),
            Some(source) => keys::register(source, text).map(crate::counter::Register::hits),
        }
    }

    /// Reads the whole key, and finds counters that are not the sum of their contributions.
    pub async fn read_all(&self, link: &Link) -> RedisResult<KeyReport> {
        let mut report = KeyReport::default();
        // Keyed by a hash of the counter's id, which saves each page's text.
        let hasher = std::hash::RandomState::new();
        let hash = |id: &str| std::hash::BuildHasher::hash_one(&hasher, id);
        let mut balances: HashMap<u64, i64> = HashMap::new();
        let mut unreadable: BTreeSet<u64> = BTreeSet::new();
        self.scan(link, |name, value| {
            let Some((id, source)) = self.counter(name) else { return };
            match self.hits(source.as_ref(), value) {
                None => {
                    unreadable.insert(hash(&id));
                    report.unreadable.push((name.to_owned(), value.to_owned()));
                }
                Some(hits) => {
                    report.counters += u64::from(source.is_none());
                    *balances.entry(hash(&id)).or_default() += if source.is_none() { hits } else { -hits };
                }
            }
        })
        .await?;
        let mut suspects: BTreeSet<u64> = balances
            .into_iter()
            .filter(|(id, balance)| *balance != 0 && !unreadable.contains(id))
            .map(|(id, _)| id)
            .take(SUSPECTS_MAX)
            .collect();
        for _ in 0..READS {
            if suspects.is_empty() {
                return Ok(report);
            }
            report.imbalances = self.read_closely(link, |id| suspects.contains(&hash(id))).await?;
            suspects = report.imbalances.iter().map(|imbalance| hash(&imbalance.id)).collect();
        }
        Ok(report)
    }

    /// Counters among those asked for that are not the sum of their contributions, each read in one go.
    pub async fn read_closely(&self, link: &Link, is_asked_for: impl Fn(&str) -> bool) -> RedisResult<Vec<Imbalance>> {
        let mut found: BTreeMap<CounterId, (Option<String>, BTreeMap<String, Source>)> = BTreeMap::new();
        self.scan(link, |name, _| {
            let Some((id, source)) = self.counter(name).filter(|(id, _)| is_asked_for(id)) else { return };
            let (total, parts) = found.entry(id).or_default();
            match source {
                None => *total = Some(name.to_owned()),
                Some(source) => drop(parts.insert(name.to_owned(), source)),
            }
        })
        .await?;
        // Read before the values: a name that comes in between changes the number.
        let cardinality = match link.query(&self.command("HLEN", "ZCARD")).await? {
            Value::Int(number) => number,
            _ => return Err(unexpected("no length")),
        };
        let mut imbalances = Vec::new();
        for (id, (name, sources)) in found {
            let names: Vec<String> = name.iter().cloned().chain(sources.keys().cloned()).collect();
            let mut values = self.read(link, &names).await?.into_iter();
            let total = match &name {
                None => Some(0),
                Some(_) => values.next().flatten().map_or(Some(0), |value| self.hits(None, &value)),
            };
            let parts: Option<Vec<Part>> = sources
                .into_iter()
                .zip(values)
                .filter_map(|((name, source), text)| Some((name, source, text?)))
                .map(|(name, source, text)| Some(Part { hits: self.hits(Some(&source), &text)?, name, source, text }))
                .collect();
            if let (Some(total), Some(parts)) = (total, parts) {
                let imbalance = Imbalance { id, name, total, parts, cardinality };
                if imbalance.sum() != imbalance.total {
                    imbalances.push(imbalance);
                }
            }
        }
        Ok(imbalances)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pages_of: Option<Period>) -> KeyAudit {
        KeyAudit { key: "k".to_owned(), pages_of }
    }

    #[test]
    fn names_of_the_hash_are_counters_contributions_or_neither() {
        let name = |text: &str| key(None).counter(text);
        assert_eq!(name("2024-06"), Some(("2024-06".to_owned(), None)));
        assert_eq!(name("total 00000000000000ff"), Some(("total".to_owned(), Some(Source::Run(255)))));
        assert_eq!(name("writes 00000000000000ff"), None);
        assert_eq!(name("total someone"), None);
    }

    #[test]
    fn members_of_the_set_are_pages_contributions_or_neither() {
        let name = |text: &str| key(Some(Period::Total)).counter(text);
        let id = PageAddress::from_stored("/a").id();
        assert_eq!(name("/a"), Some((id.clone(), None)));
        assert_eq!(name(&format!("\x0100000000000000ff\x01{id}")), Some((id.clone(), Some(Source::Run(255)))));
        // A marker, and a generation.
        assert_eq!(name("\x0100000000000000ff\x01"), None);
        assert_eq!(name(&format!("\x01import:old\x01{id}\x01g")), None);
    }

    #[test]
    fn hits_are_read_as_each_kind_of_key_writes_them() {
        let import: Source = "import:old".parse().unwrap();
        let (hash, set) = (key(None), key(Some(Period::Total)));
        assert_eq!(hash.hits(None, "42"), Some(42));
        assert_eq!(hash.hits(Some(&Source::Run(1)), "42"), Some(42));
        assert_eq!(hash.hits(Some(&import), "7 -3"), Some(-3));
        assert_eq!(hash.hits(Some(&import), "42"), None);
        assert_eq!(hash.hits(None, "4.5"), None);
        assert_eq!(set.hits(None, "42"), Some(42));
        assert_eq!(set.hits(Some(&Source::Run(1)), "-42"), Some(42), "contributions are negative scores");
        assert_eq!((set.hits(None, "4.5"), set.hits(None, "1e17"), set.hits(None, "x")), (None, None, None));
    }
}
