//! One call of `raise.lua`, and its reply.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use redis::{RedisResult, Value};

use crate::counter::{Contribution, Digest, PageAddress, Period, Place, Register, Site, SiteId, Source, Weight};
use crate::redis::client::{Link, Scripted, unexpected};
use crate::redis::keys::{self, Keys};

/// Rows of one call: more would delay other clients' calls by milliseconds.
pub const ROWS_MAX: usize = 500;

static SCRIPT: LazyLock<Scripted> = LazyLock::new(|| Scripted::new(include_str!("raise.lua")));

/// Counts that Redis merges into a site's by the maximum of each source.
#[derive(Debug, Clone, Default)]
pub struct MergeCounts {
    pub rows: Vec<Contribution>,
}

/// Reply, in the order of the call's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    pub rows: Vec<MergedRow>,
    pub digests: Vec<ChangedDigest>,
    pub took: Duration,
}

/// One row after the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedRow {
    pub source: Source,
    pub period: Period,
    pub is_page: bool,
    /// Counter after the call.
    pub total: i64,
    /// The source's contribution after the call.
    pub now: Register,
    /// The source's contribution before the call.
    pub before: Option<Register>,
}

/// Digest of the rows of one key and source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedDigest {
    pub place: Place,
    pub before: Digest,
    pub after: Digest,
}

impl MergeCounts {
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub async fn send(&self, link: &Link, keys: &Keys, site: &Site) -> RedisResult<Merged> {
        let (key_names, arguments) = self.encode(keys, site);
        let begun = Instant::now();
        let reply = SCRIPT.run(link, &key_names, &arguments).await?;
        let merged = self.decode(reply).ok_or_else(|| unexpected("a reply of another shape"))?;
        Ok(Merged { took: begun.elapsed(), ..merged })
    }

    fn encode(&self, keys: &Keys, site: &Site) -> (Vec<String>, Vec<String>) {
        let mut key_numbers = KeyNumbers::new(keys, &site.counted_as);
        let mut sources: Vec<&Source> = self.rows.iter().map(|row| &row.source).collect();
        sources.sort_unstable();
        sources.dedup();
        let source_numbers: HashMap<&Source, String> =
            sources.iter().enumerate().map(|(at, source)| (*source, (at + 1).to_string())).collect();
        let mut rows = Vec::with_capacity(self.rows.len() * 8);
        for row in &self.rows {
            let generation = match row.register {
                Register::Grown(_) => String::new(),
                Register::Written { generation, .. } => generation.to_string(),
            };
            let period = row.period.to_string();
            let id = row.page.as_ref().map_or_else(String::new, PageAddress::id);
            let [first, second] = Weight::of_id(&period, &id).residues().map(|residue| residue.to_string());
            let key = key_numbers.of(place_of(row).0);
            let source = source_numbers.get(&row.source).cloned().unwrap_or_default();
            let name = row.page.as_ref().map_or(period, ToString::to_string);
            rows.extend([key, source, name, id, generation, row.register.hits().to_string(), first, second]);
        }
        let expiry = |period: &Period| keys::expiry(site, *period).unwrap_or(0).to_string();
        let mut arguments: Vec<String> = key_numbers.periods.iter().map(expiry).collect();
        arguments.push(sources.len().to_string());
        arguments.extend(sources.iter().map(|source| source.to_string()));
        arguments.push(self.rows.len().to_string());
        arguments.append(&mut rows);
        (key_numbers.names, arguments)
    }

    /// Each key and source once, in the order in which it first appears.
    fn places(&self) -> Vec<Place> {
        let places = self.rows.iter().map(place_of);
        let mut seen = HashSet::new();
        places.filter(|place| seen.insert(place.clone())).collect()
    }

    /// Public for `fuzz/properties`.
    #[doc(hidden)]
    pub fn decode(&self, reply: Value) -> Option<Merged> {
        type Reply = (Vec<(String, String, Option<String>)>, Vec<(u64, u64)>);
        let (rows, digests): Reply = redis::from_redis_value(reply).ok()?;
        let places = self.places();
        if rows.len() != self.rows.len() || digests.len() != places.len() {
            return None;
        }
        let rows = self.rows.iter().zip(rows).map(|(row, (total, now, before))| {
            Some(MergedRow {
                source: row.source.clone(),
                period: row.period,
                is_page: row.page.is_some(),
                total: keys::integer(&total)?,
                now: keys::register(&row.source, &now)?,
                before: before.and_then(|before| keys::register(&row.source, &before)),
            })
        });
        let digests = places.into_iter().zip(digests).map(|(place, (before, after))| {
            Some(ChangedDigest { place, before: Digest::from_number(before)?, after: Digest::from_number(after)? })
        });
        Some(Merged {
            rows: rows.collect::<Option<_>>()?,
            digests: digests.collect::<Option<_>>()?,
            took: Duration::ZERO,
        })
    }
}

/// Keys of one call by their numbers: the hash of hits is 1, and sets of pages follow as they are first asked for.
pub struct KeyNumbers<'a> {
    keys: &'a Keys,
    site: &'a SiteId,
    pub names: Vec<String>,
    /// Periods of the sets.
    periods: Vec<Period>,
    numbers: HashMap<Option<Period>, String>,
}

impl<'a> KeyNumbers<'a> {
    pub fn new(keys: &'a Keys, site: &'a SiteId) -> Self {
        let numbers = HashMap::from([(None, "1".to_owned())]);
        Self { keys, site, names: vec![keys.hits(site)], periods: Vec::new(), numbers }
    }

    pub fn of(&mut self, pages_of: Option<Period>) -> String {
        let Self { keys, site, names, periods, numbers } = self;
        let number = || {
            names.push(keys.counters(site, pages_of));
            periods.extend(pages_of);
            names.len().to_string()
        };
        numbers.entry(pages_of).or_insert_with(number).clone()
    }
}

/// Key and source of a row.
pub fn place_of(row: &Contribution) -> Place {
    (row.page.as_ref().map(|_| row.period), row.source.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::PageAddress;

    fn call() -> MergeCounts {
        let (run, import) = (Source::Run(255), "import:old".parse::<Source>().unwrap());
        let day: Period = "2024-06-17".parse().unwrap();
        let row = |source: &Source, period, page: Option<&str>, register| Contribution {
            source: source.clone(),
            period,
            page: page.map(PageAddress::from_stored),
            register,
        };
        MergeCounts {
            rows: vec![
                row(&run, day, Some("/a"), Register::Grown(3)),
                row(&import, Period::Total, None, Register::Written { generation: 9, hits: -2 }),
                row(&run, Period::Total, None, Register::Grown(7)),
            ],
        }
    }

    #[test]
    fn a_call_names_each_key_and_source_once_and_refers_to_them_by_number() {
        let site = Site::with_defaults("demo".parse().unwrap(), Vec::new());
        let (keys, arguments) = call().encode(&Keys::new("p"), &site);
        assert_eq!(keys, ["p:{demo}:hits", "p:{demo}:pages:2024-06-17"]);
        let id = PageAddress::from_stored("/a").id();
        let expiry = keys::expiry(&site, "2024-06-17".parse().unwrap()).unwrap().to_string();
        let texts = |weight: Weight| weight.residues().map(|residue| residue.to_string());
        let [page_first, page_second] = texts(Weight::of_id("2024-06-17", &id));
        let [total_first, total_second] = texts(Weight::of(Period::Total, None));
        let expected = [
            vec![expiry.as_str()],
            vec!["2", "00000000000000ff", "import:old", "3"],
            vec!["2", "1", "/a", &id, "", "3", &page_first, &page_second],
            vec!["1", "2", "total", "", "9", "-2", &total_first, &total_second],
            vec!["1", "1", "total", "", "", "7", &total_first, &total_second],
        ];
        assert_eq!(arguments, expected.concat());
    }

    #[test]
    fn a_reply_is_read_in_the_order_of_the_call_and_one_of_another_length_is_refused() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let reply = |rows: Vec<Value>| {
            let digests = ["0", "7", "3", "3", "4", "5"].map(text).into();
            Value::Array(vec![Value::Array(rows), Value::Array(digests)])
        };
        let rows = ["3", "3", "", "10", "9 -2", "8 4", "10", "7", "6"];
        let rows: Vec<_> = rows.map(|value| if value.is_empty() { Value::Nil } else { text(value) }).into();
        let merged = call().decode(reply(rows.clone())).unwrap();
        let before: Vec<_> = merged.rows.iter().map(|row| row.before).collect();
        let generation = |generation, hits| Some(Register::Written { generation, hits });
        assert_eq!(before, [None, generation(8, 4), Some(Register::Grown(6))]);
        assert_eq!(merged.rows[1].total, 10);
        let numbers = merged.digests.iter().map(|digest| (digest.before.number(), digest.after.number()));
        assert_eq!(numbers.collect::<Vec<_>>(), [(0, 7), (3, 3), (4, 5)]);
        assert_eq!(merged.digests[2].place, (None, Source::Run(255)));
        assert_eq!(call().decode(reply(rows[..6].to_vec())), None);
        assert_eq!(call().decode(Value::Nil), None);
    }
}
