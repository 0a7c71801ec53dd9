//! The figures JSON, rendered once per site, state and second.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use hyper::{Response, StatusCode};
use rustc_hash::FxHashMap;

use crate::counter::{Day, EnrolledSite, FigureKey, Figures, SiteNumber, VisitorCounts};

use super::answer::{self, AnswerBody, CORP, CROSS_ORIGIN, JSON};
use super::node::Node;
use super::refusal::Refusal;
use super::{clock, cors};

/// One worker's rendered answers.
#[derive(Default)]
pub struct FigureAnswers {
    rendered: RefCell<FxHashMap<SiteNumber, Rendered>>,
}

#[derive(Clone)]
struct Rendered {
    version: u64,
    second: i64,
    stale: bool,
    site: Arc<EnrolledSite>,
    body: Bytes,
    etag: HeaderValue,
}

/// Sites whose answers a worker keeps; then it starts afresh.
const RENDERED_MAX: usize = 10_000;

const FRESH_FOR_A_SECOND: HeaderValue = HeaderValue::from_static("public, max-age=1");

impl FigureAnswers {
    /// The body of a counted hit's answer.
    pub async fn after_hit<N: Node>(&self, node: &N, site: &Arc<EnrolledSite>) -> Result<Bytes, Refusal> {
        Ok(self.render(node, site).await?.body)
    }

    pub async fn query<N: Node>(
        &self,
        node: &N,
        site: &Arc<EnrolledSite>,
        request: &HeaderMap,
    ) -> Result<Response<AnswerBody>, Refusal> {
        let rendered = self.render(node, site).await?;
        let is_known = request
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|list| list.split(','))
            .any(|tag| tag.trim() == "*" || tag.trim().as_bytes() == rendered.etag.as_bytes());
        let mut response = if is_known {
            answer::with_body(StatusCode::NOT_MODIFIED, HeaderMap::with_capacity(8), Bytes::new())
        } else {
            answer::typed(StatusCode::OK, JSON, rendered.body)
        };
        let headers = response.headers_mut();
        headers.insert(ETAG, rendered.etag);
        headers.insert(CACHE_CONTROL, FRESH_FOR_A_SECOND);
        headers.insert(CORP, CROSS_ORIGIN);
        cors::allow_any(headers);
        Ok(response)
    }

    async fn render<N: Node>(&self, node: &N, site: &Arc<EnrolledSite>) -> Result<Rendered, Refusal> {
        let now = clock::now();
        let second = now.timestamp();
        let today = Day::at(now, site.site.time_zone);
        let periods: Vec<_> = site.site.figures.iter().map(|key| key.period(today)).collect();
        let mut counts = node.hits(site, &periods).await?;
        let mut visitors = VisitorCounts::default();
        if site.site.figures.iter().copied().any(FigureKey::is_of_visitors) {
            let (found, version) = node.visitors(site, now).await?;
            visitors = found;
            counts.version += version;
        }
        if let Some(known) = self.rendered.borrow().get(&site.number)
            && (known.version, known.second, known.stale) == (counts.version, second, counts.stale)
            && Arc::ptr_eq(&known.site, site)
        {
            return Ok(known.clone());
        }
        let hits = |period| {
            periods.iter().position(|wanted| *wanted == period).and_then(|at| counts.hits.get(at)).copied().unwrap_or(0)
        };
        let figures = Figures::compose(&site.site, &site.site.figures, now, counts.stale, hits, visitors);
        // A struct of strings and numbers always serialises.
        let body = Bytes::from(serde_json::to_vec(&figures).unwrap_or_default());
        let rendered = Rendered {
            version: counts.version,
            second,
            stale: counts.stale,
            site: Arc::clone(site),
            body,
            etag: etag_of(&figures),
        };
        let mut all = self.rendered.borrow_mut();
        if all.len() >= RENDERED_MAX {
            all.clear();
        }
        all.insert(site.number, rendered.clone());
        Ok(rendered)
    }
}

/// Over the figures, not over when they were read. The hasher's keys are fixed, so that nodes and
/// restarts agree.
fn etag_of(figures: &Figures) -> HeaderValue {
    let mut hasher = DefaultHasher::new();
    figures.title.hash(&mut hasher);
    figures.stale.hash(&mut hasher);
    for figure in &figures.figures {
        (figure.key, &figure.label, &figure.period, figure.value).hash(&mut hasher);
    }
    HeaderValue::from_str(&format!("W/\"{:016x}\"", hasher.finish())).unwrap_or(HeaderValue::from_static("W/\"0\""))
}
