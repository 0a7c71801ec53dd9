//! A site's hits over time: as JSON, as CSV, as a chart.

use std::hash::Hash as _;
use std::sync::Arc;

use hyper::header::{ACCEPT, HeaderMap};
use serde::Serialize;

use crate::counter::csv::HEADER_SITE;
use crate::counter::history::{HistoryError, Step};
use crate::counter::{Day, Period, RegisteredSite, Span};

use super::query::count;
use super::{answer, chart};
use crate::clock;
use crate::server::http::{HttpError, Rendered, conditional, form};
use crate::server::ports::Node;

/// Lines of one answer: three years of days.
pub const LINES_MAX: usize = 1_100;
/// Bars of a chart; more are too thin to see.
const BARS_MAX: usize = 366;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Csv,
}

#[derive(Serialize)]
struct History {
    by: &'static str,
    history: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    period: String,
    value: i64,
    text: String,
}

impl Format {
    /// The format that `format=` names, or else the one that the client prefers.
    pub fn of(query: &str, headers: &HeaderMap) -> Result<Self, HttpError> {
        match form::field(query, "format")?.as_deref() {
            Some("json") => Ok(Self::Json),
            Some("csv") => Ok(Self::Csv),
            Some(_) => Err(HttpError::field("format", "`format` is neither `json` nor `csv`")),
            None => {
                let csv = weight(headers, "text/csv");
                // On equal weights CSV: a client that names it has a reason, since JSON is the default.
                Ok(if csv > 0.0 && csv >= weight(headers, "application/json") { Self::Csv } else { Self::Json })
            }
        }
    }
}

/// The weight of a media type in `Accept`, from 0 (unwanted) to 1.
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

/// Renders the history that the query asks for.
pub async fn history<N: Node>(
    node: Arc<N>,
    site: Arc<RegisteredSite>,
    query: String,
    format: Format,
) -> Result<Rendered, HttpError> {
    let now = clock::now();
    let step = step(&query)?;
    let periods = periods(&query, step, LINES_MAX, Day::at(now, site.site.time_zone))?;
    let read = node.history(&site, &periods).await?;
    Ok(match format {
        Format::Csv => {
            let mut text = format!("{HEADER_SITE}\n");
            for (period, hits) in periods.iter().zip(&read.values) {
                // Neither a period nor a number needs quotes.
                text.push_str(&format!("{period},{hits}\n"));
            }
            let etag = conditional::etag(|hasher| text.hash(hasher));
            Rendered { body: text.into(), etag }
        }
        Format::Json => {
            let line = |(period, value): (&Period, i64)| Line {
                period: period.to_string(),
                value,
                text: site.site.language.number(value),
            };
            let history = periods.iter().zip(read.values).map(line).collect();
            answer::render(&site.site, now, &History { by: step.as_str(), history }, read.stale)
        }
    })
}

/// Renders the chart that the query asks for.
pub async fn chart<N: Node>(node: Arc<N>, site: Arc<RegisteredSite>, query: String) -> Result<Rendered, HttpError> {
    let step = step(&query)?;
    let periods = periods(&query, step, BARS_MAX, Day::at(clock::now(), site.site.time_zone))?;
    let read = node.history(&site, &periods).await?;
    let svg = chart::draw(&site.site, step, &periods, &read.values);
    let etag = conditional::etag(|hasher| svg.hash(hasher));
    Ok(Rendered { body: svg.into(), etag })
}

fn step(query: &str) -> Result<Step, HttpError> {
    match form::field(query, "by")? {
        None => Ok(Step::Day),
        Some(text) => text.parse().map_err(|error: HistoryError| HttpError::field("by", error)),
    }
}

/// The periods that the query names: those from `from`, or the `last` so many, up to `to` or today.
fn periods(query: &str, step: Step, max: usize, today: Day) -> Result<Vec<Period>, HttpError> {
    let last = count(query, "last", step.usual_count(), max)?;
    let last_day = days(query, "to")?.map_or(today, |(_, last_day)| last_day);
    match days(query, "from")? {
        None => Ok(step.last(last, last_day)),
        Some(_) if form::field(query, "last")?.is_some() => {
            Err(HttpError::field("last", "`from` and `last` exclude each other; send one of them"))
        }
        Some((first_day, _)) => step.between(first_day, last_day, max).map_err(|error| HttpError::field("from", error)),
    }
}

/// The first and the last day of the span that the field names.
fn days(query: &str, field: &'static str) -> Result<Option<(Day, Day)>, HttpError> {
    let Some(text) = form::field(query, field)? else { return Ok(None) };
    let span = text.parse::<Span>().map_err(|error| HttpError::field(field, error))?;
    let endless = "`total` has neither beginning nor end; expected for example `2024-06-17` or `2024-06`";
    span.days().map(Some).ok_or_else(|| HttpError::field(field, endless))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn csv_is_for_clients_that_prefer_it() {
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
