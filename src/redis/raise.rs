//! One call of `raise.lua`: what it is told, how it is sent, what it answers.

use std::collections::HashMap;
use std::sync::LazyLock;

use redis::{RedisError, RedisResult, Value};

use super::connection::Link;
use super::layout::{self, Keys};
use super::script::Scripted;
use crate::counter::{Contribution, Period, Register, Site, Source};

/// Rows and markers of one call: more would hold up everyone else's calls for milliseconds.
pub const ROWS_MAX: usize = 500;

static SCRIPT: LazyLock<Scripted> = LazyLock::new(|| Scripted::new(include_str!("raise.lua")));

/// What to do with a source's marker in a key of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkerMode {
    /// Only say whether it is there.
    Look,
    /// All that the source has there is about to be brought.
    Begin,
    /// All of it is there.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkerState {
    Absent,
    Begun,
    Complete,
}

#[derive(Debug, Clone, Default)]
pub struct Raise {
    pub rows: Vec<Contribution>,
    pub markers: Vec<(Period, Source, MarkerMode)>,
}

/// Redis's answer, in the order of the call's rows and markers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    pub rows: Vec<RaisedRow>,
    pub markers: Vec<(Period, Source, MarkerState)>,
    pub writes: Vec<Writes>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaisedRow {
    pub source: Source,
    pub period: Period,
    pub is_page: bool,
    /// The counter now.
    pub total: i64,
    /// What the source has contributed to it now, and had before the call.
    pub now: Register,
    pub before: Option<Register>,
}

/// How many calls had changed something of a source in this site.
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
    /// From the score that stands in Redis.
    pub fn from_score(score: Option<f64>) -> Self {
        match score {
            Some(-1.0) => Self::Complete,
            Some(score) if score != 0.0 => Self::Begun,
            _ => Self::Absent,
        }
    }
}

impl Raise {
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.markers.is_empty()
    }

    pub async fn send(&self, link: &Link, keys: &Keys, site: &Site) -> RedisResult<Raised> {
        let (key_names, arguments) = self.encode(keys, site);
        let reply = SCRIPT.run(link, &key_names, &arguments).await?;
        self.decode(reply).ok_or_else(|| unexpected("an answer of another shape"))
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
                arguments.push(layout::expiry(site, period).unwrap_or(0).to_string());
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
    pub fn decode(&self, reply: Value) -> Option<Raised> {
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
            Some(RaisedRow {
                source: row.source.clone(),
                period: row.period,
                is_page: row.page.is_some(),
                total: layout::integer(&text(values.first()?)?)?,
                now: layout::register(&row.source, &text(values.get(1)?)?)?,
                before: text(values.get(2)?).and_then(|before| layout::register(&row.source, &before)),
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
        Some(Raised {
            rows: rows.collect::<Option<_>>()?,
            markers: markers.collect(),
            writes: writes.collect::<Option<_>>()?,
        })
    }
}

/// The text of a reply; none for nil.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

pub fn unexpected(what: &str) -> RedisError {
    RedisError::from((redis::ErrorKind::UnexpectedReturnType, "unexpected reply", what.to_owned()))
}
