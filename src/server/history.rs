//! A site's figures over time: as JSON, as CSV, as a chart.

use std::hash::Hash as _;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use hyper::header::{ACCEPT, HeaderMap};
use serde::Serialize;

use crate::counter::csv::HEADER_SITE;
use crate::counter::history::Step;
use crate::counter::{Day, Period, RegisteredSite, Span};

use super::hit_fields::form_field;
use super::node::{Node, Read};
use super::pages::{count, wrong};
use super::refusal::Refusal;
use super::shared::Made;
use super::{chart, fresh};
use crate::clock;

/// Lines of one answer: three years of days.
pub const LINES_MAX: usize = 1_100;
/// Bars of a chart: more can't be told apart.
const BARS_MAX: usize = 366;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Csv,
}

#[derive(Serialize)]
struct History<'a> {
    site: &'a str,
    time_zone: &'a str,
    as_of: String,
    by: &'a str,
    history: Vec<Line>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

#[derive(Serialize)]
struct Line {
    period: String,
    value: i64,
    text: String,
}

impl Format {
    /// By `format=`, or else by what the client likes to have.
    pub fn of(query: &str, headers: &HeaderMap) -> Result<Self, Refusal> {
        match form_field(query, "format")?.as_deref() {
            Some("json") => Ok(Self::Json),
            Some("csv") => Ok(Self::Csv),
            Some(_) => Err(wrong("format", "`format` is neither `json` nor `csv`".to_owned())),
            None => {
                let csv = weight(headers, "text/csv");
                // Who likes both as well has named CSV for a reason: JSON comes anyway.
                Ok(if csv > 0.0 && csv >= weight(headers, "application/json") { Self::Csv } else { Self::Json })
            }
        }
    }
}

/// How much a client likes a kind of answer that it names, from 0 (not at all) to 1.
fn weight(headers: &HeaderMap, kind: &str) -> f32 {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let weights = accepted.flat_map(|value| value.split(',')).filter_map(|accepted| {
        let mut parts = accepted.split(';').map(str::trim);
        parts.next().filter(|named| named.eq_ignore_ascii_case(kind))?;
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        weight.map_or(Some(1.0), |weight| weight.parse().ok())
    });
    weights.fold(0.0, f32::max)
}

/// The history that the query asks for.
pub async fn history<N: Node>(
    node: Arc<N>,
    site: Arc<RegisteredSite>,
    query: String,
    format: Format,
) -> Result<Made, Refusal> {
    let now = clock::now();
    let step = step(&query)?;
    let periods = periods(&query, step, LINES_MAX, Day::at(now, site.site.time_zone))?;
    let read = node.history(&site, &periods).await?;
    let etag = etag(&site, &periods, &read, format);
    let body = match format {
        Format::Csv => {
            let mut text = format!("{HEADER_SITE}\n");
            for (period, hits) in periods.iter().zip(&read.values) {
                // Neither a period nor a number has anything to quote.
                text.push_str(&format!("{period},{hits}\n"));
            }
            text.into_bytes()
        }
        Format::Json => {
            let line = |(period, value): (&Period, i64)| Line {
                period: period.to_string(),
                value,
                text: site.site.language.number(value),
            };
            let history = History {
                site: site.site.id.as_str(),
                time_zone: site.site.time_zone.name(),
                as_of: as_of(&site, now),
                by: step.as_str(),
                history: periods.iter().zip(read.values).map(line).collect(),
                stale: read.stale,
            };
            // A struct of strings and numbers always serialises.
            serde_json::to_vec(&history).unwrap_or_default()
        }
    };
    Ok(Made { body: body.into(), etag })
}

/// The chart that the query asks for.
pub async fn chart<N: Node>(node: Arc<N>, site: Arc<RegisteredSite>, query: String) -> Result<Made, Refusal> {
    let step = step(&query)?;
    let periods = periods(&query, step, BARS_MAX, Day::at(clock::now(), site.site.time_zone))?;
    let read = node.history(&site, &periods).await?;
    let svg = chart::draw(&site.site, step, &periods, &read.values);
    let etag = fresh::etag(|hasher| svg.hash(hasher));
    Ok(Made { body: svg.into(), etag })
}

fn step(query: &str) -> Result<Step, Refusal> {
    match form_field(query, "by")? {
        None => Ok(Step::Day),
        Some(text) => {
            text.parse().map_err(|error: crate::counter::history::HistoryError| wrong("by", error.to_string()))
        }
    }
}

/// The periods that the query names: up to `to`, or else today, those `from` a first or the `last` so many.
fn periods(query: &str, step: Step, most: usize, today: Day) -> Result<Vec<Period>, Refusal> {
    let last = count(query, "last", step.usual_count(), most)?;
    let last_day = days(query, "to")?.map_or(today, |(_, last_day)| last_day);
    match days(query, "from")? {
        None => Ok(step.last(last, last_day)),
        Some(_) if form_field(query, "last")?.is_some() => {
            Err(wrong("last", "`from` and `last` both say where to begin; expected one of them".to_owned()))
        }
        Some((first_day, _)) => {
            step.between(first_day, last_day, most).map_err(|error| wrong("from", error.to_string()))
        }
    }
}

/// The first and the last day of what the field names.
fn days(query: &str, field: &'static str) -> Result<Option<(Day, Day)>, Refusal> {
    let Some(text) = form_field(query, field)? else { return Ok(None) };
    let span = text.parse::<Span>().map_err(|error| wrong(field, error.to_string()))?;
    let endless = || "`total` has neither beginning nor end; expected for example `2024-06-17` or `2024-06`".to_owned();
    span.days().map(Some).ok_or_else(|| wrong(field, endless()))
}

fn etag(site: &RegisteredSite, periods: &[Period], read: &Read<i64>, format: Format) -> hyper::header::HeaderValue {
    let language = site.site.language;
    fresh::etag(|hasher| (periods, &read.values, read.stale, format == Format::Csv, language).hash(hasher))
}

fn as_of(site: &RegisteredSite, now: DateTime<Utc>) -> String {
    now.with_timezone(&site.site.time_zone).to_rfc3339_opts(SecondsFormat::Secs, false)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn csv_is_for_those_who_like_it() {
        use Format::{Csv, Json};
        for (accepted, format) in [
            (&[][..], Json),
            (&["*/*"], Json),
            (&["text/csv"], Csv),
            (&["Text/CSV; header=present; Q=0.1"], Csv),
            (&["application/json, text/csv"], Csv),
            (&["application/json", "text/csv"], Csv),
            (&["application/json, text/csv;q=0.9"], Json),
            (&["application/json;q=0.5, text/csv;q=0.9"], Csv),
            (&["text/csv;q=0"], Json),
            (&["text/csv; q=0.000, */*"], Json),
            (&["text/csv;q=much"], Json),
            (&["text/csvs"], Json),
        ] {
            let headers = accepted.iter().map(|value| (ACCEPT, HeaderValue::from_static(value))).collect();
            assert_eq!(Format::of("", &headers), Ok(format), "{accepted:?}");
            assert_eq!(Format::of("format=csv", &headers), Ok(Csv), "{accepted:?}");
        }
    }
}
