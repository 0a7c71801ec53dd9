//! How often pages were read, and which were read most.

use std::hash::Hash as _;
use std::sync::Arc;

use chrono::SecondsFormat;
use percent_encoding::{CONTROLS, percent_decode_str, percent_encode};
use serde::Serialize;
use url::Url;

use crate::counter::figures::Figure;
use crate::counter::{Day, FigureKey, PageAddress, Period, RegisteredSite, Site, Span};

use super::fresh;
use super::hit::page_of;
use super::hit_fields::form_field;
use super::node::Node;
use super::refusal::{Problem, Refusal, shown};
use super::shared::Made;
use super::wanted::Wanted;
use crate::clock;

/// Pages of one list page: what fits into an address, about.
const URLS_MAX: usize = 50;
/// Pages of a list of the most read.
const TOP_MAX: usize = 100;
const TOP_USUAL: usize = 10;

#[derive(Serialize)]
struct PageList<'a> {
    site: &'a str,
    time_zone: &'a str,
    as_of: String,
    pages: Vec<Asked>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

#[derive(Serialize)]
struct Asked {
    /// As it was asked for.
    url: String,
    #[serde(flatten)]
    found: Found,
}

/// One wrong address costs the others nothing.
#[derive(Serialize)]
#[serde(untagged)]
enum Found {
    Page { page: String, figures: Vec<Figure> },
    None { problem: Problem },
}

#[derive(Serialize)]
struct TopList<'a> {
    site: &'a str,
    time_zone: &'a str,
    as_of: String,
    period: Option<String>,
    /// What stands beside a page's count.
    label: &'a str,
    pages: Vec<Top>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

#[derive(Serialize)]
struct Top {
    page: String,
    /// The address is the start of a longer one, and no link.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
    /// As the page gave it: text.
    title: Option<String>,
    value: i64,
    text: String,
}

/// The figures of the pages that the query names.
pub async fn figures<N: Node>(node: Arc<N>, site: Arc<RegisteredSite>, query: String) -> Result<Made, Refusal> {
    let urls: Vec<String> = query.split('&').filter_map(|pair| pair.strip_prefix("url=")).map(decoded).collect();
    match urls.len() {
        0 => return Err(wrong("url", "the query needs `url=`, the page's address, once for each page".to_owned())),
        count if count > URLS_MAX => {
            return Err(wrong("url", format!("the query names {count} pages; {URLS_MAX} at once are the most")));
        }
        _ => {}
    }
    let keys = match Wanted::of(Some(&query))? {
        Wanted::Nothing => return Err(Refusal::FiguresNone),
        Wanted::OfSite => vec![FigureKey::Total],
        Wanted::Other(wish) => wish.figures.unwrap_or_else(|| vec![FigureKey::Total]),
    };
    let asked: Vec<_> = urls.iter().map(|url| page_named(&site, url)).collect();
    let pages: Vec<_> = asked.iter().flatten().cloned().collect();
    if let (true, Some(Err(refusal))) = (pages.is_empty(), asked.first()) {
        return Err(refusal.clone());
    }
    let now = clock::now();
    let today = Day::at(now, site.site.time_zone);
    let mut periods = Vec::new();
    for key in &keys {
        if key.is_of_visitors() {
            let reason = format!("visitors are counted by site, not by page, so pages have no `{}`", key.as_str());
            return Err(wrong("figures", reason));
        }
        for period in key.span(today).periods() {
            if matches!(period, Period::Year(_)) {
                let reason =
                    format!("pages are counted by day, month and in total, so they have no `{}`", key.as_str());
                return Err(wrong("figures", reason));
            }
            if !periods.contains(&period) {
                periods.push(period);
            }
        }
    }
    let read = node.page_hits(&site, &pages, &periods).await?;
    let mut hits_of_pages = read.values.chunks(periods.len().max(1));
    let figures_of = |hits: &[i64]| -> Vec<Figure> {
        let value = |period| periods.iter().position(|of| *of == period).and_then(|at| hits.get(at)).copied();
        let figure = |key: &FigureKey| {
            let span = key.span(today);
            figure(&site.site, *key, span, today, span.periods().filter_map(value).sum())
        };
        keys.iter().map(figure).collect()
    };
    let pages: Vec<_> = urls
        .into_iter()
        .zip(asked)
        .map(|(url, page)| Asked {
            url,
            found: match page {
                Ok(page) => Found::Page {
                    page: page.to_string(),
                    figures: figures_of(hits_of_pages.next().unwrap_or_default()),
                },
                Err(refusal) => Found::None { problem: refusal.problem() },
            },
        })
        .collect();
    let etag = fresh::etag(|hasher| {
        read.stale.hash(hasher);
        for asked in &pages {
            asked.url.hash(hasher);
            match &asked.found {
                Found::Page { page, figures } => {
                    page.hash(hasher);
                    figures.iter().for_each(|figure| (&figure.label, &figure.period, &figure.text).hash(hasher));
                }
                Found::None { problem } => problem.hash(hasher),
            }
        }
    });
    let list = PageList {
        site: site.site.id.as_str(),
        time_zone: site.site.time_zone.name(),
        as_of: now.with_timezone(&site.site.time_zone).to_rfc3339_opts(SecondsFormat::Secs, false),
        pages,
        stale: read.stale,
    };
    // A struct of strings and numbers always serialises.
    Ok(Made { body: serde_json::to_vec(&list).unwrap_or_default().into(), etag })
}

/// A value of the query. An address is bytes: what is not UTF-8 stays encoded, as in a hit's.
fn decoded(value: &str) -> String {
    let bytes: Vec<u8> = percent_decode_str(&value.replace('+', " ")).collect();
    String::from_utf8(bytes).unwrap_or_else(|error| percent_encode(error.as_bytes(), CONTROLS).to_string())
}

/// A page by its address, or by its path: all origins of a site are one.
fn page_named(site: &RegisteredSite, text: &str) -> Result<PageAddress, Refusal> {
    if !text.starts_with('/') {
        return page_of(site, text);
    }
    let url = Url::parse(&format!("http://page.invalid{text}"));
    let url = url.map_err(|error| Refusal::UrlMalformed { reason: error.to_string() })?;
    Ok(PageAddress::of(&url, &site.site.page_params))
}

fn figure(site: &Site, key: FigureKey, span: Span, today: Day, value: i64) -> Figure {
    let is_total = span == Span::Period(Period::Total);
    Figure {
        key: key.as_str(),
        label: if is_total {
            site.language.page_label().to_owned()
        } else {
            site.labels.get(&key).cloned().unwrap_or_else(|| key.label(site.language, site.label_style, today))
        },
        period: (!is_total).then(|| span.to_string()),
        value,
        text: site.language.number(value),
    }
}

/// The most read pages of the period that the query names.
pub async fn most_read<N: Node>(node: Arc<N>, site: Arc<RegisteredSite>, query: String) -> Result<Made, Refusal> {
    let now = clock::now();
    let today = Day::at(now, site.site.time_zone);
    let period = match form_field(&query, "period")? {
        None => today.month(),
        Some(text) => match text.parse() {
            Ok(Span::Period(period)) if !matches!(period, Period::Year(_)) => period,
            _ => {
                let expected = "a day such as `2024-06-17`, a month such as `2024-06`, or `total`";
                return Err(wrong("period", format!("`{}` is no period of pages: expected {expected}", shown(&text))));
            }
        },
    };
    let limit = count(&query, "limit", TOP_USUAL, TOP_MAX)?;
    let read = node.top_pages(&site, period, limit).await?;
    let etag = fresh::etag(|hasher| {
        (read.stale, period, site.site.language).hash(hasher);
        for top in &read.values {
            (top.page.as_str(), top.hits, &top.title).hash(hasher);
        }
    });
    let top = |(page, title, value): (PageAddress, Option<String>, i64)| Top {
        cut: page.is_cut(),
        page: page.to_string(),
        title,
        value,
        text: site.site.language.number(value),
    };
    let tops =
        read.values.into_iter().map(|top| (top.page, top.title.map(|title| title.as_str().to_owned()), top.hits));
    let list = TopList {
        site: site.site.id.as_str(),
        time_zone: site.site.time_zone.name(),
        as_of: now.with_timezone(&site.site.time_zone).to_rfc3339_opts(SecondsFormat::Secs, false),
        period: (period != Period::Total).then(|| period.to_string()),
        label: site.site.language.page_label(),
        pages: tops.map(top).collect(),
        stale: read.stale,
    };
    Ok(Made { body: serde_json::to_vec(&list).unwrap_or_default().into(), etag })
}

/// A number of the query, from 1 to `most`.
pub fn count(query: &str, field: &'static str, usual: usize, most: usize) -> Result<usize, Refusal> {
    let Some(text) = form_field(query, field)? else { return Ok(usual) };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<usize>().ok().filter(|number| digits && (1..=most).contains(number));
    number.ok_or_else(|| {
        wrong(field, format!("`{field}` is `{}`; expected a whole number from 1 to {most}", shown(&text)))
    })
}

pub fn wrong(field: &'static str, reason: String) -> Refusal {
    Refusal::Query { field, reason }
}
