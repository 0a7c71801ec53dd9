//! Queries of figures, pages, history and chart, answered by a node that knows every count.

use std::future::Future;
use std::sync::{Arc, LazyLock};

use futures_util::FutureExt as _;
use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper::{StatusCode, Uri};
use thongke::counter::page::TOP_MAX;
use thongke::counter::{Day, Listing, RegisteredSite, Site, SiteNumber};
use thongke::metrics::Metrics;
use thongke::server::history::{self, Format, Stretch};
use thongke::server::history_blocks::HistoryBlocks;
use thongke::server::hit::payload::Payload;
use thongke::server::hit::{Canonicals, Warnings};
use thongke::server::pages::{self, PagesNamed, Top};
use thongke::server::ports::Node as _;
use thongke::server::query::{Overrides, Query};
use thongke::server::ranged_top::RangedTop;
use tokio::runtime::{Builder, LocalOptions};

use super::blank_node::BlankNode;

/// Largest answer to any query: a chart of a year of days.
const ANSWER_BYTES_MAX: usize = 200_000;

/// Nothing is noted in it.
static CANONICALS: LazyLock<Arc<Canonicals>> =
    LazyLock::new(|| Arc::new(Canonicals::new(Arc::new(Warnings::new(&Metrics::new())))));

pub fn holds(input: &[u8]) {
    // A query that hyper accepts.
    let Ok(uri) = Uri::try_from([b"/?", input].concat()) else { return };
    let query = uri.query().unwrap_or_default();
    let site = site();
    if let Ok(Query::Figures(Some(Overrides { figures: Some(keys), .. }))) = Query::of(Some(query)) {
        let names: Vec<_> = keys.iter().map(|key| key.as_str()).collect();
        assert!(!names.is_empty() && names.iter().all(|name| names.iter().filter(|n| n == &name).count() == 1));
        let written = format!("figures={}", names.join(","));
        let overrides = Overrides { figures: Some(keys), ..Overrides::default() };
        assert_eq!(Query::of(Some(&written)), Ok(Query::Figures(Some(overrides))), "keys read as they are written");
    }
    if let Ok(payload) = Payload::parse_query(query, None) {
        assert!(!payload.site.contains('\u{fffd}') && !payload.url.contains('\u{fffd}'));
    }
    let node = || Arc::new(BlankNode::default());
    let today = Day::from_ymd(2024, 6, 17).unwrap();
    let blocks = HistoryBlocks::default();
    let figures = PagesNamed::of(query).and_then(|named| {
        let hits = now(pages::read(&node(), &CANONICALS, &site, named))?;
        Ok(hits.render(&site.site))
    });
    if let Some(answer) = json(figures.map(|rendered| rendered.body).map_err(|error| error.status)) {
        let urls = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "url").count();
        assert!(urls <= 50 && answer["pages"].as_array().unwrap().len() == urls);
    }
    let most_read = Top::of(query, today).and_then(|top| {
        let read = now(node().top_pages(&site, top.period(), TOP_MAX, Listing::Public))?;
        Ok(top.render(&site.site, &read))
    });
    if let Some(answer) = json(most_read.map(|rendered| rendered.body).map_err(|error| error.status)) {
        assert!((1..=100).contains(&answer["pages"].as_array().unwrap().len()));
    }
    if let Ok(Some(ranged)) = RangedTop::of(query, &site.site, today) {
        assert!((1..500).contains(&ranged.weight()), "a client may ask for it");
    }
    let history = |format| {
        Stretch::of_history(query, today)
            .and_then(|stretch| Ok(now(stretch.read(&node(), &blocks, &site))?.history(&site.site, format)))
    };
    let lines = history(Format::Json);
    if let Some(answer) = json(lines.map(|rendered| rendered.body).map_err(|error| error.status)) {
        let lines = answer["history"].as_array().unwrap();
        assert!((1..=history::LINES_MAX).contains(&lines.len()));
        let periods: Vec<_> = lines.iter().map(|line| line["period"].as_str().unwrap()).collect();
        assert!(periods.is_sorted(), "{periods:?}");
    }
    if let Ok(format @ Format::Csv) = Format::of(query, &HeaderMap::new()) {
        let csv = history(format);
        if let Some(csv) = bounded(csv.map(|rendered| rendered.body).map_err(|error| error.status)) {
            assert!(csv.starts_with(b"period,hits\n"));
        }
    }
    let chart = Stretch::of_chart(query, today)
        .and_then(|stretch| Ok(now(stretch.read(&node(), &blocks, &site))?.chart(&site.site)));
    if let Some(svg) = bounded(chart.map(|rendered| rendered.body).map_err(|error| error.status)) {
        assert!(svg.starts_with(b"<svg"));
    }
}

/// The node answers at once, and so does the server.
fn now<T>(answer: impl Future<Output = T>) -> T {
    // As on a worker, whose values are swept by a task.
    let runtime = Builder::new_current_thread().enable_time().build_local(LocalOptions::default());
    let runtime = runtime.expect("a runtime can be built");
    runtime.block_on(async { answer.now_or_never() }).expect("nothing is waited for")
}

/// None where the query is refused; nothing else may be wrong with it.
fn bounded(answer: Result<Bytes, StatusCode>) -> Option<Bytes> {
    match answer {
        Ok(body) => {
            assert!(body.len() <= ANSWER_BYTES_MAX, "{} bytes", body.len());
            Some(body)
        }
        Err(status) => {
            assert!(matches!(status.as_u16(), 400 | 403), "{status}");
            None
        }
    }
}

fn json(answer: Result<Bytes, StatusCode>) -> Option<serde_json::Value> {
    bounded(answer).map(|body| serde_json::from_slice(&body).expect("JSON"))
}

fn site() -> Arc<RegisteredSite> {
    let origins = vec!["https://a.vn".parse().unwrap()];
    Arc::new(RegisteredSite::new(SiteNumber(1), Site::with_defaults("a".parse().unwrap(), origins)))
}
