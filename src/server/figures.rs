//! The figures JSON, rendered once per site, state and second.

use std::cell::RefCell;
use std::hash::Hash;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::HeaderValue;
use rustc_hash::FxHashMap;

use crate::counter::{Day, Figures, RegisteredSite, SiteNumber, VisitorCounts, figures};

use super::fresh;
use super::node::Node;
use super::refusal::Refusal;
use super::wanted::Wish;
use crate::clock;

/// One worker's rendered answers.
#[derive(Default)]
pub struct FigureAnswers {
    /// With the figures that a site shows.
    rendered: RefCell<FxHashMap<SiteNumber, Rc<Rendered>>>,
    /// As a request wished for them.
    on_request: RefCell<FxHashMap<(SiteNumber, Wish), Rc<Rendered>>>,
}

/// An answer as it is for a second, shared by all to whom it is given.
pub struct Rendered {
    version: u64,
    /// Of the visitors, where some of the figures are of them.
    visitors_version: Option<u64>,
    second: i64,
    stale: bool,
    site: Arc<RegisteredSite>,
    pub body: Bytes,
    pub etag: HeaderValue,
}

/// Sites whose answers a worker keeps; then it starts afresh.
const RENDERED_MAX: usize = 10_000;
/// The same for answers that strangers may ask for in any order.
const ON_REQUEST_MAX: usize = 1_000;

impl FigureAnswers {
    /// What is answered now: with the figures that are wished for, or those that the site shows.
    pub async fn rendered<N: Node>(
        &self,
        node: &N,
        site: &Arc<RegisteredSite>,
        wish: Option<Wish>,
    ) -> Result<Rc<Rendered>, Refusal> {
        let now = clock::now();
        let second = now.timestamp();
        let wished = wish.map(|wish| (site.number, wish));
        let kept = || {
            let known = match &wished {
                None => self.rendered.borrow().get(&site.number).cloned(),
                Some(wished) => self.on_request.borrow().get(wished).cloned(),
            };
            known.filter(|known| known.second == second && Arc::ptr_eq(&known.site, site))
        };
        // As a rule nothing has changed since it was rendered last.
        if let Some(known) = kept()
            && known.visitors_version.is_none()
            && node.version(site) == Some((known.version, known.stale))
        {
            return Ok(known);
        }
        let today = Day::at(now, site.site.time_zone);
        let wish = wished.as_ref().map(|(_, wish)| wish);
        let shown = wish.and_then(|wish| wish.figures.as_deref()).unwrap_or(&site.site.figures);
        let periods = figures::periods(shown, today);
        let counts = node.hits(site, &periods).await?;
        let (visitors, visitors_version) = match shown.iter().any(|key| key.is_of_visitors()) {
            true => node.visitors(site, now).await.map(|(found, version)| (found, Some(version)))?,
            false => (VisitorCounts::default(), None),
        };
        let state = (counts.version, visitors_version, counts.stale);
        if let Some(known) = kept().filter(|known| (known.version, known.visitors_version, known.stale) == state) {
            return Ok(known);
        }
        let hits = |period| {
            periods.iter().position(|wanted| *wanted == period).and_then(|at| counts.hits.get(at)).copied().unwrap_or(0)
        };
        let told = wish.and_then(|wish| wish.told_by(&site.site));
        let figures = Figures::compose(told.as_ref().unwrap_or(&site.site), shown, now, counts.stale, hits, visitors);
        // A struct of strings and numbers always serialises.
        let body = Bytes::from(serde_json::to_vec(&figures).unwrap_or_default());
        let rendered = Rc::new(Rendered {
            version: counts.version,
            visitors_version,
            second,
            stale: counts.stale,
            site: Arc::clone(site),
            body,
            etag: etag_of(&figures),
        });
        match wished {
            None => keep(&self.rendered, RENDERED_MAX, site.number, &rendered),
            Some(wished) => keep(&self.on_request, ON_REQUEST_MAX, wished, &rendered),
        }
        Ok(rendered)
    }
}

fn keep<K: Eq + Hash>(all: &RefCell<FxHashMap<K, Rc<Rendered>>>, limit: usize, key: K, rendered: &Rc<Rendered>) {
    let mut all = all.borrow_mut();
    if all.len() >= limit {
        all.clear();
    }
    all.insert(key, Rc::clone(rendered));
}

/// Over the figures, not over when they were read.
fn etag_of(figures: &Figures) -> HeaderValue {
    fresh::etag(|hasher| {
        figures.title.hash(hasher);
        figures.stale.hash(hasher);
        for figure in &figures.figures {
            (figure.key, &figure.label, &figure.period, &figure.text).hash(hasher);
        }
    })
}
