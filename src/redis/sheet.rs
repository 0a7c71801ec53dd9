//! One key of counters and what they were made from, read as a whole: the site's hash, or a sorted set
//! of pages. The layout is described in `layout.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use redis::{Cmd, RedisResult, Value};

use super::connection::Link;
use super::layout::{self, Keys};
use super::raise::{text, unexpected};
use crate::counter::{PageAddress, Period, Site, Source};

const SCANNED_AT_ONCE: usize = 1_000;
const READ_AT_ONCE: usize = 5_000;
/// A counter is wrong if it is found so as often in a row: between two reads a new source may come.
const LOOKS: usize = 3;
/// Wrong counters that are looked at closely; a repair takes the next ones when it is run again.
const SUSPECTS_MAX: usize = 10_000;

/// A key of counters.
pub struct Sheet {
    pub key: String,
    /// None: the site's own counters, a hash.
    pub pages_of: Option<Period>,
}

/// What a name in the key stands for.
enum Name {
    /// A counter.
    Total(CounterId),
    /// What a source contributed to it.
    Part(CounterId, Source),
    Other,
}

/// A period, or a page's id.
type CounterId = String;

/// A counter that is not the sum of its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imbalance {
    pub id: CounterId,
    /// None: the counter itself is gone, and its parts name only the page's id.
    pub name: Option<String>,
    pub total: i64,
    pub parts: Vec<Part>,
    /// How many names the key had.
    pub cardinality: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub source: Source,
    pub hits: i64,
    /// As it stands there.
    pub text: String,
}

impl Imbalance {
    pub fn sum(&self) -> i64 {
        self.parts.iter().map(|part| part.hits).sum()
    }
}

/// What a whole reading has shown.
#[derive(Debug, Default)]
pub struct Reading {
    pub counters: u64,
    pub imbalances: Vec<Imbalance>,
    /// Names with what stands there and is no count.
    pub unreadable: Vec<(String, String)>,
}

impl Sheet {
    pub fn of_site(keys: &Keys, site: &Site) -> Self {
        Self { key: keys.hits(&site.id), pages_of: None }
    }

    pub fn of_pages(keys: &Keys, site: &Site, period: Period) -> Self {
        Self { key: keys.pages(&site.id, period), pages_of: Some(period) }
    }

    fn command(&self, of_hash: &str, of_set: &str) -> Cmd {
        let mut command = redis::cmd(if self.pages_of.is_none() { of_hash } else { of_set });
        command.arg(&self.key);
        command
    }

    /// Every name with its value, at least once, in pieces.
    async fn scan(&self, link: &Link, mut each: impl FnMut(&str, &str)) -> RedisResult<()> {
        let mut cursor = "0".to_owned();
        loop {
            let mut command = self.command("HSCAN", "ZSCAN");
            command.arg(&cursor).arg("COUNT").arg(SCANNED_AT_ONCE);
            let Value::Array(parts) = link.query(&command).await? else { return Err(unexpected("no scan")) };
            let [next, Value::Array(pairs)] = parts.as_slice() else { return Err(unexpected("no scan")) };
            for pair in pairs.chunks_exact(2) {
                if let [name, value] = pair
                    && let (Some(name), Some(value)) = (text(name), number_text(value))
                {
                    each(&name, &value);
                }
            }
            cursor = text(next).unwrap_or_else(|| "0".to_owned());
            if cursor == "0" {
                return Ok(());
            }
        }
    }

    /// What stands under these names: one moment's state where they are no more than `READ_AT_ONCE`.
    pub async fn read(&self, link: &Link, names: &[String]) -> RedisResult<Vec<Option<String>>> {
        let mut values = Vec::with_capacity(names.len());
        for names in names.chunks(READ_AT_ONCE) {
            let mut command = self.command("HMGET", "ZMSCORE");
            command.arg(names);
            match link.query(&command).await? {
                Value::Array(found) if found.len() == names.len() => values.extend(found.iter().map(number_text)),
                _ => return Err(unexpected("no values")),
            }
        }
        Ok(values)
    }

    fn name(&self, name: &str) -> Name {
        if self.pages_of.is_none() {
            return match name.split_once(' ') {
                None => Name::Total(name.to_owned()),
                Some(("writes", _)) => Name::Other,
                Some((period, source)) => match source.parse() {
                    Ok(source) => Name::Part(period.to_owned(), source),
                    Err(_) => Name::Other,
                },
            };
        }
        let Some(rest) = name.strip_prefix('\x01') else {
            return Name::Total(PageAddress::from_stored(name).id());
        };
        match rest.split_once('\x01') {
            Some((source, id)) if !id.is_empty() && !id.contains('\x01') => match source.parse() {
                Ok(source) => Name::Part(id.to_owned(), source),
                Err(_) => Name::Other,
            },
            _ => Name::Other,
        }
    }

    /// The hits that stand there; none: that is no count.
    fn hits(&self, source: Option<&Source>, text: &str) -> Option<i64> {
        if self.pages_of.is_some() {
            let score: f64 = text.parse().ok()?;
            let is_whole = score.fract() == 0.0 && score.abs() < 9e15;
            #[expect(clippy::cast_possible_truncation, reason = "whole, and below 2^53")]
            let hits = score as i64;
            return is_whole.then_some(if source.is_some() { -hits } else { hits });
        }
        match source {
            None => layout::integer(text),
            Some(source) => layout::register(source, text).map(crate::counter::Register::hits),
        }
    }

    /// Reads all of it and says which counters are not the sum of their parts.
    pub async fn look(&self, link: &Link) -> RedisResult<Reading> {
        let mut reading = Reading::default();
        // By a hash of the counter's id: a number for each page, not its text.
        let hasher = std::hash::RandomState::new();
        let hash = |id: &str| std::hash::BuildHasher::hash_one(&hasher, id);
        let mut balances: HashMap<u64, i64> = HashMap::new();
        let mut spoilt: BTreeSet<u64> = BTreeSet::new();
        self.scan(link, |name, value| {
            let (id, source) = match self.name(name) {
                Name::Total(id) => (id, None),
                Name::Part(id, source) => (id, Some(source)),
                Name::Other => return,
            };
            match self.hits(source.as_ref(), value) {
                None => {
                    spoilt.insert(hash(&id));
                    reading.unreadable.push((name.to_owned(), value.to_owned()));
                }
                Some(hits) => {
                    reading.counters += u64::from(source.is_none());
                    *balances.entry(hash(&id)).or_default() += if source.is_none() { hits } else { -hits };
                }
            }
        })
        .await?;
        let mut suspects: BTreeSet<u64> = balances
            .into_iter()
            .filter(|(id, balance)| *balance != 0 && !spoilt.contains(id))
            .map(|(id, _)| id)
            .take(SUSPECTS_MAX)
            .collect();
        for _ in 0..LOOKS {
            if suspects.is_empty() {
                return Ok(reading);
            }
            reading.imbalances = self.look_closely(link, |id| suspects.contains(&hash(id))).await?;
            suspects = reading.imbalances.iter().map(|imbalance| hash(&imbalance.id)).collect();
        }
        Ok(reading)
    }

    /// Of the counters asked for, those that are not the sum of their parts, each read in one go.
    pub async fn look_closely(&self, link: &Link, is_asked_for: impl Fn(&str) -> bool) -> RedisResult<Vec<Imbalance>> {
        let mut found: BTreeMap<CounterId, (Option<String>, BTreeMap<String, Source>)> = BTreeMap::new();
        self.scan(link, |name, _| match self.name(name) {
            Name::Total(id) if is_asked_for(&id) => found.entry(id).or_default().0 = Some(name.to_owned()),
            Name::Part(id, source) if is_asked_for(&id) => {
                found.entry(id).or_default().1.insert(name.to_owned(), source);
            }
            _ => {}
        })
        .await?;
        // Before the values: what comes in between makes it another number.
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

/// A value as text; a score may come as a number of its own kind.
fn number_text(value: &Value) -> Option<String> {
    match value {
        Value::Double(score) => Some(score.to_string()),
        value => text(value),
    }
}
