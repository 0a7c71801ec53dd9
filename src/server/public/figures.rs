//! Figures JSON, rendered once for each site, state and second.

use std::cell::RefCell;
use std::hash::Hash;
use std::rc::Rc;
use std::sync::Arc;

use hyper::header::HeaderValue;
use rustc_hash::FxHashMap;

use crate::counter::{Day, Figures, RegisteredSite, SiteNumber, VisitorCounts, figures};

use super::query::Overrides;
use crate::clock;
use crate::server::http::{HttpError, Rendered, conditional};
use crate::server::ports::Node;

/// One worker's rendered figures.
#[derive(Default)]
pub struct FiguresCache {
    /// With the figures that a site shows.
    of_sites: RefCell<FxHashMap<SiteNumber, Entry>>,
    /// With a request's overrides.
    overridden: RefCell<FxHashMap<(SiteNumber, Overrides), Entry>>,
}

/// A rendered answer, and the state that it is of.
#[derive(Clone)]
struct Entry {
    /// Version of the hits, version of the visitors if some of the figures are of visitors, and staleness.
    state: (u64, Option<u64>, bool),
    second: i64,
    site: Arc<RegisteredSite>,
    rendered: Rc<Rendered>,
}

/// Sites whose answers a worker keeps; when it has more, it empties the cache.
const SITES_MAX: usize = 10_000;
/// The same for overrides, of which a stranger may send any number.
const OVERRIDDEN_MAX: usize = 1_000;

impl FiguresCache {
    /// The answer now, with a request's overrides or as the site shows it.
    pub async fn rendered<N: Node>(
        &self,
        node: &N,
        site: &Arc<RegisteredSite>,
        overrides: Option<Overrides>,
    ) -> Result<Rc<Rendered>, HttpError> {
        let now = clock::now();
        let second = now.timestamp();
        let overridden = overrides.map(|overrides| (site.number, overrides));
        let kept = || {
            let entry = match &overridden {
                None => self.of_sites.borrow().get(&site.number).cloned(),
                Some(key) => self.overridden.borrow().get(key).cloned(),
            };
            entry.filter(|known| known.second == second && Arc::ptr_eq(&known.site, site))
        };
        // As a rule nothing has changed since the last rendering.
        if let Some(known) = kept()
            && let (version, None, stale) = known.state
            && node.version(site) == Some((version, stale))
        {
            return Ok(known.rendered);
        }
        let today = Day::at(now, site.site.time_zone);
        let overrides = overridden.as_ref().map(|(_, overrides)| overrides);
        let shown = overrides.and_then(|overrides| overrides.figures.as_deref()).unwrap_or(&site.site.figures);
        let periods = figures::periods(shown, today);
        let counts = node.hits(site, &periods).await?;
        let (visitors, visitors_version) = match shown.iter().any(|key| key.is_of_visitors()) {
            true => node.visitors(site, now).await.map(|(found, version)| (found, Some(version)))?,
            false => (VisitorCounts::default(), None),
        };
        let state = (counts.version, visitors_version, counts.stale);
        if let Some(known) = kept().filter(|known| known.state == state) {
            return Ok(known.rendered);
        }
        let hits = |period| {
            periods.iter().position(|wanted| *wanted == period).and_then(|at| counts.hits.get(at)).copied().unwrap_or(0)
        };
        let other = overrides.and_then(|overrides| overrides.apply(&site.site));
        let figures = Figures::compose(other.as_ref().unwrap_or(&site.site), shown, now, counts.stale, hits, visitors);
        // A struct of strings and numbers always serialises.
        let body = serde_json::to_vec(&figures).unwrap_or_default().into();
        let rendered = Rc::new(Rendered { body, etag: etag_of(&figures) });
        let entry = Entry { state, second, site: Arc::clone(site), rendered: Rc::clone(&rendered) };
        match overridden {
            None => keep(&self.of_sites, SITES_MAX, site.number, entry),
            Some(key) => keep(&self.overridden, OVERRIDDEN_MAX, key, entry),
        }
        Ok(rendered)
    }
}

fn keep<K: Eq + Hash>(all: &RefCell<FxHashMap<K, Entry>>, limit: usize, key: K, entry: Entry) {
    let mut all = all.borrow_mut();
    if all.len() >= limit {
        all.clear();
    }
    all.insert(key, entry);
}

/// A tag of the figures, whatever the time at which they were read.
fn etag_of(figures: &Figures) -> HeaderValue {
    conditional::etag(|hasher| {
        figures.title.hash(hasher);
        figures.stale.hash(hasher);
        for figure in &figures.figures {
            (figure.key, &figure.label, &figure.period, &figure.text).hash(hasher);
        }
    })
}
