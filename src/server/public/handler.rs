//! Endpoints of the public listener.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Uri};

use super::PublicSettings;
use super::assets::Assets;
use super::figures::FiguresCache;
use super::question::Reads;
use super::{closed, home};
use crate::clock;
use crate::metrics::Metrics;
use crate::server::fast_path::parse::PlainRequest;
use crate::server::hit::HitHandler;
use crate::server::hot_endpoints::{self, Reply};
use crate::server::http::{
    AnswerBody, HeaderFields, Host, HttpError, Latency, Rendered, RequestId, body, cors, framing, response,
};
use crate::server::net::{ConnState, HIT_BYTES_MAX};
use crate::server::ports::Node;
use crate::server::routes::{self, Matched, Public};
use crate::server::service::Service;

/// One worker's part of the public listener.
pub struct PublicService<N> {
    pub node: Arc<N>,
    pub settings: Arc<PublicSettings>,
    pub metrics: Arc<Metrics>,
    latency: Latency,
    pub assets: Assets,
    pub figures: FiguresCache,
    /// In place of a closed site's figures.
    pub closed_figures: Rc<Rendered>,
    pub reads: Reads,
    pub hits: HitHandler,
}

type Outcome = Result<Response<AnswerBody>, HttpError>;

impl<N: Node> PublicService<N> {
    pub fn new(node: Arc<N>, settings: Arc<PublicSettings>, metrics: Arc<Metrics>) -> Self {
        let (limiter, dedup) = (Arc::clone(&settings.rate_limiter), Arc::clone(&settings.dedup));
        let (canonicals, parameters) = (Arc::clone(&settings.canonicals), Arc::clone(&settings.parameters));
        let live_hits = Arc::clone(&settings.live_hits);
        let limits_new_pages = settings.limits_new_pages;
        let reads = Reads::new(Arc::clone(&canonicals));
        Self {
            node,
            hits: HitHandler::new(
                Arc::clone(&metrics),
                limiter,
                dedup,
                canonicals,
                parameters,
                live_hits,
                limits_new_pages,
            ),
            settings,
            latency: Latency::new(Arc::clone(&metrics)),
            assets: Assets::new(),
            figures: FiguresCache::default(),
            closed_figures: Rc::new(closed::figures()),
            reads,
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
        framing::check(uri, &head.headers, conn)?;
        Host::of(&head.headers)?;
        self.endpoint(matched, uri, head, body, conn).await
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
            Public::PageFigures | Public::PageHistory | Public::TopPages | Public::History | Public::Chart => {
                self.read(route.endpoint, site, uri, headers, conn).await
            }
            Public::Home if is_demo => Ok(Assets::demo_page()),
            Public::Home => Ok(home::page(self.settings.has_editors_page)),
            Public::DemoStyles if is_demo => Ok(Assets::demo_styles()),
            Public::DemoScript if is_demo => Ok(Assets::demo_script()),
            Public::OpenApi => Ok(self.assets.openapi(&self.settings.path_prefix)),
            Public::Prefix => Ok(self.to_prefix()),
            _ => Err(HttpError::PATH_UNKNOWN),
        }
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

    /// The answer to a refused request. `site`: the one that its path names.
    fn refuse(
        &self,
        error: &HttpError,
        site: Option<&str>,
        headers: &impl HeaderFields,
        conn: &ConnState,
    ) -> Response<AnswerBody> {
        self.settings.refusals.show(error.reason, site, headers);
        self.error_response(error, self.request_id(headers, conn))
    }

    /// Counts an error. The log has it by itself only at level debug, and never a stranger's text.
    pub fn note(&self, error: &HttpError, id: &RequestId) {
        tracing::debug!(request_id = %id, status = error.status.as_u16(), reason = error.reason, "request refused");
        self.metrics.refusals_total.with_label_values(&[error.reason]).inc();
        self.settings.refusals.count(error.reason);
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
            Err(error) => Reply::Other(self.refuse(&error, plain.request.site(), &plain.headers, conn)),
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
            Err(error) => {
                if matched.route.endpoint == Public::Unknown && uri.path().ends_with(routes::public_path(Public::Hit)) {
                    let client = self.settings.trusted_proxies.client(conn.peer(), &head.headers);
                    let refusals = &self.settings.refusals;
                    refusals.remember_beside_prefix(uri.path(), &head.headers, client, clock::now());
                }
                self.refuse(&error, Some(matched.site), &head.headers, conn)
            }
        };
        self.latency.observe(matched.route.label, response.status(), started.elapsed());
        response
    }

    fn error(&self, error: HttpError) -> Response<AnswerBody> {
        self.error_response(&error, RequestId::new())
    }
}
