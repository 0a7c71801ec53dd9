//! What makes a hit: its fields, its site, its page, its origin.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use hyper::header::{CACHE_CONTROL, HeaderMap, HeaderValue, ORIGIN};
use prometheus::IntCounter;
use rustc_hash::FxHashMap;
use url::Url;

use crate::bots::{BOT, Kind};
use crate::counter::{Arrival, ClientPrefix, Day, Hit, PageAddress, PlainUrl, RegisteredSite, SiteNumber, Sites};
use crate::metrics::Metrics;

use super::admission::{Admission, WhenExceeded};
use super::answer::{self, CORP, CROSS_ORIGIN, JSON, NO_STORE, THONGKE_HIT, THONGKE_HIT_KIND};
use super::client::Sender;
use super::fields::{self, Field, HeaderFields};
use super::node::Node;
use super::recent::Recent;
use super::refusal::{Refusal, shown};
use super::repeats::View;
use super::screen::Screen;
use super::{cors, series, visit};
use crate::clock;

pub use super::hit_fields::Fields;

/// What the answer and the metrics call a hit that is not counted because too many came.
pub const LIMITED: &str = "limited";

pub const COUNTED: &str = "counted";

/// What an answer says of its hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// `Thongke-Hit`: `counted`, or why not.
    pub result: &'static str,
    /// `Thongke-Hit-Kind`: which kind of bot.
    pub kind: Option<&'static str>,
}

impl Verdict {
    const COUNTED: Self = Self { result: COUNTED, kind: None };
    const LIMITED: Self = Self { result: LIMITED, kind: None };

    fn spared(kind: Kind) -> Self {
        // Of the others, the result says it all.
        Self { result: kind.result(), kind: (kind.result() == BOT).then(|| kind.as_str()) }
    }

    pub fn put(self, headers: &mut HeaderMap) {
        headers.insert(THONGKE_HIT, HeaderValue::from_static(self.result));
        if let Some(kind) = self.kind {
            headers.insert(THONGKE_HIT_KIND, HeaderValue::from_static(kind));
        }
    }
}

pub fn find_site(sites: &Sites, id: &str) -> Result<Arc<RegisteredSite>, Refusal> {
    if let Some(site) = sites.get(id) {
        return Ok(Arc::clone(site));
    }
    let lower = id.to_ascii_lowercase();
    Err(match sites.get(&lower) {
        Some(_) => Refusal::SiteMisspelt { site: shown(id), suggestion: lower },
        None => Refusal::SiteUnknown { site: shown(id) },
    })
}

/// A page: an address on one of the site's origins.
pub fn page_of(site: &RegisteredSite, text: &str) -> Result<PageAddress, Refusal> {
    if let Some(url) = PlainUrl::of(text)
        && let Some(page) = PageAddress::of_plain(url)
    {
        return match site.site.covers_plain(url) {
            true => Ok(page),
            false => Err(Refusal::PageForeign { site: site.site.id.to_string() }),
        };
    }
    let url = Url::parse(text).map_err(|error| Refusal::UrlMalformed { reason: error.to_string() })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Refusal::UrlScheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refusal::UrlCredentials);
    }
    if !site.site.covers(&url) {
        return Err(Refusal::PageForeign { site: site.site.id.to_string() });
    }
    Ok(PageAddress::of(&url, &site.site.page_params))
}

/// The `Origin` field, where a browser sent one, must agree with the page, which is one of the
/// site's. It is no proof: anyone but a browser can write anything there.
fn check_origin(site: &RegisteredSite, page: &str, headers: &impl HeaderFields) -> Result<(), Refusal> {
    let agrees = |origin: &[u8]| {
        // As a rule the page's own origin.
        let is_origin = origin.iter().filter(|byte| **byte == b'/').count() == 2;
        if is_origin
            && let Some(rest) = page.as_bytes().strip_prefix(origin)
            && matches!(rest.first(), None | Some(b'/'))
        {
            return true;
        }
        let url = fields::text(origin).and_then(|text| Url::parse(text).ok());
        url.is_some_and(|url| site.site.covers(&url))
    };
    if headers.values(Field::Origin).all(agrees) {
        Ok(())
    } else {
        Err(Refusal::OriginForeign { site: site.site.id.to_string() })
    }
}

/// Makes the header fields of a hit's answer out of its request's, whose place they take:
/// hyper keeps it for the connection's next request, so that no hit allocates one.
pub fn answer_headers(mut headers: HeaderMap, verdict: Verdict, is_json: bool) -> HeaderMap {
    let origin = headers.remove(ORIGIN);
    headers.clear();
    if is_json {
        answer::put_type(&mut headers, JSON);
        headers.insert(CORP, CROSS_ORIGIN);
    }
    verdict.put(&mut headers);
    headers.insert(CACHE_CONTROL, NO_STORE);
    cors::allow_origin(&mut headers, origin);
    headers
}

/// A hit that is done with: counted, or spared the figures.
pub struct Received {
    pub site: Arc<RegisteredSite>,
    pub verdict: Verdict,
}

/// Counts hits, and keeps the handles of their metrics.
pub struct Hits {
    metrics: Arc<Metrics>,
    admission: Arc<Admission>,
    /// None: of the sites that share a series.
    results: RefCell<FxHashMap<(Option<SiteNumber>, &'static str), IntCounter>>,
    screen: Screen,
    /// Clients have a limit of new pages.
    limits_clients: bool,
    /// Of each url of which a hit was to be counted, what was found out about it.
    pages: RefCell<Recent<KnownUrl>>,
}

#[derive(Debug, Clone)]
struct KnownUrl {
    site: Arc<RegisteredSite>,
    page: PageAddress,
    /// The day on which the page was found to count under its own address.
    admitted_on: Option<Day>,
}

impl Hits {
    pub fn new(metrics: Arc<Metrics>, admission: Arc<Admission>, limits_clients: bool) -> Self {
        Self {
            metrics,
            admission,
            results: RefCell::default(),
            screen: Screen::default(),
            limits_clients,
            pages: RefCell::default(),
        }
    }

    /// Resolves when the hit is on disk, or is known not to count, and, if figures will be shown,
    /// Redis's totals are in. `sender` is asked for its address if that matters.
    pub async fn count<N: Node, H: HeaderFields>(
        &self,
        node: &N,
        fields: &Fields<'_>,
        headers: &H,
        sender: &Sender<'_, H>,
        with_figures: bool,
    ) -> Result<Received, Refusal> {
        let site = find_site(&node.sites(), &fields.site)?;
        let known = self.known(&site, &fields.url)?;
        check_origin(&site, &fields.url, headers)?;
        if let Err(exceeded) = self.admission.admit(|| sender.address(), site.number, known.page.as_str()) {
            self.admission.note(exceeded, &self.metrics);
            self.note(&site, LIMITED);
            return match self.admission.when_exceeded() {
                WhenExceeded::Refuse => Err(exceeded.into()),
                WhenExceeded::Ignore => Ok(Received { site, verdict: Verdict::LIMITED }),
            };
        }
        let now = clock::now();
        let day = Day::at(now, site.site.time_zone);
        let mut spared = self.screen.judge(site.site.screening, headers, fields.webdriver);
        let mut view = None;
        if spared.is_none() && !site.site.repeat_window.is_zero() {
            view = view_of(node, &site, day, &known.page, headers, sender);
            let window = site.site.repeat_window;
            if view.is_some_and(|view| node.repeats().is_repeat(view, window, Instant::now())) {
                spared = Some(Kind::Repeat);
            }
        }
        if let Some(kind) = spared {
            node.spare(&site, day, kind);
            let reload = async {
                if kind == Kind::Repeat
                    && site.site.counts_visitors()
                    && let Some(visit) = visit::of(node, &site, now, headers, sender).await
                    && let Err(error) = node.reload(&site, day, visit).await
                {
                    tracing::debug!(site = %site.site.id, "no visitor is counted: {error}");
                }
            };
            if with_figures {
                futures_util::future::join(reload, node.refresh(&site)).await;
            } else {
                reload.await;
            }
        } else {
            let known = self.counted_under(node, known, &fields.url, day, sender).await;
            let title = fields.title.as_deref().filter(|_| !known.page.is_other());
            let titled = title.map(|title| (title, known.page.clone()));
            let visit = match site.site.counts_visitors() {
                true => visit::of(node, &site, now, headers, sender).await,
                false => None,
            };
            let counting = node.count(Arrival::Hit { hit: Hit { site: site.number, day, page: known.page }, visit });
            let counted = if with_figures {
                futures_util::future::join(counting, node.refresh(&site)).await.0
            } else {
                counting.await
            };
            if let (Err(_), Some(view)) = (&counted, view) {
                node.repeats().forget(view);
            }
            counted?;
            if let Some((title, page)) = titled {
                node.titled(&site, &page, title);
            }
        }
        let verdict = spared.map_or(Verdict::COUNTED, Verdict::spared);
        self.note(&site, verdict.result);
        Ok(Received { site, verdict })
    }

    /// The page under which a hit counts: of a url that keeps coming, a worker asks the node twice a day.
    async fn counted_under<N: Node>(
        &self,
        node: &N,
        known: KnownUrl,
        url: &str,
        day: Day,
        sender: &Sender<'_, impl HeaderFields>,
    ) -> KnownUrl {
        if known.admitted_on == Some(day) {
            return known;
        }
        let client = if self.limits_clients { sender.address().map(ClientPrefix::of) } else { None };
        let page = node.admit(&known.site, day, known.page.clone(), client).await;
        let admitted_on = (page == known.page).then_some(day);
        let known = KnownUrl { admitted_on, ..known };
        self.pages.borrow_mut().insert(url, known.clone());
        KnownUrl { page, ..known }
    }

    fn known(&self, site: &Arc<RegisteredSite>, url: &str) -> Result<KnownUrl, Refusal> {
        let mut pages = self.pages.borrow_mut();
        match pages.get(url) {
            // The very same: a configuration that was read again may judge otherwise.
            Some(known) if Arc::ptr_eq(&known.site, site) => Ok(known),
            _ => Ok(KnownUrl { site: Arc::clone(site), page: page_of(site, url)?, admitted_on: None }),
        }
    }

    fn note(&self, site: &RegisteredSite, result: &'static str) {
        let (label, is_own) = series::site_label(site);
        let mut results = self.results.borrow_mut();
        let counter = results
            .entry((is_own.then_some(site.number), result))
            .or_insert_with(|| self.metrics.hits_total.with_label_values(&[label, result]));
        counter.inc();
    }
}

/// Who looks at what, if it may be known: not of a reader who does not want to be followed.
fn view_of<N: Node, H: HeaderFields>(
    node: &N,
    site: &RegisteredSite,
    day: Day,
    page: &PageAddress,
    headers: &H,
    sender: &Sender<'_, H>,
) -> Option<View> {
    if visit::asks_not_to_be_told_apart(headers) {
        return None;
    }
    let user_agent = headers.first(Field::UserAgent);
    // A view of another day is another: no window reaches across the site's midnight.
    Some(node.repeats().view((site.number, day, sender.address()?, user_agent, page.as_str())))
}
