//! Endpoints of the admin listener.

use std::sync::Arc;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};

use super::refusal_log::RefusalLog;
use super::transfer::{self, Imports};
use super::{AdminSettings, auth, json, pages, probes, sites, tokens};
use crate::clock;
use crate::counter::clock_trust::Accepted;
use crate::counter::{Day, RegisteredSite};
use crate::metrics::Metrics;
use crate::server::fast_path::parse::PlainRequest;
use crate::server::hit::site;
use crate::server::hot_endpoints::Reply;
use crate::server::http::{AnswerBody, Host, HttpError, JSON, RequestId, conditional, framing, response};
use crate::server::net::ConnState;
use crate::server::openapi;
use crate::server::ports::Node;
use crate::server::public::figures::FiguresCache;
use crate::server::public::names;
use crate::server::public::query::Query;
use crate::server::public::question::Reads;
use crate::server::routes::{self, Admin, Matched, Public};
use crate::server::service::Service;

pub struct AdminService<N> {
    node: Arc<N>,
    settings: Arc<AdminSettings>,
    metrics: Arc<Metrics>,
    figures: FiguresCache,
    reads: Reads,
    imports: Imports,
    refusal_log: RefusalLog,
}

type Outcome = Result<Response<AnswerBody>, HttpError>;

impl<N: Node> AdminService<N> {
    pub fn new(node: Arc<N>, settings: Arc<AdminSettings>, metrics: Arc<Metrics>) -> Self {
        Self {
            reads: Reads::new(Arc::clone(&settings.canonicals)),
            node,
            settings,
            metrics,
            figures: FiguresCache::default(),
            imports: Imports::default(),
            refusal_log: RefusalLog::default(),
        }
    }

    async fn route(&self, request: Request<Incoming>, conn: &ConnState) -> Outcome {
        framing::check(request.uri(), request.headers(), conn)?;
        self.endpoint(request, conn).await
    }

    async fn endpoint(&self, request: Request<Incoming>, conn: &ConnState) -> Outcome {
        let host = Host::of(request.headers())?;
        let path = request.uri().path().to_owned();
        let matched = routes::admin(&path);
        // Unknown paths need a token as well: strangers learn nothing about them.
        if !matched.is_some_and(|matched| auth::is_free(matched.route.endpoint)) {
            auth::check_host(host, conn)?;
            match *request.method() {
                Method::GET | Method::HEAD => auth::check_reading_page(request.headers())?,
                _ => auth::check_page(request.headers(), conn)?,
            }
            self.settings.tokens.check(request.method(), request.headers())?;
        }
        let Matched { route, site, source } = matched.ok_or(HttpError::PATH_UNKNOWN)?;
        if !route.allows(request.method().as_str()) {
            return Err(HttpError::method(route.methods));
        }
        auth::check_content_type(route.endpoint, request.method(), request.headers())?;
        let stored = async || sites::stored(&*self.node, site).await;
        let site = || site::find(&self.node.sites(), site);
        match route.endpoint {
            Admin::Metrics => Ok(probes::metrics(&self.metrics)),
            Admin::Alive => Ok(probes::alive()),
            Admin::Ready => Ok(probes::ready(self.node.readiness())),
            Admin::OpenApi => {
                let document = openapi::admin(self.settings.tokens.are_set());
                Ok(response::typed(StatusCode::OK, &JSON, document))
            }
            Admin::Sites => sites::list(&*self.node).await,
            Admin::Export => transfer::export(&self.node, stored().await?).await,
            Admin::Import => self.imports.import(&*self.node, &site()?, request, conn).await,
            Admin::Forget => transfer::forget(&*self.node, &site()?, source).await,
            Admin::Reset if request.method() == Method::DELETE => transfer::undo_reset(&*self.node, &site()?).await,
            Admin::Reset => self.imports.reset(&*self.node, &site()?).await,
            Admin::Sources => Ok(json(&self.node.sources(&stored().await?).await?)),
            Admin::Verify => Ok(json(&self.node.verify(&site()?).await?)),
            Admin::Repair => Ok(json(&self.node.repair(&site()?).await?)),
            Admin::AcceptClock => Ok(json(&Accepted::at(self.node.accept_clock().await?))),
            Admin::Tokens => tokens::answer(&*self.node, request, conn).await,
            Admin::Reload => self.settings.reload.reload().await,
            Admin::Pages => pages::list(&*self.node, &site()?, request.uri().query().unwrap_or_default()).await,
            Admin::PageRules => pages::rules(&*self.node, &site()?, request, conn).await,
            Admin::Parameters => {
                let site = site()?;
                Ok(json(&self.settings.parameters.report(&site, today(&site))))
            }
            Admin::Warnings => Ok(json(&self.settings.warnings.list(&self.node.sites(), today))),
            Admin::Refused => Ok(json(&self.settings.refusals.list(&self.node.sites(), None))),
            Admin::RefusedOfSite => {
                let site = site()?;
                Ok(json(&self.settings.refusals.list(&self.node.sites(), Some(site.site.id.as_str()))))
            }
            Admin::Bots => Ok(json(&self.node.uncounted(&*site()?))),
            Admin::Figures => self.figures(site()?, request).await,
            Admin::PageFigures => self.read(Public::PageFigures, site()?, request).await,
            Admin::TopPages => self.read(Public::TopPages, site()?, request).await,
            Admin::History => self.read(Public::History, site()?, request).await,
            Admin::PageHistory => self.read(Public::PageHistory, site()?, request).await,
            Admin::Chart => self.read(Public::Chart, site()?, request).await,
        }
    }

    fn refused(&self, error: &HttpError, id: RequestId) -> Response<AnswerBody> {
        self.refusal_log.say(error, &id, Instant::now());
        let mut response = error.response();
        id.put(response.headers_mut());
        response
    }

    /// Figures, whether they are public or not.
    async fn figures(&self, site: Arc<RegisteredSite>, mut request: Request<Incoming>) -> Outcome {
        let ignored = names::check(Public::Figures, request.uri().query().unwrap_or_default())?;
        let overrides = Query::of(request.uri().query())?.overrides()?;
        overrides.iter().try_for_each(|overrides| overrides.check(&site.site))?;
        self.node.refresh(&site).await;
        let rendered = self.figures.rendered(&*self.node, &site, overrides).await?;
        let headers = std::mem::take(request.headers_mut());
        let is_known = conditional::is_known(&headers, &rendered.etag);
        let mut answer = conditional::answer(headers, is_known, &JSON, &rendered);
        response::put_ignored(answer.headers_mut(), ignored.as_ref());
        Ok(private(answer))
    }

    async fn read(&self, read: Public, site: Arc<RegisteredSite>, mut request: Request<Incoming>) -> Outcome {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let asked = (read, query.as_str());
        self.reads.answer(&self.node, asked, &site, request.headers_mut(), |_, _| Ok(())).await.map(private)
    }
}

/// An answer that a web page in an operator's browser can't read: it may be closed to strangers.
fn private(mut response: Response<AnswerBody>) -> Response<AnswerBody> {
    conditional::make_private(response.headers_mut());
    response
}

/// The site's day.
fn today(site: &RegisteredSite) -> Day {
    Day::at(clock::now(), site.site.time_zone)
}

impl<N: Node> Service for AdminService<N> {
    /// Never called: this listener has no fast path ([`Service::fast_path_prefix`]).
    async fn handle_hot(&self, _: &PlainRequest<'_>, _: &ConnState) -> Reply {
        Reply::Other(self.error(HttpError::PATH_UNKNOWN))
    }

    async fn handle(&self, request: Request<Incoming>, conn: &ConnState) -> Response<AnswerBody> {
        // Every peer of this listener is an operator, or an operator's proxy.
        let id = RequestId::of(request.headers(), true);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        match self.route(request, conn).await {
            Ok(mut response) => {
                if !matches!(method, Method::GET | Method::HEAD) {
                    tracing::info!(request_id = %id, %method, path, "changed by an operator");
                }
                id.put(response.headers_mut());
                response
            }
            Err(error) => self.refused(&error, id),
        }
    }

    fn error(&self, error: HttpError) -> Response<AnswerBody> {
        self.refused(&error, RequestId::new())
    }
}
