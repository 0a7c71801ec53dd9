//! Audit of one key of counters: the site's hash, or a sorted set of pages. `keys.rs` describes them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use redis::{Cmd, RedisResult, Value};

use crate::counter::{Contribution, Digest, PageAddress, Period, Register, Site, Source, Weight};
use crate::redis::client::{Link, text, unexpected};
use crate::redis::keys::{self, Keys};

const SCANNED_AT_ONCE: usize = 500;
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

/// Meaning of a name in the key, and of its value.
#[derive(Debug, PartialEq, Eq)]
enum Entry {
    /// Counter.
    Total(CounterId, i64),
    /// Contribution of a source. In a set, an import's has two names: hits without generation, and the reverse. A
    /// digest is a sum, so it takes each by itself.
    Part(CounterId, Source, Register),
    Digest(Source, Digest),
    /// Counter or contribution whose value is no count.
    Unreadable(CounterId),
    Other,
}

/// Period, or a page's id.
type CounterId = String;

/// Counter that is not the sum of its contributions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imbalance {
    pub id: CounterId,
    /// None if a page's counter is gone: its contributions name only the page's id.
    pub name: Option<String>,
    /// Value in Redis.
    pub text: Option<String>,
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
    pub wrong_digests: Vec<WrongDigest>,
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
        Self { key: keys.counters(&site.counted_as, pages_of), pages_of }
    }

    fn command(&self, of_hash: &str, of_set: &str) -> Cmd {
        let mut command = redis::cmd(if self.pages_of.is_none() { of_hash } else { of_set });
        command.arg(&self.key);
        command
    }

    /// Reads the next names with their values; none after the last. Each comes at least once.
    pub async fn read_next(
        &self,
        link: &Link,
        cursor: &mut Option<String>,
    ) -> RedisResult<Option<Vec<(String, String)>>> {
        if cursor.as_deref() == Some("0") {
            return Ok(None);
        }
        let mut command = self.command("HSCAN", "ZSCAN");
        command.arg(cursor.as_deref().unwrap_or("0")).arg("COUNT").arg(SCANNED_AT_ONCE);
        let (next, pairs): (String, Vec<(Value, Value)>) = link.query(&command).await?;
        *cursor = Some(next);
        Ok(Some(pairs.iter().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()))
    }

    /// Shows every name, with its meaning and value, at least once.
    async fn scan(&self, link: &Link, mut each: impl FnMut(&str, &str, Entry)) -> RedisResult<()> {
        let mut cursor = None;
        while let Some(pairs) = self.read_next(link, &mut cursor).await? {
            pairs.iter().for_each(|(name, value)| each(name, value, self.entry(name, value)));
        }
        Ok(())
    }

    /// Values of these names: of one moment where they are no more than `READ_AT_ONCE`.
    pub async fn read(&self, link: &Link, names: &[String]) -> RedisResult<Vec<Option<String>>> {
        let mut values = Vec::with_capacity(names.len());
        for names in names.chunks(READ_AT_ONCE) {
            values.extend(link.query_texts(self.command("HMGET", "ZMSCORE").arg(names)).await?);
        }
        if values.len() == names.len() { Ok(values) } else { Err(unexpected("no values")) }
    }

    fn entry(&self, name: &str, value: &str) -> Entry {
        let total = |id, hits: Option<i64>| match hits {
            Some(hits) => Entry::Total(id, hits),
            None => Entry::Unreadable(id),
        };
        let part = |id: &str, register: Option<Register>, source: Source| match register {
            Some(register) => Entry::Part(id.to_owned(), source, register),
            None => Entry::Unreadable(id.to_owned()),
        };
        let digest = |source| Entry::Digest(source, keys::digest(self.pages_of, value).unwrap_or_default());
        if self.pages_of.is_none() {
            let Some((period, source)) = name.split_once(' ') else {
                return total(name.to_owned(), keys::integer(value));
            };
            return match source.parse() {
                Ok(source) if period == "digest" => digest(source),
                Ok(source) => part(period, keys::register(&source, value), source),
                Err(_) => Entry::Other,
            };
        }
        let Some(rest) = name.strip_prefix('\x01') else {
            return total(PageAddress::from_stored(name).id(), keys::score(value));
        };
        let Some((Ok(source), id)) = rest.split_once('\x01').map(|(source, id)| (source.parse(), id)) else {
            return Entry::Other;
        };
        match id.split_once('\x01') {
            Some((id, "g")) => part(id, keys::member_register(&source, "0", Some(value)), source),
            None if id == "d" => digest(source),
            None if !id.is_empty() => part(id, keys::member_register(&source, value, None), source),
            _ => Entry::Other,
        }
    }

    fn weight(&self, id: &str) -> Weight {
        match self.pages_of {
            None => Weight::of_id(id, ""),
            Some(period) => Weight::of_id(&period.to_string(), id),
        }
    }

    /// Digest of a source, if it is not that of its contributions. None also if it changes with each read.
    pub async fn recount(&self, link: &Link, source: &Source) -> RedisResult<Option<WrongDigest>> {
        let name = keys::digest_name(self.pages_of, source);
        for _ in 0..READS {
            let before = self.read(link, std::slice::from_ref(&name)).await?;
            let (mut counted, mut seen) = (Digest::default(), HashSet::new());
            self.scan(link, |name, _, entry| match entry {
                Entry::Part(id, of, part) if of == *source && seen.insert(name.to_owned()) => {
                    counted.add(self.weight(&id), part);
                }
                _ => {}
            })
            .await?;
            if self.read(link, std::slice::from_ref(&name)).await? != before {
                continue;
            }
            let text = before.into_iter().next().flatten();
            let there = text.as_ref().map_or(Some(Digest::default()), |text| keys::digest(self.pages_of, text));
            let right = keys::digest_text(self.pages_of, counted);
            return Ok((there != Some(counted)).then(|| WrongDigest { source: source.clone(), name, text, right }));
        }
        Ok(None)
    }

    /// An import's contributions to the pages of a set, each of one moment: a scan shows hits and generation in two
    /// replies, between which a later import may come.
    pub async fn contributions(&self, link: &Link, source: &Source) -> RedisResult<Vec<Contribution>> {
        let Some(period) = self.pages_of else { return Ok(Vec::new()) };
        let (mut addresses, mut ids) = (HashMap::new(), BTreeSet::new());
        self.scan(link, |name, _, entry| match entry {
            Entry::Total(id, _) => drop(addresses.insert(id, PageAddress::from_stored(name))),
            Entry::Part(id, of, _) if of == *source => drop(ids.insert(id)),
            _ => {}
        })
        .await?;
        let pages: Vec<_> = ids.iter().filter_map(|id| addresses.remove(id)).collect();
        let mut contributions = Vec::with_capacity(pages.len());
        for pages in pages.chunks(READ_AT_ONCE / 2) {
            let names = pages.iter().flat_map(|page| keys::contribution_names(period, Some(page), source));
            let mut values = self.read(link, &names.collect::<Vec<_>>()).await?.into_iter();
            contributions.extend(pages.iter().filter_map(|page| {
                let register = keys::contributed(true, source, &mut values)??;
                Some(Contribution { source: source.clone(), period, page: Some(page.clone()), register })
            }));
        }
        Ok(contributions)
    }

    /// Reads the whole key, and finds counters that are not the sum of their contributions, and digests that are not
    /// theirs.
    pub async fn read_all(&self, link: &Link) -> RedisResult<KeyReport> {
        let mut report = KeyReport::default();
        // Keyed by a hash of the counter's id, which saves each page's text.
        let hasher = std::hash::RandomState::new();
        let hash = |id: &str| std::hash::BuildHasher::hash_one(&hasher, id);
        let mut balances: HashMap<u64, i64> = HashMap::new();
        // Of each source: counted, and in Redis.
        let mut digests: BTreeMap<Source, (Digest, Digest)> = BTreeMap::new();
        self.scan(link, |name, value, entry| match entry {
            Entry::Total(id, hits) => {
                report.counters += 1;
                *balances.entry(hash(&id)).or_default() += hits;
            }
            Entry::Part(id, source, part) => {
                *balances.entry(hash(&id)).or_default() -= part.hits();
                digests.entry(source).or_default().0.add(self.weight(&id), part);
            }
            Entry::Digest(source, digest) => digests.entry(source).or_default().1 = digest,
            Entry::Other => {}
            Entry::Unreadable(_) => report.unreadable.push((name.to_owned(), value.to_owned())),
        })
        .await?;
        for (source, _) in digests.iter().filter(|(_, (counted, there))| counted != there) {
            report.wrong_digests.extend(self.recount(link, source).await?);
        }
        let suspects = balances.into_iter().filter(|(_, balance)| *balance != 0).map(|(id, _)| id);
        let mut suspects: BTreeSet<u64> = suspects.take(SUSPECTS_MAX).collect();
        for _ in 0..READS {
            if suspects.is_empty() {
                break;
            }
            report.imbalances = self.read_closely(link, |id| suspects.contains(&hash(id))).await?;
            suspects = report.imbalances.iter().map(|imbalance| hash(&imbalance.id)).collect();
        }
        Ok(report)
    }

    /// Counters among those asked for that are not the sum of their contributions, each read in one go.
    async fn read_closely(&self, link: &Link, is_asked_for: impl Fn(&str) -> bool) -> RedisResult<Vec<Imbalance>> {
        let mut found: BTreeMap<CounterId, (Option<String>, BTreeSet<String>)> = BTreeMap::new();
        self.scan(link, |name, _, entry| match entry {
            Entry::Total(id, _) if is_asked_for(&id) => found.entry(id).or_default().0 = Some(name.to_owned()),
            Entry::Part(id, ..) | Entry::Unreadable(id) if is_asked_for(&id) => {
                found.entry(id).or_default().1.insert(name.to_owned());
            }
            _ => {}
        })
        .await?;
        // Read before the values: a name that comes in between changes the number.
        let cardinality = link.query(&self.command("HLEN", "ZCARD")).await?;
        let mut imbalances = Vec::new();
        for (id, (name, parts)) in found {
            let names: Vec<String> = name.iter().cloned().chain(parts).collect();
            let values = self.read(link, &names).await?;
            let name = name.or_else(|| self.pages_of.is_none().then(|| id.clone()));
            let mut counter = Imbalance { id, name, text: None, total: 0, parts: Vec::new(), cardinality };
            let mut is_readable = true;
            for (name, text) in names.into_iter().zip(values).filter_map(|(name, text)| Some((name, text?))) {
                match self.entry(&name, &text) {
                    Entry::Total(_, hits) => (counter.total, counter.text) = (hits, Some(text)),
                    Entry::Part(_, source, part) => {
                        counter.parts.push(Part { name, source, hits: part.hits(), text });
                    }
                    _ => is_readable = false,
                }
            }
            if is_readable && counter.sum() != counter.total {
                imbalances.push(counter);
            }
        }
        Ok(imbalances)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Source = Source::Run(255);

    fn key(pages_of: Option<Period>) -> KeyAudit {
        KeyAudit { key: "k".to_owned(), pages_of }
    }

    fn import() -> Source {
        "import:old".parse().unwrap()
    }

    #[test]
    fn names_of_the_hash_are_counters_contributions_digests_or_neither() {
        let part = |id: &str, source, register| Entry::Part(id.to_owned(), source, register);
        let unreadable = |id: &str| Entry::Unreadable(id.to_owned());
        for (name, value, entry) in [
            ("2024-06", "42", Entry::Total("2024-06".to_owned(), 42)),
            ("2024-06", "4.5", unreadable("2024-06")),
            ("total 00000000000000ff", "42", part("total", RUN, Register::Grown(42))),
            ("total import:old", "7 -3", part("total", import(), Register::Written { generation: 7, hits: -3 })),
            ("total import:old", "42", unreadable("total")),
            ("digest 00000000000000ff", "5", Entry::Digest(RUN, Digest::from_number(5).unwrap())),
            ("total someone", "1", Entry::Other),
        ] {
            assert_eq!(key(None).entry(name, value), entry, "{name}: {value}");
        }
    }

    #[test]
    fn members_of_the_set_are_pages_contributions_digests_or_neither_and_all_but_pages_have_negative_scores() {
        let id = PageAddress::from_stored("/a").id();
        let member = |end: &str| format!("\x0100000000000000ff\x01{end}");
        let of_import = |end: &str| format!("\x01import:old\x01{id}{end}");
        let part = |source, register| Entry::Part(id.clone(), source, register);
        let unreadable = || Entry::Unreadable(id.clone());
        for (name, value, entry) in [
            ("/a".to_owned(), "42", Entry::Total(id.clone(), 42)),
            ("/a".to_owned(), "4.5", unreadable()),
            ("/a".to_owned(), "1e17", unreadable()),
            ("/a".to_owned(), "x", unreadable()),
            (member(&id), "-42", part(RUN, Register::Grown(42))),
            (of_import(""), "3", part(import(), Register::Written { generation: 0, hits: -3 })),
            (of_import("\x01g"), "-7", part(import(), Register::Written { generation: 7, hits: 0 })),
            (of_import("\x01g"), "7", unreadable()),
            (member("d"), "-6", Entry::Digest(RUN, Digest::from_number(5).unwrap())),
            (member(""), "1", Entry::Other),
        ] {
            assert_eq!(key(Some(Period::Total)).entry(&name, value), entry, "{name:?}: {value}");
        }
    }

    #[test]
    fn the_two_names_of_an_imports_contribution_make_its_digest() {
        let weight = Weight::of_id("total", "a");
        let digest = |registers: &[(u64, i64)]| {
            let mut digest = Digest::default();
            registers.iter().for_each(|(generation, hits)| {
                digest.add(weight, Register::Written { generation: *generation, hits: *hits });
            });
            digest
        };
        for (generation, hits) in [(1_718_600_000_000_000, 3), (7, -3), (1 << 52, 1 << 52)] {
            assert_eq!(digest(&[(generation, 0), (0, hits)]), digest(&[(generation, hits)]));
        }
    }
}
