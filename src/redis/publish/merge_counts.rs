//! One call of `raise.lua`, and its reply.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use redis::{RedisResult, Value};

use crate::counter::{Contribution, Digest, PageAddress, Period, Place, Register, Site, Source, Weight};
use crate::redis::client::link::{Link, Scripted};
use crate::redis::client::reply::{text, unexpected};
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
        let reply = SCRIPT.run(link, &key_names, &arguments).await?;
        self.decode(reply).ok_or_else(|| unexpected("a reply of another shape"))
    }

    fn encode(&self, keys: &Keys, site: &Site) -> (Vec<String>, Vec<String>) {
        let mut key_names = vec![keys.hits(&site.id)];
        let mut arguments = Vec::with_capacity(8 + self.rows.len() * 8);
        let mut key_places = HashMap::new();
        for period in self.rows.iter().filter(|row| row.page.is_some()).map(|row| row.period) {
            key_places.entry(period).or_insert_with(|| {
                key_names.push(keys.pages(&site.id, period));
                arguments.push(keys::expiry(site, period).unwrap_or(0).to_string());
                key_names.len().to_string()
            });
        }
        let mut sources: Vec<&Source> = self.rows.iter().map(|row| &row.source).collect();
        sources.sort_unstable();
        sources.dedup();
        let source_places: HashMap<&Source, String> =
            sources.iter().enumerate().map(|(at, source)| (*source, (at + 1).to_string())).collect();
        let key_place = |period: Period| key_places.get(&period).cloned().unwrap_or_default();
        let source_place = |source: &Source| source_places.get(source).cloned().unwrap_or_default();

        arguments.push(sources.len().to_string());
        arguments.extend(sources.iter().map(|source| source.to_string()));
        arguments.push(self.rows.len().to_string());
        for row in &self.rows {
            let generation = match row.register {
                Register::Grown(_) => String::new(),
                Register::Written { generation, .. } => generation.to_string(),
            };
            let period = row.period.to_string();
            let id = row.page.as_ref().map_or_else(String::new, PageAddress::id);
            let [first, second] = Weight::of_id(&period, &id).residues().map(|residue| residue.to_string());
            let (key, name) = match &row.page {
                None => ("1".to_owned(), period),
                Some(page) => (key_place(row.period), page.to_string()),
            };
            let hits = row.register.hits().to_string();
            arguments.extend([key, source_place(&row.source), name, id, generation, hits, first, second]);
        }
        (key_names, arguments)
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
        let Value::Array(parts) = reply else { return None };
        let [Value::Array(rows), Value::Array(digests)]: [Value; 2] = parts.try_into().ok()? else { return None };
        let places = self.places();
        if rows.len() != self.rows.len() * 3 || digests.len() != places.len() * 2 {
            return None;
        }
        let rows = self.rows.iter().zip(rows.chunks_exact(3)).map(|(row, values)| {
            Some(MergedRow {
                source: row.source.clone(),
                period: row.period,
                is_page: row.page.is_some(),
                total: keys::integer(&text(values.first()?)?)?,
                now: keys::register(&row.source, &text(values.get(1)?)?)?,
                before: text(values.get(2)?).and_then(|before| keys::register(&row.source, &before)),
            })
        });
        let digest = |value: &Value| Digest::from_number(text(value)?.parse().ok()?);
        let digests = places.into_iter().zip(digests.chunks_exact(2)).map(|(place, values)| {
            Some(ChangedDigest { place, before: digest(values.first()?)?, after: digest(values.get(1)?)? })
        });
        Some(Merged { rows: rows.collect::<Option<_>>()?, digests: digests.collect::<Option<_>>()? })
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
