//! Handler of hits: checks one, filters it or has the node count it, and reports the outcome.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Weak};
use std::time::Instant;

use prometheus::IntCounter;
use rustc_hash::FxHashMap;

use super::bot_filter::BotFilter;
use super::dedup::ViewKey;
use super::text_cache::TextCache;
use super::warnings::Topic;
use super::{
    Canonicals, Claim, Dedup, HitOutcome, Ignored, LiveHit, LiveHits, Parameters, Payload, ProcessedHit, RateLimiter,
    WhenExceeded, page_of, page_url, site, visitor,
};
use crate::bots::Kind;
use crate::clock;
use crate::counter::{Arrival, Day, Hit, PageAddress, PublicPart, RegisteredSite, SiteNumber};
use crate::metrics::Metrics;
use crate::server::http::{ClientIp, Field, HeaderFields, HttpError};
use crate::server::ports::{AdmittedPage, Node, PageReader};

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
    /// Room for the key of a URL with a canonical address.
    key: RefCell<String>,
    canonicals: Arc<Canonicals>,
    parameters: Arc<Parameters>,
    live_hits: Arc<LiveHits>,
    /// The day on which this worker last warned of readers that share a private address.
    warned_of_proxy: Cell<Option<Day>>,
    /// Hits whose canonical address is ignored, by reason.
    ignored: [IntCounter; Ignored::ALL.len()],
}

#[derive(Debug, Clone)]
struct KnownUrl {
    /// The site to which it belongs. Weak: a site that has been replaced, and its rules, must not stay for cold entries.
    site: Weak<RegisteredSite>,
    /// The page of the URL itself, where a canonical address comes with it.
    own: Option<PageAddress>,
    claim: Claim,
    /// The page under which editors let it count, where that is another.
    ruled: Option<PageAddress>,
    /// The day on which the page was last found to count under its own address.
    admitted_on: Option<Day>,
    /// The day on which it does so whoever reads it.
    settled_on: Option<Day>,
}

impl KnownUrl {
    /// The page under which a hit counts, as far as it is admitted.
    fn page(&self) -> &PageAddress {
        self.ruled.as_ref().unwrap_or(&self.claim.page)
    }

    /// The page as its readers know it: deleted ones are still different pages.
    fn read_page(&self) -> &PageAddress {
        self.ruled.as_ref().filter(|page| !page.is_other()).unwrap_or(&self.claim.page)
    }
}

impl HitHandler {
    pub fn new(
        metrics: Arc<Metrics>,
        rate_limiter: Arc<RateLimiter>,
        dedup: Arc<Dedup>,
        canonicals: Arc<Canonicals>,
        parameters: Arc<Parameters>,
        live_hits: Arc<LiveHits>,
        limits_new_pages: bool,
    ) -> Self {
        let ignored =
            Ignored::ALL.map(|ignored| metrics.canonical_ignored_total.with_label_values(&[ignored.as_str()]));
        Self {
            metrics,
            rate_limiter,
            dedup,
            limits_new_pages,
            bot_filter: BotFilter::default(),
            results: RefCell::default(),
            pages: RefCell::default(),
            key: RefCell::default(),
            canonicals,
            parameters,
            live_hits,
            warned_of_proxy: Cell::default(),
            ignored,
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
        let with_figures = with_figures && site.site.public.contains(PublicPart::Figures);
        let now = clock::now();
        let day = Day::at(now, site.site.time_zone);
        let known = self.known(&site, payload, day)?;
        site::check_origin(&site, &payload.url, headers)?;
        let instant = Instant::now();
        let live = self.live_hits.is_watched().then(|| known.read_page().clone());
        let see = |outcome, is_other| {
            if let Some(page) = live {
                self.live_hits.note(site.number, LiveHit { at: now, page, outcome, is_other }, instant);
            }
        };
        let page = known.read_page();
        let is_shared = || {
            let may_be_proxy = client.may_be_proxy();
            if may_be_proxy {
                self.warn_of_proxy(&site, day, page);
            }
            may_be_proxy
        };
        if let Err(exceeded) =
            self.rate_limiter.take(|| client.prefix(), is_shared, site.number, page.as_str(), instant)
        {
            self.metrics.limited_total.with_label_values(&[exceeded.limit.as_str()]).inc();
            self.note(&site, HitOutcome::LIMITED);
            see(HitOutcome::LIMITED, false);
            return match self.rate_limiter.when_exceeded {
                WhenExceeded::Refuse => Err(exceeded.into()),
                WhenExceeded::Ignore => Ok(ProcessedHit { site, outcome: HitOutcome::LIMITED }),
            };
        }
        let mut filtered = match site.site.excludes(|| client.address()) {
            true => Some(Kind::Excluded),
            false => self.bot_filter.classify(site.site.filtered_bots, headers, payload.webdriver),
        };
        let (mut view, mut is_other) = (None, false);
        let window = site.site.repeat_window;
        if filtered.is_none() && !window.is_zero() {
            view = self.view(&site, day, known.read_page(), headers, client);
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
            // The readers of a merged page see another title than its own.
            let takes_title = site.site.titles && known.ruled.is_none();
            let (page, ignored) = self.admit(node, &site, known, payload, day, client).await;
            is_other = page.is_other();
            if let Some(ignored) = ignored {
                self.ignored[ignored as usize].inc();
            }
            let title = payload.title.as_deref().filter(|_| takes_title && !page.is_other());
            let title = title.map(|title| (title, page.clone()));
            let visit = match site.site.counts_visitors() {
                true => visitor::visit_of(node, &site, now, headers, client).await,
                false => None,
            };
            let counting = node.count(Arrival::Hit { hit: Hit { site: site.number, day, page }, visit });
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
                let canonical = canonical_of(payload, ignored);
                let link = || page_url::link_of(&site, &page, &payload.url, canonical);
                node.note_title(&site, (&page, day), title, &link, &|| self.reader(client));
            }
        }
        let outcome = filtered.map_or(HitOutcome::COUNTED, HitOutcome::filtered);
        self.note(&site, outcome);
        see(outcome, is_other);
        Ok(ProcessedHit { site, outcome })
    }

    /// The page under which a hit counts, and the reason against its canonical address. For a vouched page a worker notes
    /// that address and asks the node a few times a day.
    async fn admit<N: Node>(
        &self,
        node: &N,
        site: &Arc<RegisteredSite>,
        mut known: KnownUrl,
        payload: &Payload<'_>,
        day: Day,
        client: &ClientIp<'_, impl HeaderFields>,
    ) -> (PageAddress, Option<Ignored>) {
        if known.settled_on == Some(day) {
            return (known.ruled.unwrap_or(known.claim.page), known.claim.ignored);
        }
        let is_new = known.admitted_on != Some(day);
        if is_new && let (Some(own), Some(canonical)) = (&known.own, canonical_of(payload, None)) {
            known.claim = self.canonicals.note(site, own.clone(), canonical, day);
            known.ruled = site.counts_under(&known.claim.page);
        }
        let ignored = known.claim.ignored;
        if let Some(page) = known.ruled.clone().filter(PageAddress::is_other) {
            // Deleted: nobody needs to vouch for it.
            let known = KnownUrl { settled_on: Some(day), ..known };
            self.with_key(payload, |key| self.pages.borrow_mut().insert(key, known));
            return (page, ignored);
        }
        let AdmittedPage { page, is_settled, is_cap_filling } =
            node.admit_page(site, day, known.page().clone(), self.reader(client)).await;
        if is_cap_filling {
            self.parameters.warnings().give(site, Topic::Cap, "", day, || {
                let cap = site.site.page_cap;
                format!(
                    "there are nearly as many new pages today as `page_cap` = {cap}; beyond, those that too few networks \
                     read count under `(other)`: somebody invents addresses, or a parameter makes each view a page"
                )
            });
        }
        let admitted_on = (page == *known.page()).then_some(day);
        if is_new && admitted_on.is_some() {
            let url = canonical_of(payload, ignored).unwrap_or(&payload.url);
            self.parameters.note(site, day, &page, url, payload.title.as_deref());
        }
        if is_new || is_settled || admitted_on.is_none() {
            let known = KnownUrl { admitted_on, settled_on: is_settled.then_some(day), ..known };
            self.with_key(payload, |key| self.pages.borrow_mut().insert(key, known));
        }
        (page, ignored)
    }

    fn reader(&self, client: &ClientIp<'_, impl HeaderFields>) -> PageReader {
        PageReader { client: client.prefix(), is_limited: self.limits_new_pages }
    }

    /// The page of a hit that may be refused yet: nothing is noted.
    fn known(&self, site: &Arc<RegisteredSite>, payload: &Payload<'_>, day: Day) -> Result<KnownUrl, HttpError> {
        let known = self.with_key(payload, |key| self.pages.borrow_mut().get(key));
        // The very same site: a reloaded configuration, or another rule of an editor, may map the URL otherwise.
        if let Some(known) =
            known.filter(|known| std::ptr::eq(known.site.as_ptr(), Arc::as_ptr(site)) && known.claim.holds_on(day))
        {
            return Ok(known);
        }
        let page = page_of(site, &payload.url)?;
        let (own, claim) = match canonical_of(payload, None) {
            None => (None, Claim { page, ignored: None, named: None }),
            Some(canonical) => (Some(page.clone()), self.canonicals.peek(site, page, canonical, day)),
        };
        let ruled = site.counts_under(&claim.page);
        Ok(KnownUrl { site: Arc::downgrade(site), own, claim, ruled, admitted_on: None, settled_on: None })
    }

    /// Calls `then` with the key of a hit's page. Begins unlike a URL where it holds two.
    fn with_key<T>(&self, payload: &Payload<'_>, then: impl FnOnce(&str) -> T) -> T {
        let url = &*payload.url;
        let Some(canonical) =
            payload.canonical.as_deref().filter(|canonical| !canonical.is_empty() && *canonical != url)
        else {
            return then(url);
        };
        let mut key = self.key.borrow_mut();
        key.clear();
        let mut length = itoa::Buffer::new();
        key.extend([":", length.format(url.len()), ":", url, canonical]);
        then(&key)
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

    /// Warns once a day that one private address brings more hits of a page than a network may.
    fn warn_of_proxy(&self, site: &RegisteredSite, day: Day, page: &PageAddress) {
        if self.warned_of_proxy.replace(Some(day)) == Some(day) {
            return;
        }
        let warnings = self.parameters.warnings();
        warnings.give(site, Topic::Proxy, "", day, || {
            format!(
                "an address of a private network alone brings more hits of page `{page}` than `page_rate` allows a \
                 network; they count, but if it is a proxy, all readers look like one: name it in `trusted_proxies`, and \
                 let it send the header that names the client"
            )
        });
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

/// The canonical address that a hit's page names, unless it is ignored.
fn canonical_of<'a>(payload: &'a Payload<'_>, ignored: Option<Ignored>) -> Option<&'a str> {
    payload.canonical.as_deref().filter(|canonical| ignored.is_none() && !canonical.is_empty())
}
