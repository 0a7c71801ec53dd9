//! Handler of hits: checks one, filters it or has the node count it, and reports the outcome.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use prometheus::IntCounter;
use rustc_hash::FxHashMap;

use super::bot_filter::BotFilter;
use super::dedup::ViewKey;
use super::text_cache::TextCache;
use super::{Dedup, HitOutcome, Payload, ProcessedHit, RateLimiter, WhenExceeded, page_of, site, visitor};
use crate::bots::Kind;
use crate::clock;
use crate::counter::{Arrival, Day, Hit, PageAddress, RegisteredSite, SiteNumber};
use crate::metrics::Metrics;
use crate::server::http::{ClientIp, Field, HeaderFields, HttpError};
use crate::server::ports::Node;

/// One worker's handler of hits.
pub struct HitHandler {
    metrics: Arc<Metrics>,
    rate_limiter: Arc<RateLimiter>,
    dedup: Arc<Dedup>,
    /// Clients have a limit of new pages.
    limits_new_pages: bool,
    bot_filter: BotFilter,
    /// Metric handles by site and result. Without a number: the sites that share a series.
    results: RefCell<FxHashMap<(Option<SiteNumber>, &'static str), IntCounter>>,
    /// Pages of recent URLs.
    pages: RefCell<TextCache<KnownUrl>>,
}

#[derive(Debug, Clone)]
struct KnownUrl {
    site: Arc<RegisteredSite>,
    page: PageAddress,
    /// The day on which the page was last found to count under its own address.
    admitted_on: Option<Day>,
}

impl HitHandler {
    pub fn new(
        metrics: Arc<Metrics>,
        rate_limiter: Arc<RateLimiter>,
        dedup: Arc<Dedup>,
        limits_new_pages: bool,
    ) -> Self {
        Self {
            metrics,
            rate_limiter,
            dedup,
            limits_new_pages,
            bot_filter: BotFilter::default(),
            results: RefCell::default(),
            pages: RefCell::default(),
        }
    }

    /// Resolves when the hit is on disk or filtered and, with `with_figures`, Redis's totals are read.
    pub async fn handle<N: Node, H: HeaderFields>(
        &self,
        node: &N,
        payload: &Payload<'_>,
        headers: &H,
        client: &ClientIp<'_, H>,
        with_figures: bool,
    ) -> Result<ProcessedHit, HttpError> {
        let site = site::find(&node.sites(), &payload.site)?;
        let known = self.known(&site, &payload.url)?;
        site::check_origin(&site, &payload.url, headers)?;
        let instant = Instant::now();
        if let Err(exceeded) = self.rate_limiter.take(|| client.prefix(), site.number, known.page.as_str(), instant) {
            self.metrics.limited_total.with_label_values(&[exceeded.limit.as_str()]).inc();
            self.note(&site, HitOutcome::LIMITED);
            return match self.rate_limiter.when_exceeded {
                WhenExceeded::Refuse => Err(exceeded.into()),
                WhenExceeded::Ignore => Ok(ProcessedHit { site, outcome: HitOutcome::LIMITED }),
            };
        }
        let now = clock::now();
        let day = Day::at(now, site.site.time_zone);
        let mut filtered = self.bot_filter.classify(site.site.filtered_bots, headers, payload.webdriver);
        let mut view = None;
        let window = site.site.repeat_window;
        if filtered.is_none() && !window.is_zero() {
            view = self.view(&site, day, &known.page, headers, client);
            if view.is_some_and(|view| self.dedup.is_repeat(view, window, instant)) {
                filtered = Some(Kind::Repeat);
            }
        }
        if let Some(kind) = filtered {
            node.note_uncounted(&site, day, kind);
            let reload = async {
                if kind == Kind::Repeat
                    && site.site.counts_visitors()
                    && let Some(visit) = visitor::visit_of(node, &site, now, headers, client).await
                    && let Err(error) = node.reload(&site, day, visit).await
                {
                    tracing::debug!(site = %site.site.id, "a reload's visitor is not counted: {error}");
                }
            };
            if with_figures {
                futures_util::future::join(reload, node.refresh(&site)).await;
            } else {
                reload.await;
            }
        } else {
            let known = self.admit(node, known, &payload.url, day, client).await;
            let title = payload.title.as_deref().filter(|_| !known.page.is_other());
            let title = title.map(|title| (title, known.page.clone()));
            let visit = match site.site.counts_visitors() {
                true => visitor::visit_of(node, &site, now, headers, client).await,
                false => None,
            };
            let counting = node.count(Arrival::Hit { hit: Hit { site: site.number, day, page: known.page }, visit });
            let counted = if with_figures {
                futures_util::future::join(counting, node.refresh(&site)).await.0
            } else {
                counting.await
            };
            if let (Err(_), Some(view)) = (&counted, view) {
                self.dedup.forget(view);
            }
            counted?;
            if let Some((title, page)) = title {
                node.note_title(&site, &page, title);
            }
        }
        let outcome = filtered.map_or(HitOutcome::COUNTED, HitOutcome::filtered);
        self.note(&site, outcome);
        Ok(ProcessedHit { site, outcome })
    }

    /// The page under which a hit counts. For a recurring URL a worker asks the node twice a day.
    async fn admit<N: Node>(
        &self,
        node: &N,
        known: KnownUrl,
        url: &str,
        day: Day,
        client: &ClientIp<'_, impl HeaderFields>,
    ) -> KnownUrl {
        if known.admitted_on == Some(day) {
            return known;
        }
        let client = if self.limits_new_pages { client.prefix() } else { None };
        let page = node.admit_page(&known.site, day, known.page.clone(), client).await;
        let admitted_on = (page == known.page).then_some(day);
        let known = KnownUrl { admitted_on, ..known };
        self.pages.borrow_mut().insert(url, known.clone());
        KnownUrl { page, ..known }
    }

    fn known(&self, site: &Arc<RegisteredSite>, url: &str) -> Result<KnownUrl, HttpError> {
        let mut pages = self.pages.borrow_mut();
        match pages.get(url) {
            // The very same site: a reloaded configuration may map the URL otherwise.
            Some(known) if Arc::ptr_eq(&known.site, site) => Ok(known),
            _ => Ok(KnownUrl { site: Arc::clone(site), page: page_of(site, url)?, admitted_on: None }),
        }
    }

    /// The key of a visitor's view of a page; none if the visitor opts out or has no known address.
    fn view<H: HeaderFields>(
        &self,
        site: &RegisteredSite,
        day: Day,
        page: &PageAddress,
        headers: &H,
        client: &ClientIp<'_, H>,
    ) -> Option<ViewKey> {
        if visitor::opts_out(headers) {
            return None;
        }
        let user_agent = headers.first(Field::UserAgent);
        // The day is part of the key: no window reaches across the site's midnight.
        Some(self.dedup.key((site.number, day, client.prefix()?, user_agent, page.as_str())))
    }

    fn note(&self, site: &RegisteredSite, outcome: HitOutcome) {
        let (label, is_own) = site::metric_label(site);
        let mut results = self.results.borrow_mut();
        let counter = results
            .entry((is_own.then_some(site.number), outcome.result))
            .or_insert_with(|| self.metrics.hits_total.with_label_values(&[label, outcome.result]));
        counter.inc();
    }
}
