//! One call of `raise.lua`, and its reply.

use std::collections::HashMap;
use std::sync::LazyLock;

use redis::{RedisResult, Value};

use crate::counter::{Contribution, Period, Register, Site, Source};
use crate::redis::client::link::{Link, Scripted};
use crate::redis::client::reply::{text, unexpected};
use crate::redis::keys::{self, Keys};

/// Rows and markers of one call: more would delay other clients' calls by milliseconds.
pub const ROWS_MAX: usize = 500;

static SCRIPT: LazyLock<Scripted> = LazyLock::new(|| Scripted::new(include_str!("raise.lua")));

/// Treatment of a source's marker in a key of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkerMode {
    /// Reports whether it is there.
    Look,
    /// Announces all of the source's pages in this key.
    Begin,
    /// States that all of them are there.
    End,
}

/// State of a marker before the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkerState {
    Absent,
    Begun,
    Complete,
}

/// Counts that Redis merges into a site's by the maximum of each source.
#[derive(Debug, Clone, Default)]
pub struct MergeCounts {
    pub rows: Vec<Contribution>,
    pub markers: Vec<(Period, Source, MarkerMode)>,
}

/// Reply, in the order of the call's rows and markers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    pub rows: Vec<MergedRow>,
    pub markers: Vec<(Period, Source, MarkerState)>,
    pub writes: Vec<Writes>,
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

/// Number of calls that changed anything of a source in this site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writes {
    pub source: Source,
    pub before: i64,
    pub after: i64,
}

impl MarkerMode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Begin => "begin",
            Self::End => "end",
        }
    }
}

impl MarkerState {
    /// State of the score in Redis.
    pub fn from_score(score: Option<f64>) -> Self {
        match score {
            Some(-1.0) => Self::Complete,
            Some(score) if score != 0.0 => Self::Begun,
            _ => Self::Absent,
        }
    }
}

impl MergeCounts {
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.markers.is_empty()
    }

    pub async fn send(&self, link: &Link, keys: &Keys, site: &Site) -> RedisResult<Merged> {
        let (key_names, arguments) = self.encode(keys, site);
        let reply = SCRIPT.run(link, &key_names, &arguments).await?;
        self.decode(reply).ok_or_else(|| unexpected("a reply of another shape"))
    }

    fn encode(&self, keys: &Keys, site: &Site) -> (Vec<String>, Vec<String>) {
        let mut key_names = vec![keys.hits(&site.id)];
        let mut arguments = Vec::with_capacity(8 + self.rows.len() * 6 + self.markers.len() * 3);
        let mut key_places = HashMap::new();
        let page_periods = self
            .rows
            .iter()
            .filter(|row| row.page.is_some())
            .map(|row| row.period)
            .chain(self.markers.iter().map(|(period, ..)| *period));
        for period in page_periods {
            key_places.entry(period).or_insert_with(|| {
                key_names.push(keys.pages(&site.id, period));
                arguments.push(keys::expiry(site, period).unwrap_or(0).to_string());
                key_names.len().to_string()
            });
        }
        let sources = self.sources();
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
            let (key, name, page) = match &row.page {
                None => ("1".to_owned(), row.period.to_string(), String::new()),
                Some(page) => (key_place(row.period), page.to_string(), page.id()),
            };
            arguments.extend([key, source_place(&row.source), name, page, generation, row.register.hits().to_string()]);
        }
        arguments.push(self.markers.len().to_string());
        for (period, source, mode) in &self.markers {
            arguments.extend([key_place(*period), source_place(source), mode.as_str().to_owned()]);
        }
        (key_names, arguments)
    }

    /// Each source once, in the order in which it first appears.
    fn sources(&self) -> Vec<&Source> {
        let mut sources: Vec<&Source> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for source in self.rows.iter().map(|row| &row.source).chain(self.markers.iter().map(|(_, source, _)| source)) {
            if seen.insert(source) {
                sources.push(source);
            }
        }
        sources
    }

    /// Public for `fuzz/properties`.
    #[doc(hidden)]
    pub fn decode(&self, reply: Value) -> Option<Merged> {
        let Value::Array(parts) = reply else { return None };
        let [rows, markers, writes]: [Value; 3] = parts.try_into().ok()?;
        let (Value::Array(rows), Value::Array(markers), Value::Array(writes)) = (rows, markers, writes) else {
            return None;
        };
        let sources = self.sources();
        if rows.len() != self.rows.len() * 3 || markers.len() != self.markers.len() || writes.len() != sources.len() * 2
        {
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
        let markers = self.markers.iter().zip(&markers).map(|((period, source, _), value)| {
            let state = match value {
                Value::Int(0) => MarkerState::Absent,
                Value::Int(2) => MarkerState::Complete,
                _ => MarkerState::Begun,
            };
            (*period, source.clone(), state)
        });
        let writes = sources.into_iter().zip(writes.chunks_exact(2)).map(|(source, values)| match values {
            [Value::Int(before), Value::Int(after)] => {
                Some(Writes { source: source.clone(), before: *before, after: *after })
            }
            _ => None,
        });
        Some(Merged {
            rows: rows.collect::<Option<_>>()?,
            markers: markers.collect(),
            writes: writes.collect::<Option<_>>()?,
        })
    }
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
            markers: vec![(day, run, MarkerMode::Begin)],
        }
    }

    #[test]
    fn a_call_names_each_key_and_source_once_and_refers_to_them_by_number() {
        let site = Site::with_defaults("demo".parse().unwrap(), Vec::new());
        let (keys, arguments) = call().encode(&Keys::new("p"), &site);
        assert_eq!(keys, ["p:{demo}:hits", "p:{demo}:pages:2024-06-17"]);
        let id = PageAddress::from_stored("/a").id();
        let expiry = keys::expiry(&site, "2024-06-17".parse().unwrap()).unwrap().to_string();
        let expected = [
            vec![expiry.as_str()],
            vec!["2", "00000000000000ff", "import:old", "3"],
            vec!["2", "1", "/a", &id, "", "3"],
            vec!["1", "2", "total", "", "9", "-2"],
            vec!["1", "1", "total", "", "", "7"],
            vec!["1", "2", "1", "begin"],
        ];
        assert_eq!(arguments, expected.concat());
    }

    #[test]
    fn a_reply_is_read_in_the_order_of_the_call_and_one_of_another_length_is_refused() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let reply = |rows: Vec<Value>| {
            let writes = vec![Value::Int(4), Value::Int(5), Value::Int(1), Value::Int(1)];
            Value::Array(vec![Value::Array(rows), Value::Array(vec![Value::Int(1)]), Value::Array(writes)])
        };
        let rows = ["3", "3", "", "10", "9 -2", "8 4", "10", "7", "6"];
        let rows: Vec<_> = rows.map(|value| if value.is_empty() { Value::Nil } else { text(value) }).into();
        let merged = call().decode(reply(rows.clone())).unwrap();
        let before: Vec<_> = merged.rows.iter().map(|row| row.before).collect();
        let generation = |generation, hits| Some(Register::Written { generation, hits });
        assert_eq!(before, [None, generation(8, 4), Some(Register::Grown(6))]);
        assert_eq!(merged.rows[1].total, 10);
        assert_eq!(merged.markers[0].2, MarkerState::Begun);
        assert_eq!(merged.writes[0], Writes { source: Source::Run(255), before: 4, after: 5 });
        assert_eq!(call().decode(reply(rows[..6].to_vec())), None);
        assert_eq!(call().decode(Value::Nil), None);
    }

    #[test]
    fn a_markers_score_says_how_far_its_source_came() {
        let states = [None, Some(0.0), Some(-2.0), Some(-1.0)].map(MarkerState::from_score);
        assert_eq!(states, [MarkerState::Absent, MarkerState::Absent, MarkerState::Begun, MarkerState::Complete]);
    }
}
