//! Audit of one key of counters: the site's hash, or a sorted set of pages. `keys.rs` describes them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use redis::{Cmd, RedisResult, Value};

use crate::counter::{Contribution, Digest, PageAddress, Period, Register, Site, Source, Weight};
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

/// Meaning of a name in the key.
#[derive(Debug, PartialEq, Eq)]
enum Name {
    /// Counter.
    Total(CounterId),
    /// Contribution of a source.
    Part(CounterId, Source),
    /// Generation of an import's contribution, in a set.
    Generation(CounterId, Source),
    Digest(Source),
    Other,
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
    /// By source: the digest of the contributions that were read, but for generations; and the one in Redis.
    pub digests: BTreeMap<Source, (Digest, Digest)>,
}

/// Digest that is not that of its contributions.
#[derive(Debug)]
pub struct WrongDigest {
    pub source: Source,
    /// Name in the key, value there, and the right value.
    pub name: String,
    pub text: Option<String>,
    pub right: String,
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

    fn name(&self, name: &str) -> Name {
        if self.pages_of.is_none() {
            return match name.split_once(' ') {
                None => Name::Total(name.to_owned()),
                Some((period, source)) => match source.parse() {
                    Ok(source) if period == "digest" => Name::Digest(source),
                    Ok(source) => Name::Part(period.to_owned(), source),
                    Err(_) => Name::Other,
                },
            };
        }
        let Some(rest) = name.strip_prefix('\x01') else {
            return Name::Total(PageAddress::from_stored(name).id());
        };
        let Some((Ok(source), id)) = rest.split_once('\x01').map(|(source, id)| (source.parse(), id)) else {
            return Name::Other;
        };
        match id.split_once('\x01') {
            Some((id, "g")) => Name::Generation(id.to_owned(), source),
            None if id == "d" => Name::Digest(source),
            None if !id.is_empty() => Name::Part(id.to_owned(), source),
            _ => Name::Other,
        }
    }

    /// Hits of a value; none if it is no count.
    fn hits(&self, source: Option<&Source>, text: &str) -> Option<i64> {
        if self.pages_of.is_some() {
            return keys::score(text).map(|score| if source.is_some() { -score } else { score });
        }
        match source {
            None => keys::integer(text),
            Some(source) => keys::register(source, text).map(Register::hits),
        }
    }

    fn weight(&self, id: &str) -> Weight {
        match self.pages_of {
            None => Weight::of_id(id, ""),
            Some(period) => Weight::of_id(&period.to_string(), id),
        }
    }

    /// Contribution of a value; a set keeps the generation under another name.
    fn register(&self, source: &Source, value: &str, generation: Option<&str>) -> Option<Register> {
        match (self.pages_of, source) {
            (None, _) => keys::register(source, value),
            (Some(_), Source::Run(_)) => keys::score(value).map(|score| Register::Grown(-score)),
            (Some(_), Source::Import(_)) => {
                let generation = generation.and_then(keys::score).map_or(0, |score| -score);
                let hits = -keys::score(value)?;
                Some(Register::Written { generation: u64::try_from(generation).ok()?, hits })
            }
        }
    }

    /// Digests, of those that a scan has read, that are not those of their contributions. Each is read
    /// again without a change in between.
    pub async fn wrong_digests(
        &self,
        link: &Link,
        digests: &BTreeMap<Source, (Digest, Digest)>,
    ) -> RedisResult<Vec<WrongDigest>> {
        let mut wrong = Vec::new();
        for (source, (counted, there)) in digests {
            let lacks_generations = self.pages_of.is_some() && matches!(source, Source::Import(_));
            if counted == there && !lacks_generations {
                continue;
            }
            for _ in 0..READS {
                if let Some(found) = self.recount(link, source).await? {
                    wrong.extend(found);
                    break;
                }
            }
        }
        Ok(wrong)
    }

    /// Recounts the digest of a source: is it wrong? None if it changed meanwhile, as with each contribution.
    pub async fn recount(&self, link: &Link, source: &Source) -> RedisResult<Option<Option<WrongDigest>>> {
        let name = keys::digest_name(self.pages_of, source);
        let before = self.read(link, std::slice::from_ref(&name)).await?;
        let registers = self.registers(link, source, |_, _| ()).await?;
        let after = self.read(link, std::slice::from_ref(&name)).await?;
        if before != after {
            return Ok(None);
        }
        let mut counted = Digest::default();
        registers.iter().for_each(|(id, register)| counted.add(self.weight(id), *register));
        let text = after.into_iter().next().flatten();
        let there = text.as_ref().map_or(Some(Digest::default()), |text| keys::digest(self.pages_of, text));
        let right = keys::digest_text(self.pages_of, counted);
        let is_wrong = there != Some(counted);
        Ok(Some(is_wrong.then(|| WrongDigest { source: source.clone(), name, text, right })))
    }

    /// A source's contributions; `each` sees all counters, with their names.
    async fn registers(
        &self,
        link: &Link,
        source: &Source,
        mut each: impl FnMut(CounterId, &str),
    ) -> RedisResult<Vec<(CounterId, Register)>> {
        let mut parts: HashMap<CounterId, (Option<String>, Option<String>)> = HashMap::new();
        self.scan(link, |name, value| match self.name(name) {
            Name::Total(id) => each(id, name),
            Name::Part(id, of) if of == *source => parts.entry(id).or_default().0 = Some(value.to_owned()),
            Name::Generation(id, of) if of == *source => parts.entry(id).or_default().1 = Some(value.to_owned()),
            _ => {}
        })
        .await?;
        let register = |(id, (value, generation)): (_, (Option<String>, Option<String>))| {
            Some((id, self.register(source, &value?, generation.as_deref())?))
        };
        Ok(parts.into_iter().filter_map(register).collect())
    }

    /// A source's contributions to the pages of a set.
    pub async fn contributions(&self, link: &Link, source: &Source) -> RedisResult<Vec<Contribution>> {
        let Some(period) = self.pages_of else { return Ok(Vec::new()) };
        let mut pages = HashMap::new();
        let registers =
            self.registers(link, source, |id, name| drop(pages.insert(id, PageAddress::from_stored(name)))).await?;
        let contribution = |(id, register): (CounterId, Register)| {
            Some(Contribution { source: source.clone(), period, page: Some(pages.remove(&id)?), register })
        };
        Ok(registers.into_iter().filter_map(contribution).collect())
    }

    /// Number of names in the key.
    async fn cardinality(&self, link: &Link) -> RedisResult<i64> {
        match link.query(&self.command("HLEN", "ZCARD")).await? {
            Value::Int(number) => Ok(number),
            _ => Err(unexpected("no length")),
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
            let (id, source) = match self.name(name) {
                Name::Total(id) => (id, None),
                Name::Part(id, source) => (id, Some(source)),
                Name::Digest(source) => {
                    report.digests.entry(source).or_default().1 =
                        keys::digest(self.pages_of, value).unwrap_or_default();
                    return;
                }
                Name::Generation(..) | Name::Other => return,
            };
            if let Some(source) = &source {
                let digest = &mut report.digests.entry(source.clone()).or_default().0;
                if let Some(register) = self.register(source, value, None) {
                    digest.add(self.weight(&id), register);
                }
            }
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
        self.scan(link, |name, _| match self.name(name) {
            Name::Total(id) if is_asked_for(&id) => found.entry(id).or_default().0 = Some(name.to_owned()),
            Name::Part(id, source) if is_asked_for(&id) => {
                found.entry(id).or_default().1.insert(name.to_owned(), source);
            }
            _ => {}
        })
        .await?;
        // Read before the values: a name that comes in between changes the number.
        let cardinality = self.cardinality(link).await?;
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
        let name = |text: &str| key(None).name(text);
        assert_eq!(name("2024-06"), Name::Total("2024-06".to_owned()));
        assert_eq!(name("total 00000000000000ff"), Name::Part("total".to_owned(), Source::Run(255)));
        assert_eq!(name("digest 00000000000000ff"), Name::Digest(Source::Run(255)));
        assert_eq!(name("total someone"), Name::Other);
    }

    #[test]
    fn members_of_the_set_are_pages_contributions_or_neither() {
        let name = |text: &str| key(Some(Period::Total)).name(text);
        let id = PageAddress::from_stored("/a").id();
        assert_eq!(name("/a"), Name::Total(id.clone()));
        assert_eq!(name(&format!("\x0100000000000000ff\x01{id}")), Name::Part(id.clone(), Source::Run(255)));
        assert_eq!(name("\x0100000000000000ff\x01d"), Name::Digest(Source::Run(255)));
        assert_eq!(name("\x0100000000000000ff\x01"), Name::Other);
        let import = "import:old".parse().unwrap();
        assert_eq!(name(&format!("\x01import:old\x01{id}\x01g")), Name::Generation(id, import));
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
