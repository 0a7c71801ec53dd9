//! The public listener: what pages and their readers ask for.

use std::future::Future;
use std::rc::Rc;
use std::sync::{Arc, Once};
use std::time::Instant;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONNECTION, HeaderMap, HeaderValue, LOCATION, VARY};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Uri};

use crate::counter::RegisteredSite;
use crate::metrics::Metrics;

use super::answer::{self, AnswerBody, CSV, JSON, SVG, THONGKE_HIT};
use super::assets::Assets;
use super::client::Sender;
use super::connection::Answer;
use super::fields::{self, Field, HeaderFields};
use super::figures::{FigureAnswers, Rendered};
use super::hit::{self, Hits, Received, Verdict};
use super::host::Host;
use super::lane::{self, PlainRequest};
use super::latency::Latency;
use super::limits::HIT_BYTES_MAX;
use super::most_asked::{Asked, Told};
use super::node::Node;
use super::refusal::Refusal;
use super::request_id::RequestId;
use super::router::Route;
use super::shared::{Made, SharedAnswers};
use super::wanted::{Wanted, Wish};
use super::wire::{Order, Wire};
use super::{PublicSettings, body, cors, framing, fresh, history, pages};

/// One worker's part of the public listener.
pub struct Public<N> {
    node: Arc<N>,
    settings: Arc<PublicSettings>,
    metrics: Arc<Metrics>,
    latency: Latency,
    assets: Assets,
    figures: Rc<FigureAnswers>,
    shared: SharedAnswers,
    hits: Hits,
}

type Outcome = Result<Response<AnswerBody>, Refusal>;

impl<N: Node> Public<N> {
    pub fn new(node: Arc<N>, settings: Arc<PublicSettings>, metrics: Arc<Metrics>) -> Self {
        Self {
            node,
            hits: Hits::new(Arc::clone(&metrics), Arc::clone(&settings.admission), settings.limits_clients),
            settings,
            latency: Latency::new(Arc::clone(&metrics)),
            assets: Assets::new(),
            figures: Rc::default(),
            shared: SharedAnswers::default(),
            metrics,
        }
    }

    async fn route(&self, route: Route<'_>, uri: &Uri, head: &mut Parts, body: Incoming, wire: &Wire) -> Outcome {
        let is_last = framing::check(uri, &head.headers, wire)?;
        Host::of(&head.headers)?;
        let mut response = self.endpoint(route, uri, head, body, wire).await?;
        if is_last {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    async fn endpoint(&self, route: Route<'_>, uri: &Uri, head: &mut Parts, body: Incoming, wire: &Wire) -> Outcome {
        let method = &head.method;
        if method == Method::OPTIONS {
            return Ok(cors::preflight(route.allow()));
        }
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let is_allowed = match route {
            Route::Hit => method == Method::POST,
            Route::Pixel => method == Method::GET,
            Route::Unknown => true,
            _ => is_read,
        };
        if !is_allowed {
            return Err(Refusal::Method { allow: route.allow() });
        }
        match route {
            Route::Hit => {
                let bytes = body::collect(body, HIT_BYTES_MAX, wire).await?;
                self.most_asked(Asked::Hit { body: &bytes }, uri, head, wire).await
            }
            Route::Pixel => self.most_asked(Asked::Pixel, uri, head, wire).await,
            Route::Figures { site } => self.most_asked(Asked::Figures { site }, uri, head, wire).await,
            Route::PageFigures { site } => {
                let make = |site, query| pages::figures(Arc::clone(&self.node), site, query);
                self.shared("pages/figures", site, uri, &mut head.headers, JSON, make).await
            }
            Route::TopPages { site } => {
                let make = |site, query| pages::most_read(Arc::clone(&self.node), site, query);
                self.shared("pages", site, uri, &mut head.headers, JSON, make).await
            }
            Route::History { site } => {
                let format = history::Format::of(uri.query().unwrap_or_default(), &head.headers)?;
                let (what, content_type) = match format {
                    history::Format::Json => ("history.json", JSON),
                    history::Format::Csv => ("history.csv", CSV),
                };
                let make = |site, query| history::history(Arc::clone(&self.node), site, query, format);
                let mut response = self.shared(what, site, uri, &mut head.headers, content_type, make).await?;
                response.headers_mut().insert(VARY, HeaderValue::from_name(ACCEPT));
                Ok(response)
            }
            Route::Chart { site } => {
                let make = |site, query| history::chart(Arc::clone(&self.node), site, query);
                self.shared("chart.svg", site, uri, &mut head.headers, SVG, make).await
            }
            Route::Script => self.most_asked(Asked::Script { is_versioned: false }, uri, head, wire).await,
            Route::ScriptVersioned => self.most_asked(Asked::Script { is_versioned: true }, uri, head, wire).await,
            Route::DemoPage if self.settings.demo => Ok(Assets::demo_page()),
            Route::DemoStyles if self.settings.demo => Ok(Assets::demo_styles()),
            Route::DemoScript if self.settings.demo => Ok(Assets::demo_script()),
            Route::OpenApi => Ok(self.assets.openapi(&self.settings.path_prefix)),
            Route::Prefix => Ok(self.to_prefix()),
            Route::DemoPage | Route::DemoStyles | Route::DemoScript | Route::Unknown => Err(Refusal::PathUnknown),
        }
    }

    /// An answer that is made once for all who ask the same within a second.
    async fn shared<F: Future<Output = Result<Made, Refusal>> + 'static>(
        &self,
        what: &str,
        site: &str,
        uri: &Uri,
        headers: &mut HeaderMap,
        content_type: HeaderValue,
        make: impl FnOnce(Arc<RegisteredSite>, String) -> F,
    ) -> Outcome {
        let site = hit::find_site(&self.node.sites(), site)?;
        let query = uri.query().unwrap_or_default().to_owned();
        let told = Wish::of_words(&query)?.told_by(&site.site);
        let site = told.map_or(site.clone(), |told| Arc::new(RegisteredSite { number: site.number, site: told }));
        let asked = format!("{what} {} {query}", site.number.0);
        let made = self.shared.get(asked, || make(site, query)).await?;
        let is_known = fresh::is_known(headers, &made.etag);
        Ok(fresh::answer(std::mem::take(headers), is_known, content_type, made.body, made.etag))
    }

    /// Answers through hyper what the lane has left to it.
    async fn most_asked(&self, asked: Asked<'_>, uri: &Uri, head: &mut Parts, wire: &Wire) -> Outcome {
        let told = self.tell(asked, uri.query(), &head.headers, wire).await?;
        Ok(told.response(std::mem::take(&mut head.headers)))
    }

    /// Does what is asked, whichever way it came.
    async fn tell<H: HeaderFields>(
        &self,
        asked: Asked<'_>,
        query: Option<&str>,
        headers: &H,
        wire: &Wire,
    ) -> Result<Told, Refusal> {
        match asked {
            Asked::Hit { body } => self.hit(query, body, headers, wire).await,
            Asked::Pixel => Ok(self.pixel(query, headers, wire).await),
            Asked::Figures { site } => self.figures(site, query, headers).await,
            Asked::Script { is_versioned } => Ok(Told::Else(self.assets.script(headers, is_versioned))),
        }
    }

    async fn hit<H: HeaderFields>(
        &self,
        query: Option<&str>,
        body: &[u8],
        headers: &H,
        wire: &Wire,
    ) -> Result<Told, Refusal> {
        let wanted = Wanted::of(query);
        let with_figures = wanted.as_ref().is_ok_and(|wanted| *wanted != Wanted::Nothing);
        let fields = hit::Fields::parse(body)?;
        let sender = self.sender(headers, wire);
        let Received { site, verdict } = self.hits.count(&*self.node, &fields, headers, &sender, with_figures).await?;
        // The hit is done with: whatever happens to the figures, it must not read as if it were not.
        Ok(match self.figures_for(&site, wanted).await {
            Ok(figures) => Told::Hit { verdict, figures },
            // That is said, and takes nothing from the hit.
            Err(refusal) => Told::Else(self.refused_wish(&refusal, verdict, self.request_id(headers, wire))),
        })
    }

    /// The figures of a hit's answer, where it wants some and they are at hand; or what is wrong with its wish.
    async fn figures_for(
        &self,
        site: &Arc<RegisteredSite>,
        wanted: Result<Wanted, Refusal>,
    ) -> Result<Option<Rc<Rendered>>, Refusal> {
        let wish = match wanted? {
            Wanted::Nothing => return Ok(None),
            Wanted::OfSite => None,
            Wanted::Other(wish) => Some(wish),
        };
        wish.iter().try_for_each(|wish| wish.check(&site.site))?;
        Ok(self.figures.rendered(&*self.node, site, wish).await.ok())
    }

    async fn figures(&self, site: &str, query: Option<&str>, headers: &impl HeaderFields) -> Result<Told, Refusal> {
        let site = hit::find_site(&self.node.sites(), site)?;
        let wish = match Wanted::of(query)? {
            Wanted::Nothing => return Err(Refusal::FiguresNone),
            Wanted::OfSite => None,
            Wanted::Other(wish) => Some(wish),
        };
        wish.iter().try_for_each(|wish| wish.check(&site.site))?;
        self.node.refresh(&site).await;
        let rendered = self.figures.rendered(&*self.node, &site, wish).await?;
        let is_known = fresh::is_known(headers, &rendered.etag);
        Ok(Told::Figures { rendered, is_known })
    }

    /// Always the picture: a page without a script shows no broken one, whatever became of the hit.
    async fn pixel<H: HeaderFields>(&self, query: Option<&str>, headers: &H, wire: &Wire) -> Told {
        let referer = headers.first(Field::Referer).and_then(fields::text);
        let outcome = match hit::Fields::parse_query(query.unwrap_or_default(), referer) {
            Err(refusal) => Err(refusal),
            Ok(fields) => {
                let sender = self.sender(headers, wire);
                self.hits.count(&*self.node, &fields, headers, &sender, false).await
            }
        };
        match outcome {
            Ok(Received { verdict, .. }) => Told::Pixel { verdict },
            Err(refusal) => Told::Else(self.refused_pixel(&refusal, self.request_id(headers, wire))),
        }
    }

    /// Who sends a hit; says once if a proxy seems to be taken for a client, before a limit meets it.
    fn sender<'a, H: HeaderFields>(&'a self, headers: &'a H, wire: &Wire) -> Sender<'a, H> {
        let sender = Sender::new(&self.settings.trusted_proxies, wire.peer(), headers);
        let told = &self.metrics.unbelieved_proxy;
        if told.get() == 0 && sender.asks_for_others_in_vain() {
            told.set(1);
            // Of several workers, one says it.
            static WARNING: Once = Once::new();
            WARNING.call_once(|| {
                tracing::warn!(
                    "a hit says for whom it is sent, in a field that proxies write, and its sender is not believed: if \
                     a proxy of yours stands in front, name it in `trusted_proxies`, or all its readers are taken for \
                     one"
                );
            });
        }
        sender
    }

    fn request_id(&self, headers: &impl HeaderFields, wire: &Wire) -> RequestId {
        RequestId::of(headers, self.settings.trusted_proxies.believes(wire.peer()))
    }

    fn to_prefix(&self) -> Response<AnswerBody> {
        let mut response = answer::with_body(StatusCode::PERMANENT_REDIRECT, HeaderMap::with_capacity(2), Bytes::new());
        if let Ok(location) = HeaderValue::from_str(&format!("{}/", self.settings.path_prefix)) {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }

    fn refused(&self, refusal: &Refusal, id: RequestId) -> Response<AnswerBody> {
        self.note(refusal, &id);
        let mut response = refusal.answer();
        id.put(response.headers_mut());
        cors::allow_any_for_refusal(response.headers_mut());
        response
    }

    /// Says what is wrong with a hit's wish, and that the hit is done with.
    fn refused_wish(&self, refusal: &Refusal, verdict: Verdict, id: RequestId) -> Response<AnswerBody> {
        let mut response = self.refused(refusal, id);
        verdict.put(response.headers_mut());
        response
    }

    /// The picture, and in its head why the hit is refused.
    fn refused_pixel(&self, refusal: &Refusal, id: RequestId) -> Response<AnswerBody> {
        self.note(refusal, &id);
        let mut response = Assets::pixel();
        id.put(response.headers_mut());
        *response.status_mut() = refusal.status();
        refusal.put_headers(response.headers_mut());
        response.headers_mut().insert(THONGKE_HIT, HeaderValue::from_static(refusal.reason()));
        response
    }

    /// In the log only where that is asked for, and nothing of what a stranger wrote.
    fn note(&self, refusal: &Refusal, id: &RequestId) {
        tracing::debug!(request_id = %id, status = refusal.status().as_u16(), reason = refusal.reason(), "refused");
        self.metrics.refusals_total.with_label_values(&[refusal.reason()]).inc();
    }
}

impl<N: Node> Answer for Public<N> {
    fn lane_prefix(&self) -> Option<&str> {
        Some(&self.settings.path_prefix)
    }

    async fn answer_in_lane(&self, request: &PlainRequest<'_>, wire: &Wire, out: &mut Vec<u8>) -> bool {
        let started = Instant::now();
        let PlainRequest { asked, query, fields, .. } = request;
        let told = match self.tell(*asked, *query, fields, wire).await {
            Ok(told) => told,
            Err(refusal) => Told::Else(self.refused(&refusal, self.request_id(fields, wire))),
        };
        let is_last = request.is_last || wire.order() != Order::Serve || told.closes();
        let status = told.status();
        lane::write(told, fields.first(Field::Origin), is_last, out);
        self.latency.observe(asked.route().label(), status, started.elapsed());
        is_last
    }

    async fn answer(&self, request: Request<Incoming>, wire: &Wire) -> Response<AnswerBody> {
        let started = Instant::now();
        let (mut head, body) = request.into_parts();
        // The route borrows from the uri, and the head is lent on.
        let uri = std::mem::take(&mut head.uri);
        let route = Route::of(uri.path(), &self.settings.path_prefix);
        let response = match self.route(route, &uri, &mut head, body, wire).await {
            Ok(response) => response,
            Err(refusal) => self.refused(&refusal, self.request_id(&head.headers, wire)),
        };
        self.latency.observe(route.label(), response.status(), started.elapsed());
        response
    }

    fn refuse(&self, refusal: &Refusal) -> Response<AnswerBody> {
        self.refused(refusal, RequestId::new())
    }
}
