//! A site's hits over time: as JSON, as CSV, as a chart.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _};
use std::sync::Arc;

use hyper::header::{ACCEPT, HeaderMap};

use crate::counter::csv::HEADER_SITE;
use crate::counter::history::{HistoryError, Step};
use crate::counter::{Day, Period, RegisteredSite, Site, Span, figures};

use super::history_blocks::HistoryBlocks;
use super::query::count;
use super::{answer, chart};
use crate::clock;
use crate::server::http::{HttpError, Rendered, conditional, form};
use crate::server::ports::{Node, Read};

/// Lines of one answer: three years of days.
pub const LINES_MAX: usize = 1_100;
/// Bars of a chart; more are too thin to see.
const BARS_MAX: usize = 366;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    Json,
    Csv,
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

/// The stretch of history that a query asks for, however it names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stretch {
    step: Step,
    first: Period,
    last: Period,
    today: Day,
}

impl Stretch {
    /// Of a history.
    pub fn of_history(query: &str, today: Day) -> Result<Self, HttpError> {
        Self::of(query, LINES_MAX, today)
    }

    /// Of a chart.
    pub fn of_chart(query: &str, today: Day) -> Result<Self, HttpError> {
        Self::of(query, BARS_MAX, today)
    }

    /// Of a page: from the day and the month on whose figures of pages are kept.
    pub fn of_page(query: &str, (day, month): (Period, Period), today: Day) -> Result<Self, HttpError> {
        let stretch = Self::of(query, LINES_MAX, today)?;
        let oldest = match stretch.step {
            Step::Day => day,
            Step::Month => month,
            Step::Year => {
                let reason = "pages are counted by day, month and in total; expected `day` or `month`";
                return Err(HttpError::field("by", reason));
            }
        };
        let first = if stretch.first.number() < oldest.number() { oldest } else { stretch.first };
        Ok(Self { first, ..stretch })
    }

    fn of(query: &str, max: usize, today: Day) -> Result<Self, HttpError> {
        let step = step(query)?;
        let (first, last) = ends(query, step, max, today)?;
        Ok(Self { step, first, last, today })
    }

    pub fn periods(&self) -> Vec<Period> {
        self.step.from_to(self.first, self.last)
    }

    /// Its periods with these hits.
    pub fn with(&self, read: Read<i64>) -> StretchHits {
        StretchHits { step: self.step, periods: self.periods(), read }
    }

    /// Reads the hits of the stretch.
    pub async fn read<N: Node>(
        &self,
        node: &Arc<N>,
        blocks: &HistoryBlocks,
        site: &Arc<RegisteredSite>,
    ) -> Result<StretchHits, HttpError> {
        let periods = self.periods();
        let mut read = blocks.values(node, site, &periods, self.step.of(self.today)).await?;
        read.values.iter_mut().for_each(|hits| *hits = figures::shown(*hits));
        Ok(StretchHits { step: self.step, periods, read })
    }
}

/// The hits of a stretch.
pub struct StretchHits {
    step: Step,
    periods: Vec<Period>,
    read: Read<i64>,
}

impl StretchHits {
    /// Renders a history.
    pub fn history(&self, site: &Site, format: Format) -> Rendered {
        match format {
            Format::Json => self.json(site, ""),
            Format::Csv => self.csv(),
        }
    }

    fn csv(&self) -> Rendered {
        let mut text = String::with_capacity(24 * (self.periods.len() + 1));
        text.push_str(HEADER_SITE);
        text.push('\n');
        for (period, hits) in self.lines() {
            // Neither a period nor a number needs quotes.
            push(&mut text, period);
            text.push(',');
            push_integer(&mut text, hits);
            text.push('\n');
        }
        Rendered { body: text.into(), etag: conditional::etag(|hasher| self.tag(Format::Csv, hasher)) }
    }

    /// Renders it behind members that say what it is of. Each value is written where it goes: there are a thousand.
    pub fn json(&self, site: &Site, about: &str) -> Rendered {
        let tag = |hasher: &mut DefaultHasher| {
            self.tag(Format::Json, hasher);
            about.hash(hasher);
        };
        answer::written(site, clock::now(), self.read.stale, tag, |body| {
            body.reserve(80 * (self.periods.len() + 1) + about.len());
            body.push_str(about);
            body.push_str(if about.is_empty() { "" } else { "," });
            body.push_str("\"by\":\"");
            body.push_str(self.step.as_str());
            body.push_str("\",\"history\":[");
            for (period, hits) in self.lines() {
                body.push_str("{\"period\":\"");
                push(body, period);
                body.push_str("\",\"value\":");
                push_integer(body, hits);
                body.push_str(",\"text\":\"");
                site.language.push_number(hits, body);
                body.push_str("\"},");
            }
            if body.ends_with(',') {
                body.pop();
            }
            body.push(']');
        })
    }

    fn tag(&self, format: Format, hasher: &mut DefaultHasher) {
        (format, self.step, self.periods.first(), &self.read.values).hash(hasher);
    }

    pub fn lines(&self) -> impl Iterator<Item = (Period, i64)> {
        self.periods.iter().copied().zip(self.read.values.iter().copied())
    }

    /// Renders a chart.
    pub fn chart(&self, site: &Site) -> Rendered {
        let svg = chart::draw(site, self.step, &self.periods, &self.read.values);
        let etag = conditional::etag(|hasher| svg.hash(hasher));
        Rendered { body: svg.into(), etag }
    }
}

fn push(text: &mut String, period: Period) {
    // Writing to a string can't fail.
    let _ = write!(text, "{period}");
}

fn push_integer(text: &mut String, value: i64) {
    text.push_str(itoa::Buffer::new().format(value));
}

fn step(query: &str) -> Result<Step, HttpError> {
    match form::field(query, "by")? {
        None => Ok(Step::Day),
        Some(text) => text.parse().map_err(|error: HistoryError| HttpError::field("by", error)),
    }
}

/// The ends of the stretch that the query names: from `from`, or the `last` so many, up to `to` or today.
fn ends(query: &str, step: Step, max: usize, today: Day) -> Result<(Period, Period), HttpError> {
    let last = count(query, "last", step.usual_count(), max)?;
    let last_day = days_named(query, "to")?.map_or(today, |(_, last_day)| last_day);
    let first = match days_named(query, "from")? {
        None => step.first_of_last(last, last_day),
        Some(_) if form::field(query, "last")?.is_some() => {
            return Err(HttpError::field("last", "`from` and `last` exclude each other; send one of them"));
        }
        Some((first_day, _)) => {
            step.first_between(first_day, last_day, max).map_err(|error| HttpError::field("from", error))?
        }
    };
    Ok((first, step.of(last_day)))
}

/// The first and the last day of the span that the field names.
pub fn days_named(query: &str, field: &'static str) -> Result<Option<(Day, Day)>, HttpError> {
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
    fn one_stretch_has_one_canonical_form_whatever_its_spelling() {
        let today = Day::from_ymd(2024, 6, 17).unwrap();
        let of = |query: &str| Stretch::of_history(query, today).unwrap();
        for spelling in [
            "",
            "by=day",
            "last=30&by=day",
            "by=d%61y&last=030",
            "to=2024-06-17",
            "from=2024-05-19",
            "to=2024-06-17&x=1&from=2024-05-19",
        ] {
            assert_eq!(of(spelling), of("last=30"), "{spelling}");
        }
        assert_eq!(of("from=2024-W24&to=2024-W24").periods().len(), 7);
        for other in ["last=29", "by=month", "to=2024-06-16", "from=2024-05-18"] {
            assert_ne!(of(other), of(""), "{other}");
        }
        assert_ne!(of(""), Stretch::of_history("", today.next()).unwrap());
        assert_eq!(of("by=year&last=1000").periods().len(), 55);
    }

    #[test]
    fn a_history_is_written_as_json_and_csv_and_its_tag_is_of_its_values() {
        let site = Site::with_defaults("demo".parse().unwrap(), Vec::new());
        let hits = |values: &[i64]| {
            let first = Day::from_ymd(2024, 6, 29).unwrap();
            let periods = Step::Day.from_to(Period::Day(first), Period::Day(Day::from_ymd(2024, 7, 1).unwrap()));
            let periods = periods[..values.len()].to_vec();
            StretchHits { step: Step::Day, periods, read: Read { values: values.to_vec(), stale: false } }
        };
        let of = |values: &[i64], format| hits(values).history(&site, format);
        let json: serde_json::Value = serde_json::from_slice(&of(&[1_234, 0, 5], Format::Json).body).unwrap();
        let line =
            |period: &str, value: i64, text: &str| serde_json::json!({"period": period, "value": value, "text": text});
        let lines = [line("2024-06-29", 1_234, "1.234"), line("2024-06-30", 0, "0"), line("2024-07-01", 5, "5")];
        assert_eq!((&json["by"], &json["history"]), (&"day".into(), &serde_json::json!(lines)));
        let empty: serde_json::Value = serde_json::from_slice(&of(&[], Format::Json).body).unwrap();
        assert_eq!(empty["history"], serde_json::json!([]));
        assert_eq!(of(&[1_234, 0], Format::Csv).body, "period,hits\n2024-06-29,1234\n2024-06-30,0\n");
        let tag = |values: &[i64]| of(values, Format::Json).etag;
        assert_eq!(tag(&[1, 2, 3]), tag(&[1, 2, 3]));
        assert!(tag(&[1, 2, 3]) != tag(&[1, 2, 4]) && tag(&[1, 2]) != tag(&[1, 2, 0]));
    }

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
