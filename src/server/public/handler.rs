//! Endpoints of the public listener.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Uri};

use super::assets::Assets;
use super::figures::FiguresCache;
use super::query::Overrides;
use super::{PublicSettings, history, pages};
use crate::counter::RegisteredSite;
use crate::metrics::Metrics;
use crate::server::fast_path::parse::PlainRequest;
use crate::server::hit::{HitHandler, site};
use crate::server::hot_endpoints::{self, Reply};
use crate::server::http::{
    AnswerBody, CLOSE, CSV, ContentType, FixedFields, HeaderFields, HeaderSink as _, Host, HttpError, JSON, Latency,
    Rendered, RequestId, SVG, SingleFlight, body, conditional, cors, fixed, framing, response,
};
use crate::server::net::{ConnState, HIT_BYTES_MAX};
use crate::server::ports::Node;
use crate::server::routes::{self, Matched, Public};
use crate::server::service::Service;

static VARY_ACCEPT: FixedFields = fixed!("vary": "accept");

/// One worker's part of the public listener.
pub struct PublicService<N> {
    pub node: Arc<N>,
    pub settings: Arc<PublicSettings>,
    pub metrics: Arc<Metrics>,
    latency: Latency,
    pub assets: Assets,
    pub figures: FiguresCache,
    single_flight: SingleFlight,
    pub hits: HitHandler,
}

type Outcome = Result<Response<AnswerBody>, HttpError>;

impl<N: Node> PublicService<N> {
    pub fn new(node: Arc<N>, settings: Arc<PublicSettings>, metrics: Arc<Metrics>) -> Self {
        let (limiter, dedup) = (Arc::clone(&settings.rate_limiter), Arc::clone(&settings.dedup));
        let (canonicals, parameters) = (Arc::clone(&settings.canonicals), Arc::clone(&settings.parameters));
        let limits_new_pages = settings.limits_new_pages;
        Self {
            node,
            hits: HitHandler::new(Arc::clone(&metrics), limiter, dedup, canonicals, parameters, limits_new_pages),
            settings,
            latency: Latency::new(Arc::clone(&metrics)),
            assets: Assets::new(),
            figures: FiguresCache::default(),
            single_flight: SingleFlight::default(),
            metrics,
        }
    }

    async fn route(
        &self,
        matched: Matched<'_, Public>,
        uri: &Uri,
        head: &mut Parts,
        body: Incoming,
        conn: &ConnState,
    ) -> Outcome {
        let is_last = framing::check(uri, &head.headers, conn)?;
        Host::of(&head.headers)?;
        let mut response = self.endpoint(matched, uri, head, body, conn).await?;
        if is_last {
            response.headers_mut().fixed(&CLOSE);
        }
        Ok(response)
    }

    async fn endpoint(
        &self,
        Matched { route, site, .. }: Matched<'_, Public>,
        uri: &Uri,
        head: &mut Parts,
        body: Incoming,
        conn: &ConnState,
    ) -> Outcome {
        if head.method == Method::OPTIONS {
            return Ok(cors::preflight(route.methods));
        }
        if route.endpoint == Public::Unknown {
            return Err(HttpError::PATH_UNKNOWN);
        }
        if !route.allows(head.method.as_str()) {
            return Err(HttpError::method(route.methods));
        }
        let bytes = match route.endpoint {
            Public::Hit => Some(body::collect(body, HIT_BYTES_MAX, conn).await?),
            _ => None,
        };
        if let Some(request) = hot_endpoints::Request::of(route.endpoint, site, bytes.as_deref()) {
            let reply = self.hot(request, uri.query(), &head.headers, conn).await?;
            return Ok(reply.response(std::mem::take(&mut head.headers)));
        }
        let headers = &mut head.headers;
        let is_demo = self.settings.demo;
        match route.endpoint {
            Public::PageFigures => {
                let canonicals = Arc::clone(&self.settings.canonicals);
                let make = |site, query| pages::figures(Arc::clone(&self.node), canonicals, site, query);
                self.shared("pages/figures", site, uri, headers, &JSON, make).await
            }
            Public::TopPages => {
                let make = |site, query| pages::most_read(Arc::clone(&self.node), site, query);
                self.shared("pages", site, uri, headers, &JSON, make).await
            }
            Public::History => {
                let format = history::Format::of(uri.query().unwrap_or_default(), headers)?;
                let (name, content_type) = match format {
                    history::Format::Json => ("history.json", &JSON),
                    history::Format::Csv => ("history.csv", &CSV),
                };
                let make = |site, query| history::history(Arc::clone(&self.node), site, query, format);
                let mut response = self.shared(name, site, uri, headers, content_type, make).await?;
                response.headers_mut().fixed(&VARY_ACCEPT);
                Ok(response)
            }
            Public::Chart => {
                let make = |site, query| history::chart(Arc::clone(&self.node), site, query);
                self.shared("chart.svg", site, uri, headers, &SVG, make).await
            }
            Public::DemoPage if is_demo => Ok(Assets::demo_page()),
            Public::DemoStyles if is_demo => Ok(Assets::demo_styles()),
            Public::DemoScript if is_demo => Ok(Assets::demo_script()),
            Public::OpenApi => Ok(self.assets.openapi(&self.settings.path_prefix)),
            Public::Prefix => Ok(self.to_prefix()),
            _ => Err(HttpError::PATH_UNKNOWN),
        }
    }

    /// An answer that is made once for all equal requests within a second.
    async fn shared<F: Future<Output = Result<Rendered, HttpError>> + 'static>(
        &self,
        name: &str,
        site: &str,
        uri: &Uri,
        headers: &mut HeaderMap,
        content_type: &'static ContentType,
        make: impl FnOnce(Arc<RegisteredSite>, String) -> F,
    ) -> Outcome {
        let site = site::find(&self.node.sites(), site)?;
        let query = uri.query().unwrap_or_default().to_owned();
        let other = Overrides::of_words(&query)?.apply(&site.site);
        let in_words = |other| {
            Arc::new(RegisteredSite { number: site.number, site: other, editor_rules: site.editor_rules.clone() })
        };
        let site = other.map_or(site.clone(), in_words);
        let request = format!("{name} {} {query}", site.number.0);
        let rendered = self.single_flight.get(request, || make(site, query)).await?;
        let is_known = conditional::is_known(headers, &rendered.etag);
        Ok(conditional::answer(std::mem::take(headers), is_known, content_type, &rendered))
    }

    fn to_prefix(&self) -> Response<AnswerBody> {
        let mut headers = HeaderMap::with_capacity(2);
        if let Ok(location) = HeaderValue::from_str(&format!("{}/", self.settings.path_prefix)) {
            headers.insert(LOCATION, location);
        }
        response::with_body(StatusCode::PERMANENT_REDIRECT, headers, Bytes::new())
    }

    pub fn request_id(&self, headers: &impl HeaderFields, conn: &ConnState) -> RequestId {
        RequestId::of(headers, self.settings.trusted_proxies.is_trusted(conn.peer()))
    }

    pub fn error_response(&self, error: &HttpError, id: RequestId) -> Response<AnswerBody> {
        self.note(error, &id);
        let mut response = error.response();
        id.put(response.headers_mut());
        cors::allow_any_for_error(response.headers_mut());
        response
    }

    /// Counts an error. The log has it only at level debug, and never a stranger's text.
    pub fn note(&self, error: &HttpError, id: &RequestId) {
        tracing::debug!(request_id = %id, status = error.status.as_u16(), reason = error.reason, "request refused");
        self.metrics.refusals_total.with_label_values(&[error.reason]).inc();
    }
}

impl<N: Node> Service for PublicService<N> {
    fn fast_path_prefix(&self) -> Option<&str> {
        Some(&self.settings.path_prefix)
    }

    async fn handle_hot(&self, plain: &PlainRequest<'_>, conn: &ConnState) -> Reply {
        let started = Instant::now();
        let reply = match self.hot(plain.request, plain.query, &plain.headers, conn).await {
            Ok(reply) => reply,
            Err(error) => Reply::Other(self.error_response(&error, self.request_id(&plain.headers, conn))),
        };
        self.latency.observe(plain.route.label, reply.status(), started.elapsed());
        reply
    }

    async fn handle(&self, request: Request<Incoming>, conn: &ConnState) -> Response<AnswerBody> {
        let started = Instant::now();
        let (mut head, body) = request.into_parts();
        // The route borrows from the uri, and the head is lent on.
        let uri = std::mem::take(&mut head.uri);
        let matched = routes::public(uri.path(), &self.settings.path_prefix);
        let response = match self.route(matched, &uri, &mut head, body, conn).await {
            Ok(response) => response,
            Err(error) => self.error_response(&error, self.request_id(&head.headers, conn)),
        };
        self.latency.observe(matched.route.label, response.status(), started.elapsed());
        response
    }

    fn error(&self, error: HttpError) -> Response<AnswerBody> {
        self.error_response(&error, RequestId::new())
    }
}
