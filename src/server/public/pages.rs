//! Figures of pages, and the list of the most read.

use std::hash::Hash as _;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use percent_encoding::{CONTROLS, percent_decode_str, percent_encode};
use serde::Serialize;

use crate::counter::figures::{self, Figure};
use crate::counter::page::TOP_MAX;
use crate::counter::{Day, FigureKey, PageAddress, PageTitle, Period, PlainUrl, RegisteredSite, Site, Span};

use super::answer;
use super::query::{Query, count};
use crate::clock;
use crate::server::hit::{Canonicals, page_of, page_url};
use crate::server::http::{HttpError, Rendered, form, shown};
use crate::server::ports::{Node, Read, TopPage};

/// Pages of one request: about as many as fit into an address.
const URLS_MAX: usize = 50;
/// Length of the list of the most read pages, if a request names none.
pub const TOP_DEFAULT: usize = 10;

#[derive(Default, Serialize)]
pub struct TopList<'a> {
    period: Option<String>,
    /// Of a list of a range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub under: Option<&'a str>,
    /// The words beside a page's count.
    label: &'a str,
    pages: Vec<TopLine>,
}

#[derive(Serialize)]
struct TopLine {
    page: String,
    /// The address is only the start of a longer one, and no link.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
    /// Path and query that open the page, to be put behind one of the site's origins; none for a page without one.
    link: Option<String>,
    /// The page's own title, as text.
    title: Option<String>,
    value: i64,
    text: String,
}

/// The pages that a query names, in its order and its words, which the answer repeats, and their figures.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PagesNamed {
    /// Each page, with the canonical address that follows it.
    urls: Vec<(String, Option<String>)>,
    keys: Vec<FigureKey>,
}

impl PagesNamed {
    pub fn of(query: &str) -> Result<Self, HttpError> {
        let mut urls: Vec<(String, Option<String>)> = Vec::new();
        for pair in query.split('&') {
            if let Some(url) = pair.strip_prefix("url=") {
                urls.push((decoded(url), None));
            } else if let (Some(canonical), Some((_, named))) = (pair.strip_prefix("canonical="), urls.last_mut()) {
                *named = Some(decoded(canonical)).filter(|canonical| !canonical.is_empty());
            }
        }
        match urls.len() {
            0 => {
                return Err(HttpError::field(
                    "url",
                    "the query names no page; add `url=`, the page's address, once for each page".to_owned(),
                ));
            }
            count if count > URLS_MAX => {
                return Err(HttpError::field("url", format!("the query names {count} pages; send at most {URLS_MAX}")));
            }
            _ => {}
        }
        let overrides = Query::of(Some(query))?.overrides()?;
        let keys = overrides.and_then(|overrides| overrides.figures).unwrap_or_else(|| vec![FigureKey::Total]);
        Ok(Self { urls, keys })
    }

    /// The work of the answer, in histories: ten pages, or a hundred counters.
    pub fn weight(&self) -> u32 {
        let counters = |key: &FigureKey| match key {
            FigureKey::Week | FigureKey::LastWeek => 7,
            _ => 1,
        };
        let of_page: usize = self.keys.iter().map(counters).sum();
        let pages = self.urls.len();
        pages.div_ceil(10).max((pages * of_page).div_ceil(100)) as u32
    }
}

/// The hits of pages that a query names.
pub struct PageHits {
    /// Each page as it is named, or what is wrong with its address.
    named: Vec<(String, Result<PageAddress, HttpError>)>,
    keys: Vec<FigureKey>,
    periods: Vec<Period>,
    now: DateTime<Utc>,
    /// The periods of the first page without a fault, then those of the next.
    read: Read<i64>,
}

/// Reads the hits of pages.
pub async fn read<N: Node>(
    node: &Arc<N>,
    canonicals: &Canonicals,
    site: &Arc<RegisteredSite>,
    PagesNamed { urls, keys }: PagesNamed,
) -> Result<PageHits, HttpError> {
    let now = clock::now();
    let today = Day::at(now, site.site.time_zone);
    let named = |(url, canonical): &(String, Option<String>)| {
        let believed = |own| match canonical {
            Some(canonical) => canonicals.peek(site, own, canonical, today).page,
            None => own,
        };
        page_named(site, url, believed)
    };
    let named: Vec<_> = urls.iter().map(named).collect();
    let pages: Vec<_> = named.iter().flatten().cloned().collect();
    if let (true, Some(Err(error))) = (pages.is_empty(), named.first()) {
        return Err(error.clone());
    }
    let mut periods = Vec::new();
    for key in &keys {
        if key.is_of_visitors() {
            let reason = format!("visitors are counted by site, not by page, so pages have no `{}`", key.as_str());
            return Err(HttpError::field("figures", reason));
        }
        for period in key.span(today).periods() {
            if matches!(period, Period::Year(_)) {
                let reason =
                    format!("pages are counted by day, month and in total, so they have no `{}`", key.as_str());
                return Err(HttpError::field("figures", reason));
            }
            if !periods.contains(&period) {
                periods.push(period);
            }
        }
    }
    let read = node.page_hits(site, &pages, &periods).await?;
    let named = urls.into_iter().map(|(url, _)| url).zip(named).collect();
    Ok(PageHits { named, keys, periods, now, read })
}

impl PageHits {
    /// Renders the figures of pages. What is the same for all pages is rendered once.
    pub fn render(&self, site: &Site) -> Rendered {
        let Self { named, keys, periods, now, read } = self;
        let today = Day::at(*now, site.time_zone);
        let figures: Vec<_> = keys.iter().map(|key| FigureOfPages::new(site, *key, today, periods)).collect();
        let mut hits_of_pages = read.values.chunks(periods.len().max(1));
        let mut pages = String::with_capacity(named.len() * (64 + 128 * figures.len()));
        for (url, named) in named {
            pages.push_str(if pages.is_empty() { "{\"url\":" } else { ",{\"url\":" });
            pages.push_str(&json(url));
            match named {
                Ok(page) => {
                    let hits = hits_of_pages.next().unwrap_or_default();
                    pages.push_str(",\"page\":");
                    pages.push_str(&json(page.as_str()));
                    pages.push_str(",\"figures\":[");
                    for (at, figure) in figures.iter().enumerate() {
                        pages.push_str(if at > 0 { "," } else { "" });
                        figure.push(site, hits, &mut pages);
                    }
                    pages.push_str("]}");
                }
                Err(error) => {
                    pages.push_str(",\"problem\":");
                    pages.push_str(&json(&error.problem()));
                    pages.push('}');
                }
            }
        }
        answer::written(
            site,
            *now,
            read.stale,
            |hasher| pages.hash(hasher),
            |body| {
                body.push_str("\"pages\":[");
                body.push_str(&pages);
                body.push(']');
            },
        )
    }
}

/// A figure of pages: all but its value.
struct FigureOfPages {
    /// Places of its periods among those that were read.
    periods: Vec<usize>,
    /// Its JSON up to the value.
    start: String,
}

impl FigureOfPages {
    fn new(site: &Site, key: FigureKey, today: Day, read: &[Period]) -> Self {
        let span = key.span(today);
        let figure = figure(site, key, span, today, 0);
        let start = format!(
            "{{\"key\":{},\"label\":{},\"period\":{},\"value\":",
            json(figure.key),
            json(&figure.label),
            json(&figure.period)
        );
        let periods = span.periods().filter_map(|period| read.iter().position(|of| *of == period)).collect();
        Self { periods, start }
    }

    fn push(&self, site: &Site, hits: &[i64], text: &mut String) {
        let value = figures::shown(self.periods.iter().filter_map(|at| hits.get(*at)).sum());
        text.push_str(&self.start);
        text.push_str(itoa::Buffer::new().format(value));
        text.push_str(",\"text\":\"");
        site.language.push_number(value, text);
        text.push_str("\"}");
    }
}

/// Texts and structs of texts and numbers always serialise.
fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Decodes a value of the query. Bytes that are not UTF-8 stay encoded, as in a hit's address.
fn decoded(value: &str) -> String {
    let bytes: Vec<u8> = percent_decode_str(&value.replace('+', " ")).collect();
    String::from_utf8(bytes).unwrap_or_else(|error| percent_encode(error.as_bytes(), CONTROLS).to_string())
}

/// The page of an address or of a path, since all origins of a site are one; as a hit's, by the canonical address
/// where that is believed.
pub fn page_named(
    site: &RegisteredSite,
    text: &str,
    believed: impl FnOnce(PageAddress) -> PageAddress,
) -> Result<PageAddress, HttpError> {
    if text.starts_with('/') {
        let (url, rules) = (format!("http://page.invalid{text}"), &site.site.page_rules);
        if let Some(plain) = PlainUrl::of(&url)
            && let Some(page) = PageAddress::of_plain_path(plain.path, rules)
        {
            return Ok(believed(page));
        }
        Ok(believed(PageAddress::of(&page_url::parse(&url)?, rules)))
    } else {
        page_of(site, text).map(believed)
    }
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

/// The period of pages that the query names, or this month.
pub fn period(query: &str, today: Day) -> Result<Period, HttpError> {
    let Some(text) = form::field(query, "period")? else { return Ok(today.month()) };
    Period::of_pages(&text).ok_or_else(|| {
        let expected = Period::OF_PAGES;
        HttpError::field("period", format!("`{}` is not a period of pages; expected {expected}", shown(&text)))
    })
}

/// Path and query that open a page, to be put behind one of the site's origins; none for a page without one.
pub fn link_of(TopPage { page, title, .. }: &TopPage) -> Option<String> {
    match title.as_ref().and_then(PageTitle::link) {
        Some(link) => Some(link.to_owned()),
        None => (!page.is_cut() && !page.is_other() && !page.as_str().starts_with("//")).then(|| page.to_string()),
    }
}

/// A list of the most read pages of a period.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Top {
    period: Period,
    limit: usize,
}

impl Top {
    pub fn of(query: &str, today: Day) -> Result<Self, HttpError> {
        Ok(Self { period: period(query, today)?, limit: count(query, "limit", TOP_DEFAULT, TOP_MAX)? })
    }
}

impl Top {
    pub fn period(&self) -> Period {
        self.period
    }

    /// Renders the list: the first pages of those read.
    pub fn render(&self, site: &Site, read: &Read<TopPage>) -> Rendered {
        let period = (self.period != Period::Total).then(|| self.period.to_string());
        let list = TopList::of(site, period, &read.values, self.limit);
        answer::render(site, clock::now(), &list, read.stale)
    }
}

impl TopList<'_> {
    /// The first of these pages.
    pub fn of(site: &Site, period: Option<String>, pages: &[TopPage], limit: usize) -> Self {
        let line = |page: &TopPage| TopLine {
            cut: page.page.is_cut(),
            link: link_of(page),
            page: page.page.to_string(),
            title: page.title.as_ref().map(|title| title.as_str().to_owned()),
            value: page.hits,
            text: site.language.number(page.hits),
        };
        let label = site.language.page_label();
        Self { period, label, pages: pages.iter().take(limit).map(line).collect(), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_pages_weigh_by_their_pages_and_counters() {
        let weight = |pages: usize, figures: &str| {
            let urls: String = (0..pages).map(|at| format!("&url=/{at}")).collect();
            PagesNamed::of(&format!("figures={figures}{urls}")).unwrap().weight()
        };
        assert_eq!(
            [weight(1, "total"), weight(10, "total"), weight(50, "total"), weight(50, "today,total")],
            [1, 1, 5, 5]
        );
        assert_eq!([weight(1, "week,last_week,total"), weight(50, "week,last_week,total")], [1, 8]);
    }

    #[test]
    fn an_answer_about_pages_is_json_whatever_the_addresses() {
        let site = Site::with_defaults("demo".parse().unwrap(), Vec::new());
        let today = Day::from_ymd(2024, 6, 17).unwrap();
        let page = |text: &str| PageAddress::from_stored(text);
        let problem = HttpError::field("url", "no \"url\"");
        let hits = PageHits {
            named: vec![
                ("/\"a\"\n".to_owned(), Ok(page("/\"a\""))),
                ("x".to_owned(), Err(problem.clone())),
                ("/b".to_owned(), Ok(page("/b"))),
            ],
            keys: vec![FigureKey::Today, FigureKey::Total],
            periods: vec![Period::Total, Period::Day(today)],
            now: "2024-06-17T05:00:00Z".parse().unwrap(),
            read: Read { values: vec![1_234, 5, -7, 0], stale: true },
        };
        let rendered = hits.render(&site);
        let json: serde_json::Value = serde_json::from_slice(&rendered.body).unwrap();
        let expected = |url: &str, page: &str, today: (i64, &str), total: (i64, &str)| {
            serde_json::json!({"url": url, "page": page, "figures": [
                {"key": "today", "label": "Hôm nay", "period": "2024-06-17", "value": today.0, "text": today.1},
                {"key": "total", "label": "Lượt xem", "period": null, "value": total.0, "text": total.1},
            ]})
        };
        assert_eq!(json["pages"][0], expected("/\"a\"\n", "/\"a\"", (5, "5"), (1_234, "1.234")));
        assert_eq!(json["pages"][1], serde_json::json!({"url": "x", "problem": problem.problem()}));
        assert_eq!(json["pages"][2], expected("/b", "/b", (0, "0"), (0, "0")));
        assert_eq!((&json["stale"], &json["site"]), (&true.into(), &"demo".into()));
    }
}
